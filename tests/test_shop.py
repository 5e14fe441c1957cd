"""The shop: what an order is made of, which state follows which, when events occur."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

# The real document; it must be accepted as it stands.
DOCUMENT = (
    b'{"order_number": "2025-4471", "customer": "Example Ltd", "amount_net": 1290.00, "currency": "EUR", '
    b'"line_items": 3, "paid": true}'
)
ITEMS = [
    {"sku": "CHAIR-OAK", "description": "Oak desk chair", "quantity": 2, "unit_price_net": 245.00, "tax_rate": 19},
    {"sku": "DESK-180", "description": "Standing desk", "quantity": 1, "unit_price_net": 650.00, "tax_rate": 19},
    {"sku": "BOOK-ERGO", "description": "Handbook", "quantity": 5, "unit_price_net": 30.00, "tax_rate": 7},
]
ADDRESS = {"name": "Ada", "street": "1 New Street", "postal_code": "BS1 1AA", "city": "Bristol", "country": "GB"}


def refused(answer: Any, status: int, pointer: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if pointer is not None:
        assert pointer in [error["pointer"] for error in answer.json()["errors"]]


def events(world: Any, operation: str) -> list[int]:
    """How many events each call of an operation emitted."""
    return [len(entry["events"]) for entry in world.journal(operation=operation)]


def test_the_real_document(world: Any) -> None:
    answer = world.shop("POST", "/orders", DOCUMENT)
    assert answer.status_code == 201
    order = answer.json()
    assert {
        "order_number": "2025-4471",
        "customer": "Example Ltd",
        "amount_net": 1290.00,
        "currency": "EUR",
        "line_items": 3,
        "paid": True,
        "status": "paid",
    }.items() <= order.items()
    assert answer.headers["location"] == f"/w/{world.name}/shop/orders/2025-4471"
    assert world.shop("GET", "/orders/2025-4471").json() == order
    assert events(world, "place_order") == [2]


@pytest.mark.parametrize(
    ("amount", "count"),
    [(1290.00, 3), (1.00, 100), (1.01, 100), (1000000.00, 1), (999999.99, 97), (33.33, 7), (1.0, 1)],
)
def test_items_add_up(world: Any, amount: float, count: int) -> None:
    order = world.order(amount_net=amount, line_items=count)
    assert len(order["items"]) == order["line_items"] == count
    nets = [Decimal(str(item["net_amount"])) for item in order["items"]]
    assert sum(nets) == Decimal(str(amount))
    assert min(nets) > 0
    for item in order["items"]:
        assert Decimal(str(item["unit_price_net"])) * item["quantity"] == Decimal(str(item["net_amount"]))
    assert len({item["line_item_id"] for item in order["items"]}) == count


def test_same_customer_same_buyer(world: Any) -> None:
    first, second, other = world.order("A"), world.order("B"), world.order("C", customer="Other GmbH")
    for name in ("buyer", "billing_address", "delivery_address"):
        assert first[name] == second[name]
    assert first["buyer"]["email"] != other["buyer"]["email"]
    assert first["items"] != second["items"]


def test_what_is_sent_is_kept(world: Any) -> None:
    sent = {"items": ITEMS, "delivery_address": ADDRESS, "buyer": {"name": "Ada", "email": "ada@example.com"}}
    order = world.order(**sent)
    assert order["delivery_address"] == ADDRESS
    assert order["buyer"] == sent["buyer"]
    assert [item["net_amount"] for item in order["items"]] == [490.0, 650.0, 150.0]
    assert order["billing_address"]["name"] == "Example Ltd"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"items": ITEMS[:2]}, "/line_items"),
        ({"items": ITEMS, "line_items": 2}, "/line_items"),
        ({"items": ITEMS, "amount_net": 1290.01}, "/amount_net"),
        ({"amount_net": 0.99}, "/amount_net"),
        ({"amount_net": 12.345}, "/amount_net"),
        ({"amount_net": "1290.00"}, "/amount_net"),
        ({"line_items": 0}, "/line_items"),
        ({"line_items": 101}, "/line_items"),
        ({"line_items": 2.5}, "/line_items"),
        ({"currency": "DM"}, "/currency"),
        ({"order_number": ""}, "/order_number"),
        ({"customer": " x"}, "/customer"),
        ({"colour": "blue"}, "/colour"),
        ({"status": "paid"}, "/status"),
        ({"buyer": {"name": "Ada"}}, "/buyer/email"),
        ({"buyer": {"name": "Ada", "email": "no address"}}, "/buyer/email"),
        ({"delivery_address": ADDRESS | {"country": "Germany"}}, "/delivery_address/country"),
    ],
)
def test_wrong_orders(world: Any, changes: dict[str, Any], pointer: str) -> None:
    body = {
        "order_number": "W-1",
        "customer": "C",
        "amount_net": 1290.0,
        "currency": "EUR",
        "line_items": 3,
        "paid": True,
    }
    refused(world.shop("POST", "/orders", body | changes), 400, pointer)
    assert "orders" not in world.state("shop")


def test_order_number_is_unique(world: Any) -> None:
    world.order()
    answer = world.shop("POST", "/orders", DOCUMENT)
    refused(answer, 409, "/order_number")
    assert len(world.state("shop")["orders"]) == 1
    assert events(world, "place_order") == [2, 0]


def test_paying(world: Any) -> None:
    order = world.order(paid=False)
    assert (order["paid"], order["status"], "paid_at" in order) == (False, "placed", False)
    paid = world.shop("POST", "/orders/2025-4471/pay").json()
    assert (paid["paid"], paid["status"], "paid_at" in paid) == (True, "paid", True)
    assert world.shop("POST", "/orders/2025-4471/pay").json() == paid
    assert events(world, "place_order") == [1]
    assert events(world, "pay_order") == [1, 0]


def test_cancelling(world: Any) -> None:
    world.order()
    cancelled = world.shop("POST", "/orders/2025-4471/cancel").json()
    assert (cancelled["status"], "cancelled_at" in cancelled) == ("cancelled", True)
    assert world.shop("POST", "/orders/2025-4471/cancel").json() == cancelled
    assert events(world, "cancel_order") == [1, 0]
    refused(world.shop("POST", "/orders/2025-4471/pay"), 409)
    refused(world.shop("DELETE", f"/orders/2025-4471/line-items/{cancelled['items'][0]['line_item_id']}"), 409)
    refused(world.shop("PUT", "/orders/2025-4471/fulfilment", {"status": "shipped"}), 409)
    assert world.shop("PUT", "/orders/2025-4471/fulfilment", {"status": "on_hold", "reason": "x"}).status_code == 200


@pytest.mark.parametrize("status", ["shipped", "delivered"])
def test_what_is_gone_stays_as_it_is(world: Any, status: str) -> None:
    order = world.order()
    world.shop("PUT", "/orders/2025-4471/fulfilment", {"status": status}).raise_for_status()
    refused(world.shop("POST", "/orders/2025-4471/cancel"), 409)
    refused(world.shop("DELETE", f"/orders/2025-4471/line-items/{order['items'][0]['line_item_id']}"), 409)
    refused(world.shop("PUT", "/orders/2025-4471/delivery-address", ADDRESS, If_Match="*"), 409)


def test_cancelling_line_items(world: Any) -> None:
    order = world.order(items=ITEMS)
    first, second, third = (item["line_item_id"] for item in order["items"])
    left = world.shop("DELETE", f"/orders/2025-4471/line-items/{second}").json()
    assert (left["line_items"], left["amount_net"]) == (2, 640.0)
    assert [item["status"] for item in left["items"]] == ["active", "cancelled", "active"]
    refused(world.shop("DELETE", f"/orders/2025-4471/line-items/{second}"), 404)
    refused(world.shop("DELETE", "/orders/2025-4471/line-items/li_aaaaaaaaaaaa"), 404)
    assert world.shop("DELETE", f"/orders/2025-4471/line-items/{third}").status_code == 200
    refused(world.shop("DELETE", f"/orders/2025-4471/line-items/{first}"), 409)
    assert events(world, "cancel_line_item") == [1, 0, 0, 1, 0]


def test_address_is_overwritten_completely(world: Any) -> None:
    world.order(delivery_address=ADDRESS | {"additional_line": "Gate 3"})
    moved = world.shop("PUT", "/orders/2025-4471/delivery-address", ADDRESS | {"street": "2 Quay"}, If_Match="*").json()
    assert moved["delivery_address"] == ADDRESS | {"street": "2 Quay"}
    world.shop(
        "PUT", "/orders/2025-4471/delivery-address", ADDRESS | {"street": "2 Quay"}, If_Match="*"
    ).raise_for_status()
    assert events(world, "replace_delivery_address") == [1, 0]


def test_fulfilment(world: Any) -> None:
    world.order()
    path = "/orders/2025-4471/fulfilment"
    assert world.shop("GET", path).json()["status"] == "open"
    report = {"status": "shipped", "carrier": "Parcelway", "tracking_number": "PW1"}
    answer = world.shop("PUT", path, report).json()
    assert report.items() <= answer.items()
    # The same report again is no change, so nobody who polls is told of one.
    assert world.shop("PUT", path, report).json() == answer
    assert world.shop("GET", "/orders/2025-4471").json()["fulfilment"] == answer
    assert "carrier" not in world.shop("PUT", path, {"status": "delivered"}).json()


def test_on_hold_says_why(world: Any) -> None:
    world.order()
    refused(world.shop("PUT", "/orders/2025-4471/fulfilment", {"status": "on_hold"}), 400)
    parked = world.shop("PUT", "/orders/2025-4471/fulfilment", {"status": "on_hold", "reason": "no stock"})
    assert parked.json()["reason"] == "no stock"


def test_stock(world: Any) -> None:
    level = world.shop("GET", "/products/DESK-180/stock").json()
    assert 0 <= level["level"] <= 200
    changed = world.shop("PUT", "/products/DESK-180/stock", {"level": level["level"] + 1})
    assert changed.json()["level"] == level["level"] + 1
    world.shop("PUT", "/products/DESK-180/stock", {"level": level["level"] + 1}).raise_for_status()
    assert events(world, "set_stock_level") == [1, 0]
    refused(world.shop("PUT", "/products/DESK-180/stock", {"level": -1}), 400, "/level")
    refused(world.shop("PUT", "/products/NOTHING/stock", {"level": 1}), 404)


def test_catalogue(world: Any) -> None:
    products = world.shop("GET", "/products").json()["products"]
    assert len(products) == 12
    for product in products:
        assert world.shop("GET", f"/products/{product['sku']}").json() == product
        assert world.shop("GET", f"/products/{product['sku']}/stock").status_code == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("POST", "/pay"),
        ("POST", "/cancel"),
        ("GET", "/fulfilment"),
        ("DELETE", "/line-items/li_aaaaaaaaaaaa"),
    ],
)
def test_unknown_order(world: Any, method: str, path: str) -> None:
    refused(world.shop(method, f"/orders/none{path}"), 404)
