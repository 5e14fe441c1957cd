"""What `specs/accounting.yaml` cannot say: sums, tax, and what may still be booked on an invoice."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

from sandbox import Problem, System

Document = dict[str, Any]

CENT: Final = Decimal("0.01")
NOTHING: Final = Decimal(0)
PAYMENT_TERM: Final = timedelta(days=14)


class Accounting(System):
    """Books invoices, payments and credit notes; like real books, it takes any number of invoices for one order."""

    def create_invoice(self, body: Document) -> Document:
        """Book an invoice whose lines add up to the stated net amount."""
        nets = _net_by_rate(body["lines"])
        stated, total = _decimal(body["amount_net"]), sum(nets.values(), NOTHING)
        if stated != total:
            detail = f"the lines add up to {total:.2f}, not to {stated:.2f}"
            raise _refusal(400, "wrong-sum", detail, {"/amount_net": f"must be {total:.2f}"})
        invoice = {
            **self._numbered("inv", "invoice_number", "INV"),
            **body,
            **_totals({rate: (net, _tax(net, rate)) for rate, net in nets.items()}),
            "amount_paid": 0.0,
            "amount_credited": 0.0,
            "due_date": (self.now + PAYMENT_TERM).date().isoformat(),
        }
        return self.invoices.add(_balanced(invoice))

    def record_payment(self, invoice_id: str, body: Document) -> Document:
        """Book money received, up to what is open."""
        invoice = _standing(self.invoices.require(invoice_id))
        amount, payable = _decimal(body["amount"]), max(_decimal(invoice["amount_open"]), NOTHING)
        if amount > payable:
            detail = f"{payable:.2f} {invoice['currency']} are open on this invoice, {amount:.2f} cannot be booked"
            errors = {"/amount": f"must be at most {payable:.2f}"}
            raise _refusal(409, "payment-exceeds-open-amount", detail, errors)
        payment = {
            "id": self.new_id("pay"),
            "received_on": self.now.date().isoformat(),
            **body,
            **{field: invoice[field] for field in ("order_number", "currency")},
            "invoice_id": invoice_id,
        }
        self._book(invoice, "amount_paid", amount)
        return self.payments.add(payment)

    def list_payments(self, invoice_id: str) -> Any:
        """The payments on an invoice that exists."""
        self.invoices.require(invoice_id)
        return self.inferred()

    def void_invoice(self, invoice_id: str) -> Document:
        """Take an unpaid invoice out of the books; one that is void stays as it is."""
        invoice = self.invoices.require(invoice_id)
        if invoice["amount_paid"]:
            raise _refusal(409, "invoice-paid", "payments are booked on this invoice; credit it instead")
        return self.invoices.save(invoice | {"status": "void", "amount_open": 0.0})

    def create_credit_note(self, body: Document) -> Document:
        """Take back at most what an invoice has left at each tax rate."""
        invoice = self._credited_invoice(body)
        earlier_notes = self.credit_notes.find(invoice_id=invoice["id"])
        earlier = _net_by_rate(line for note in earlier_notes for line in note["lines"])
        invoiced = _net_by_rate(invoice["lines"])
        parts: dict[Decimal, tuple[Decimal, Decimal]] = {}
        for rate, net in _net_by_rate(body["lines"]).items():
            before = earlier.get(rate, NOTHING)
            left = invoiced.get(rate, NOTHING) - before
            if net > left:
                limit = f"{left:.2f} {invoice['currency']} net at {rate.normalize():f} %"
                detail = f"at most {limit} are left to credit on this invoice, not {net:.2f}"
                raise _refusal(409, "credit-exceeds-invoice", detail, {"/lines": f"must not exceed {limit}"})
            # Rounding each credit note alone could end a cent above the tax of the invoice.
            parts[rate] = net, _tax(before + net, rate) - _tax(before, rate)
        note = self.credit_notes.add(
            {
                **self._numbered("cn", "credit_note_number", "CN"),
                **body,
                "currency": invoice["currency"],
                **_totals(parts),
            }
        )
        self._book(invoice, "amount_credited", _decimal(note["amount_gross"]))
        return note

    def _credited_invoice(self, body: Document) -> Document:
        invoice = self.invoices.get(body["invoice_id"])
        if invoice is None:
            detail = f"there is no invoice {body['invoice_id']!r}"
            raise _refusal(404, "unknown-invoice", detail, {"/invoice_id": "must be the id of an invoice"})
        number = invoice["order_number"]
        if body["order_number"] != number:
            detail = f"the invoice is for order {number}, not for {body['order_number']}"
            raise _refusal(409, "order-number-mismatch", detail, {"/order_number": f"must be {number}"})
        return _standing(invoice)

    def _numbered(self, prefix: str, field: str, printed: str) -> Document:
        """An id and the number made of it; a counter would make the number depend on what other calls do."""
        new_id = self.new_id(prefix)
        return {"id": new_id, field: f"{printed}-{new_id.partition('_')[2].upper()}"}

    def _book(self, invoice: Document, field: str, amount: Decimal) -> None:
        self.invoices.save(_balanced(invoice | {field: float(_decimal(invoice[field]) + amount)}))


def _refusal(status: int, kind: str, detail: str, errors: Mapping[str, str] | None = None) -> Problem:
    """A problem of this API; `errors` says by pointer what is wrong."""
    listed = [{"pointer": pointer, "detail": text} for pointer, text in (errors or {}).items()]
    return Problem(status, detail, type=kind, title=kind.replace("-", " ").capitalize(), errors=listed)


def _standing(invoice: Document) -> Document:
    if invoice["status"] == "void":
        raise _refusal(409, "invoice-void", "the invoice is void; nothing can be booked on it any more")
    return invoice


def _decimal(amount: float) -> Decimal:
    return Decimal(str(amount))


def _net_by_rate(lines: Iterable[Document]) -> dict[Decimal, Decimal]:
    nets: dict[Decimal, Decimal] = {}
    for line in lines:
        rate = _decimal(line["tax_rate"])
        nets[rate] = nets.get(rate, NOTHING) + _decimal(line["net_amount"])
    return nets


def _tax(net: Decimal, rate: Decimal) -> Decimal:
    return (net * rate / 100).quantize(CENT, ROUND_HALF_UP)


def _totals(parts: Mapping[Decimal, tuple[Decimal, Decimal]]) -> Document:
    """The amounts of a document from the net and the tax of each tax rate."""
    net = sum((net for net, _ in parts.values()), NOTHING)
    tax = sum((tax for _, tax in parts.values()), NOTHING)
    taxes = [{"tax_rate": float(rate), "net": float(n), "tax": float(t)} for rate, (n, t) in sorted(parts.items())]
    return {"taxes": taxes, "amount_net": float(net), "amount_tax": float(tax), "amount_gross": float(net + tax)}


def _balanced(invoice: Document) -> Document:
    """The invoice with open amount and status worked out from what was paid and credited."""
    settled = _decimal(invoice["amount_paid"]) + _decimal(invoice["amount_credited"])
    remaining = _decimal(invoice["amount_gross"]) - settled
    return invoice | {"amount_open": float(remaining), "status": "open" if remaining > 0 else "paid"}
