"""Webhooks, received over real HTTP and checked by the text of Standard Webhooks 1.0.0 alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

Until = Callable[[Callable[[], Any]], Any]

OWN_SECRET = "whsec_" + base64.b64encode(b"my own secret of 24 byte").decode()
ORDER_EVENTS = ["order.placed", "order.paid"]
ADDRESS = {"name": "Ada", "street": "1 New Street", "postal_code": "BS1 1AA", "city": "Bristol", "country": "GB"}


@pytest.fixture
def world(world: Any) -> Any:
    """Time stands still, so that nothing is retried unless the test moves it."""
    return world.frozen()


def test_signed_with_the_default_secret(world: Any, receiver: Any) -> None:
    subscription = world.subscribe(receiver.url)
    assert subscription["secret"] == world.access.webhook_secret == world.access.environment()["WEBHOOK_SECRET"]
    order = world.order()
    (received,) = receiver.wait(1)
    assert received.signed_with(world.access.webhook_secret)
    assert received.headers["content-type"] == "application/json"
    assert received.json().keys() == {"type", "timestamp", "data"}
    assert received.json()["type"] == "order.paid"
    assert received.json()["data"] == order


def test_signed_with_its_own_secret(world: Any, receiver: Any) -> None:
    created = world.subscribe(receiver.url, secret=OWN_SECRET)
    assert created["secret"] == OWN_SECRET
    world.order()
    (received,) = receiver.wait(1)
    assert received.signed_with(OWN_SECRET)
    assert not received.signed_with(world.access.webhook_secret)
    # The answer to the subscription was the only one that shows it.
    read = world.shop("GET", f"/webhook-subscriptions/{created['id']}").json()
    listed = world.shop("GET", "/webhook-subscriptions").json()["webhook_subscriptions"]
    assert "secret" not in read
    assert listed == [read]


def test_only_what_was_subscribed_to_in_the_order_it_happened(world: Any, receiver: Any, until: Until) -> None:
    world.subscribe(receiver.url, "order.placed", "order.paid", "order.cancelled")
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
    assert [(each["event"], each["key"]) for each in world.deliveries()] == expected
    until(lambda: all(each["state"] == "delivered" for each in world.deliveries()))
    assert len({each.headers["webhook-id"] for each in receiver.received}) == 5


def test_every_event_of_the_shop(world: Any, receiver: Any) -> None:
    events = [*ORDER_EVENTS, "order.address_changed", "order.line_item_cancelled", "order.cancelled", "stock.changed"]
    world.subscribe(receiver.url, *events)
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
        assert each.signed_with(world.access.webhook_secret)
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
    assert [each["key"] for each in world.deliveries()] == ["2025-4471", "2025-4471"]


def test_refused_call_emits_nothing(world: Any, receiver: Any) -> None:
    world.subscribe(receiver.url, "order.placed")
    world.order("B-1")
    assert world.shop("POST", "/orders", world.shop("GET", "/orders/B-1").json()).status_code == 400
    body = {"order_number": "B-1", "customer": "C", "amount_net": 9.0, "currency": "EUR", "line_items": 1, "paid": True}
    assert world.shop("POST", "/orders", body).status_code == 409
    world.order("B-2")
    assert [each.json()["data"]["order_number"] for each in receiver.wait(2)] == ["B-1", "B-2"]


def test_nothing_is_sent_once_unsubscribed(world: Any, receiver: Any, until: Until) -> None:
    receiver.answers(500)
    subscription = world.subscribe(receiver.url)
    other = world.subscribe(receiver.url.replace("/webhooks", "/other"), "order.cancelled")
    world.order("H-1")
    until(lambda: world.delivery("pending", 2))
    world.shop("DELETE", f"/webhook-subscriptions/{subscription['id']}").raise_for_status()
    world.advance(86400)
    world.order("H-2")
    world.shop("POST", "/orders/H-2/cancel").raise_for_status()
    assert [each.path for each in receiver.wait(2)] == ["/webhooks", "/other"]
    until(lambda: [each["state"] for each in world.deliveries()] == ["cancelled", "delivered"])
    assert [each["subscriber"] for each in world.deliveries()] == [subscription["id"], other["id"]]


def test_reset_world_sends_nothing_more(world: Any, receiver: Any, until: Until) -> None:
    receiver.answers(500)
    world.subscribe(receiver.url)
    world.order("I-1")
    until(lambda: world.delivery("pending", 2))
    world.control("POST", "/reset").raise_for_status()
    assert world.deliveries() == []
    world.advance(86400)
    world.subscribe(receiver.url)
    world.order("I-2")
    assert [each.json()["data"]["order_number"] for each in receiver.wait(2)] == ["I-1", "I-2"]


def test_journal_tells_each_attempt(world: Any, receiver: Any, until: Until) -> None:
    subscription = world.subscribe(receiver.url)
    world.order()
    (received,) = receiver.wait(1)
    (entry,) = until(lambda: world.journal(kind="delivery"))
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
