"""Leads `requests` to a sandbox in this process; neither sockets nor urllib3's pools are on the way."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from http import HTTPStatus
from http.client import RemoteDisconnected
from typing import Any, Final

import requests
from requests.adapters import BaseAdapter
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from urllib3 import HTTPHeaderDict, HTTPResponse
from urllib3.exceptions import ProtocolError

from sandbox.caller import AnswerCut, CallerTimedOut, ConnectionLost, ConnectionWasReset
from sandbox.model import Answer

_AT_ONCE: Final = timedelta(0)
_CLOSED: Final = ("Remote end closed connection without response",)
_RESET: Final = (errno.ECONNRESET, os.strerror(errno.ECONNRESET))
_REASONS: Final = {status.value: status.phrase for status in HTTPStatus}

Call = Callable[[str, str, Mapping[str, str], bytes, float | None], Answer]
"""Carries out a request: method, URL, headers, body, and the seconds after which the caller gives up."""


def _aborted(error: OSError) -> ProtocolError:
    return ProtocolError("Connection aborted.", error)


class _Response(requests.Response):
    """An answer from memory: what `requests.Response` would make for each, and hardly anybody asks for, is not made."""

    def __init__(self, request: requests.PreparedRequest, answer: Answer, raw: Any) -> None:
        self._content = False  # type: ignore[assignment] # "not read yet", as requests has it
        self._content_consumed = False
        self._next = None
        self.status_code = answer.status
        self.headers = CaseInsensitiveDict()
        for name, value in answer.headers:
            self.headers[name] = value
        self.raw = raw
        self.url = request.url or ""
        self.encoding = _encoding(self.headers.get("content-type", ""))
        self.history = []
        self.reason = _REASONS.get(answer.status, "")
        self.elapsed = _AT_ONCE
        self.request = request

    def __getattr__(self, name: str) -> Any:
        if name != "cookies":
            raise AttributeError(name)
        self.cookies = RequestsCookieJar()
        return self.cookies


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")


@lru_cache(maxsize=64)
def _encoding(content_type: str) -> str | None:
    return requests.utils.get_encoding_from_headers(CaseInsensitiveDict({"content-type": content_type}))


class Adapter(BaseAdapter):
    """Answers the requests of a `requests.Session` by calling a function."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self._call = call

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,  # noqa: ARG002 - the signature is given
        cert: Any = None,  # noqa: ARG002 - the signature is given
        proxies: Mapping[str, str] | None = None,  # noqa: ARG002 - the signature is given
    ) -> requests.Response:
        limit = timeout[1] if isinstance(timeout, tuple) else timeout
        body = request.body or b""
        raw: Any = None
        try:
            answer = self._call(
                request.method or "GET",
                request.url or "",
                {name: value if type(value) is str else _text(value) for name, value in request.headers.lower_items()},
                body.encode() if isinstance(body, str) else bytes(body),
                limit,
            )
        except CallerTimedOut as left:
            kind = requests.ConnectionError if left.begun else requests.ReadTimeout
            raise kind("read timed out", request=request) from None
        except AnswerCut as cut:
            # Whoever reads it gets the part that came, and then urllib3's own error.
            answer = cut.answer
            headers = HTTPHeaderDict(answer.headers)
            raw = HTTPResponse(
                io.BytesIO(answer.body), headers, answer.status, preload_content=False, decode_content=False
            )
        except ConnectionWasReset:
            raise requests.ConnectionError(_aborted(ConnectionResetError(*_RESET)), request=request) from None
        except ConnectionLost:
            raise requests.ConnectionError(_aborted(RemoteDisconnected(*_CLOSED)), request=request) from None
        response = _Response(request, answer, raw or io.BytesIO(answer.body))
        if raw is not None and not stream:
            response.content  # noqa: B018 - read here, as requests does, so that it fails here
        return response

    def close(self) -> None:
        """Nothing is held open."""
