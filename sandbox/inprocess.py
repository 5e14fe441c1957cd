"""The sandbox without sockets: requests step straight through the engine, time is virtual, nothing ever sleeps.

`InProcess.session()` is a `requests.Session` whose calls end up here; `InProcess.mount` puts a WSGI program (the
integrator under test) where webhooks reach it.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Coroutine, Generator, Mapping
from http import HTTPStatus
from types import coroutine
from typing import Any, Final, Protocol
from urllib.parse import unquote, urlsplit

import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict

from sandbox.access import Access, access, all_credentials
from sandbox.clock import Suspended, VirtualClock
from sandbox.control import control_app
from sandbox.gateway import Gateway, services
from sandbox.model import DEFAULT_WORLD, Answer, Headers
from sandbox.outbox import DeliveryError, Sender
from sandbox.project import Project
from sandbox.slot import Message
from sandbox.store import Store
from sandbox.wire import CONNECTION
from sandbox.world import World, Worlds

BASE_URL: Final = "http://127.0.0.1:8420"
_PATIENCE: Final = 3600.0


class Wsgi(Protocol):
    """A WSGI application."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any], /) -> Any: ...


class CallerTimedOut(Exception):
    """The caller gave up waiting."""


class ConnectionLost(Exception):
    """The connection ended without a complete answer."""


class _Caller:
    """The near end of a connection that exists in memory only."""

    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self.gone = False
        self.lost = False
        self.status = 0
        self.headers: Headers = ()
        self.parts: list[bytes] = []

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        while not self.gone:
            await _suspended()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
            )
        else:
            self.parts.append(message.get("body", b""))

    def close(self) -> None:
        self.lost = True

    reset = close


@coroutine
def _suspended() -> Generator[Suspended, None, None]:
    yield Suspended(None)


class InProcess:
    """A project served in memory, on one virtual clock.

    Args:
        seed: All data, ids and credentials follow from it.
        start: The virtual time at which it begins, in unix seconds.
    """

    rate_limits = True

    def __init__(self, project: Project, seed: int = 0, start: float | None = None) -> None:
        self.project = project
        self.seed = seed
        self._clock = VirtualClock() if start is None else VirtualClock(start)
        self._mounted: dict[str, Wsgi] = {}
        self._later: list[Callable[[], None]] = []
        credentials = all_credentials(project.specs.values(), seed)
        self.store = Store()
        self.worlds = Worlds(self.store, self, seed, credentials)
        systems = services(project, credentials)
        self.gateway = Gateway(self.worlds, systems, control_app(self.worlds, project.specs))

    # What a world needs of its host.
    def clock(self) -> VirtualClock:
        return self._clock

    def spawn(self, task: Coroutine[Any, Any, None]) -> None:
        self._step(task)

    @property
    def sender(self) -> Sender:
        return self._send

    def soon(self, callback: Callable[[], None]) -> None:
        # Nothing runs beside the caller here; what is due "soon" happens when somebody looks or time passes.
        self._later.append(callback)

    @property
    def now(self) -> float:
        return self._clock.now()

    def world(self, name: str = DEFAULT_WORLD) -> World:
        return self.worlds.get(name)

    def access(self, world: str = DEFAULT_WORLD) -> Access:
        return access(self.project.specs.values(), BASE_URL, self.seed, world)

    def mount(self, url: str, app: Wsgi) -> None:
        """Let webhooks for `url` and below reach a WSGI application."""
        self._mounted[url.rstrip("/")] = app

    def session(self) -> requests.Session:
        """A session whose requests are carried out in memory."""
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", Adapter(self))
        session.mount("https://", Adapter(self))
        return session

    def run_until(self, moment: float) -> None:
        """Let time pass; what comes due on the way happens at its own time."""
        self._clock.run_until(moment)
        self._tidy()

    def run(self, seconds: float) -> None:
        self.run_until(self.now + seconds)

    def close(self) -> None:
        self.worlds.close()
        self.store.close()

    def call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", time_limit: float | None = None
    ) -> Answer:
        """Carry out one request.

        Raises:
            CallerTimedOut: after `time_limit` virtual seconds without an answer.
            ConnectionLost: when the connection ended first.
        """
        parts = urlsplit(url)
        caller = _Caller(body)
        sent = {"host": parts.netloc, **{name.lower(): value for name, value in headers.items()}}
        if body:
            sent.setdefault("content-length", str(len(body)))
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(parts.path) or "/",
            "raw_path": parts.path.encode(),
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
            "extensions": {CONNECTION: caller},
        }
        task = self.gateway(scope, caller.receive, caller.send)
        deadline = self.now + (_PATIENCE if time_limit is None else time_limit)
        waiting = _advance(task)
        while waiting is not None:
            if waiting.until is None or waiting.until > deadline:
                self._clock.run_until(deadline)
                caller.gone = True
                self._resume(task, waiting)
                raise CallerTimedOut
            self._clock.run_until(waiting.until)
            waiting = _advance(task)
        if caller.lost:
            raise ConnectionLost
        return Answer(caller.status, caller.headers, b"".join(caller.parts))

    def _step(self, task: Coroutine[Any, Any, None]) -> None:
        waiting = _advance(task)
        if waiting is not None:
            self._resume(task, waiting)

    def _resume(self, task: Coroutine[Any, Any, None], waiting: Suspended) -> None:
        """Go on with a task whose caller has left, when its own waiting ends."""
        if waiting.until is None:
            self._step(task)
        else:
            self._clock.at(waiting.until, lambda: self._step(task))

    def _tidy(self) -> None:
        while self._later:
            later, self._later = self._later, []
            for callback in later:
                callback()

    async def _send(self, url: str, headers: Headers, body: bytes, time_limit: float) -> Answer:  # noqa: ARG002 - nothing here takes time
        found = next((prefix for prefix in self._mounted if url == prefix or url.startswith(f"{prefix}/")), None)
        if found is None:
            raise DeliveryError("connection refused")
        return call_wsgi(self._mounted[found], url, dict(headers), body)


def _advance(task: Coroutine[Any, Any, None]) -> Suspended | None:
    """Step a coroutine until it waits for something; None when it has ended."""
    try:
        waiting: Suspended = task.send(None)
    except StopIteration:
        return None
    return waiting


def call_wsgi(app: Wsgi, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
    """POST to a WSGI application (PEP 3333)."""
    parts = urlsplit(url)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "POST",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote(parts.path),
        "QUERY_STRING": parts.query,
        "SERVER_NAME": parts.hostname or "localhost",
        "SERVER_PORT": str(parts.port or 80),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": parts.scheme,
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        key = name.upper().replace("-", "_")
        environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
    started: list[Any] = []

    def start_response(status: str, fields: list[tuple[str, str]], _exc_info: Any = None) -> Callable[[bytes], None]:
        started[:] = [status, fields]
        return lambda _: None

    result = app(environ, start_response)
    try:
        content = b"".join(result)
    finally:
        if hasattr(result, "close"):
            result.close()
    return Answer(int(started[0].split(" ", 1)[0]), tuple(started[1]), content)


class Adapter(BaseAdapter):
    """Leads a `requests.Session` into an `InProcess` sandbox."""

    def __init__(self, target: InProcess) -> None:
        super().__init__()
        self._target = target

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: ARG002
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,  # noqa: ARG002
        cert: Any = None,  # noqa: ARG002
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002
    ) -> requests.Response:
        limit = timeout[1] if isinstance(timeout, tuple) else timeout
        body = request.body or b""
        try:
            answer = self._target.call(
                request.method or "GET",
                request.url or "",
                {name: str(value) for name, value in request.headers.items()},
                body.encode() if isinstance(body, str) else bytes(body),
                limit,
            )
        except CallerTimedOut:
            raise requests.ReadTimeout("read timed out", request=request) from None
        except ConnectionLost:
            raise requests.ConnectionError("connection lost", request=request) from None
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response._content = answer.body
        response.url = request.url or ""
        response.request = request
        response.reason = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus._value2member_map_ else ""
        response.encoding = requests.utils.get_encoding_from_headers(response.headers)
        return response

    def close(self) -> None:
        """Nothing is held open."""
