"""The shop, written plainly on stock Connexion by its specification."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import connexion

from tests.differential.plain import Kept, Memory, Refused, Shelf, Told, cents

Document = dict[str, Any]
MADE_UP = ("items", "buyer", "billing_address", "delivery_address")


class PlainShop:
    """Its operations, by their ids.

    Args:
        records: What it begins with: products and stock levels.
    """

    def __init__(self, told: Told, records: dict[str, list[Document]]) -> None:
        self._told = told
        self._orders, self._products, self._stock, self._subscriptions = (Shelf(told) for _ in range(4))
        self._memory = Memory(told)
        self._customers: dict[str, dict[str, Any]] = {}
        for product in records["products"]:
            self._products.add(product["sku"], product)
        for level in records["stock_levels"]:
            self._stock.add(level["sku"], level)

    def list_products(self, limit: int, cursor: str | None = None) -> Any:
        found, headers = self._products.page(limit, cursor)
        return {"products": found}, 200, headers

    def get_product(self, sku: str) -> Any:
        return self._products.get(sku).body

    def get_stock_level(self, sku: str) -> Any:
        return self._stock.get(sku).body

    def set_stock_level(self, sku: str, body: Document) -> Any:
        return self._stock.save(self._stock.get(sku), level=body["level"]).body

    def place_order(self, body: Document) -> Any:
        return self._memory.once("place_order", body, lambda: self._place(body))

    def _place(self, body: Document) -> Any:
        total = cents(body["amount_net"])
        for item in body.get("items", ()):
            cents(item["unit_price_net"])
        if "items" in body and not _agree(body["items"], body["line_items"], total):
            raise Refused(400, "items-mismatch")
        if self._orders.find(body["order_number"]) is not None:
            raise Refused(409, "already-exists")
        stamp = self._told.timestamp
        order = {
            **self._made_up(body, total),
            "status": "paid" if body["paid"] else "placed",
            "fulfilment": {"status": "open", "updated_at": stamp},
            "created_at": stamp,
            "updated_at": stamp,
            **({"paid_at": stamp} if body["paid"] else {}),
        }
        kept = self._orders.add(body["order_number"], order)
        where = f"{connexion.request.scope['path']}/{body['order_number']}"
        return order, 201, {**kept.tag, "Location": where}

    def _made_up(self, body: Document, total: int) -> Document:
        """The order with what the shop has on file, as it is told, and holds against its rules."""
        told = self._told.answer
        if not isinstance(told, dict) or not set(MADE_UP) <= set(told):
            raise AssertionError("the other system places no order")
        customer = self._customers.setdefault(body["customer"], {})
        for name in {"buyer", "billing_address", "delivery_address"} - set(body):
            ignored = ("name",) if name == "delivery_address" else ()
            on_file = {field: value for field, value in told[name].items() if field not in ignored}
            assert customer.setdefault(name, on_file) == on_file, f"the same customer has another {name}"
        if "items" not in body:
            assert _agree(told["items"], body["line_items"], total), "the items made up do not agree with the order"
            assert all(item["sku"] in {one.body["sku"] for one in self._products.all()} for item in told["items"])
        items = [
            {
                **{name: item[name] for name in ("sku", "description", "quantity", "unit_price_net", "tax_rate")},
                "line_item_id": shown["line_item_id"],
                "net_amount": item["quantity"] * cents(item["unit_price_net"]) / 100,
                "status": "active",
            }
            for item, shown in zip(body.get("items", told["items"]), told["items"], strict=True)
        ]
        assert len({item["line_item_id"] for item in items}) == len(items), "two items of one id"
        return {**{name: told[name] for name in MADE_UP}, **body, "items": items}

    def list_orders(
        self, limit: int, cursor: str | None = None, status: str | None = None, updated_since: str | None = None
    ) -> Any:
        since = 0.0 if updated_since is None else _moment(updated_since)

        def wanted(kept: Kept) -> bool:
            return kept.changed >= since and status in (None, kept.body["status"])

        found, headers = self._orders.page(limit, cursor, wanted)
        return {"orders": found}, 200, headers

    def get_order(self, order_number: str) -> Any:
        return _shown(self._orders.get(order_number))

    def pay_order(self, order_number: str) -> Any:
        kept = self._orders.get(order_number)
        _not_cancelled(kept)
        if kept.body["paid"]:
            return _shown(kept)
        return _shown(self._orders.save(kept, paid=True, status="paid", paid_at=self._told.timestamp))

    def cancel_order(self, order_number: str) -> Any:
        kept = self._orders.get(order_number)
        if kept.body["status"] == "cancelled":
            return _shown(kept)
        _open(kept)
        return _shown(self._orders.save(kept, status="cancelled", cancelled_at=self._told.timestamp))

    def replace_delivery_address(self, order_number: str, body: Document) -> Any:
        kept = self._orders.get(order_number)
        given = connexion.request.headers.get("If-Match")
        if given is None:
            raise Refused(428, "precondition-required")
        tags = [tag.strip() for tag in given.split(",")]
        if given.strip() != "*" and not all(_is_tag(tag) for tag in tags):
            raise Refused(400, "validation")
        if kept.body["delivery_address"] == body:
            return _shown(kept)
        _open(kept)
        if given.strip() != "*" and kept.tag["ETag"] not in tags:
            raise Refused(412, "precondition-failed", **kept.tag)
        return _shown(self._orders.save(kept, delivery_address=body))

    def cancel_line_item(self, order_number: str, line_item_id: str) -> Any:
        kept = self._orders.get(order_number)
        remain = [item for item in kept.body["items"] if item["status"] == "active"]
        if line_item_id not in {item["line_item_id"] for item in remain}:
            raise Refused(404, "about:blank")
        _open(kept)
        if len(remain) == 1:
            raise Refused(409, "last-line-item")
        items = [
            {**item, "status": "cancelled"} if item["line_item_id"] == line_item_id else item
            for item in kept.body["items"]
        ]
        total = sum(cents(item["net_amount"]) for item in items if item["status"] == "active") / 100
        return _shown(self._orders.save(kept, items=items, line_items=len(remain) - 1, amount_net=total))

    def get_fulfilment(self, order_number: str) -> Any:
        return self._orders.get(order_number).body["fulfilment"]

    def set_fulfilment(self, order_number: str, body: Document) -> Any:
        kept = self._orders.get(order_number)
        if {**body, "updated_at": kept.body["fulfilment"]["updated_at"]} != kept.body["fulfilment"]:
            if body["status"] != "on_hold":
                _not_cancelled(kept)
            self._orders.save(kept, fulfilment={**body, "updated_at": self._told.timestamp})
        return kept.body["fulfilment"]

    def create_webhook_subscription(self, body: Document) -> Any:
        told = self._told.answer or {}
        made = {"id": told.get("id"), "secret": told.get("secret"), **body}
        kept = self._subscriptions.add(made["id"], {**made, "status": "active", "created_at": self._told.timestamp})
        return kept.body, 201, {"Location": f"{connexion.request.scope['path']}/{made['id']}"}

    def list_webhook_subscriptions(self, limit: int, cursor: str | None = None) -> Any:
        found, headers = self._subscriptions.page(limit, cursor)
        return {"webhook_subscriptions": [_without_secret(one) for one in found]}, 200, headers

    def get_webhook_subscription(self, subscription_id: str) -> Any:
        return _without_secret(self._subscriptions.get(subscription_id).body)

    def delete_webhook_subscription(self, subscription_id: str) -> Any:
        self._subscriptions.remove(subscription_id)
        return None, 204


def _shown(kept: Kept) -> Any:
    return kept.body, 200, kept.tag


def _without_secret(subscription: Document) -> Document:
    return {name: value for name, value in subscription.items() if name != "secret"}


def _agree(items: Iterable[Document], count: int, total: int) -> bool:
    amounts = [item["quantity"] * cents(item["unit_price_net"]) for item in items]
    return len(amounts) == count and sum(amounts) == total


def _not_cancelled(kept: Kept) -> None:
    if kept.body["status"] == "cancelled":
        raise Refused(409, "order-cancelled")


def _open(kept: Kept) -> None:
    _not_cancelled(kept)
    if kept.body["fulfilment"]["status"] in ("shipped", "delivered"):
        raise Refused(409, "order-shipped")


def _is_tag(text: str) -> bool:
    return len(text.removeprefix("W/")) >= 2 and text.removeprefix("W/")[0] == text[-1] == '"'


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC).timestamp()
    except ValueError:
        raise Refused(400, "validation") from None
