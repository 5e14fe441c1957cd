"""Accounting: sums, tax per rate, and what may still be booked on an invoice."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest

BILLING = {"street": "12 Harbour Street", "postal_code": "BS1 4ND", "city": "Bristol", "country": "GB"}
Book = Callable[..., Any]


def refused(answer: Any, status: int, pointer: str | None = None) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    if pointer is not None:
        assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    return answer.json()


def line(net: float, rate: float = 19) -> dict[str, Any]:
    return {"description": "Desk", "quantity": 1, "net_amount": net, "tax_rate": rate}


@pytest.fixture
def book(world: Any) -> Book:
    """Posts an invoice over lines of (net amount, tax rate)."""
    numbers = itertools.count()

    def post(*lines: tuple[float, float], amount: float | None = None, order: str = "2025-4471") -> Any:
        total = float(sum(Decimal(str(net)) for net, _ in lines)) if amount is None else amount
        body = {
            "order_number": order,
            "currency": "EUR",
            "customer": {"name": "Example Ltd", "billing_address": BILLING},
            "amount_net": total,
            "lines": [line(net, rate) for net, rate in lines],
        }
        return world.accounting("POST", "/invoices", body, Idempotency_Key=f"invoice-{next(numbers)}")

    return post


def pay(world: Any, invoice: Any, amount: float) -> Any:
    body = {"amount": amount, "method": "bank_transfer"}
    return world.accounting("POST", f"/invoices/{invoice['id']}/payments", body)


def credit(world: Any, invoice: Any, *lines: tuple[float, float], key: str, **changes: Any) -> Any:
    body = {
        "invoice_id": invoice["id"],
        "order_number": invoice["order_number"],
        "reason": "goods returned",
        "lines": [line(net, rate) for net, rate in lines],
    }
    return world.accounting("POST", "/credit-notes", body | changes, Idempotency_Key=key)


def read(world: Any, invoice: Any) -> Any:
    return world.accounting("GET", f"/invoices/{invoice['id']}").raise_for_status().json()


@pytest.mark.parametrize(
    "lines",
    [
        [(1290.00, 19)],
        [(490.00, 19), (650.00, 19), (150.00, 7)],
        [(0.03, 19), (0.02, 19)],
        # Rounded one by one these would be cents apart.
        [(0.10, 7)] * 7,
        [(33.33, 19), (33.33, 19), (33.34, 7), (0.01, 0)],
        [(0.50, 7), (0.50, 19), (0.50, 0)],
    ],
)
def test_tax_per_rate_on_the_summed_net(book: Book, lines: list[tuple[float, float]]) -> None:
    invoice = book(*lines).json()
    nets: dict[float, Decimal] = {}
    for net, rate in lines:
        nets[rate] = nets.get(rate, Decimal(0)) + Decimal(str(net))
    taxes = {
        rate: (net * Decimal(str(rate)) / 100).quantize(Decimal("0.01"), ROUND_HALF_UP) for rate, net in nets.items()
    }
    shown = {tax["tax_rate"]: (Decimal(str(tax["net"])), Decimal(str(tax["tax"]))) for tax in invoice["taxes"]}
    assert shown == {rate: (nets[rate], taxes[rate]) for rate in nets}
    assert Decimal(str(invoice["amount_tax"])) == sum(taxes.values())
    assert Decimal(str(invoice["amount_gross"])) == sum(nets.values()) + sum(taxes.values())
    assert invoice["amount_open"] == invoice["amount_gross"]
    assert invoice["status"] == "open"


def test_half_a_cent_is_rounded_up(book: Book) -> None:
    """0.50 at 7 % is 0.035; binary floats would make it 0.03."""
    assert book((0.50, 7)).json()["amount_tax"] == 0.04
    assert book((0.50, 19)).json()["amount_tax"] == 0.10


@pytest.mark.parametrize(
    ("lines", "amount", "pointer"),
    [
        ([(10.0, 19)], 10.01, "/amount_net"),
        ([(10.0, 19), (0.1, 7), (0.2, 7)], 10.31, "/amount_net"),
        ([(10.0, 19)], 10.001, "/amount_net"),
        ([(10.005, 19)], 10.005, "/amount_net"),
        ([(5.0, 19), (5.001, 19)], 10.0, "/lines/1/net_amount"),
    ],
)
def test_wrong_sums(world: Any, book: Book, lines: list[tuple[float, float]], amount: float, pointer: str) -> None:
    problem = refused(book(*lines, amount=amount), 400)
    assert pointer in [error["pointer"] for error in problem["errors"]]
    assert world.state("accounting") == {}


def test_floats_that_do_not_add_up_in_binary(book: Book) -> None:
    assert book((0.1, 19), (0.2, 19), amount=0.3).status_code == 201


def test_read_and_list(world: Any, book: Book) -> None:
    first = book((10.0, 19)).json()
    other = book((20.0, 19), order="2025-4472").json()
    assert read(world, first) == first
    assert world.accounting("GET", "/invoices").json() == {"invoices": [first, other]}
    assert world.accounting("GET", "/invoices?order_number=2025-4472").json() == {"invoices": [other]}
    assert world.accounting("GET", "/invoices?order_number=2025-4473").json() == {"invoices": []}
    assert world.accounting("GET", "/invoices?status=paid").json() == {"invoices": []}
    refused(world.accounting("GET", "/invoices/inv_aaaaaaaaaaaa"), 404)


def test_payments(world: Any, book: Book) -> None:
    invoice = book((100.0, 19)).json()
    part = pay(world, invoice, 19.0).json()
    assert (part["invoice_id"], part["amount"], part["order_number"]) == (invoice["id"], 19.0, "2025-4471")
    assert (read(world, invoice)["amount_open"], read(world, invoice)["status"]) == (100.0, "open")
    refused(pay(world, invoice, 100.01), 409, "/amount")
    pay(world, invoice, 100.0).raise_for_status()
    assert (read(world, invoice)["amount_open"], read(world, invoice)["status"]) == (0.0, "paid")
    refused(pay(world, invoice, 0.01), 409, "/amount")
    payments = world.accounting("GET", f"/invoices/{invoice['id']}/payments").json()["payments"]
    assert [payment["amount"] for payment in payments] == [19.0, 100.0]
    refused(pay(world, {"id": "inv_aaaaaaaaaaaa"}, 1.0), 404)


def test_repeated_payment_is_a_second_one_unless_it_has_a_key(world: Any, book: Book) -> None:
    invoice = book((100.0, 19)).json()
    body = {"amount": 10.0, "method": "bank_transfer"}
    for headers in ({}, {}, {"Idempotency_Key": "p"}, {"Idempotency_Key": "p"}):
        assert world.accounting("POST", f"/invoices/{invoice['id']}/payments", body, **headers).status_code == 201
    assert read(world, invoice)["amount_paid"] == 30.0


def test_void(world: Any, book: Book) -> None:
    invoice, paid = book((100.0, 19)).json(), book((100.0, 19)).json()
    void = world.accounting("POST", f"/invoices/{invoice['id']}/void").json()
    assert (void["status"], void["amount_open"]) == ("void", 0.0)
    assert world.accounting("POST", f"/invoices/{invoice['id']}/void").json() == void
    refused(pay(world, invoice, 1.0), 409)
    refused(credit(world, invoice, (1.0, 19), key="c"), 409)
    pay(world, paid, 1.0).raise_for_status()
    refused(world.accounting("POST", f"/invoices/{paid['id']}/void"), 409)


def test_credit_in_parts_ends_at_the_gross_amount(world: Any, book: Book) -> None:
    invoice = book((0.50, 7), (0.50, 7), (10.0, 19)).json()
    notes = [credit(world, invoice, (0.50, 7), key=f"c{number}").json() for number in range(2)]
    notes.append(credit(world, invoice, (10.0, 19), key="c2").json())
    credited = sum(Decimal(str(note["amount_gross"])) for note in notes)
    assert credited == Decimal(str(invoice["amount_gross"]))
    assert read(world, invoice)["amount_open"] == 0.0
    refused(credit(world, invoice, (0.01, 7), key="c3"), 409, "/lines")
    listed = world.accounting("GET", f"/credit-notes?invoice_id={invoice['id']}").json()["credit_notes"]
    assert listed == notes
    assert world.accounting("GET", f"/credit-notes/{notes[0]['id']}").json() == notes[0]


def test_credit_needs_its_invoice(world: Any, book: Book) -> None:
    invoice = book((100.0, 19)).json()
    refused(credit(world, invoice, (100.01, 19), key="a"), 409, "/lines")
    refused(credit(world, invoice, (1.0, 7), key="b"), 409, "/lines")
    refused(credit(world, invoice, (1.0, 19), key="c", order_number="2025-4472"), 409, "/order_number")
    refused(credit(world, invoice, (1.0, 19), key="d", invoice_id="inv_aaaaaaaaaaaa"), 404, "/invoice_id")
    body = {"invoice_id": invoice["id"], "order_number": "2025-4471", "reason": "x", "lines": [line(1.0)]}
    refused(world.accounting("POST", "/credit-notes", body), 400, "Idempotency-Key")
    assert world.state("accounting").get("credit_notes", []) == []


def test_several_invoices_for_one_order(world: Any, book: Book) -> None:
    """As in real books; it is the caller who must not invoice twice."""
    ids = {book((10.0, 19)).json()["id"] for _ in range(2)}
    assert len(ids) == 2
    numbers = {invoice["invoice_number"] for invoice in world.state("accounting")["invoices"]}
    assert len(numbers) == 2
