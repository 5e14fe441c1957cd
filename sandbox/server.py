"""The sandbox on real sockets: uvicorn serves the gateway, webhooks leave over HTTP, time is real."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import signal
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import httpx
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sandbox.access import Access, access, all_credentials
from sandbox.app import Scope
from sandbox.clock import TimedClock, WorldClock
from sandbox.control import control_app
from sandbox.errors import ServeError
from sandbox.gateway import Gateway, services
from sandbox.model import DEFAULT_WORLD, Answer, Headers, Problem
from sandbox.outbox import DeliveryError, Sender
from sandbox.project import Project
from sandbox.slot import Receive, SendMessage
from sandbox.store import Store
from sandbox.wire import CONNECTION
from sandbox.world import Worlds

log = logging.getLogger("sandbox")

_BACKLOG: Final = 2048
_GRACE: Final = 1
_METHOD: Final = "!#$%&'*+-.^_`|~"


class Server:
    """A project served on one port.

    The port is bound at once, so that two servers never believe to have the same one; `run` serves it.

    Args:
        port: 0 chooses a free one.
        seed: All data, ids and credentials follow from it.
        db: An SQLite file that survives a restart; None keeps everything in memory.
        rate_limits: Whether the limits of the specs apply.

    Raises:
        ServeError: when the port is taken or the database cannot be opened.
        SpecError, ProjectError: when the project cannot be served.
    """

    def __init__(
        self,
        project: Project,
        host: str = "127.0.0.1",
        port: int = 8420,
        seed: int = 0,
        db: Path | None = None,
        rate_limits: bool = True,
    ) -> None:
        self.project = project
        self.seed = seed
        self.rate_limits = rate_limits
        self._credentials = all_credentials(project.specs.values(), seed)
        self._services = services(project, self._credentials)
        self._store = Store(db)
        self._socket = _bind(host, port)
        self.host, self.port = host, self._socket.getsockname()[1]
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client: httpx.AsyncClient | None = None
        self._gateway: Gateway | None = None
        self._failure: Exception | None = None

    @property
    def url(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{shown}:{self.port}"

    def access(self, world: str = DEFAULT_WORLD) -> Access:
        return access(self.project.specs.values(), self.url, self.seed, world)

    def run(self, ready: Callable[[Server], None] = lambda _: None) -> None:
        """Serve until SIGINT or SIGTERM; `ready` is called when requests are really answered."""
        self._serve(lambda: ready(self), signals=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        """Serve in a background thread for the length of a `with` block."""
        up = threading.Event()
        failed: list[BaseException] = []

        def target() -> None:
            try:
                self._serve(up.set, signals=False)
            except BaseException as error:
                failed.append(error)
                up.set()
                raise

        thread = threading.Thread(target=target, name="sandbox", daemon=True)
        thread.start()
        up.wait()
        if failed:
            raise failed[0]
        try:
            yield self
        finally:
            self._uvicorn.should_exit = True
            thread.join()

    def _serve(self, ready: Callable[[], None], *, signals: bool) -> None:
        config = uvicorn.Config(
            cast("Any", self._app),
            http=_Protocol,
            ws="none",
            interface="asgi3",
            lifespan="on",
            log_config=None,
            access_log=False,
            log_level=logging.CRITICAL,
            backlog=_BACKLOG,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
        )
        self._uvicorn = _Uvicorn(config, ready, signals)
        try:
            self._uvicorn.run(sockets=[self._socket])
        except SystemExit:
            if self._failure is None:
                raise
            raise self._failure from None
        finally:
            self._socket.close()
            self._store.close()

    async def _app(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        if scope["type"] == "http" and self._gateway is not None:
            await self._gateway(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: SendMessage) -> None:
        await receive()
        try:
            worlds = self._open()
        except Exception as error:  # noqa: BLE001
            # uvicorn would only log it; whoever called `run` is to see it.
            self._failure = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        worlds.close()
        for task in self._tasks:
            task.cancel()
        if self._client is not None:
            await self._client.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    def _open(self) -> Worlds:
        self._loop = asyncio.get_running_loop()
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
        self._client = httpx.AsyncClient(trust_env=False, follow_redirects=False, limits=limits)
        worlds = Worlds(self._store, self, self.seed, self._credentials)
        worlds.get(DEFAULT_WORLD)
        self._gateway = Gateway(worlds, self._services, control_app(worlds, self.project.specs))
        return worlds

    # What a world needs of its host.
    def clock(self) -> TimedClock:
        return WorldClock()

    def spawn(self, task: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None  # noqa: S101 - worlds exist only while the loop runs
        running = self._loop.create_task(task)
        self._tasks.add(running)
        running.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery failed inside the sandbox", exc_info=error)

    @property
    def sender(self) -> Sender:
        return self._send

    def soon(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None  # noqa: S101 - worlds exist only while the loop runs
        self._loop.call_soon(callback)

    async def _send(self, url: str, headers: Headers, body: bytes, time_limit: float) -> Answer:
        assert self._client is not None  # noqa: S101 - worlds exist only while the loop runs
        try:
            async with asyncio.timeout(time_limit):
                target = await _loopback_target(url)
                request = self._client.build_request("POST", target, headers=list(headers), content=body)
                request.headers["host"] = urlsplit(url).netloc.rpartition("@")[2]
                answer = await self._client.send(request, stream=True)
                # The body of the answer says nothing (Standard Webhooks), however long it is.
                await answer.aclose()
        except TimeoutError:
            raise DeliveryError(f"no answer within {time_limit:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            raise DeliveryError(str(error) or type(error).__name__) from None
        return Answer(answer.status_code, tuple(answer.headers.items()))


async def _loopback_target(url: str) -> str:
    """The URL with its host resolved, so that what was checked is what is connected to.

    Raises:
        DeliveryError: when it leads anywhere but to this machine.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or parts.hostname is None:
        raise DeliveryError("the URL is not an http(s) address")
    found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, parts.port or 80, type=socket.SOCK_STREAM)
    addresses = [ipaddress.ip_address(info[4][0]) for info in found]
    if not all(address.is_loopback for address in addresses):
        raise DeliveryError(f"{parts.hostname} is not a loopback address; webhooks stay on this machine")
    if parts.scheme == "https":
        return url
    host = f"[{addresses[0]}]" if addresses[0].version == 6 else str(addresses[0])
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"{host}{port}").geturl()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise ServeError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            "another program may have the port; choose one with --port, or let --port 0 find one",
        ) from None
    bound.setblocking(False)  # noqa: FBT003 - the socket module's own signature
    return bound


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], signals: bool) -> None:
        super().__init__(config)
        self._ready = ready
        self._signals = signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self._signals:
            loop = asyncio.get_running_loop()
            for caught in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(caught, self._stop)
        if self.started:
            self._ready()

    def _stop(self) -> None:
        # Asked twice, it no longer waits for open connections.
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Our own handlers end the server without raising the signal once more, so that the exit code is 0.
        yield


class _SocketConnection:
    """The caller's connection on a socket."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def close(self) -> None:
        self._transport.abort()

    def reset(self) -> None:
        connected = self._transport.get_extra_info("socket")
        if connected is not None:
            # A linger time of zero makes the kernel send RST instead of FIN.
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()


class _Protocol(HttpToolsProtocol):
    """uvicorn's protocol, which hands its connection to the fault slot and refuses in problem+json."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope = cast("dict[str, Any]", self.scope)
        scope["extensions"] = {CONNECTION: _SocketConnection(self.transport)}

    def data_received(self, data: bytes) -> None:
        self._received = data
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the signature is uvicorn's
        word = self._received.split(b" ", 1)[0].decode("latin-1")
        unknown = (
            0 < len(word) <= 40 and all(c.isalnum() or c in _METHOD for c in word) and b" HTTP/1." in self._received
        )
        if unknown and not word.isdecimal() and word not in _KNOWN_METHODS:
            allow = ", ".join(_KNOWN_METHODS)
            problem = Problem(
                405, f"{word} is no method of any resource here", type="method-not-allowed", headers={"Allow": allow}
            )
        else:
            problem = Problem(400, "the bytes received are not an HTTP request", type="malformed-request")
        answer = problem.answer()
        lines = [
            f"HTTP/1.1 {answer.status} {problem.title}",
            f"content-length: {len(answer.body)}",
            "connection: close",
        ]
        lines += [f"{name}: {value}" for name, value in answer.headers]
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)
        self.transport.close()


_KNOWN_METHODS: Final = ("DELETE", "GET", "PATCH", "POST", "PUT")
