"""What we ask of the shop, and what we report back to it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

from sandbox.integrator.client import Client
from sandbox.integrator.document import Json
from sandbox.integrator.failures import Refused, Transient
from sandbox.integrator.order import Order

__all__ = ["EVENTS", "Shop", "parcel_report"]

EVENTS = ["order.placed", "order.paid", "order.address_changed", "order.line_item_cancelled", "order.cancelled"]

_LONGEST_REASON = 500


def parcel_report(carrier: str, tracking_number: str) -> Json:
    """A booked parcel. It is not `shipped` before the carrier has it: until then the order can still be changed."""
    return {"status": "in_progress", "carrier": carrier, "tracking_number": tracking_number}


class Shop:
    """The shop's API. All methods raise what `Client.call` raises."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def order(self, order_number: str) -> Order:
        """The order as it stands now."""
        try:
            return Order.parse(self._client.call("GET", f"/orders/{quote(order_number, safe='')}").body)
        except Refused as refusal:
            if refusal.status == 404:
                # We never ask for an order that the shop did not announce, so its answer is out of date.
                raise Transient(str(refusal)) from refusal
            raise

    def orders_changed_since(self, since: float | None) -> Iterator[Json]:
        """The documents of all orders that changed at a time (unix seconds) or later; of all orders, if it is None."""
        params = {"limit": "100"}
        if since is not None:
            params["updated_since"] = f"{datetime.fromtimestamp(since, tz=UTC):%Y-%m-%dT%H:%M:%S}.000Z"
        for page in self._client.pages("/orders", params):
            yield from page.records("orders")

    def set_fulfilment(self, order_number: str, fulfilment: Json) -> None:
        """Report how far the order has come."""
        self._client.call("PUT", f"/orders/{quote(order_number, safe='')}/fulfilment", fulfilment)

    def put_on_hold(self, order_number: str, reason: str) -> None:
        """Park the order where people see it."""
        printable = "".join(character if character.isprintable() else " " for character in reason)
        self.set_fulfilment(order_number, {"status": "on_hold", "reason": printable[:_LONGEST_REASON]})

    def subscribe(self, url: str, secret: str) -> None:
        """Have the events of orders delivered to a URL, unless that is so already."""
        for page in self._client.pages("/webhook-subscriptions", {"limit": "100"}):
            for known in page.records("webhook_subscriptions"):
                same = (known.get("url"), known.get("status")) == (url, "active")
                if same and set(EVENTS) <= set(known.get("events", ())):
                    return
        self._client.call("POST", "/webhook-subscriptions", {"url": url, "events": EVENTS, "secret": secret})
