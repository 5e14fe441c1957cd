"""Callers of a sandbox on a port, down to the bytes."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import requests

from sandbox.server import Server

KEY = "2025-4471"
MARK = "sandbox-fault"
PATIENCE = 20.0
# Long enough to see that nothing comes, short enough to be seen often.
MOMENT = 0.2
ADDRESS = {"street": "Musterweg 3", "postal_code": "10115", "city": "Berlin", "country": "DE"}
INVOICE = {
    "order_number": KEY,
    "currency": "EUR",
    "customer": {"name": "Ada Example", "billing_address": ADDRESS},
    "lines": [{"description": "Desk lamp", "quantity": 1, "net_amount": 60.00, "tax_rate": 19}],
    "amount_net": 60.00,
}


class Answer:
    """An answer as its bytes say."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def length(self) -> int:
        return int(self.headers["content-length"])


class Line:
    """A TCP connection to the sandbox."""

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *requests: bytes) -> None:
        self.socket.sendall(b"".join(requests))

    def rest(self) -> bytes:
        """Everything until the other side ends the connection in an orderly way."""
        parts = []
        while part := self.socket.recv(65536):
            parts.append(part)
        return b"".join(parts)

    def answer(self) -> Answer:
        """One whole answer; the connection stays."""
        received = b""
        while b"\r\n\r\n" not in received or len(Answer(received).body) < Answer(received).length:
            part = self.socket.recv(65536)
            assert part, f"the connection ended within {received!r}"
            received += part
        return Answer(received)

    def silent(self) -> bool:
        """Whether nothing comes, and the connection stands."""
        self.socket.settimeout(MOMENT)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)
        return False


class Site:
    """A sandbox on a port; each test has a world of its own."""

    def __init__(self, server: Server, ca: Path | None = None) -> None:
        self.server = server
        self._number = 0
        self._http = requests.Session()
        self._http.trust_env = False
        self._tls = None
        if ca is not None:
            self._http.verify = str(ca)
            self._tls = ssl.create_default_context(cafile=ca)

    def close(self) -> None:
        self._http.close()

    def begin(self) -> None:
        self._number += 1
        self.world = f"t{self._number}"
        self.access = self.server.access(self.world)
        self.env = self.access.environment()
        self.control("POST", "", json={"name": self.world})

    def control(self, method: str, path: str, **options: Any) -> Any:
        tail = f"/{self.world}{path}" if path else ""
        response = self._http.request(method, f"{self.server.url}/_sandbox/worlds{tail}", timeout=PATIENCE, **options)
        assert response.ok, response.text
        return response.json() if response.content else None

    def inject(self, fault: str, operation: str = "create_invoice", **document: Any) -> None:
        on = {"system": "accounting", "operation": operation, "key": document.pop("key", KEY)}
        on["occurrence"] = document.pop("occurrence", 1)
        self.control("POST", "/faults", json={"on": on, "inject": fault} | document)

    def line(self) -> Line:
        return Line(self.server.port, self._tls)

    def head(self, method: str, path: str, *fields: str) -> bytes:
        always = ["Host: sandbox", f"Authorization: Bearer {self.env['ACCOUNTING_TOKEN']}"]
        return "\r\n".join([f"{method} /w/{self.world}/accounting{path} HTTP/1.1", *always, *fields, "", ""]).encode()

    def booking(self, key: str = KEY) -> bytes:
        """The request that creates an invoice."""
        body = json.dumps(INVOICE | {"order_number": key}).encode()
        fields = (f"Idempotency-Key: i-{key}", "Content-Type: application/json", f"Content-Length: {len(body)}")
        return self.head("POST", "/invoices", *fields) + body

    def book(self, key: str = KEY, **options: Any) -> requests.Response:
        """The same by `requests`."""
        headers = {"Idempotency-Key": f"i-{key}", "Authorization": f"Bearer {self.env['ACCOUNTING_TOKEN']}"}
        options = {"timeout": PATIENCE, "allow_redirects": False} | options
        body = INVOICE | {"order_number": key}
        return self._http.post(f"{self.env['ACCOUNTING_URL']}/invoices", json=body, headers=headers, **options)

    def invoices(self) -> list[str]:
        found = self.control("GET", "/state").get("accounting", {}).get("invoices", [])
        return [invoice["order_number"] for invoice in found]

    def entries(self, key: str = KEY) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("GET", "/journal", params={"key": key, "limit": 1000})["entries"]
        return found

    def entry(self, ready: Callable[[dict[str, Any]], object] = bool, key: str = KEY) -> dict[str, Any]:
        """The journal's first entry about a key, once it is as wanted."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = self.entries(key)
            if found and found[0]["answer"] != "unknown" and ready(found[0]):
                return found[0]
        raise AssertionError(f"the journal still says {self.entries(key)[:1]}")


def left(entry: dict[str, Any]) -> bool:
    return "left_at" in entry
