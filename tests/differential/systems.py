"""Which systems are compared, and what has to be known of each to ask it sensible things."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.differential.plain import Told, cents
from tests.differential.plain_accounting import PlainAccounting
from tests.differential.plain_shop import PlainShop


@dataclass(frozen=True)
class Kind:
    """A system.

    Attributes:
        make: The plain one, which begins with the records of ours.
        credential: The header that shows who calls, from what `sandbox env` says.
        first: A path that anybody who may call may read.
        sensible: Makes a body that was drawn agree with itself.
        beside: What is drawn seldom or never.
        often: How much more often than others an operation is called.
        statuses: What two thousand requests must have met.
    """

    make: Callable[[Told, dict[str, list[Any]]], Any]
    credential: Callable[[Mapping[str, str]], tuple[str, str]]
    first: str
    sensible: Callable[[str, Any, random.Random], Any]
    beside: tuple[str, ...]
    often: Mapping[str, int]
    statuses: frozenset[int]


def _order(operation: str, body: Any, chance: random.Random) -> Any:
    """Mostly, the number is new, and the items add up."""
    if operation != "place_order":
        return body
    if chance.random() < 0.7:
        body["order_number"] = f"N{chance.getrandbits(32):x}"
    if "items" in body and chance.random() < 0.7:
        body["line_items"] = len(body["items"])
        body["amount_net"] = sum(cents(item["unit_price_net"]) * item["quantity"] for item in body["items"]) / 100
    return body


def _booking(operation: str, body: Any, chance: random.Random) -> Any:
    """Mostly, invoices add up, payments are small, and of an invoice no more is credited than one of its lines."""
    if operation == "create_invoice" and chance.random() < 0.8:
        body["amount_net"] = sum(cents(line["net_amount"]) for line in body["lines"]) / 100
    if operation == "record_payment" and chance.random() < 0.6:
        body["amount"] = chance.randint(1, 100) / 100
    if operation == "create_credit_note" and chance.random() < 0.6:
        body["lines"] = [chance.choice(body["lines"])]
        body["lines"][0]["net_amount"] = cents(body["lines"][0]["net_amount"]) // chance.randint(1, 4) / 100
    return body


SYSTEMS = {
    "shop": Kind(
        PlainShop,
        lambda access: ("X-Shop-Api-Key", access["api_key"]),
        "/products",
        _order,
        ("GET /shop/nothing", "PATCH /shop/orders", "DELETE /shop/orders/1/pay", "GET /shop/orders/a%0Ab"),
        {"place_order": 5, "list_orders": 2, "replace_delivery_address": 2, "cancel_line_item": 2},
        frozenset({200, 201, 204, 400, 401, 404, 405, 409, 412, 415, 422, 428}),
    ),
    "accounting": Kind(
        PlainAccounting,
        lambda access: ("Authorization", f"Bearer {access['token']}"),
        "/invoices",
        _booking,
        ("GET /accounting/nothing", "PUT /accounting/invoices", "GET /accounting/invoices/a%0Ab"),
        {"create_invoice": 8, "create_credit_note": 4, "record_payment": 3},
        frozenset({200, 201, 400, 401, 404, 405, 409, 415, 422}),
    ),
}
