"""A reverse proxy on this machine between an integrator and real APIs, which records what passes.

What passes is not changed, but for what HTTP asks of a gateway: hop-by-hop fields end here (RFC 9110, section 7.6.1),
`Host` names the upstream, `Via` names us (section 7.6.3). One thing more: content codings that the journal cannot read
are taken out of `Accept-Encoding`.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Final, cast
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from sandbox.app import Scope, send_answer
from sandbox.clock import Clock
from sandbox.errors import ServeError
from sandbox.listener import Listener
from sandbox.model import JSON, Answer, Headers, Problem, dump
from sandbox.record.recorder import CODINGS, Call, Recorder
from sandbox.record.upstream import Upstream
from sandbox.slot import Receive, SendMessage
from sandbox.wire import connection

log = logging.getLogger("sandbox")

TIME_LIMIT: Final = 60.0
MARK: Final = "Sandbox-Record"
_HOST: Final = "127.0.0.1"
_VIA: Final = "1.1 sandbox-record"
_CONNECT: Final = 10.0
# Named by RFC 9110, section 7.6.1; `expect` and `trailer` say something of this connection only, too.
_HOP_BY_HOP: Final = frozenset(
    {"connection", "proxy-connection", "keep-alive", "te", "transfer-encoding", "upgrade", "expect", "trailer"}
)


class _CallerLeft(Exception):
    """The caller closed the connection before all of its request had come."""


class Proxy:
    """The recorder on one port of loopback. The port is bound at once; `run` serves it.

    Args:
        upstreams: The real APIs by the names of their systems.
        recorder: Makes entries of the calls.
        trust: Which certificates the upstreams may show.
        time_limit: Seconds of an upstream's silence after which the caller is answered 504.

    Attributes:
        port: The one that it has.

    Raises:
        ServeError: when the port is taken, or an upstream is the recorder itself.
    """

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        recorder: Recorder,
        clock: Clock,
        port: int,
        trust: ssl.SSLContext,
        time_limit: float = TIME_LIMIT,
    ) -> None:
        self._upstreams, self._recorder, self._clock = upstreams, recorder, clock
        self._time_limit = time_limit
        self._listener = Listener(_HOST, port)
        self.port = self._listener.port
        for upstream in upstreams.values():
            parts = urlsplit(upstream.url)
            if parts.port == self.port and parts.hostname in ("localhost", _HOST):
                self.close()
                raise ServeError(f"the upstream of {upstream.name} is the recorder itself", "choose another --port")
        try:
            self._transports = {name: _transport(upstream.url, trust) for name, upstream in upstreams.items()}
        except (ImportError, ValueError, httpx.InvalidURL) as error:
            self.close()
            what = f"the proxy that the environment names cannot be used: {error}"
            raise ServeError(what, "mend HTTPS_PROXY or HTTP_PROXY, or name the upstream in NO_PROXY") from None
        self._failure: Exception | None = None

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.port}"

    def close(self) -> None:
        """Give the port back, when it is not to be served after all."""
        self._listener.close()

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGINT or SIGTERM; `ready` is called when requests are really answered.

        Raises:
            ServeError: when the recording cannot be written any more.
        """
        self._listener.serve(self._app, ready, signals=True, dated=False)
        if self._failure is not None:
            raise self._failure

    async def _app(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            for transport in self._transports.values():
                await transport.aclose()
            await send({"type": "lifespan.shutdown.complete"})
        elif scope["type"] == "http":
            name, _, rest = scope["path"][1:].partition("/")
            upstream = self._upstreams.get(name)
            if upstream is None:
                await send_answer(self._index(scope["path"]), scope, send)
            else:
                await self._record(upstream, f"/{rest}", scope, receive, send)

    def _index(self, path: str) -> Answer:
        if path != "/":
            known = ", ".join(f"/{name}" for name in self._upstreams)
            problem = Problem(404, f"nothing is recorded at {path[:200]}; there are {known}", type="not-found")
            return problem.answer(path).with_headers((MARK, "not-found"))
        links = {name: {"url": f"/{name}", "upstream": upstream.url} for name, upstream in self._upstreams.items()}
        return Answer(200, (("content-type", JSON),), dump({"systems": links}))

    async def _record(self, upstream: Upstream, path: str, scope: Scope, receive: Receive, send: SendMessage) -> None:
        headers = tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"])
        query = scope["query_string"].decode("latin-1")
        call = Call(upstream, scope["method"], path, query, headers, self._clock.now())
        passage = _Passage(call, self._recorder, self._finish, self._clock, receive, send, scope)
        request = passage.request(self._time_limit)
        forward = asyncio.ensure_future(passage.forward(self._transports[upstream.name], request, self._time_limit))
        left = asyncio.ensure_future(passage.left())
        try:
            await asyncio.wait((forward, left), return_when=asyncio.FIRST_COMPLETED)
            if not forward.done():
                # Who would wait for the upstream directly would close this very connection now.
                call.outcome = "left"
                forward.cancel()
            await asyncio.wait((forward,))
        finally:
            left.cancel()
            forward.cancel()
        if not forward.cancelled() and (failure := forward.exception()) is not None:
            log.error("a call failed inside the recorder", exc_info=failure)
            call.outcome, call.error = "cut", "the recorder failed; its log says why"
            connection(scope).close()
        self._finish(call)

    def _finish(self, call: Call) -> None:
        """Record a call that has ended; a second time does nothing."""
        if call.ended_at:
            return
        call.ended_at = self._clock.now()
        try:
            self._recorder.finish(call)
        except ServeError as error:
            self._failure = error
            self._listener.stop()
        except Exception:
            # What passed has passed well, and the next call will, too.
            log.exception("a call to %s could not be recorded", call.upstream.name)


class _Passage:
    """One call as it passes through.

    A call is recorded before its caller has the end of the answer: then the next call finds it, and so does whoever
    looks after the process was killed.
    """

    def __init__(
        self,
        call: Call,
        recorder: Recorder,
        finish: Callable[[Call], None],
        clock: Clock,
        receive: Receive,
        send: SendMessage,
        scope: Scope,
    ) -> None:
        self._call, self._recorder, self._finish, self._clock = call, recorder, finish, clock
        self._receive, self._send, self._scope = receive, send, scope
        self._whole = asyncio.Event()
        self._begun = False

    def request(self, time_limit: float) -> httpx.Request:
        """The request to the upstream; its body is read from the caller while it is sent."""
        base = urlsplit(self._call.upstream.url)
        names = {name for name, _ in self._call.headers}
        # The bytes of path and query as they came: decoding and encoding anew would change some.
        target = b"/" + self._scope["raw_path"][1:].partition(b"/")[2]
        if self._call.query:
            target += b"?" + self._scope["query_string"]
        headers = [("host", base.netloc), *_passed_on(self._call.headers, "host"), ("via", _VIA)]
        if "transfer-encoding" in names:
            headers.append(("transfer-encoding", "chunked"))
        readable = tuple((name, _readable(value) if name == "accept-encoding" else value) for name, value in headers)
        if not names & {"content-length", "transfer-encoding"}:
            self._whole.set()
            stream: httpx.AsyncByteStream = httpx.ByteStream(b"")
        else:
            stream = _Stream(self._body())
        limits = {"connect": _CONNECT, "read": time_limit, "write": time_limit, "pool": None}
        return httpx.Request(
            self._call.method,
            self._call.upstream.url,
            headers=_wire(readable),
            stream=stream,
            extensions={"timeout": limits, "target": base.path.encode() + target},
        )

    async def _body(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _CallerLeft
            part = message.get("body", b"")
            self._call.request.add(part)
            more = message.get("more_body", False)
            if part:
                yield part
        self._recorder.arrive(self._call)
        self._whole.set()

    async def left(self) -> None:
        """Return when the caller has left after its request was complete."""
        await self._whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def forward(self, transport: httpx.AsyncHTTPTransport, request: httpx.Request, time_limit: float) -> None:
        """Let the request through, and the answer back."""
        if self._whole.is_set():
            self._recorder.arrive(self._call)
        try:
            response = await transport.handle_async_request(request)
            try:
                await self._pass_back(response)
            finally:
                await response.aclose()
        except _CallerLeft:
            self._call.outcome = "left"
        except (httpx.HTTPError, OSError, ValueError) as error:
            await self._fail(error, time_limit)

    async def _pass_back(self, response: httpx.Response) -> None:
        call = self._call
        call.begun_at, call.status = self._clock.now(), response.status_code
        call.answer_headers = tuple(
            (name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw
        )
        # A 304 has no body, whatever length it says that the representation has (RFC 9110, section 8.6).
        own = ("content-length",) if response.status_code == 304 else ()
        headers = _wire(_passed_on(call.answer_headers, *own))
        length = _length(call)
        if length == 0:
            self._finish(call)
        self._begun = True
        await self._send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        async for part in cast("AsyncIterator[bytes]", response.stream):
            call.answer.add(part)
            if call.answer.size == length:
                self._finish(call)
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        self._finish(call)
        await self._send({"type": "http.response.body", "body": b""})

    async def _fail(self, error: Exception, time_limit: float) -> None:
        """Say that the upstream cannot be reached, or end an answer that it did not end."""
        call = self._call
        late, why = _reason(error, time_limit)
        call.error = f"{call.upstream.name} ({call.upstream.url}) {why}"
        if self._begun:
            call.outcome = "cut"
            self._finish(call)
            connection(self._scope).close()
            await connection(self._scope).left()
            return
        kind = "upstream-timeout" if late else "upstream-unreachable"
        problem = Problem(504 if late else 502, call.error, type=kind)
        answer = problem.answer(call.path).with_headers((MARK, kind))
        call.by_us, call.status, call.answer_headers = True, answer.status, answer.headers
        call.begun_at = self._clock.now()
        call.answer.add(answer.body)
        self._finish(call)
        # What is left of the caller's body is not read any more.
        closing = () if self._whole.is_set() else (("connection", "close"),)
        await send_answer(answer.with_headers(*closing), self._scope, self._send)


class _Stream(httpx.AsyncByteStream):
    """A request's body, read while it is sent."""

    def __init__(self, parts: AsyncIterator[bytes]) -> None:
        self._parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            yield part


def _length(call: Call) -> int | None:
    """How many bytes of a body an answer has, if its head says it (RFC 9112, section 6.3)."""
    if call.method == "HEAD" or call.status in (204, 304):
        return 0
    declared = next((value for name, value in _passed_on(call.answer_headers) if name == "content-length"), "")
    return int(declared) if declared.isdecimal() else None


def _passed_on(headers: Headers, *more: str) -> Headers:
    """The fields that are meant for the other end."""
    own = {*_HOP_BY_HOP, *more}
    for name, value in headers:
        if name == "connection":
            own.update(option.strip().lower() for option in value.split(","))
        elif name == "transfer-encoding":
            # It overrides any length, and both together would let two servers see two messages (RFC 9112, 6.1).
            own.add("content-length")
    return tuple((name, value) for name, value in headers if name not in own)


def _readable(accepted: str) -> str:
    """An `Accept-Encoding` without the codings that nobody here can decode."""
    kept = [part.strip() for part in accepted.split(",") if part.partition(";")[0].strip().lower() in CODINGS]
    return ", ".join(kept) or "identity"


def _transport(url: str, trust: ssl.SSLContext) -> httpx.AsyncHTTPTransport:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=20)
    return httpx.AsyncHTTPTransport(verify=trust, trust_env=False, limits=limits, proxy=_proxy_for(url))


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for a URL (`HTTPS_PROXY`, `NO_PROXY`); None when it names none."""
    parts = urlsplit(url)
    if proxy_bypass(parts.netloc):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def _reason(error: Exception, time_limit: float) -> tuple[bool, str]:
    """Whether the upstream is late rather than wrong, and what is the matter, as the end of a sentence."""
    text = " ".join((str(error) or type(error).__name__).split())
    if isinstance(error, httpx.ConnectTimeout):
        return True, f"did not take a connection within {_CONNECT:g} s"
    if isinstance(error, httpx.TimeoutException):
        return True, f"gave no sign of life for {time_limit:g} s"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        _, _, detail = text.partition("certificate verify failed:")
        return False, f"shows a certificate that is not trusted: {detail.partition(' (_ssl')[0].strip() or 'unknown'}"
    if isinstance(error, httpx.ConnectError) and "SSL" in text:
        return False, f"speaks no TLS that we could understand: {text}"
    if isinstance(error, httpx.ConnectError):
        return False, f"cannot be reached: {text}"
    if isinstance(error, httpx.RemoteProtocolError | httpx.ReadError | httpx.WriteError):
        return False, f"broke the connection off: {text}"
    return False, f"gave no proper answer: {text}"


def _wire(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI and httpx have them."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]
