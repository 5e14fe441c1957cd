"""Where webhooks may go: names are resolved once, checked, and what was checked is what is connected to."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme

from sandbox.errors import ServeError
from sandbox.model import Answer
from sandbox.outbox import DeliveryError
from sandbox.sender import AllowList, WebhookSender

TIME_LIMIT = 10.0
Resolve = Callable[..., None]


class Subscriber:
    """Takes webhooks, over https where it has a certificate; keeps its connections open."""

    def __init__(self, certificate: trustme.LeafCert | None = None) -> None:
        self.hosts: list[str] = []
        subscriber = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                subscriber.hosts.append(self.headers["host"])
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def subscriber() -> Iterator[Callable[..., Subscriber]]:
    with ExitStack() as stack:

        def make(certificate: trustme.LeafCert | None = None) -> Subscriber:
            made = Subscriber(certificate)
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Says what names mean; each list of addresses is given out once, the last one for ever."""
    meanings: dict[str, list[tuple[str, ...]]] = {}

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        known = meanings[host]
        addresses = known.pop(0) if len(known) > 1 else known[0]
        return [
            (socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))
            for address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def say(host: str, *answers: tuple[str, ...]) -> None:
        meanings[host] = list(answers)

    return say


def send(url: str, *allowed: str, authority: Path | None = None, times: int = 1) -> Answer:
    """Hand over one webhook, or several to the same address."""

    async def work() -> Answer:
        sender = WebhookSender(AllowList.of(allowed), authority)
        try:
            answers = [await sender(url, (), b"{}", TIME_LIMIT) for _ in range(times)]
        finally:
            await sender.aclose()
        return answers[-1]

    return asyncio.run(work())


def test_to_this_machine(subscriber: Callable[..., Subscriber], resolve: Resolve) -> None:
    taking = subscriber()
    resolve("hooks.localtest", ("127.0.0.1",))
    for host in ("127.0.0.1", "hooks.localtest"):
        assert send(f"http://{host}:{taking.port}/").status == 204
    assert taking.hosts == [f"127.0.0.1:{taking.port}", f"hooks.localtest:{taking.port}"]


@pytest.mark.parametrize(
    "addresses",
    [
        ("10.1.2.3",),
        ("169.254.169.254",),
        ("0.0.0.0",),
        ("::",),
        ("2001:db8::1",),
        ("::ffff:10.1.2.3",),
        ("127.0.0.1", "10.1.2.3"),
    ],
)
def test_not_to_other_machines(
    subscriber: Callable[..., Subscriber], resolve: Resolve, addresses: tuple[str, ...]
) -> None:
    taking = subscriber()
    resolve("hooks.example", addresses)
    with pytest.raises(DeliveryError, match=r"hooks\.example is not on this machine.*--allow-webhook-host"):
        send(f"http://hooks.example:{taking.port}/")
    assert taking.hosts == []


def test_a_name_that_changes_its_meaning(subscriber: Callable[..., Subscriber], resolve: Resolve) -> None:
    """What is connected to was checked, whatever the name means by then (DNS rebinding)."""
    taking = subscriber()
    resolve("rebind.example", ("127.0.0.1",), ("10.1.2.3",))
    assert send(f"http://rebind.example:{taking.port}/").status == 204
    with pytest.raises(DeliveryError, match="not on this machine"):
        send(f"http://rebind.example:{taking.port}/")


@pytest.mark.parametrize(
    ("allowed", "host", "addresses", "expected"),
    [
        ([], "h.example", ["127.0.0.1", "::1"], True),
        ([], "h.example", ["10.1.2.3"], False),
        (["h.example"], "h.example", ["10.1.2.3"], True),
        (["H.Example"], "h.example", ["10.1.2.3"], True),
        (["h.example"], "evil.h.example", ["10.1.2.3"], False),
        (["10.1.2.3"], "h.example", ["10.1.2.3"], True),
        (["10.1.2.3"], "h.example", ["10.1.2.4"], False),
        (["10.0.0.0/8"], "h.example", ["10.1.2.4", "127.0.0.1"], True),
        (["10.0.0.0/8"], "h.example", ["10.1.2.4", "192.0.2.1"], False),
        (["2001:db8::/32"], "h.example", ["2001:db8::7"], True),
        (["[2001:db8::7]"], "2001:db8::7", ["2001:db8::7"], True),
        (["10.0.0.0/8"], "h.example", ["2001:db8::7"], False),
    ],
)
def test_allow_list(allowed: list[str], host: str, addresses: list[str], expected: bool) -> None:
    permitted = AllowList.of(allowed).permits(host, [ipaddress.ip_address(address) for address in addresses])
    assert permitted == expected


@pytest.mark.parametrize(
    "entry", ["", "http://hooks.example", "hooks.example:80", "hooks.example/x", "10.0.0.1/8", "a b"]
)
def test_allow_list_that_cannot_be(entry: str) -> None:
    with pytest.raises(ServeError, match="webhooks cannot be allowed"):
        AllowList.of([entry])


def test_https_has_to_be_certified_for_its_name(
    subscriber: Callable[..., Subscriber], resolve: Resolve, tmp_path: Path
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    taking = subscriber(authority.issue_cert("hooks.example"))
    resolve("hooks.example", ("127.0.0.1",))
    resolve("other.example", ("127.0.0.1",))
    url = f"https://hooks.example:{taking.port}/"
    assert send(url, authority=tmp_path / "ca.pem", times=2).status == 204
    assert taking.hosts == [f"hooks.example:{taking.port}"] * 2
    with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY_FAILED"):
        send(url)
    with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY_FAILED"):
        send(f"https://other.example:{taking.port}/", authority=tmp_path / "ca.pem")


def test_https_is_pinned_as_well(subscriber: Callable[..., Subscriber], resolve: Resolve, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    taking = subscriber(authority.issue_cert("rebind.example"))
    resolve("rebind.example", ("127.0.0.1",), ("10.1.2.3",))
    url = f"https://rebind.example:{taking.port}/"
    assert send(url, authority=tmp_path / "ca.pem").status == 204
    with pytest.raises(DeliveryError, match="not on this machine"):
        send(url, authority=tmp_path / "ca.pem")


def test_certificate_of_one_name_does_not_serve_another(
    subscriber: Callable[..., Subscriber], resolve: Resolve, tmp_path: Path
) -> None:
    """Two names at one address: the connection of the first is not the second's."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    taking = subscriber(authority.issue_cert("hooks.example"))
    resolve("hooks.example", ("127.0.0.1",))
    resolve("other.example", ("127.0.0.1",))

    async def work() -> None:
        sender = WebhookSender(AllowList(), tmp_path / "ca.pem")
        try:
            await sender(f"https://hooks.example:{taking.port}/", (), b"{}", TIME_LIMIT)
            await sender(f"https://other.example:{taking.port}/", (), b"{}", TIME_LIMIT)
        finally:
            await sender.aclose()

    with pytest.raises(DeliveryError, match="CERTIFICATE_VERIFY_FAILED"):
        asyncio.run(work())
    assert len(taking.hosts) == 1


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///x", "//127.0.0.1/", "http://127.0.0.1:99999/", "x"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(DeliveryError):
        send(url)
