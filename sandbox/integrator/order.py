"""The order as the shop tells it: the one document from which follows what all other systems should hold."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from sandbox.integrator.document import Json, digest, pick, unix_time
from sandbox.integrator.failures import Transient

__all__ = ["LINE", "Order", "lines_without"]

# What all systems say about a line; the shop's own fields stay in the shop.
LINE = ("description", "quantity", "net_amount", "tax_rate")

_ADDRESS = ("street", "postal_code", "city", "country")


@dataclass(frozen=True)
class Order:
    """What the journey needs to know of an order.

    Args:
        lines: The items that were not cancelled.
        buyer: Name and e-mail address of the person who ordered.
        billing: Name and address for the invoice.
        delivery: Name and address for the parcel.
        fulfilment: What the shop was last told about the parcel.
        created_at: In unix seconds, as is `updated_at`.
        fingerprint: Changes whenever something changes that the journey depends on.
    """

    number: str
    paid: bool
    cancelled: bool
    currency: str
    lines: list[Json]
    buyer: Json
    billing: Json
    delivery: Json
    fulfilment: Json
    created_at: float
    updated_at: float
    fingerprint: str

    @classmethod
    def parse(cls, document: Json) -> Self:
        """Read the shop's document; fields that are not needed are ignored.

        Raises:
            Transient: when a needed field is missing or unusable: the next answer may be a better one.
        """
        try:
            relevant: Json = {
                "number": document["order_number"],
                "paid": document["paid"],
                "cancelled": document["status"] == "cancelled",
                "currency": document["currency"],
                "lines": [pick(item, LINE) for item in document["items"] if item["status"] != "cancelled"],
                "buyer": pick(document["buyer"], ("name", "email")),
                "billing": _party(document["billing_address"]),
                "delivery": _party(document["delivery_address"]),
            }
            return cls(
                **relevant,
                fulfilment=dict(document["fulfilment"]),
                created_at=unix_time(document["created_at"]),
                updated_at=unix_time(document["updated_at"]),
                fingerprint=digest([relevant, document["created_at"]]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise Transient(f"shop: an order that cannot be read: {type(error).__name__}") from error

    @property
    def amount_net(self) -> float:
        """The sum of the lines, exact to the cent."""
        return float(sum((Decimal(str(line["net_amount"])) for line in self.lines), Decimal(0)))


def lines_without(lines: list[Json], others: list[Json]) -> list[Json]:
    """The lines that have no counterpart among the others; two equal lines need two counterparts."""
    left = list(others)
    missing = []
    for line in lines:
        if line in left:
            left.remove(line)
        else:
            missing.append(line)
    return missing


def _party(record: Json) -> Json:
    extra = pick(record, ("additional_line",)) if record.get("additional_line") else {}
    return {"name": record["name"], "address": extra | pick(record, _ADDRESS)}
