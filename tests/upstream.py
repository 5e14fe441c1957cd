"""A small real API for tests of the recorder: a server on a socket, with what each test has it answer."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import orjson

Respond = Callable[[BaseHTTPRequestHandler], None]


@dataclass(frozen=True)
class Seen:
    """A request as the upstream saw it, byte for byte."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def names(self) -> set[str]:
        return {name.lower() for name, _ in self.headers}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Api:
    """Answers `METHOD /path` as told; 404 to everything else."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.routes: dict[str, Respond] = {}
        self.release = threading.Event()
        self.url = ""

    def on(self, route: str, status: int, body: Any = None, *headers: tuple[str, str], kind: str = "") -> None:
        """Answer a route; bytes are sent as they are, anything else as JSON."""
        content = b"" if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        kind = kind or ("" if isinstance(body, bytes) else "application/json")

        def respond(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response_only(status)
            if content and kind:
                handler.send_header("content-type", kind)
            for name, value in headers:
                handler.send_header(name, value)
            if status != 204:
                handler.send_header("content-length", str(len(content)))
            handler.end_headers()
            if handler.command != "HEAD":
                handler.wfile.write(content)

        self.routes[route] = respond


@contextmanager
def serving(tls: ssl.SSLContext | None = None) -> Iterator[Api]:
    """An API on a free port, over https with `tls`."""
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self._chunks() if self.headers.get("transfer-encoding") == "chunked" else self._rest()
            api.seen.append(Seen(self.command, self.path, list(self.headers.items()), body))
            route = f"{self.command} {self.path.partition('?')[0]}"
            respond = api.routes.get(route) or api.routes.get("*")
            if respond is None:
                api.on(route, 404, {"title": "Not Found"})
                respond = api.routes.pop(route)
            respond(self)

        def _rest(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length") or 0))

        def _chunks(self) -> bytes:
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def __getattr__(self, name: str) -> Any:
            if name.startswith("do_"):
                return self._answer
            raise AttributeError(name)

        def log_message(self, *args: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    api.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield api
    finally:
        api.release.set()
        server.shutdown()
        thread.join()
        server.server_close()
