"""Subscribers that lie elsewhere, hang, die or answer nonsense: each is its own affair and nobody else's."""

from __future__ import annotations

import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

Until = Callable[[Callable[[], Any]], Any]


@pytest.fixture
def world(world: Any) -> Any:
    """Time stands still, so that nothing is retried unless the test moves it."""
    return world.frozen()


@pytest.mark.parametrize("host", ["192.0.2.1", "[2001:db8::1]", "0.0.0.0", "169.254.169.254"])
def test_only_to_this_machine(world: Any, receiver: Any, until: Until, host: str) -> None:
    if host.startswith("[2"):
        # The specs know of no other IPv6 literal than [::1].
        body = {"url": f"http://{host}:{receiver.port}/", "events": ["order.paid"]}
        assert world.shop("POST", "/webhook-subscriptions", body).status_code == 400
        return
    world.subscribe(f"http://{host}:{receiver.port}/webhooks")
    world.order()
    (refused,) = until(lambda: world.journal(kind="delivery"))
    assert "this machine" in refused["answer"]["error"]
    assert host in refused["request"]["url"]
    assert receiver.received == []


def test_unknown_host_is_told(world: Any, until: Until) -> None:
    world.subscribe("http://no-such-host.invalid/webhooks")
    world.order()
    (refused,) = until(lambda: world.journal(kind="delivery"))
    assert refused["answer"]["error"]


def test_localhost(world: Any, receiver: Any) -> None:
    world.subscribe(f"http://localhost:{receiver.port}/webhooks")
    world.order()
    (received,) = receiver.wait(1)
    assert received.headers["host"] == f"localhost:{receiver.port}"


def test_localhost_has_two_addresses(world: Any, receiver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.getaddrinfo

    def both(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host != "localhost":
            return real(host, port, *args, **more)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    world.subscribe(f"http://localhost:{receiver.port}/webhooks")
    world.order()
    assert receiver.wait(1)


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_dead_subscriber_holds_up_nobody(world: Any, receiver: Any, until: Until) -> None:
    dead = world.subscribe(f"http://127.0.0.1:{unused_port()}/webhooks")
    world.subscribe(receiver.url)
    for number in range(5):
        world.order(f"E-{number}")
    assert len(receiver.wait(5)) == 5
    refused = until(lambda: [e for e in world.journal(kind="delivery") if e["address"]["subscriber"] == dead["id"]])
    assert refused[0]["answer"]["error"]


def test_hanging_subscriber_holds_up_nobody(
    world: Any, receiver: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.outbox.TIME_LIMIT", 0.3)
    receiver.answers(*[receiver.silence()] * 1)
    hanging = world.subscribe(receiver.url.replace("/webhooks", "/hangs"))
    world.order("F-0")
    receiver.wait(1)
    world.subscribe(receiver.url)
    for number in range(1, 6):
        world.order(f"F-{number}")
    prompt = [each for each in receiver.wait(6) if each.path == "/webhooks"]
    assert len(prompt) + len([each for each in receiver.received if each.path == "/hangs"]) >= 6
    (given_up,) = until(
        lambda: [
            e
            for e in world.journal(kind="delivery")
            if e["address"]["subscriber"] == hanging["id"] and "error" in e["answer"]
        ]
    )
    assert given_up["answer"]["error"] == "no answer within 0.3 s"
    # What waited behind the hanging one comes too, and so does that one itself, later.
    assert len([each for each in receiver.wait(11) if each.path == "/hangs"]) == 6
    world.advance(6)
    assert receiver.wait(12)[-1].json()["data"]["order_number"] == "F-0"


def endless_body(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    try:
        while True:
            handler.wfile.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
    except OSError:
        handler.close_connection = True


def endless_headers(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    try:
        while True:
            handler.wfile.write(b"x-more: " + b"y" * 1000 + b"\r\n")
    except OSError:
        handler.close_connection = True


def endless_informational(handler: BaseHTTPRequestHandler) -> None:
    try:
        while True:
            handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n")
    except OSError:
        handler.close_connection = True


def not_http(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\x00\xff no http at all\r\n\r\n")
    handler.close_connection = True


def early_end(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


@pytest.mark.parametrize(
    ("answer", "delivered"),
    [
        (endless_body, True),
        (endless_headers, False),
        (endless_informational, False),
        (not_http, False),
        (early_end, False),
    ],
)
def test_subscriber_that_answers_nonsense(
    world: Any, receiver: Any, until: Until, monkeypatch: pytest.MonkeyPatch, answer: Any, delivered: bool
) -> None:
    monkeypatch.setattr("sandbox.outbox.TIME_LIMIT", 0.3)
    receiver.answers(answer)
    world.subscribe(receiver.url)
    world.order("G-1")
    (told,) = until(lambda: world.journal(kind="delivery"))
    assert ("status" in told["answer"]) is delivered
    assert told["answer"].get("error", "ok")
    world.order("G-2")
    assert [each.json()["data"]["order_number"] for each in receiver.wait(2)] == ["G-1", "G-2"]


@pytest.mark.slow
def test_subscriber_may_take_its_time(world: Any, receiver: Any, until: Until) -> None:
    def late(handler: BaseHTTPRequestHandler) -> None:
        receiver.released.wait(8)
        receiver.status(204)(handler)

    world.control("POST", "/clock/resume").raise_for_status()
    receiver.answers(late)
    world.subscribe(receiver.url)
    world.order()
    until(lambda: world.delivery("delivered", 1))
    (entry,) = world.journal(kind="delivery")
    assert entry["answer"]["at"] - entry["at"] > 7
