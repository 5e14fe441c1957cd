"""`sandbox up` as a process of its own, and a client on a raw socket that costs next to nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import urlsplit

TIME_LIMIT = 60.0


@contextmanager
def serving(*command: str) -> Iterator[dict[str, Any]]:
    """A server as a process; yields what it says about itself, and its `pid`.

    Args:
        command: A module with its arguments; left out, `sandbox up`.
    """
    command = (sys.executable, "-m", *(command or ("sandbox.cli", "up", "--port", "0", "--json")))
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield {"pid": process.pid, **json.loads(process.stdout.readline())}
    finally:
        process.terminate()
        try:
            process.communicate(timeout=TIME_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


class Caller:
    """One kept connection.

    Args:
        url: Of the sandbox; only its host and port count.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host = parts.netloc
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 80), TIME_LIMIT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._left = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None) -> None:
        """Send a request and go on."""
        content = b"" if body is None else json.dumps(body).encode()
        fields = {"Host": self._host, "Content-Length": str(len(content)), **(headers or {})}
        if content:
            fields["Content-Type"] = "application/json"
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        self._socket.sendall("\r\n".join([*lines, "", ""]).encode() + content)

    def call(self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None) -> bytes:
        """Send a request and read its answer's body.

        Raises:
            RuntimeError: when the answer is not a 2xx.
        """
        return self.exchange(method, path, headers, body)[1]

    def exchange(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: Any = None
    ) -> tuple[bytes, bytes]:
        """Send a request and read the head and the body of its answer.

        Raises:
            RuntimeError: when the answer is not a 2xx.
        """
        self.send(method, path, headers, body)
        head, content = self._head()
        status = int(head.split(b" ", 2)[1])
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0)
        while len(content) < length:
            content += self._more()
        self._left = content[length:]
        if not 200 <= status < 300:
            raise RuntimeError(f"{method} {path}: {status} {content[:length].decode()}")
        return head, content[:length]

    def _head(self) -> tuple[bytes, bytes]:
        received = self._left
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, rest = received.partition(b"\r\n\r\n")
        return head, rest

    def _more(self) -> bytes:
        more = self._socket.recv(65536)
        if not more:
            raise RuntimeError("the sandbox closed the connection")
        return more
