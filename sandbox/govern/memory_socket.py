"""A socket that leads into a world in memory: one HTTP/1.1 request (RFC 9112), and its answer, however it ends.

Whatever speaks HTTP over a blocking socket may use it: `http.client`, and so urllib3 and `requests` with all that they
do about retries, cookies and half an answer.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.client import parse_headers
from typing import Any, Final

from sandbox.caller import AnswerCut, CallerTimedOut, ConnectionLost, ConnectionWasReset
from sandbox.model import Answer

Carry = Callable[[str, str, Mapping[str, str], bytes, float | None], Answer]
"""Carries a request out: method, path, headers, body, seconds of silence after which the caller gives up."""

_NO_CONTENT: Final = (204, 304)


class MemorySocket:
    """The near end of a connection to the world.

    Args:
        carry: As `InProcess.call`, and raises what that raises.
        timeout: Seconds of silence after which its owner gives up; None for never.
    """

    def __init__(self, carry: Carry, timeout: float | None) -> None:
        self._carry = carry
        self._timeout = timeout
        self._sent = bytearray()
        self._file: io.BufferedReader | None = None

    def sendall(self, data: Any) -> None:
        """Take a part of the request."""
        self._sent += data

    def send(self, data: Any) -> int:
        """Take a part of the request; all of it, always."""
        self.sendall(data)
        return len(data)

    def makefile(self, mode: str = "r", *_: Any, **__: Any) -> io.BufferedReader | io.BytesIO:
        """The answer; the request is carried out when it is first read."""
        if "w" in mode:
            return io.BytesIO()
        if self._file is None:
            self._file = io.BufferedReader(_Answer(self._exchange))
        return self._file

    def recv(self, size: int, _flags: int = 0) -> bytes:
        """A part of the answer."""
        file = self.makefile("rb")
        return file.read1(size)

    def settimeout(self, timeout: float | None) -> None:
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        return self._timeout

    def setsockopt(self, *_: Any) -> None:
        """Nothing: there is no network."""

    def shutdown(self, _how: int) -> None:
        """Nothing is held open."""

    def close(self) -> None:
        """Nothing is held open."""

    def _exchange(self) -> tuple[bytes, OSError | None]:
        """What comes back, and the error in which it ends."""
        method, path, headers, body = _request(bytes(self._sent))
        try:
            return _bytes(self._carry(method, path, headers, body, self._timeout), method), None
        except CallerTimedOut as left:
            begun = b"" if left.answer is None else _bytes(left.answer, method)
            return begun, TimeoutError("timed out")
        except AnswerCut as cut:
            return _bytes(cut.answer, method), None
        except ConnectionWasReset:
            return b"", ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        except ConnectionLost:
            return b"", None


class _Answer(io.RawIOBase):
    """The bytes of an answer, then its end or its error."""

    def __init__(self, exchange: Callable[[], tuple[bytes, OSError | None]]) -> None:
        self._exchange = exchange
        self._left: bytes | None = None
        self._error: OSError | None = None

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._left is None:
            self._left, self._error = self._exchange()
        part = self._left[: len(buffer)]
        if not part and self._error is not None:
            raise self._error
        self._left = self._left[len(part) :]
        buffer[: len(part)] = part
        return len(part)


def _request(sent: bytes) -> tuple[str, str, dict[str, str], bytes]:
    head, _, body = sent.partition(b"\r\n\r\n")
    first, _, rest = head.partition(b"\r\n")
    method, path, _ = first.decode("latin-1").split(" ", 2)
    fields = parse_headers(io.BytesIO(rest + b"\r\n\r\n"))
    headers = {name.lower(): value for name, value in fields.items()}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = _joined(body)
    return method, path, headers, body


def _joined(chunked: bytes) -> bytes:
    """A chunked body (RFC 9112, section 7.1) in one piece."""
    parts, rest = [], chunked
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.split(b";")[0], 16)
        if not length:
            break
        parts.append(rest[:length])
        rest = rest[length + 2 :]
    return b"".join(parts)


def _bytes(answer: Answer, method: str) -> bytes:
    phrase = HTTPStatus(answer.status).phrase if answer.status in HTTPStatus._value2member_map_ else ""
    lines = [f"HTTP/1.1 {answer.status} {phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers if name.lower() != "connection"]
    # Each connection is for one request, so that nobody has to look whether it is still there.
    head = "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1")
    return head if method == "HEAD" or answer.status in _NO_CONTENT else head + answer.body
