"""Faults on deliveries over real HTTP: what a subscriber's socket sees, and who has to wait for whom."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from sandbox.integrator.signature import Forged, verify
from sandbox.project import Project
from sandbox.server import Server

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ORDER = "2025-4471"
PATIENCE = 20.0
TOLERANCE = 300.0


@dataclass(frozen=True)
class Received:
    """A webhook as it came over the wire."""

    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def payload(self) -> Any:
        return json.loads(self.body)

    @property
    def about(self) -> tuple[str, str]:
        return self.payload["type"], self.payload["data"]["order_number"]


class _HTTPServer(ThreadingHTTPServer):
    request_queue_size = 200


@dataclass
class Subscriber:
    """A subscriber's HTTP server; `before_answer` runs while its request is in flight."""

    got: queue.Queue[Received] = field(default_factory=queue.Queue)
    before_answer: Callable[[Received], None] = lambda _: None
    url: str = ""

    def take(self) -> Received:
        return self.got.get(timeout=PATIENCE)

    def serve(self, stack: ExitStack) -> Subscriber:
        subscriber = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                received = Received({name.lower(): value for name, value in self.headers.items()}, body)
                subscriber.before_answer(received)
                subscriber.got.put(received)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        server = stack.enter_context(_HTTPServer(("127.0.0.1", 0), Handler))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        self.url = f"http://127.0.0.1:{server.server_port}/webhooks"
        return self


class Sandbox:
    """A running sandbox, each test in a world of its own."""

    def __init__(self, server: Server, world: str) -> None:
        self._control = httpx.Client(
            base_url=f"{server.url}/_sandbox/worlds/{world}", timeout=PATIENCE, trust_env=False
        )
        headers = {"X-Shop-Api-Key": server.access(world).environment()["SHOP_API_KEY"]}
        self._shop = httpx.Client(
            base_url=f"{server.url}/w/{world}/shop", headers=headers, timeout=PATIENCE, trust_env=False
        )
        self._shop.get("/orders").raise_for_status()

    def close(self) -> None:
        self._control.close()
        self._shop.close()

    def subscribe(self, url: str, *events: str) -> str:
        answer = self._shop.post("/webhook-subscriptions", json={"url": url, "events": events, "secret": SECRET})
        return str(answer.raise_for_status().json()["id"])

    def place(self, number: str = ORDER) -> None:
        body = {"order_number": number, "customer": "Example Ltd", "amount_net": 1290.0, "currency": "EUR"}
        self._shop.post("/orders", json=body | {"line_items": 3, "paid": True}).raise_for_status()

    def fault(self, inject: str, event: str = "order.paid", with_: Any = None) -> None:
        document = {"on": {"event": event}, "inject": inject, "with": with_ or {}}
        self._control.post("/faults", json=document).raise_for_status()

    def freeze(self) -> float:
        return float(self._control.post("/clock/freeze").raise_for_status().json()["now"])

    def advance(self, seconds: float) -> None:
        self._control.post("/clock/advance", json={"seconds": seconds}).raise_for_status()

    def reset(self) -> None:
        self._control.post("/reset").raise_for_status()

    def deliveries(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._control.get("/deliveries").raise_for_status().json()["deliveries"]
        return found

    def journal(self, wanted: int) -> list[dict[str, Any]]:
        """The entries of deliveries, once there are so many."""
        url = f"{self._control.base_url}journal/stream"
        found: list[dict[str, Any]] = []
        with self._control.stream("GET", url, params={"kind": "delivery"}) as stream:
            for line in stream.iter_lines():
                if line.startswith("data: "):
                    found.append(json.loads(line.removeprefix("data: ")))
                if len(found) == wanted:
                    break
        return found


@pytest.fixture(scope="module")
def server(checkout: Path) -> Iterator[Server]:
    with Server(Project.load(checkout), port=0).running() as server:
        yield server


@pytest.fixture
def sandbox(server: Server, request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)[:60].rstrip("-")
    sandbox = Sandbox(server, name)
    yield sandbox
    sandbox.close()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def subscriber(stack: ExitStack) -> Subscriber:
    return Subscriber().serve(stack)


def proven(received: Received, now: float) -> bool:
    try:
        verify(SECRET, received.headers, received.body, now=now, tolerance=TOLERANCE)
    except Forged:
        return False
    return True


def test_concurrent_duplicate(sandbox: Sandbox, subscriber: Subscriber) -> None:
    """Neither request is answered before both have arrived."""
    both = threading.Barrier(2, timeout=PATIENCE)
    subscriber.before_answer = lambda _: both.wait() and None
    sandbox.subscribe(subscriber.url, "order.paid")
    sandbox.fault("concurrent_duplicate")
    sandbox.place()
    first, second = subscriber.take(), subscriber.take()
    assert not both.broken
    assert (first.id, first.body) == (second.id, second.body)
    entries = sandbox.journal(2)
    assert sorted(str(entry["fault"] and entry["fault"]["inject"]) for entry in entries) == [
        "None",
        "concurrent_duplicate",
    ]
    assert [entry["answer"]["status"] for entry in entries] == [204, 204]
    assert [delivery["state"] for delivery in sandbox.deliveries()] == ["delivered"]


def test_duplicate_comes_when_its_time_has_come(sandbox: Sandbox, subscriber: Subscriber) -> None:
    sandbox.freeze()
    sandbox.subscribe(subscriber.url, "order.paid")
    sandbox.fault("duplicate", with_={"after": "1h", "times": 2})
    sandbox.place()
    first = subscriber.take()
    sandbox.journal(1)
    sandbox.advance(3599)
    assert subscriber.got.empty()
    sandbox.advance(1)
    second = subscriber.take()
    sandbox.journal(2)
    sandbox.advance(3600)
    third = subscriber.take()
    assert first.id == second.id == third.id
    stamps = [int(received.headers["webhook-timestamp"]) for received in (first, second, third)]
    assert [stamp - stamps[0] for stamp in stamps] == [0, 3600, 7200]


def test_delay_is_signed_at_departure(sandbox: Sandbox, subscriber: Subscriber) -> None:
    began = sandbox.freeze()
    sandbox.subscribe(subscriber.url, "order.placed", "order.paid")
    sandbox.fault("delay", "order.placed", {"by": "10m"})
    sandbox.place()
    assert subscriber.take().about == ("order.paid", ORDER)
    sandbox.advance(600)
    late = subscriber.take()
    assert late.about == ("order.placed", ORDER)
    assert int(late.headers["webhook-timestamp"]) == int(began + 600)
    assert proven(late, began + 600)


def test_reorder(sandbox: Sandbox, subscriber: Subscriber) -> None:
    sandbox.subscribe(subscriber.url, "order.placed", "order.paid")
    sandbox.fault("reorder", "order.placed", {"longest": "1h"})
    sandbox.place()
    assert [subscriber.take().about[0], subscriber.take().about[0]] == ["order.paid", "order.placed"]
    assert [entry["address"]["event"] for entry in sandbox.journal(2)] == ["order.paid", "order.placed"]


def test_drop(sandbox: Sandbox, subscriber: Subscriber) -> None:
    sandbox.subscribe(subscriber.url, "order.placed", "order.paid")
    sandbox.fault("drop", "order.placed")
    sandbox.place()
    assert subscriber.take().about[0] == "order.paid"
    dropped, _ = sandbox.journal(2)
    assert (dropped["fault"]["inject"], dropped["answer"]["error"]) == ("drop", "dropped")
    assert [delivery["state"] for delivery in sandbox.deliveries()] == ["dropped", "delivered"]
    assert subscriber.got.empty()


@pytest.mark.parametrize("how", ["unsigned", "wrong_signature", "old_timestamp"])
def test_forged(sandbox: Sandbox, subscriber: Subscriber, how: str) -> None:
    now = sandbox.freeze()
    sandbox.subscribe(subscriber.url, "order.paid")
    sandbox.fault("forged", with_={"how": how})
    sandbox.place()
    real, forged = subscriber.take(), subscriber.take()
    assert (real.about, proven(real, now)) == (("order.paid", ORDER), True)
    assert (forged.about, proven(forged, now)) == (("order.paid", "7974-5528"), False)
    assert forged.id != real.id
    assert ("webhook-signature" in forged.headers) == (how != "unsigned")
    entry = sandbox.journal(2)[-1]
    assert (entry["fault"]["inject"], entry["event_id"]) == ("forged", forged.id)


def test_rotated(sandbox: Sandbox, subscriber: Subscriber) -> None:
    now = sandbox.freeze()
    sandbox.subscribe(subscriber.url, "order.paid")
    sandbox.fault("rotated")
    sandbox.place()
    received = subscriber.take()
    assert proven(received, now)
    alone = [received.headers | {"webhook-signature": one} for one in received.headers["webhook-signature"].split()]
    assert [proven(Received(headers, received.body), now) for headers in alone] == [False, True]


def test_respaced(sandbox: Sandbox, subscriber: Subscriber) -> None:
    now = sandbox.freeze()
    sandbox.subscribe(subscriber.url, "order.paid")
    sandbox.fault("respaced")
    sandbox.place()
    received = subscriber.take()
    assert proven(received, now)
    assert not proven(Received(received.headers, orjson.dumps(received.payload)), now)
    assert sandbox.journal(1)[0]["request"]["body"]["data"]["order_number"] == ORDER


def test_late_delivery_leaves_in_its_own_world(server: Server, stack: ExitStack) -> None:
    """The same plan in two worlds, of which one is reset: the other still gets what it waits for."""
    worlds, subscribers = [], []
    for name in ("reset-this", "keep-this"):
        world, subscriber = Sandbox(server, name), Subscriber().serve(stack)
        stack.callback(world.close)
        world.freeze()
        world.subscribe(subscriber.url, "order.paid")
        world.fault("delay", with_={"by": "1h"})
        world.place()
        worlds.append(world)
        subscribers.append(subscriber)
    worlds[0].reset()
    for world in worlds:
        world.advance(3600)
    assert subscribers[1].take().about == ("order.paid", ORDER)
    assert subscribers[0].got.empty()


class Rude:
    """A subscriber on a raw socket that never gives a proper answer, and keeps on as long as it is let."""

    def __init__(self, stack: ExitStack, first: bytes, again: bytes) -> None:
        self._first, self._again = first, again
        self._over = threading.Event()
        self.arrived = threading.Event()
        self._listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._listening.settimeout(0.05)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/webhooks"
        thread = threading.Thread(target=self._serve)
        thread.start()
        stack.callback(thread.join)
        stack.callback(self._over.set)

    def _serve(self) -> None:
        open_ones: list[socket.socket] = []
        while not self._over.is_set():
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                pass
            else:
                connection.settimeout(0)
                open_ones.append(connection)
                self._say(connection, self._first)
                self.arrived.set()
            for connection in open_ones:
                self._say(connection, self._again)
        for connection in open_ones:
            connection.close()

    @staticmethod
    def _say(connection: socket.socket, something: bytes) -> None:
        # Its buffer may be full, or the sandbox may have hung up: both are what this is about.
        with suppress(OSError):
            connection.send(something)


RUDE = {
    "silent": (b"", b""),
    "drips a head": (b"HTTP/1.1 200 OK\r\n", b"x"),
    "endless head": (b"HTTP/1.1 200 OK\r\n", b"x-more: yes\r\n" * 4000),
    "endless body": (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
    "endless redirect": (b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /webhooks\r\ncontent-length: 0\r\n\r\n", b""),
    "not HTTP": (b"220 mail.example ESMTP\r\n", b""),
}


def test_rude_subscribers_hold_nobody_up(sandbox: Sandbox, stack: ExitStack, subscriber: Subscriber) -> None:
    rude = [Rude(stack, *words) for words in RUDE.values()]
    for one in rude:
        sandbox.subscribe(one.url, "order.placed", "order.paid")
    sandbox.subscribe(subscriber.url, "order.placed", "order.paid")
    numbers = [f"2025-{number}" for number in range(4471, 4481)]
    for number in numbers:
        sandbox.place(number)
    expected = [(event, number) for number in numbers for event in ("order.placed", "order.paid")]
    assert [subscriber.take().about for _ in expected] == expected
    for one in rude:
        assert one.arrived.wait(PATIENCE)


def test_many_subscribers(sandbox: Sandbox, subscriber: Subscriber) -> None:
    """Each of a hundred subscribers gets each event once, in order."""
    names = [sandbox.subscribe(f"{subscriber.url}/{number}", "order.placed", "order.paid") for number in range(100)]
    sandbox.place()
    entries = sandbox.journal(200)
    assert {entry["address"]["subscriber"] for entry in entries} == set(names)
    for name in names:
        own = [entry["address"]["event"] for entry in entries if entry["address"]["subscriber"] == name]
        assert own == ["order.placed", "order.paid"]


def test_late_delivery_survives_a_restart(checkout: Path, tmp_path: Path, subscriber: Subscriber) -> None:
    project, db = Project.load(checkout), tmp_path / "sandbox.db"
    for life in (1, 2):
        with Server(project, port=0, db=db).running() as server:
            sandbox = Sandbox(server, "default")
            if life == 1:
                sandbox.freeze()
                sandbox.subscribe(subscriber.url, "order.placed", "order.paid")
                sandbox.fault("delay", "order.placed", {"by": "1h"})
                sandbox.fault("drop")
                sandbox.place()
                sandbox.journal(1)
                assert subscriber.got.empty()
            else:
                sandbox.advance(7200)
                assert subscriber.take().about[0] == "order.placed"
                assert [entry["attempt"] for entry in sandbox.journal(2)] == [1, 1]
                assert [delivery["state"] for delivery in sandbox.deliveries()] == ["delivered", "dropped"]
            sandbox.close()
