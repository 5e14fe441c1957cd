"""One HTTP client for each system: what it sends, how long it waits, and what an answer means."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlencode, urlsplit

import requests
from requests.utils import parse_header_links, requote_uri
from urllib3.exceptions import HTTPError

from sandbox.clock import Clock
from sandbox.integrator.auth import Credential
from sandbox.integrator.document import Json
from sandbox.integrator.failures import Refused, Transient, Unauthorized
from sandbox.integrator.pace import Breaker, retry_after
from sandbox.integrator.trace import Trace

__all__ = ["Answer", "Client", "SessionFactory", "new_session"]

SessionFactory = Callable[[], requests.Session]

_OVERLOADED = frozenset({408, 425, 429, *range(500, 600)})
_PIECE = 65536


def new_session() -> requests.Session:
    """A session that takes nothing from the environment: a `.netrc` must not replace the credentials."""
    session = requests.Session()
    session.trust_env = False
    return session


@dataclass(frozen=True)
class Answer:
    """What a system answered; fields that nobody asks for are ignored.

    Args:
        source: Which call this answers, for messages.
        problem: The slug of the problem type (RFC 9457), for example `duplicate-email`; empty when all went well.
    """

    source: str
    status: int
    headers: Mapping[str, str]
    body: Json
    problem: str = ""

    def text(self, name: str) -> str:
        """A field that is a text.

        Raises:
            Transient: when it is missing or something else: an answer that we cannot use may be a good one next time.
        """
        value = self.body.get(name)
        if not isinstance(value, str):
            raise Transient(f"{self.source}: {self.status} without {name}")
        return value

    def records(self, name: str) -> list[Json]:
        """A field that is a list of objects.

        Raises:
            Transient: when it is missing or something else.
        """
        value = self.body.get(name)
        if not isinstance(value, list) or not all(isinstance(record, dict) for record in value):
            raise Transient(f"{self.source}: {self.status} without {name}")
        return value


class Client:
    """Talks to one system.

    Args:
        name: The system's name, for messages.
        url: Its base URL, without a trailing slash.
        verify: Whether its certificate is checked, or the PEM file of the authorities to trust.
        certificate: What is shown to it (mutual TLS): PEM files of certificate and key; None for nothing.
        timeout: Seconds to connect, and seconds of silence until a call is given up.
        answer_timeout: Seconds until a call is given up although something arrives now and then.
    """

    def __init__(
        self,
        name: str,
        url: str,
        credential: Credential,
        *,
        session: requests.Session,
        verify: bool | str,
        certificate: str | tuple[str, str] | None,
        clock: Clock,
        breaker: Breaker,
        trace: Trace,
        timeout: tuple[float, float],
        answer_timeout: float,
    ) -> None:
        self._name = name
        self._url = _prepared(url)
        self._credential = credential
        self._session = session
        self._headers = [(name, value) for name, value in session.headers.items() if isinstance(value, str)]
        self._verify = verify
        self._certificate = certificate
        self._clock = clock
        self._breaker = breaker
        self._trace = trace
        self._timeout = timeout
        self._answer_timeout = answer_timeout

    def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        key: str | None = None,
        params: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
        expect: tuple[str, ...] = (),
    ) -> Answer:
        """Send a request and say what its answer means.

        Args:
            path: Below the system's URL; it holds no personal data, and neither do `params`.
            body: Sent as JSON.
            key: The Idempotency-Key.
            form: Sent form-encoded instead of `body`.
            expect: Problem types that the caller knows what to do about; they are returned, not raised.

        Raises:
            Transient: nothing usable came back, or the system asked to come again.
            Postponed: the system is given a rest; nothing was sent.
            Refused: the system will not accept this request.
            Unauthorized: the system does not accept the credential, not even a fresh one.
        """
        self._breaker.check()
        # By hand, not by the session: a `.netrc` has no say in it.
        request = requests.PreparedRequest()
        request.prepare_method(method)
        request.url = self._url + requote_uri(f"{path}?{urlencode(params)}" if params else path)
        request.prepare_headers(None)
        request.headers.update(self._headers)
        if key is not None:
            request.headers["Idempotency-Key"] = key
        if method != "GET":
            request.prepare_body(form or (), None, body)
        source = f"{self._name} {method} {path}"
        status, received, content = self._send(source, request)
        if status == 401 and self._credential.renew():
            status, received, content = self._send(source, request)
        return self._judge(source, status, received, content, expect)

    def pages(self, path: str, params: Mapping[str, str]) -> Iterator[Answer]:
        """All pages of a list (RFC 8288, `Link` with `rel="next"`), raising what `call` raises."""
        cursor: str | None = None
        while True:
            answer = self.call("GET", path, params={**params, **({"cursor": cursor} if cursor else {})})
            yield answer
            previous, cursor = cursor, _next_cursor(answer.headers.get("Link"))
            if cursor in {None, previous}:
                return

    def _send(self, source: str, request: requests.PreparedRequest) -> tuple[int, Mapping[str, str], bytes]:
        """One exchange."""
        request.headers.update(self._credential.headers().items())
        request.headers["Accept-Encoding"] = "identity"
        request.headers["traceparent"] = self._trace.parent()
        deadline = self._clock.now() + self._answer_timeout
        try:
            with self._transmit(request) as response:
                content = b"".join(self._arriving(response, deadline))
        except (requests.RequestException, HTTPError, OSError) as error:
            self._breaker.failed()
            raise Transient(f"{source}: {type(error).__name__}") from error
        return response.status_code, response.headers, content

    def _transmit(self, request: requests.PreparedRequest) -> requests.Response:
        """By the adapter, without the session: no redirect is followed, and no cookie goes along.

        Credentials and bodies are meant for this system only.
        """
        adapter = self._session.get_adapter(request.url or "")
        return adapter.send(request, stream=True, timeout=self._timeout, verify=self._verify, cert=self._certificate)

    def _arriving(self, response: requests.Response, deadline: float) -> Iterator[bytes]:
        """The body piece by piece, whatever has arrived, so that one that drips cannot hold the call for ever."""
        if response.raw is None:
            yield response.content
            return
        while piece := response.raw.read1(_PIECE):
            if self._clock.now() > deadline:
                raise TimeoutError("the answer drips")
            yield piece

    def _judge(
        self, source: str, status: int, headers: Mapping[str, str], content: bytes, expect: tuple[str, ...]
    ) -> Answer:
        body = _parse(content)
        if 200 <= status < 300:
            self._breaker.succeeded()
            if body is None:
                raise Transient(f"{source}: {status} with a body that is not a JSON object")
            return Answer(source, status, headers, body)

        problem = _slug(body)
        reason = f"{source}: {status} {_summary(body)}".rstrip()
        not_before = retry_after(headers.get("Retry-After"), self._clock.now())
        if status in _OVERLOADED:
            if not_before is not None:
                self._breaker.rest_until(not_before)
            if status != 429:
                self._breaker.failed()
            raise Transient(reason, not_before)
        self._breaker.succeeded()
        if problem in expect:
            return Answer(source, status, headers, body or {}, problem)
        if status == 401:
            raise Unauthorized(reason)
        # An unexplained conflict is taken for "your first request is still running": wait, then ask with the same key.
        if status == 409 or status < 400:
            raise Transient(reason, not_before)
        raise Refused(reason, status)


@functools.cache
def _prepared(url: str) -> str:
    """A system's URL as `requests` sends it; looked at once, and the paths below it are but quoted."""
    request = requests.PreparedRequest()
    request.prepare_url(url, None)
    return (request.url or "").rstrip("/")


def _parse(content: bytes) -> Json | None:
    """The JSON object in a body; no body is an empty object, anything else None."""
    try:
        body = json.loads(content) if content else {}
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _slug(problem: Json | None) -> str:
    return str((problem or {}).get("type", "")).rstrip("/").rpartition("/")[2]


def _summary(problem: Json | None) -> str:
    """Title and field names of a problem document. Not its details: they may quote personal data."""
    problem = problem or {}
    errors = problem.get("errors")
    pointers = (
        [str(error.get("pointer")) for error in errors if isinstance(error, dict)] if isinstance(errors, list) else []
    )
    return " ".join([str(problem.get("title", "")), *([f"({', '.join(pointers)})"] if pointers else [])])


def _next_cursor(link: str | None) -> str | None:
    """The cursor of the next page. Only the cursor: credentials never follow a URL that an answer names."""
    for target in parse_header_links(link or ""):
        if target.get("rel") == "next":
            return next(iter(parse_qs(urlsplit(target["url"]).query).get("cursor", [])), None)
    return None
