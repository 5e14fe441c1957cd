"""The accounting system, written plainly on stock Connexion by its specification."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import connexion

from tests.differential.plain import Kept, Memory, Refused, Shelf, Told, cents

Document = dict[str, Any]


class PlainAccounting:
    """Its operations, by their ids; it begins with nothing."""

    def __init__(self, told: Told, _: Mapping[str, Any]) -> None:
        self._told = told
        self._invoices, self._payments, self._notes = (Shelf(told) for _ in range(3))
        self._memory = Memory(told)

    @property
    def _today(self) -> date:
        return datetime.fromtimestamp(self._told.now, UTC).date()

    def create_invoice(self, body: Document) -> Any:
        return self._memory.once("create_invoice", body, lambda: self._create_invoice(body), required=True)

    def _create_invoice(self, body: Document) -> Any:
        stated = cents(body["amount_net"])
        nets = _nets(body["lines"])
        if sum(nets.values()) != stated:
            raise Refused(400, "wrong-sum")
        told, stamp = self._told.answer or {}, self._told.timestamp
        invoice = {
            **{name: told.get(name) for name in ("id", "invoice_number")},
            **body,
            **_totals({rate: (net, _tax(net, rate)) for rate, net in nets.items()}),
            "amount_paid": 0,
            "amount_credited": 0,
            "due_date": (self._today + timedelta(days=14)).isoformat(),
            "created_at": stamp,
            "updated_at": stamp,
        }
        self._invoices.add(invoice["id"], {**invoice, **_balance(invoice)})
        where = f"{connexion.request.scope['path']}/{invoice['id']}"
        return self._invoices.get(invoice["id"]).body, 201, {"Location": where}

    def list_invoices(
        self, limit: int, cursor: str | None = None, order_number: str | None = None, status: str | None = None
    ) -> Any:
        found, headers = self._invoices.page(limit, cursor, _with(order_number=order_number, status=status))
        return {"invoices": found}, 200, headers

    def get_invoice(self, invoice_id: str) -> Any:
        return self._invoices.get(invoice_id).body

    def record_payment(self, invoice_id: str, body: Document) -> Any:
        payload = (invoice_id, body)
        return self._memory.once("record_payment", payload, lambda: self._record_payment(invoice_id, body))

    def _record_payment(self, invoice_id: str, body: Document) -> Any:
        amount = cents(body["amount"])
        kept = _standing(self._invoices.get(invoice_id))
        if amount > max(0, cents(kept.body["amount_open"])):
            raise Refused(409, "payment-exceeds-open-amount")
        payment = {
            "received_on": self._today.isoformat(),
            **body,
            "id": (self._told.answer or {}).get("id"),
            "invoice_id": invoice_id,
            "order_number": kept.body["order_number"],
            "currency": kept.body["currency"],
            "created_at": self._told.timestamp,
        }
        self._book(kept, "amount_paid", amount)
        return self._payments.add(payment["id"], payment).body, 201, {}

    def list_payments(self, invoice_id: str, limit: int, cursor: str | None = None) -> Any:
        self._invoices.get(invoice_id)
        found, headers = self._payments.page(limit, cursor, _with(invoice_id=invoice_id))
        return {"payments": found}, 200, headers

    def void_invoice(self, invoice_id: str) -> Any:
        kept = self._invoices.get(invoice_id)
        if kept.body["amount_paid"]:
            raise Refused(409, "invoice-paid")
        return self._invoices.save(kept, status="void", amount_open=0).body

    def create_credit_note(self, body: Document) -> Any:
        return self._memory.once("create_credit_note", body, lambda: self._create_credit_note(body), required=True)

    def _create_credit_note(self, body: Document) -> Any:
        nets = _nets(body["lines"])
        kept = self._invoices.find(body["invoice_id"])
        if kept is None:
            raise Refused(404, "unknown-invoice")
        if kept.body["order_number"] != body["order_number"]:
            raise Refused(409, "order-number-mismatch")
        _standing(kept)
        earlier = [one.body for one in self._notes.all() if one.body["invoice_id"] == body["invoice_id"]]
        before = _nets(line for note in earlier for line in note["lines"])
        invoiced = _nets(kept.body["lines"])
        parts = {}
        for rate, net in nets.items():
            if before[rate] + net > invoiced[rate]:
                raise Refused(409, "credit-exceeds-invoice")
            parts[rate] = net, _tax(before[rate] + net, rate) - _tax(before[rate], rate)
        told = self._told.answer or {}
        note = {
            **{name: told.get(name) for name in ("id", "credit_note_number")},
            **body,
            **_totals(parts),
            "currency": kept.body["currency"],
            "created_at": self._told.timestamp,
        }
        self._book(kept, "amount_credited", cents(note["amount_gross"]))
        where = f"{connexion.request.scope['path']}/{note['id']}"
        return self._notes.add(note["id"], note).body, 201, {"Location": where}

    def list_credit_notes(
        self, limit: int, cursor: str | None = None, order_number: str | None = None, invoice_id: str | None = None
    ) -> Any:
        found, headers = self._notes.page(limit, cursor, _with(order_number=order_number, invoice_id=invoice_id))
        return {"credit_notes": found}, 200, headers

    def get_credit_note(self, credit_note_id: str) -> Any:
        return self._notes.get(credit_note_id).body

    def _book(self, kept: Kept, field: str, amount: int) -> None:
        invoice = {**kept.body, field: (cents(kept.body[field]) + amount) / 100}
        self._invoices.save(kept, **{field: invoice[field]}, **_balance(invoice))


def _with(**wanted: str | None) -> Any:
    return lambda kept: all(value in (None, kept.body[name]) for name, value in wanted.items())


def _standing(kept: Kept) -> Kept:
    if kept.body["status"] == "void":
        raise Refused(409, "invoice-void")
    return kept


def _nets(lines: Iterable[Document]) -> dict[Decimal, int]:
    """Cents by tax rate."""
    found: dict[Decimal, int] = defaultdict(int)
    for line in lines:
        found[Decimal(str(line["tax_rate"]))] += cents(line["net_amount"])
    return found


def _tax(net: int, rate: Decimal) -> int:
    return int((net * rate / 100).quantize(Decimal(1), ROUND_HALF_UP))


def _totals(parts: Mapping[Decimal, tuple[int, int]]) -> Document:
    net, tax = (sum(part[index] for part in parts.values()) for index in (0, 1))
    return {
        "taxes": [
            {"tax_rate": float(rate), "net": parts[rate][0] / 100, "tax": parts[rate][1] / 100}
            for rate in sorted(parts)
        ],
        "amount_net": net / 100,
        "amount_tax": tax / 100,
        "amount_gross": (net + tax) / 100,
    }


def _balance(invoice: Document) -> Document:
    left = cents(invoice["amount_gross"]) - cents(invoice["amount_paid"]) - cents(invoice["amount_credited"])
    return {"amount_open": left / 100, "status": "open" if left > 0 else "paid"}
