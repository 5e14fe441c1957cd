"""What specs/shop.yaml cannot say: what an order is made of, which state follows which, and when events occur."""

from __future__ import annotations

import re
from functools import partial
from itertools import pairwise
from typing import Any, Final

from sandbox import Problem, SeededFaker, System

Document = dict[str, Any]

# SKU, name, list price in cents, tax rate in percent
CATALOGUE: Final = (
    ("DESK-180", "Standing desk, 180 cm", 65000, 19),
    ("DESK-120", "Standing desk, 120 cm", 48900, 19),
    ("CHAIR-OAK", "Oak desk chair", 24500, 19),
    ("CHAIR-MESH", "Office chair with mesh back", 31900, 19),
    ("LAMP-ARC", "Desk lamp with arc arm", 8950, 19),
    ("SHELF-5", "Bookshelf with five boards", 17900, 19),
    ("CABINET-3", "Cabinet with three drawers", 22900, 19),
    ("MAT-XL", "Desk mat, extra large", 3490, 19),
    ("BOOK-ERGO", "Handbook of ergonomics", 3000, 7),
    ("BOOK-WORK", "A year of better work", 2450, 7),
    ("COFFEE-1K", "Coffee beans, 1 kg", 1890, 7),
    ("STAMPS-100", "Postage stamps, sheet of 100", 9500, 0),
)
CITIES: Final = (("Bristol", "BS"), ("Cardiff", "CF"), ("Leeds", "LS"), ("Norwich", "NR"), ("Oxford", "OX"))
QUANTITIES: Final = (1, 2, 3, 4, 5, 6, 10)
GONE: Final = ("shipped", "delivered")


class Shop(System):
    """An online shop with orders, line items, fulfilment and a small catalogue."""

    def populate(self) -> None:
        for sku, name, price, tax_rate in CATALOGUE:
            self.products.add(
                {"sku": sku, "name": name, "unit_price_net": _amount(price), "currency": "EUR", "tax_rate": tax_rate}
            )
            self.stock_levels.add({"sku": sku, "level": self.random.randint(0, 200)})

    def place_order(self, body: Document) -> Document:
        customer, paid = body["customer"], body["paid"]
        items = self._items_sent(body) if "items" in body else self._items_of_catalogue(body)
        buyer = body.get("buyer") or self.seeded("buyer", customer).once(partial(_buyer, customer))
        order = self.orders.add(
            {
                "billing_address": {"name": customer, **self.seeded("billing address", customer).once(_address)},
                "delivery_address": {"name": buyer["name"], **self.seeded("delivery address", customer).once(_address)},
                **body,
                "buyer": buyer,
                "items": items,
                "status": "paid" if paid else "placed",
                "fulfilment": {"status": "open", "updated_at": self.timestamp},
                **({"paid_at": self.timestamp} if paid else {}),
            }
        )
        self.emit("order.placed", order)
        if paid:
            self.emit("order.paid", order)
        return order

    def pay_order(self, order_number: str) -> Document:
        order = self.orders.require(order_number)
        _refuse_if_cancelled(order)
        if order["paid"]:
            return order
        order = self.orders.save({**order, "paid": True, "status": "paid", "paid_at": self.timestamp})
        self.emit("order.paid", order)
        return order

    def cancel_order(self, order_number: str) -> Document:
        order = self.orders.require(order_number)
        if order["status"] == "cancelled":
            return order
        _refuse_if_closed(order)
        order = self.orders.save({**order, "status": "cancelled", "cancelled_at": self.timestamp})
        self.emit("order.cancelled", order)
        return order

    def replace_delivery_address(self, order_number: str, body: Document) -> Document:
        order = self.orders.require(order_number)
        if order["delivery_address"] == body:
            return order
        _refuse_if_closed(order)
        order = self.orders.save({**order, "delivery_address": body})
        self.emit("order.address_changed", order)
        return order

    def cancel_line_item(self, order_number: str, line_item_id: str) -> Document:
        order = self.orders.require(order_number)
        active = {item["line_item_id"]: item for item in order["items"] if item["status"] == "active"}
        if line_item_id not in active:
            raise Problem(404, f"order {order_number} has no active line item {line_item_id}")
        _refuse_if_closed(order)
        if len(active) == 1:
            raise Problem(409, "this is the last line item; cancel the order instead", type="last-line-item")
        cancelled = active.pop(line_item_id)
        cancelled["status"] = "cancelled"
        order["line_items"] = len(active)
        order["amount_net"] = _amount(sum(_cents(item["net_amount"]) for item in active.values()))
        order = self.orders.save(order)
        self.emit("order.line_item_cancelled", {**order, "line_item_id": line_item_id})
        return order

    def get_fulfilment(self, order_number: str) -> Any:
        return self.orders.require(order_number)["fulfilment"]

    def set_fulfilment(self, order_number: str, body: Document) -> Any:
        order = self.orders.require(order_number)
        present = {name: value for name, value in order["fulfilment"].items() if name != "updated_at"}
        if body != present:
            if body["status"] != "on_hold":
                _refuse_if_cancelled(order)
            order = self.orders.save({**order, "fulfilment": {**body, "updated_at": self.timestamp}})
        return order["fulfilment"]

    def _items_sent(self, body: Document) -> list[Document]:
        items = [self._item(**item) for item in body["items"]]
        if len(items) != body["line_items"]:
            raise _mismatch("line_items", f"{len(items)}, the number of items")
        total = sum(_cents(item["net_amount"]) for item in items)
        if total != _cents(body["amount_net"]):
            raise _mismatch("amount_net", f"{_amount(total):.2f}, the sum of the items")
        return items

    def _items_of_catalogue(self, body: Document) -> list[Document]:
        """Split the net amount at random cents; the spec's bounds leave at least one cent for each item."""
        total, count = _cents(body["amount_net"]), body["line_items"]
        cuts = [0, *sorted(self.random.sample(range(1, total), count - 1)), total]
        parts = [right - left for left, right in pairwise(cuts)]
        chosen = self.random.choices(self.products.ids(), k=count)
        return [self._bought(self.products.require(sku), part) for sku, part in zip(chosen, parts, strict=True)]

    def _bought(self, product: Document, net: int) -> Document:
        quantity = self.random.choice([number for number in QUANTITIES if net % number == 0])
        return self._item(product["sku"], product["name"], quantity, _amount(net // quantity), product["tax_rate"])

    def _item(self, sku: str, description: str, quantity: int, unit_price_net: float, tax_rate: float) -> Document:
        return {
            "line_item_id": self.new_id("li"),
            "sku": sku,
            "description": description,
            "quantity": quantity,
            "unit_price_net": unit_price_net,
            "net_amount": _amount(_cents(unit_price_net) * quantity),
            "tax_rate": tax_rate,
            "status": "active",
        }


def _buyer(customer: str, faker: SeededFaker) -> Document:
    """Who orders for this customer; the e-mail is in a domain of the customer, lest two customers share one."""
    first, last = faker.first_name(), faker.last_name()
    domain = re.sub(r"[^a-z0-9]+", "-", customer.lower())[:50].strip("-") or "customer"
    born = (faker.random_int(1950, 2003), faker.random_int(1, 12), faker.random_int(1, 28))
    return {
        "name": f"{first} {last}",
        "email": re.sub(r"[^a-z.]", "", f"{first}.{last}".lower()) + f"@{domain}.example",
        "phone": faker.numerify("+44 20 7946 0###"),
        "date_of_birth": "{}-{:02}-{:02}".format(*born),
    }


def _address(faker: SeededFaker) -> Document:
    city, area = faker.random_element(CITIES)
    return {
        "street": faker.street_address(),
        "postal_code": faker.bothify(f"{area}% #??", letters="ABDEFGHJLNPQRSTUWXYZ"),
        "city": city,
        "country": "GB",
    }


def _refuse_if_cancelled(order: Document) -> None:
    if order["status"] == "cancelled":
        raise Problem(409, f"order {order['order_number']} is cancelled", type="order-cancelled")


def _refuse_if_closed(order: Document) -> None:
    _refuse_if_cancelled(order)
    if (status := order["fulfilment"]["status"]) in GONE:
        raise Problem(409, f"order {order['order_number']} is {status} already", type="order-shipped")


def _mismatch(field: str, wanted: str) -> Problem:
    errors = [{"pointer": f"/{field}", "detail": f"must be {wanted}"}]
    return Problem(400, f"{field} contradicts the items: it must be {wanted}", type="items-mismatch", errors=errors)


def _cents(amount: float) -> int:
    return round(amount * 100)


def _amount(cents: int) -> float:
    return cents / 100
