"""An order's way through all systems.

The journey never asks what happened, only what is: it compares the order, as the shop has it now, with what was done
for it so far, and does what is missing. So it may be started as often as anybody likes, after any event, in any order,
and after any crash.
"""

from __future__ import annotations

from collections.abc import Callable

from sandbox.integrator.accounting import credit_note_request, invoice_request
from sandbox.integrator.crm import activity_request, customer_request
from sandbox.integrator.document import Json, digest
from sandbox.integrator.failures import Refused
from sandbox.integrator.ledger import Ledger
from sandbox.integrator.order import Order, lines_without
from sandbox.integrator.shipping import address_request, shipment_request
from sandbox.integrator.shop import parcel_report
from sandbox.integrator.steps import Steps
from sandbox.integrator.systems import Systems

__all__ = ["Journey"]


class Journey:
    """Brings an order to where all systems hold what follows from it.

    Args:
        began_at: When the ledger was begun, in unix seconds. Older orders may have been dealt with by a ledger that was
            lost, so for them the systems are asked what they have before anything is created.
        progressed: Called with the order's number after each step that succeeded.
    """

    def __init__(self, systems: Systems, ledger: Ledger, began_at: float, progressed: Callable[[str], None]) -> None:
        self._shop = systems.shop
        self._crm = systems.crm
        self._accounting = systems.accounting
        self._shipping = systems.shipping
        self._ledger = ledger
        self._began_at = began_at
        self._progressed = progressed

    def advance(self, order: Order) -> None:
        """Do all that the order needs now.

        Raises:
            Failure: when a step did not succeed; those before it will not be repeated.
        """
        look_first = order.created_at < self._began_at
        steps = Steps(self._ledger, order, look_first=look_first, progressed=self._progressed)
        if order.cancelled:
            self._take_back(steps, order)
        elif order.paid:
            self._register(steps, order)
            self._invoice(steps, order)
            self._ship(steps, order)

    def _register(self, steps: Steps, order: Order) -> None:
        """The CRM knows the customer, and that they placed the order."""
        customer_id = steps.take("customer", customer_request(order), self._crm.create_customer)["id"]
        steps.take(
            "activity",
            activity_request(order),
            lambda request, key: self._crm.create_activity(customer_id, request, key),
            lambda: self._crm.find_activity(customer_id, activity_request(order)),
        )

    def _invoice(self, steps: Steps, order: Order) -> None:
        """There is one invoice, over the lines that the order has now."""
        invoice = steps.take(
            "invoice",
            invoice_request(order),
            self._accounting.create_invoice,
            lambda: self._accounting.find_invoice(order.number),
        )
        if lines_without(order.lines, invoice["lines"]):
            raise Refused("the invoice lacks lines of the order")
        while surplus := lines_without(invoice["lines"], order.lines):
            invoice = self._credit(steps, order, invoice, surplus)

    def _ship(self, steps: Steps, order: Order) -> None:
        """There is one parcel, it goes to the address that the order has now, and the shop knows its number."""
        shipment = steps.take(
            "shipment",
            shipment_request(order),
            self._shipping.create_shipment,
            lambda: self._shipping.find_shipment(order.number),
        )
        recipient = digest(order.delivery)
        if shipment["recipient"] != recipient or steps.is_open("address"):
            request = address_request(order)
            steps.put("address", request, lambda address: self._shipping.replace_address(shipment["id"], address))
            shipment = steps.amend("shipment", {**shipment, "recipient": recipient})

        report = parcel_report(shipment["carrier"], shipment["tracking_number"])
        if (
            order.fulfilment.get("status") not in {"shipped", "delivered"}
            and not report.items() <= order.fulfilment.items()
        ):
            steps.put("fulfilment", report, lambda fulfilment: self._shop.set_fulfilment(order.number, fulfilment))

    def _take_back(self, steps: Steps, order: Order) -> None:
        """Nothing is left of a cancelled order but the customer. The parcel comes first, before the carrier does."""
        shipment = steps.result(
            "shipment", self._shipping.create_shipment, lambda: self._shipping.find_shipment(order.number)
        )
        if shipment is not None:
            steps.take("shipment-cancelled", {}, lambda _, key: self._shipping.cancel_shipment(shipment["id"], key))

        invoice = steps.result(
            "invoice", self._accounting.create_invoice, lambda: self._accounting.find_invoice(order.number)
        )
        if invoice is not None:
            void = steps.take("invoice-void", {}, lambda _, key: self._accounting.void_invoice(invoice["id"], key))
            if not void["void"] and invoice["lines"]:
                self._credit(steps, order, invoice, invoice["lines"])

    def _credit(self, steps: Steps, order: Order, invoice: Json, lines: list[Json]) -> Json:
        """Take lines of the invoice back and return it as it is then."""
        number = invoice["credit_notes"] + 1
        request = credit_note_request(order, invoice["id"], lines)
        note = steps.take(f"credit-note-{number}", request, self._accounting.create_credit_note)
        remaining = lines_without(invoice["lines"], note["lines"])
        return steps.amend("invoice", {**invoice, "lines": remaining, "credit_notes": number})
