"""F01 to F08 on final states written by hand."""

from __future__ import annotations

import pytest

from sandbox.rules import Run, Verdict
from tests.rules.journals import ORDER, OTHER, Books, Case, Cases, Journal, address

CASES = Cases()
CREATE = "accounting.create_invoice"
ON_HOLD = {"status": "on_hold", "reason": "accounting refused the invoice"}


def ended(books: Books, journal: Journal | None = None, **settings: object) -> Run:
    return (journal or Journal()).run(books.state, **settings)


def failed(about: str = ORDER) -> Journal:
    """A call that failed, so that there was a partial failure to deal with."""
    journal = Journal()
    journal.call(CREATE, 0.0, about=about, key="k", status=503, applied=False, inject="server_error")
    return journal


def bare(*numbers: str) -> Books:
    """Paid orders for which nothing was done."""
    books = Books()
    for records in (books.orders, books.activities, books.invoices, books.shipments, books.customers):
        records.clear()
    for number in numbers:
        books.order(number)
    return books


def nothing_paid() -> Run:
    books = bare()
    books.order(paid=False, status="placed")
    return ended(books)


# F01


@CASES.fails("F01", "ended with 2 invoices: inv_1 and inv_2")
def invoiced_twice() -> Run:
    books = Books()
    books.invoice()
    return ended(books)


@CASES.fails("F01", "ended with 2 shipments")
def shipped_twice() -> Run:
    books = Books()
    books.shipment()
    return ended(books)


@CASES.fails("F01", "ended with 2 order_placed activities")
def recorded_twice() -> Run:
    books = Books()
    books.activity()
    return ended(books)


@CASES.fails("F01", "ended with 2 customers")
def customer_in_capitals() -> Run:
    books = Books()
    books.customers.append(books.customers[0] | {"customer_id": "cus_2", "email": "Martha.Klein@example-ltd.example"})
    return ended(books)


@CASES.fails("F01", "is paid and ended without invoice and shipment")
def half_done() -> Run:
    books = Books()
    books.invoices.clear()
    books.shipments.clear()
    return ended(books)


@CASES.fails("F01", "ended without order_placed activity")
def recorded_at_another_customer() -> Run:
    books = Books()
    books.activities[0]["customer_id"] = "cus_9"
    return ended(books)


@CASES.fails("F01", "is cancelled, but still has invoice inv_1 and shipment shp_1")
def cancelled_and_not_undone() -> Run:
    books = Books()
    books.orders[0]["status"] = "cancelled"
    return ended(books)


@CASES.fails("F01", "had 2 equal invoices; what was too much was taken back", severity="W")
def doubled_and_voided() -> Run:
    books = Books()
    books.invoice(status="void")
    return ended(books)


@CASES.fails("F01", "had 2 equal invoices", severity="W")
def doubled_and_credited() -> Run:
    books = Books()
    second = books.invoice()
    books.credit(second, second["lines"])
    return ended(books)


@CASES.fails("F01", "ended with 2 invoices")
def parked_and_doubled() -> Run:
    books = Books()
    books.orders[0]["fulfilment"] = ON_HOLD
    books.invoice()
    return ended(books)


@CASES.passes("F01")
def all_is_well() -> Run:
    return ended(Books(ORDER, OTHER))


@CASES.passes("F01")
def invoiced_anew_after_a_change() -> Run:
    books = Books()
    books.invoices[0]["lines"] = books.invoices[0]["lines"] + [{"net_amount": 1.0, "tax_rate": 7.0, "quantity": 1}]
    books.invoices[0]["status"] = "void"
    books.shipments[0] |= {"status": "cancelled", "recipient": {"name": "Martha Klein", "address": address("Old Road")}}
    books.invoice()
    books.shipment()
    return ended(books)


@CASES.passes("F01")
def cancelled_and_undone() -> Run:
    books = Books()
    books.orders[0]["status"] = "cancelled"
    books.invoices[0]["status"] = "void"
    books.shipments[0]["status"] = "cancelled"
    return ended(books)


@CASES.passes("F01")
def cancelled_and_credited() -> Run:
    books = Books()
    books.orders[0]["status"] = "cancelled"
    books.invoices[0]["status"] = "paid"
    books.credit(books.invoices[0], books.invoices[0]["lines"])
    books.shipments[0]["status"] = "cancelled"
    return ended(books)


@CASES.passes("F01")
def parked_half_done() -> Run:
    books = Books()
    books.orders[0]["fulfilment"] = ON_HOLD
    books.invoices.clear()
    return ended(books)


@CASES.passes("F01")
def the_fault_goes_on() -> Run:
    books = Books()
    books.invoices.clear()
    journal = Journal()
    for at in (0.0, 60.0):
        journal.call(
            CREATE, at, key="k", status=503, applied=False, inject="server_error", fault={"on": {"occurrence": "any"}}
        )
    return ended(books, journal, lasts=61.0)


@CASES.idle("F01")
def nothing_to_do() -> Run:
    return nothing_paid()


# F02


@CASES.fails("F02", f"order {OTHER} is paid, but nothing was done for it")
def lost() -> Run:
    books = Books()
    books.order(OTHER)
    return ended(books)


@CASES.fails("F02")
def gave_up_although_the_fault_would_have_gone_on() -> Run:
    journal = Journal()
    journal.call(
        CREATE, 0.0, key="k", status=503, applied=False, inject="server_error", fault={"on": {"occurrence": "any"}}
    )
    return ended(bare(ORDER), journal, lasts=600.0)


@CASES.passes("F02")
def none_lost() -> Run:
    return ended(Books())


@CASES.passes("F02")
def parked_before_anything_was_done() -> Run:
    return ended(bare(ORDER), parked={ORDER: "the shop is down"})


@CASES.passes("F02")
def lost_in_part_only() -> Run:
    return half_done()


@CASES.idle("F02")
def nobody_told_it_over_sockets() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0, status=None, error="dropped", inject="drop")
    return ended(bare(ORDER), journal, virtual=False)


@CASES.idle("F02")
def nothing_was_paid() -> Run:
    return nothing_paid()


# F03


@CASES.fails("F03", "invoice inv_2 is for order 7974-5528, which the shop does not have")
def invoice_for_no_order() -> Run:
    books = Books()
    books.invoice("7974-5528")
    return ended(books)


@CASES.fails("F03", "shipment shp_2 is for order 7974-5528")
def shipment_for_no_order() -> Run:
    books = Books()
    books.shipment("7974-5528")
    return ended(books)


@CASES.passes("F03")
def each_has_its_order() -> Run:
    books = Books()
    books.invoice("7974-5528", status="void")
    return ended(books)


@CASES.idle("F03")
def there_are_none() -> Run:
    return nothing_paid()


# F05


@CASES.fails("F05", "after accounting.create_invoice for 2025-4471 got a 503 (seq 1), order 2025-4471 was left without")
def left_in_the_middle() -> Run:
    books = Books()
    books.shipments.clear()
    return ended(books, failed())


@CASES.fails("F05", f"cancelled order {ORDER} kept its invoice")
def undone_by_half() -> Run:
    books = Books()
    books.orders[0]["status"] = "cancelled"
    books.shipments[0]["status"] = "cancelled"
    return ended(books, failed())


@CASES.passes("F05")
def completed() -> Run:
    return ended(Books(), failed())


@CASES.passes("F05")
def parked_in_the_middle() -> Run:
    books = Books()
    books.shipments.clear()
    books.orders[0]["fulfilment"] = ON_HOLD
    return ended(books, failed())


@CASES.passes("F05")
def parked_in_the_middle_as_the_probe_says() -> Run:
    books = Books()
    books.shipments.clear()
    return ended(books, failed(), parked={ORDER: "accounting is down"})


@CASES.fails("F05")
def on_hold_without_a_reason() -> Run:
    books = Books()
    books.shipments.clear()
    books.orders[0]["fulfilment"] = {"status": "on_hold"}
    return ended(books, failed())


@CASES.idle("F05")
def nothing_failed() -> Run:
    return half_done()


# F06


def killed() -> Journal:
    journal = Journal()
    journal.note("subject started")
    journal.killed(2.0)
    return journal


@CASES.fails("F06", "the subject was killed 2 s after the start, and in the end order 2025-4471 ended with 2 invoices")
def doubled_after_a_restart() -> Run:
    books = Books()
    books.invoice()
    return ended(books, killed())


@CASES.passes("F06")
def unharmed_by_a_restart() -> Run:
    return ended(Books(), killed())


@CASES.passes("F06")
def compensated_after_a_restart() -> Run:
    books = Books()
    books.invoice(status="void")
    return ended(books, killed())


@CASES.idle("F06")
def nobody_killed_it() -> Run:
    return invoiced_twice()


# F07


@CASES.fails("F07", "but paid it never was", severity="W")
def shipped_unpaid() -> Run:
    books = Books()
    order = books.order(OTHER, paid=False, status="placed")
    del order["paid_at"]
    books.shipment(OTHER)
    return ended(books)


@CASES.fails("F07", "but paid it was at 2026-01-01T00:00:30.000Z", severity="W")
def shipped_before_it_was_paid() -> Run:
    books = Books()
    books.orders[0]["paid_at"] = "2026-01-01T00:00:30.000Z"
    return ended(books)


@CASES.passes("F07")
def shipped_when_paid() -> Run:
    return ended(Books())


@CASES.idle("F07")
def nothing_shipped() -> Run:
    return ended(bare(ORDER))


# F08


def poisoned() -> Journal:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", status=400, applied=False, answer={"type": "/problems/fraction-of-a-cent"})
    return journal


@CASES.fails("F08", f"was refused with 400 (seq 1), and order {OTHER} ended without")
def one_blocked_the_other() -> Run:
    books = bare(ORDER, OTHER)
    books.orders[0]["fulfilment"] = ON_HOLD
    return ended(books, poisoned())


@CASES.passes("F08")
def the_other_went_through() -> Run:
    books = Books()
    books.invoices.clear()
    books.orders[0]["fulfilment"] = ON_HOLD
    books.order(OTHER)
    books.complete(OTHER)
    return ended(books, poisoned())


@CASES.idle("F08")
def no_poison() -> Run:
    return ended(Books(ORDER, OTHER), failed())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    case.check()


def test_evidence_names_where_a_double_was_created() -> None:
    books = Books()
    books.invoice()
    journal = Journal()
    for at, id_ in ((0.0, "inv_1"), (10.5, "inv_2")):
        change = {"action": "create", "collection": "invoices", "id": id_}
        journal.call(CREATE, at, key=id_, status=201, changes=[change])
    (violation,) = Case("F01", Verdict.FAIL, lambda: ended(books, journal)).check().violations
    assert (violation.seqs, violation.key, violation.excess) == ((1, 2), ORDER, True)
