"""What we book in accounting: one invoice for each paid order, and what takes it back when the order shrinks."""

from __future__ import annotations

from sandbox.integrator.client import Client
from sandbox.integrator.document import Json, pick
from sandbox.integrator.failures import Refused, Transient
from sandbox.integrator.order import LINE, Order, lines_without

__all__ = ["Accounting", "credit_note_request", "invoice_request"]


def invoice_request(order: Order) -> Json:
    """An invoice over the lines that the order has now: all that billing needs to know, and nothing else."""
    return {
        "order_number": order.number,
        "currency": order.currency,
        "customer": {"name": order.billing["name"], "billing_address": order.billing["address"]},
        "lines": order.lines,
        "amount_net": order.amount_net,
    }


def credit_note_request(order: Order, invoice_id: str, lines: list[Json]) -> Json:
    """A credit note that takes lines of an invoice back."""
    reason = "Order cancelled" if order.cancelled else "Line item cancelled"
    return {"invoice_id": invoice_id, "order_number": order.number, "reason": reason, "lines": lines}


class Accounting:
    """Accounting's API. All methods raise what `Client.call` raises.

    An invoice is known to us by its id, the lines that are not credited, and the number of credit notes on it.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def create_invoice(self, request: Json, key: str) -> Json:
        """Book an invoice."""
        answer = self._client.call("POST", "/invoices", request, key=key)
        return {"id": answer.text("id"), "lines": request["lines"], "credit_notes": 0}

    def find_invoice(self, order_number: str) -> Json | None:
        """The invoice of an order, if there is one that is not void.

        Raises:
            Refused: when there are several; a person has to say which one is right.
        """
        query = {"order_number": order_number, "limit": "100"}
        invoices = [
            invoice
            for page in self._client.pages("/invoices", query)
            for invoice in page.records("invoices")
            if invoice.get("status") != "void"
        ]
        if len(invoices) > 1:
            raise Refused(f"accounting has {len(invoices)} invoices of this order")
        if not invoices:
            return None
        try:
            invoice_id, lines, credit_notes = str(invoices[0]["id"]), _lines(invoices[0]), 0
            for page in self._client.pages("/credit-notes", query | {"invoice_id": invoice_id}):
                for note in page.records("credit_notes"):
                    lines = lines_without(lines, _lines(note))
                    credit_notes += 1
        except (KeyError, TypeError) as error:
            raise Transient("accounting: an invoice that cannot be read") from error
        return {"id": invoice_id, "lines": lines, "credit_notes": credit_notes}

    def create_credit_note(self, request: Json, key: str) -> Json:
        """Take lines of an invoice back."""
        answer = self._client.call("POST", "/credit-notes", request, key=key)
        return {"id": answer.text("id"), "lines": request["lines"]}

    def void_invoice(self, invoice_id: str, key: str) -> Json:
        """Take an invoice out of the books; says whether it is void. It cannot be when something was paid on it."""
        answer = self._client.call("POST", f"/invoices/{invoice_id}/void", key=key, expect=("invoice-paid",))
        return {"void": not answer.problem}


def _lines(record: Json) -> list[Json]:
    return [pick(line, LINE) for line in record["lines"]]
