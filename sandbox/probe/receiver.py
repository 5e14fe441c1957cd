"""An HTTP server on loopback that keeps the webhooks posted to it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PATIENCE = 20.0


@dataclass(frozen=True, slots=True)
class Received:
    """A webhook as it came; header names are lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class Receiver:
    """Takes webhooks and answers 204, or what `answers` says next."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answers: deque[int] = deque()
        self._grown = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver._grown:
                    receiver.received.append(Received(self.path, headers, body))
                    status = receiver.answers.popleft() if receiver.answers else 204
                    receiver._grown.notify_all()
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhooks"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def wait(self, enough: Callable[[list[Received]], bool], patience: float | None = None) -> list[Received]:
        """What has come, as soon as it is enough or patience (seconds; left out, `PATIENCE`) has run out."""
        with self._grown:
            self._grown.wait_for(lambda: enough(self.received), PATIENCE if patience is None else patience)
            return list(self.received)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
