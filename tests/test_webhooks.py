"""Webhooks, received over real HTTP and checked by the text of Standard Webhooks 1.0.0 alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project

Until = Callable[[Callable[[], Any]], Any]

OWN_SECRET = "whsec_" + base64.b64encode(b"my own secret of 24 byte").decode()
SCHEDULE = [5, 300, 1800, 7200, 18000, 36000, 36000, 50400, 72000, 86400]
ORDER_EVENTS = ["order.placed", "order.paid"]
ADDRESS = {"name": "Ada", "street": "1 New Street", "postal_code": "BS1 1AA", "city": "Bristol", "country": "GB"}


def verify(secret: str, received: Any) -> None:
    """What the specification asks of a receiver, but for the age of the timestamp."""
    assert secret.startswith("whsec_")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    headers = received.headers
    assert headers["webhook-timestamp"].isdecimal()
    content = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), received.body])
    expected = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
    assert f"v1,{expected}" in headers["webhook-signature"].split(" ")


def subscribe(world: Any, url: str, *events: str, **more: str) -> Any:
    body = {"url": url, "events": list(events or ["order.paid"]), **more}
    return world.shop("POST", "/webhook-subscriptions", body).raise_for_status().json()


def deliveries(world: Any) -> list[Any]:
    return list(world.control("GET", "/deliveries").raise_for_status().json()["deliveries"])


def attempts(world: Any) -> list[Any]:
    return list(world.journal(kind="delivery"))


def settled(world: Any, state: str, attempt: int) -> Callable[[], Any]:
    """Whether the only delivery stands like this."""

    def ask() -> Any:
        (delivery,) = deliveries(world)
        return delivery if (delivery["state"], delivery["attempt"]) == (state, attempt) else None

    return ask


def test_signed_with_the_default_secret(world: Any, receiver: Any) -> None:
    subscription = subscribe(world, receiver.url)
    assert subscription["secret"] == world.access.webhook_secret == world.access.environment()["WEBHOOK_SECRET"]
    order = world.order()
    (received,) = receiver.wait(1)
    verify(world.access.webhook_secret, received)
    assert received.headers["content-type"] == "application/json"
    assert received.json().keys() == {"type", "timestamp", "data"}
    assert received.json()["type"] == "order.paid"
    assert received.json()["data"] == order


def test_signed_with_its_own_secret(world: Any, receiver: Any) -> None:
    created = subscribe(world, receiver.url, secret=OWN_SECRET)
    assert created["secret"] == OWN_SECRET
    world.order()
    (received,) = receiver.wait(1)
    verify(OWN_SECRET, received)
    with pytest.raises(AssertionError):
        verify(world.access.webhook_secret, received)
    # The answer to the subscription was the only one that shows it.
    read = world.shop("GET", f"/webhook-subscriptions/{created['id']}").json()
    listed = world.shop("GET", "/webhook-subscriptions").json()["webhook_subscriptions"]
    assert "secret" not in read
    assert listed == [read]


def test_only_what_was_subscribed_to_in_the_order_it_happened(world: Any, receiver: Any, until: Until) -> None:
    subscribe(world, receiver.url, "order.placed", "order.paid", "order.cancelled")
    world.order("A-1", paid=False)
    world.order("A-2")
    world.shop("POST", "/orders/A-1/pay").raise_for_status()
    assert world.shop("POST", "/orders/A-1/pay").status_code == 200
    assert world.shop("POST", "/orders", {"order_number": "A-2"}).status_code == 400
    etag = world.shop("GET", "/orders/A-1").headers["etag"]
    assert world.shop("PUT", "/orders/A-1/delivery-address", ADDRESS, If_Match=etag).status_code == 200
    world.shop("POST", "/orders/A-1/cancel").raise_for_status()
    expected = [
        ("order.placed", "A-1"),
        ("order.placed", "A-2"),
        ("order.paid", "A-2"),
        ("order.paid", "A-1"),
        ("order.cancelled", "A-1"),
    ]
    got = [(each.json()["type"], each.json()["data"]["order_number"]) for each in receiver.wait(5)]
    assert got == expected
    assert [(each["event"], each["key"]) for each in deliveries(world)] == expected
    until(lambda: all(each["state"] == "delivered" for each in deliveries(world)))
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 5


def test_every_event_of_the_shop(world: Any, receiver: Any) -> None:
    events = [*ORDER_EVENTS, "order.address_changed", "order.line_item_cancelled", "order.cancelled", "stock.changed"]
    subscribe(world, receiver.url, *events)
    order = world.order()
    etag = world.shop("GET", "/orders/2025-4471").headers["etag"]
    world.shop("PUT", "/orders/2025-4471/delivery-address", ADDRESS, If_Match=etag).raise_for_status()
    item = order["items"][0]["line_item_id"]
    world.shop("DELETE", f"/orders/2025-4471/line-items/{item}").raise_for_status()
    world.shop("POST", "/orders/2025-4471/cancel").raise_for_status()
    world.shop("PUT", "/products/DESK-180/stock", {"level": 7}).raise_for_status()
    received = receiver.wait(6)
    assert [each.json()["type"] for each in received] == events
    for each in received:
        verify(world.access.webhook_secret, each)
    assert received[2].json()["data"]["delivery_address"] == ADDRESS
    assert received[3].json()["data"]["line_item_id"] == item
    assert received[5].json()["data"]["level"] == 7


def test_both_events_of_the_carrier(world: Any, receiver: Any) -> None:
    body = {"url": receiver.url, "events": ["shipment.dispatched", "shipment.delivered"]}
    world.shipping("POST", "/webhook-subscriptions", body).raise_for_status()
    address = {name: value for name, value in ADDRESS.items() if name != "name"}
    shipment = {"reference": "2025-4471", "recipient": {"name": "Ada", "address": address}}
    booked = world.shipping("POST", "/shipments", shipment).raise_for_status().json()["shipment_id"]
    for step in ("dispatch", "dispatch", "deliver", "deliver"):
        world.shipping("POST", f"/shipments/{booked}/{step}").raise_for_status()
    received = receiver.wait(2)
    assert [each.json()["type"] for each in received] == ["shipment.dispatched", "shipment.delivered"]
    assert [each.json()["data"]["status"] for each in received] == ["picked_up", "delivered"]
    assert [each["key"] for each in deliveries(world)] == ["2025-4471", "2025-4471"]


def test_refused_call_emits_nothing(world: Any, receiver: Any) -> None:
    subscribe(world, receiver.url, "order.placed")
    world.order("B-1")
    assert world.shop("POST", "/orders", world.shop("GET", "/orders/B-1").json()).status_code == 400
    body = {"order_number": "B-1", "customer": "C", "amount_net": 9.0, "currency": "EUR", "line_items": 1, "paid": True}
    assert world.shop("POST", "/orders", body).status_code == 409
    world.order("B-2")
    assert [each.json()["data"]["order_number"] for each in receiver.wait(2)] == ["B-1", "B-2"]


def test_retries(world: Any, receiver: Any, until: Until) -> None:
    receiver.answers(500, 503, 404, 204)
    subscribe(world, receiver.url)
    world.order()
    for attempt, span in enumerate(SCHEDULE[:3], start=1):
        receiver.wait(attempt)
        delivery = until(settled(world, "pending", attempt + 1))
        failed = attempts(world)[-1]
        assert failed["attempt"] == attempt
        # The standard's schedule with a tenth of jitter.
        assert span <= delivery["due"] - failed["at"] <= 1.1 * span + 1
        world.advance(delivery["due"] - failed["answer"]["at"])
    received = receiver.wait(4)
    until(settled(world, "delivered", 4))
    assert len({each.headers["webhook-id"] for each in received}) == 1
    assert len({each.body for each in received}) == 1
    moments = [int(each.headers["webhook-timestamp"]) for each in received]
    assert [later - earlier for earlier, later in pairwise(moments)] == [
        pytest.approx(1.05 * span, rel=0.06, abs=2) for span in SCHEDULE[:3]
    ]
    for each in received:
        verify(world.access.webhook_secret, each)
    assert len({each.headers["webhook-signature"] for each in received}) == 4
    assert [entry["answer"]["status"] for entry in attempts(world)] == [500, 503, 404, 204]


class Refuser:
    """A WSGI program that answers as its script says, and 500 from then on."""

    def __init__(self, *script: tuple[str, list[tuple[str, str]]]) -> None:
        self.script = list(script)
        self.calls = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.calls += 1
        status, headers = self.script.pop(0) if self.script else ("500 Oops", [])
        start_response(status, headers)
        return []


class Virtual:
    """A shop in memory with one subscriber."""

    def __init__(self, sandbox: InProcess, world: str) -> None:
        self.sandbox = sandbox
        self.session = sandbox.session()
        self.url = f"http://127.0.0.1:9/{world}"
        shop = sandbox.access(world).systems["shop"]
        self.session.headers["X-Shop-Api-Key"] = shop["api_key"]
        self.shop = shop["url"]
        self.world = sandbox.world(world)

    def order(self, subscriber: Refuser) -> None:
        self.sandbox.mount(self.url, subscriber)
        body = {"url": self.url, "events": ["order.paid"]}
        self.session.post(f"{self.shop}/webhook-subscriptions", json=body).raise_for_status()
        document = {"order_number": "V-1", "customer": "Example Ltd", "amount_net": 1290.00, "currency": "EUR"}
        self.session.post(f"{self.shop}/orders", json=document | {"line_items": 3, "paid": True}).raise_for_status()

    def times(self) -> list[float]:
        """When each attempt was made, in seconds since the first."""
        found = [entry["at"] for entry in self.world.entries() if entry["kind"] == "delivery"]
        return [at - found[0] for at in found]


@pytest.fixture(scope="module")
def sandbox(project: Project) -> Iterator[InProcess]:
    sandbox = InProcess(project)
    yield sandbox
    sandbox.close()


@pytest.fixture
def virtual(sandbox: InProcess, world_name: str) -> Virtual:
    return Virtual(sandbox, world_name)


def test_whole_schedule(virtual: Virtual) -> None:
    virtual.order(Refuser())
    virtual.sandbox.run(10 * 24 * 3600)
    times = virtual.times()
    assert len(times) == len(SCHEDULE) + 1
    spans = [later - earlier for earlier, later in pairwise(times)]
    for span, planned in zip(spans, SCHEDULE, strict=True):
        assert planned <= span <= 1.1 * planned
    # Jitter: not all of them are stretched alike.
    assert len({round(span / planned, 6) for span, planned in zip(spans, SCHEDULE, strict=True)}) > 5


@pytest.mark.parametrize("status", ["429 Slow", "502 Bad", "504 Late"])
@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ([], 10, 11),
        ([("Retry-After", "120")], 120, 120),
        ([("Retry-After", "1")], 10, 11),
        ([("Retry-After", "DATE+600")], 599, 600),
        ([("Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT")], 10, 11),
        ([("Retry-After", "soon")], 10, 11),
        ([("Retry-After", "9" * 400)], 86400, 86400),
        ([("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")], 86400, 86400),
    ],
)
def test_slows_down(virtual: Virtual, status: str, headers: list[tuple[str, str]], least: float, most: float) -> None:
    later = format_datetime(datetime.fromtimestamp(virtual.sandbox.now + 600, UTC), usegmt=True)
    virtual.order(
        Refuser((status, [(name, value.replace("DATE+600", later)) for name, value in headers]), ("204 ", []))
    )
    virtual.sandbox.run(2 * 86400)
    assert least <= virtual.times()[1] <= most
    assert len(virtual.times()) == 2


def test_retry_after_of_other_answers_means_nothing(virtual: Virtual) -> None:
    virtual.order(Refuser(("500 ", [("Retry-After", "120")]), ("204 ", [])))
    virtual.sandbox.run(600)
    assert 5 <= virtual.times()[1] <= 5.5


def test_gone_unsubscribes(world: Any, receiver: Any, until: Until) -> None:
    receiver.answers(410)
    gone = subscribe(world, receiver.url)
    world.order("C-1")
    receiver.wait(1)
    until(settled(world, "unsubscribed", 1))
    path = f"/webhook-subscriptions/{gone['id']}"
    assert world.shop("GET", path).json()["status"] == "disabled"
    world.order("C-2")
    subscribe(world, receiver.url)
    world.order("C-3")
    world.advance(10)
    assert [each.json()["data"]["order_number"] for each in receiver.wait(2)] == ["C-1", "C-3"]
    assert [each["key"] for each in deliveries(world)] == ["C-1", "C-3"]
    assert world.shop("DELETE", path).status_code == 204
    assert world.shop("GET", path).status_code == 404


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_a_failure(world: Any, receiver: Any, until: Until, status: int) -> None:
    receiver.answers(receiver.status(status, location=f"http://127.0.0.1:{receiver.port}/elsewhere"))
    subscribe(world, receiver.url)
    world.order()
    delivery = until(settled(world, "pending", 2))
    world.advance(delivery["due"] - attempts(world)[0]["at"])
    assert [each.path for each in receiver.wait(2)] == ["/webhooks", "/webhooks"]


def test_redelivery(world: Any, receiver: Any, until: Until) -> None:
    subscribe(world, receiver.url)
    world.order()
    receiver.wait(1)
    delivery = until(settled(world, "delivered", 1))
    assert world.control("POST", f"/deliveries/{delivery['id']}/redeliver").status_code == 202
    first, second = receiver.wait(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    verify(world.access.webhook_secret, second)
    until(settled(world, "delivered", 2))
    assert world.control("POST", "/deliveries/dlv_zzzzzzzzzzzz/redeliver").status_code == 404


def test_redelivery_takes_the_place_of_the_next_retry(world: Any, receiver: Any, until: Until) -> None:
    receiver.answers(500)
    subscribe(world, receiver.url, "order.placed")
    world.order("D-1")
    delivery = until(settled(world, "pending", 2))
    world.control("POST", f"/deliveries/{delivery['id']}/redeliver")
    receiver.wait(2)
    until(lambda: deliveries(world)[0]["state"] == "delivered")
    world.advance(86400)
    world.order("D-2")
    assert [each.json()["data"]["order_number"] for each in receiver.wait(3)] == ["D-1", "D-1", "D-2"]


@pytest.mark.parametrize("host", ["192.0.2.1", "[2001:db8::1]", "0.0.0.0", "169.254.169.254"])
def test_only_to_this_machine(world: Any, receiver: Any, until: Until, host: str) -> None:
    if host.startswith("[2"):
        # The specs know of no other IPv6 literal than [::1].
        body = {"url": f"http://{host}:{receiver.port}/", "events": ["order.paid"]}
        assert world.shop("POST", "/webhook-subscriptions", body).status_code == 400
        return
    subscribe(world, f"http://{host}:{receiver.port}/webhooks")
    world.order()
    (refused,) = until(lambda: attempts(world))
    assert "this machine" in refused["answer"]["error"]
    assert host in refused["request"]["url"]
    assert receiver.received == []


def test_unknown_host_is_told(world: Any, until: Until) -> None:
    subscribe(world, "http://no-such-host.invalid/webhooks")
    world.order()
    (refused,) = until(lambda: attempts(world))
    assert refused["answer"]["error"]


def test_localhost(world: Any, receiver: Any) -> None:
    subscribe(world, f"http://localhost:{receiver.port}/webhooks")
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
    subscribe(world, f"http://localhost:{receiver.port}/webhooks")
    world.order()
    assert receiver.wait(1)


def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_dead_subscriber_holds_up_nobody(world: Any, receiver: Any, until: Until) -> None:
    dead = subscribe(world, f"http://127.0.0.1:{unused_port()}/webhooks")
    subscribe(world, receiver.url)
    for number in range(5):
        world.order(f"E-{number}")
    assert len(receiver.wait(5)) == 5
    refused = until(lambda: [e for e in attempts(world) if e["address"]["subscriber"] == dead["id"]])
    assert refused[0]["answer"]["error"]


def test_hanging_subscriber_holds_up_nobody(
    world: Any, receiver: Any, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sandbox.outbox.TIME_LIMIT", 0.3)
    receiver.answers(*[receiver.silence()] * 1)
    hanging = subscribe(world, receiver.url.replace("/webhooks", "/hangs"))
    world.order("F-0")
    receiver.wait(1)
    subscribe(world, receiver.url)
    for number in range(1, 6):
        world.order(f"F-{number}")
    prompt = [each for each in receiver.wait(6) if each.path == "/webhooks"]
    assert len(prompt) + len([each for each in receiver.received if each.path == "/hangs"]) >= 6
    (given_up,) = until(
        lambda: [e for e in attempts(world) if e["address"]["subscriber"] == hanging["id"] and "error" in e["answer"]]
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
    subscribe(world, receiver.url)
    world.order("G-1")
    (told,) = until(lambda: attempts(world))
    assert ("status" in told["answer"]) is delivered
    assert told["answer"].get("error", "ok")
    world.order("G-2")
    assert [each.json()["data"]["order_number"] for each in receiver.wait(2)] == ["G-1", "G-2"]


@pytest.mark.slow
def test_subscriber_may_take_its_time(world: Any, receiver: Any, until: Until) -> None:
    def late(handler: BaseHTTPRequestHandler) -> None:
        receiver.released.wait(8)
        receiver.status(204)(handler)

    receiver.answers(late)
    subscribe(world, receiver.url)
    world.order()
    until(settled(world, "delivered", 1))
    (entry,) = attempts(world)
    assert entry["answer"]["at"] - entry["at"] > 7


def test_nothing_is_sent_once_unsubscribed(world: Any, receiver: Any, until: Until) -> None:
    receiver.answers(500)
    subscription = subscribe(world, receiver.url)
    other = subscribe(world, receiver.url.replace("/webhooks", "/other"), "order.cancelled")
    world.order("H-1")
    until(settled(world, "pending", 2))
    world.shop("DELETE", f"/webhook-subscriptions/{subscription['id']}").raise_for_status()
    world.advance(86400)
    world.order("H-2")
    world.shop("POST", "/orders/H-2/cancel").raise_for_status()
    assert [each.path for each in receiver.wait(2)] == ["/webhooks", "/other"]
    until(lambda: [each["state"] for each in deliveries(world)] == ["cancelled", "delivered"])
    assert [each["subscriber"] for each in deliveries(world)] == [subscription["id"], other["id"]]


def test_reset_world_sends_nothing_more(world: Any, receiver: Any, until: Until) -> None:
    receiver.answers(500)
    subscribe(world, receiver.url)
    world.order("I-1")
    until(settled(world, "pending", 2))
    world.control("POST", "/reset").raise_for_status()
    assert deliveries(world) == []
    world.advance(86400)
    subscribe(world, receiver.url)
    world.order("I-2")
    assert [each.json()["data"]["order_number"] for each in receiver.wait(2)] == ["I-1", "I-2"]


BELL = """
    openapi: 3.0.3
    info: {title: Bell, version: "1"}
    paths:
      /rings:
        post:
          operationId: ring
          x-event: bell.rung
          requestBody: {content: {application/json: {schema: {type: object}}}}
          responses: {"201": {description: ok, content: {application/json: {schema: {type: object}}}}}
      /webhook-subscriptions:
        post:
          operationId: subscribe
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Subscription"}}}}
          responses:
            "201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Subscription"}}}}
          callbacks:
            bell.rung:
              "{$request.body#/url}":
                post:
                  requestBody: {content: {application/json: {schema: {type: object}}}}
                  responses: {default: {description: any}}
    components:
      schemas:
        Subscription:
          type: object
          required: [id, url, events, status]
          properties:
            id: {type: string, readOnly: true}
            url: {type: string}
            events: {type: array, items: {type: string}}
            secret: {type: string}
            status: {type: string, enum: [active, disabled], readOnly: true}
"""


def test_secret_that_cannot_sign_is_one_subscribers_affair(make_project: Callable[..., Path]) -> None:
    """Here in a system that has no mock of its own."""
    sandbox = InProcess(Project.load(make_project(BELL)))
    session, url = sandbox.session(), sandbox.access().systems["jobs"]["url"]
    bad, good = Refuser(*[("204 ", [])] * 9), Refuser(*[("204 ", [])] * 9)
    for path, subscriber, more in (("/bad", bad, {"secret": "whsec_%%%"}), ("/good", good, {})):
        sandbox.mount(f"http://127.0.0.1:9{path}", subscriber)
        body = {"url": f"http://127.0.0.1:9{path}", "events": ["bell.rung"], **more}
        session.post(f"{url}/webhook-subscriptions", json=body).raise_for_status()
    for _ in range(3):
        session.post(f"{url}/rings", json={}).raise_for_status()
    sandbox.run(1)
    assert (bad.calls, good.calls) == (0, 3)
    told = [entry["answer"] for entry in sandbox.world().entries() if entry["kind"] == "delivery"]
    assert ["error" in answer for answer in told].count(True) == 3
    sandbox.close()


def test_journal_tells_each_attempt(world: Any, receiver: Any, until: Until) -> None:
    subscription = subscribe(world, receiver.url)
    world.order()
    (received,) = receiver.wait(1)
    (entry,) = until(lambda: attempts(world))
    assert entry["address"] == {
        "event": "order.paid",
        "key": "2025-4471",
        "occurrence": 1,
        "subscriber": subscription["id"],
    }
    assert entry["event_id"] == received.headers["webhook-id"]
    assert (entry["attempt"], entry["fault"], entry["answer"]["status"]) == (1, None, 204)
    assert entry["request"]["url"] == receiver.url
    assert entry["request"]["headers"]["webhook-id"] == entry["event_id"]
    assert entry["request"]["body"]["data"]["amount_net"] == 1290.0
    placed = world.journal(operation="place_order")[0]
    assert placed["events"][-1] == entry["event_id"]
    assert json.loads(received.body)["data"]["buyer"]["name"] not in json.dumps(entry)
