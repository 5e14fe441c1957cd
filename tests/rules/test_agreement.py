"""F04, that all systems agree, on final states written by hand."""

from __future__ import annotations

import pytest

from sandbox.rules import Run
from tests.rules.journals import OTHER, Books, Case, Cases, Journal, address

CASES = Cases()
ON_HOLD = {"status": "on_hold", "reason": "it moved too late"}


def ended(books: Books, journal: Journal | None = None, **settings: object) -> Run:
    return (journal or Journal()).run(books.state, **settings)


@CASES.fails("F04", "differ in amount: 1290.00, 1289.99 net")
def a_cent_is_missing() -> Run:
    books = Books()
    books.invoices[0]["amount_net"] = 1289.99
    return ended(books)


@CASES.fails("F04", "differ in currency: EUR, CHF")
def another_currency() -> Run:
    books = Books()
    books.invoices[0]["currency"] = "CHF"
    return ended(books)


@CASES.fails("F04", "differ in their lines")
def other_tax_rates() -> Run:
    books = Books()
    for line in books.invoices[0]["lines"]:
        line["tax_rate"] = 19.0
    return ended(books)


@CASES.fails("F04", "differ in amount")
def a_cancelled_item_is_still_billed() -> Run:
    books = Books()
    books.orders[0]["items"][1]["status"] = "cancelled"
    books.orders[0]["amount_net"] = 980.0
    return ended(books)


@CASES.fails("F04", "differ in the delivery address: street")
def sent_to_the_old_address() -> Run:
    books = Books()
    books.orders[0]["delivery_address"]["street"] = "1 New Street"
    return ended(books)


@CASES.fails("F04", "differ in the delivery address: additional_line")
def the_gate_is_missing() -> Run:
    books = Books()
    books.orders[0]["delivery_address"]["additional_line"] = "Gate 3"
    return ended(books)


@CASES.fails("F04", "differ in the billing address: street")
def billed_to_the_delivery_address() -> Run:
    books = Books()
    books.invoices[0]["customer"]["billing_address"] = address()
    return ended(books)


@CASES.passes("F04")
def a_cancelled_item_was_credited() -> Run:
    books = Books()
    books.orders[0]["items"][1]["status"] = "cancelled"
    books.orders[0]["amount_net"] = 980.0
    books.credit(books.invoices[0], [books.invoices[0]["lines"][1]])
    return ended(books)


@CASES.passes("F04")
def credited_in_other_portions() -> Run:
    books = Books()
    books.orders[0]["items"][1]["status"] = "cancelled"
    books.orders[0]["amount_net"] = 980.0
    books.credit(books.invoices[0], [{"net_amount": 155.0, "tax_rate": 7, "quantity": 1}] * 2)
    return ended(books)


@CASES.passes("F04")
def moved_after_the_pick_up() -> Run:
    books = Books()
    books.orders[0]["delivery_address"]["street"] = "1 New Street"
    books.shipments[0]["status"] = "picked_up"
    journal = Journal()
    journal.call("shipping.dispatch_shipment", 5.0, scenario=True)
    journal.call("shop.replace_delivery_address", 9.0, scenario=True)
    return ended(books, journal)


@CASES.passes("F04")
def parked_because_it_moved_too_late() -> Run:
    books = Books()
    books.orders[0]["delivery_address"]["street"] = "1 New Street"
    books.orders[0]["fulfilment"] = ON_HOLD
    books.complete(books.order(OTHER)["order_number"])
    return ended(books)


@CASES.idle("F04")
def nothing_to_compare() -> Run:
    books = Books()
    books.invoices.clear()
    books.shipments.clear()
    return ended(books)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    case.check()
