"""HTTP/1.1 on sockets: uvicorn's protocol with bounds, and with refusals in problem+json.

What the parser would refuse by itself is brought to the gateway where that is possible (a method it has never heard
of) and answered here where it is not (bytes that are no request, a head beyond all bounds).
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from sandbox.connection import CONNECTION, SocketConnection
from sandbox.model import Problem

LONGEST_TARGET: Final = 8192
LARGEST_HEAD: Final = 65_536
MOST_FIELDS: Final = 100
_LINGER: Final = 5.0
_WORD: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}) ")
# The methods that OpenAPI has operations for; the parser knows them all.
_METHODS: Final = frozenset({b"GET", b"PUT", b"POST", b"DELETE", b"OPTIONS", b"HEAD", b"PATCH", b"TRACE"})


class _Patient:
    """The connection as one request sees it.

    The head of an answer leaves with what follows it at once: a packet of its own would wake the caller in vain.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._transport = protocol.transport
        self._soon = protocol.loop.call_soon
        self._hang_up = protocol.hang_up
        self._head: bytes | None = None
        self._begun = False
        self.is_closing = protocol.transport.is_closing

    def write(self, data: bytes) -> None:
        if not self._begun:
            self._begun, self._head = True, data
            self._soon(self._flush)
            return
        if self._head is not None:
            data, self._head = self._head + data, None
        self._write(data)

    def close(self) -> None:
        self._flush()
        self._hang_up()

    def _flush(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            self._write(head)

    def _write(self, data: bytes) -> None:
        # Of several pipelined requests uvicorn tells only the last one that the caller has left.
        if not self._transport.is_closing():
            self._transport.write(data)


class Protocol(HttpToolsProtocol):
    """One connection.

    A request line may have 8 KiB, a head 64 KiB and 100 fields; more is 414 or 431 (RFC 9110, RFC 6585). A method that
    the parser does not know goes through it as TRACE and then gets its name back, so that the answer is the one that
    any other method gets: 405 with the path's own `Allow`, or 404.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn names less
        super().connection_made(transport)
        self._connection = SocketConnection(transport, self.flow.resume_reading)
        self._between, self._in_head, self._fresh = True, False, False
        self._unfinished = self._fields = 0
        self._method: str | None = None
        self._refusal: Problem | None = None
        self._refused = False

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._connection.lost()

    def shutdown(self) -> None:
        super().shutdown()
        self._connection.release()

    def data_received(self, data: bytes) -> None:
        if self._refused or self._connection.deaf:
            return
        self._fresh = False
        if self._between and (word := _WORD.match(data)) is not None and word[1] not in _METHODS:
            self._method = word[1].decode()
            data = b"TRACE" + data[word.end(1) :]
        super().data_received(data)
        if self._in_head and not self._fresh:
            # The parser hands a field over when it is complete; what it gathers until then is counted here.
            self._unfinished += len(data)
            if self._unfinished > LARGEST_HEAD:
                self._refuse(_too_large())

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._between, self._in_head, self._fresh = False, True, True
        self._unfinished = self._fields = 0
        scope = cast("dict[str, Any]", self.scope)
        scope["extensions"] = {CONNECTION: self._connection}

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_TARGET:
            self._refusal = Problem(414, f"the URL is longer than {LONGEST_TARGET} bytes", type="uri-too-long")
            raise ValueError

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._fields += len(name) + len(value)
        if self._fields > LARGEST_HEAD or len(self.headers) > MOST_FIELDS:
            self._refusal = _too_large()
            raise ValueError

    def on_headers_complete(self) -> None:
        if self.parser.get_http_version() == "1.1" and sum(name == b"host" for name, _ in self.headers) != 1:
            # RFC 9112, section 3.2; with two, whoever checks one may not see the one that counts.
            self._refusal = Problem(400, "HTTP/1.1 asks for exactly one Host header", type="malformed-request")
            raise ValueError
        super().on_headers_complete()
        if self._method is not None:
            self.scope["method"] = self._method
        self._method, self._in_head = None, False
        self.cycle.transport = cast("asyncio.Transport", _Patient(self))

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._between = True

    def hang_up(self) -> None:
        """Close the connection after an answer.

        A caller that is cut off while it sends would not read the answer, so what it still sends is let in and dropped.
        """
        if self.cycle.more_body:
            self._linger()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the signature is uvicorn's
        malformed = Problem(400, "the bytes received are not an HTTP request", type="malformed-request")
        self._refuse(self._refusal or malformed)

    def _refuse(self, problem: Problem) -> None:
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete:
            if not cycle.more_body:
                # What is refused came after a whole request, whose answer is then the last one.
                self._refused, cycle.keep_alive = True, False
                return
            cycle.disconnected = True
            cycle.message_event.set()
        answer = problem.answer()
        lines = [f"HTTP/1.1 {answer.status} {problem.title}", f"content-length: {len(answer.body)}"]
        lines += ["connection: close", *(f"{name}: {value}" for name, value in answer.headers)]
        self.transport.write("\r\n".join([*lines, "", ""]).encode("latin-1") + answer.body)
        self._linger()

    def _linger(self) -> None:
        self._refused = True
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER, self.transport.close)


def _too_large() -> Problem:
    bounds = f"{LARGEST_HEAD} bytes or has more than {MOST_FIELDS} fields"
    return Problem(431, f"the head of the request is larger than {bounds}", type="request-header-fields-too-large")
