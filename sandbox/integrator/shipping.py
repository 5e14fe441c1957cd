"""What we book with the carrier: one parcel for each paid order, to the address that the order has now."""

from __future__ import annotations

from sandbox.integrator.client import Answer, Client
from sandbox.integrator.document import Json, digest
from sandbox.integrator.failures import Refused, Transient
from sandbox.integrator.order import Order

__all__ = ["Shipping", "address_request", "shipment_request"]

_TOO_LATE = "wrong-status"


def shipment_request(order: Order) -> Json:
    """A parcel to the order's recipient: all that the delivery needs to know, and nothing else."""
    return {"reference": order.number, "recipient": order.delivery}


def address_request(order: Order) -> Json:
    """The order's recipient, as a new address is given to the carrier."""
    return {"name": order.delivery["name"], **order.delivery["address"]}


class Shipping:
    """The carrier's API. All methods raise what `Client.call` raises.

    A shipment is known to us by its id, carrier, tracking number, and the digest of its recipient.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def create_shipment(self, request: Json, key: str) -> Json:
        """Book a shipment."""
        answer = self._client.call("POST", "/shipments", request, key=key)
        return {
            "id": answer.text("shipment_id"),
            "carrier": answer.text("carrier"),
            "tracking_number": answer.text("tracking_number"),
            "recipient": digest(request["recipient"]),
        }

    def find_shipment(self, order_number: str) -> Json | None:
        """The shipment of an order, if there is one that is not cancelled.

        Raises:
            Refused: when there are several; a person has to say which one is right.
        """
        shipments = [
            shipment
            for page in self._client.pages("/shipments", {"reference": order_number, "limit": "100"})
            for shipment in page.records("shipments")
            if shipment.get("status") != "cancelled"
        ]
        if len(shipments) > 1:
            raise Refused(f"shipping has {len(shipments)} shipments of this order")
        if not shipments:
            return None
        try:
            names = {"id": "shipment_id", "carrier": "carrier", "tracking_number": "tracking_number"}
            return {ours: shipments[0][theirs] for ours, theirs in names.items()} | {
                "recipient": digest(shipments[0]["recipient"])
            }
        except KeyError as error:
            raise Transient("shipping: a shipment that cannot be read") from error

    def replace_address(self, shipment_id: str, request: Json) -> None:
        """Send a shipment to another address.

        Raises:
            Refused: when the carrier has it already.
        """
        answer = self._client.call("PUT", f"/shipments/{shipment_id}/address", request, expect=(_TOO_LATE,))
        _refuse_late(answer, "the address changed")

    def cancel_shipment(self, shipment_id: str, key: str) -> Json:
        """Take a shipment back.

        Raises:
            Refused: when the carrier has it already.
        """
        answer = self._client.call("POST", f"/shipments/{shipment_id}/cancel", key=key, expect=(_TOO_LATE,))
        _refuse_late(answer, "the order was cancelled")
        return {"cancelled": True}


def _refuse_late(answer: Answer, event: str) -> None:
    if answer.problem:
        raise Refused(f"{event} after the carrier had picked the parcel up", answer.status)
