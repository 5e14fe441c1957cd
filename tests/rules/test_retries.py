"""R01 to R03 and R15 on journals written by hand."""

from __future__ import annotations

from email.utils import formatdate

import pytest

from sandbox.rules import Run
from tests.rules.journals import EMAIL, ORDER, OTHER, START, Books, Case, Cases, Journal

CASES = Cases()
CREATE = "accounting.create_invoice"
SHIP = "shipping.create_shipment"
INVOICE = {"order_number": ORDER, "amount_net": 1290.0}
SHIPMENT = {"reference": ORDER}
ACTIVITY = {"type": "order_placed", "order_number": ORDER}


def limited(journal: Journal, point: str, at: float, wait: str = "2", **given: object) -> None:
    journal.call(
        point, at, status=429, applied=False, inject="rate_limited", answer_headers={"retry-after": wait}, **given
    )


# R01


@CASES.fails("R01", "0.4 s after a 429 (occurrence 1, seq 1) that asked for 2 s")
def retried_too_soon() -> Run:
    journal = Journal()
    limited(journal, CREATE, 0.0, key="k", body=INVOICE)
    journal.call(CREATE, 0.4, key="k", body=INVOICE, status=201)
    return journal.run()


@CASES.fails("R01", "that asked for 30 s")
def retried_before_the_date() -> Run:
    journal = Journal()
    limited(journal, CREATE, 0.0, wait=formatdate(START + 30.0, usegmt=True), key="k", body=INVOICE)
    journal.call(CREATE, 5.0, key="k", body=INVOICE, status=201)
    return journal.run()


@CASES.fails("R01", "shop.get_order")
def asked_again_too_soon_for_the_same_event() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0)
    limited(journal, "shop.get_order", 0.1, wait="30")
    journal.call("shop.get_order", 1.0)
    return journal.run()


@CASES.passes("R01")
def waited() -> Run:
    journal = Journal()
    limited(journal, CREATE, 0.0, key="k", body=INVOICE)
    journal.call(CREATE, 2.1, key="k", body=INVOICE, status=201)
    return journal.run()


@CASES.passes("R01")
def restarted_in_between() -> Run:
    journal = Journal()
    journal.note("subject started")
    limited(journal, CREATE, 0.0, wait="30", key="k", body=INVOICE)
    journal.killed(0.1)
    journal.call(CREATE, 1.2, key="k", body=INVOICE, status=201)
    return journal.run()


@CASES.idle("R01")
def read_anew_for_another_event() -> Run:
    journal = Journal()
    journal.delivery("order.placed", 0.0, id="evt_1")
    journal.delivery("order.paid", 0.0, id="evt_2")
    limited(journal, "shop.get_order", 0.1, wait="30")
    journal.call("shop.get_order", 0.2)
    return journal.run()


@CASES.idle("R01")
def nobody_asked_to_wait() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=INVOICE, status=500, inject="server_error")
    journal.call(CREATE, 0.1, key="k", body=INVOICE, status=201)
    return journal.run()


# R02


def refused(journal: Journal, at: float, key: str | None = "k", problem: str = "wrong-sum", status: int = 400) -> None:
    answer = {"type": f"/problems/{problem}", "status": status}
    journal.call(CREATE, at, key=key, body=INVOICE, status=status, applied=False, answer=answer)


@CASES.fails("R02", "resent unchanged (occurrence 2, seq 2) 0.5 s after it was answered 400 (occurrence 1, seq 1)")
def resent_what_was_refused() -> Run:
    journal = Journal()
    refused(journal, 0.0)
    refused(journal, 0.5)
    return journal.run()


@CASES.fails("R02")
def resent_with_another_key() -> Run:
    journal = Journal()
    refused(journal, 0.0, key="k1")
    refused(journal, 0.5, key="k2")
    return journal.run()


@CASES.fails("R02")
def put_again() -> Run:
    journal = Journal()
    for at in (0.0, 3.0):
        journal.call("shop.set_fulfilment", at, body={"status": "shipped"}, status=403, applied=False)
    return journal.run()


@CASES.passes("R02")
def mended_and_resent() -> Run:
    journal = Journal()
    refused(journal, 0.0)
    journal.call(CREATE, 0.5, key="k2", body=INVOICE | {"amount_net": 1280.0}, status=201)
    return journal.run()


@CASES.passes("R02")
def added_the_missing_key() -> Run:
    journal = Journal()
    refused(journal, 0.0, key=None, problem="idempotency-key-missing")
    journal.call(CREATE, 0.5, key="k", body=INVOICE, status=201)
    return journal.run()


@CASES.passes("R02")
def another_key_where_the_first_was_taken() -> Run:
    journal = Journal()
    refused(journal, 0.0, problem="idempotency-key-reused", status=422)
    journal.call(CREATE, 0.5, key="k2", body=INVOICE, status=201)
    return journal.run()


@CASES.passes("R02")
def tried_once_more_after_a_restart() -> Run:
    journal = Journal()
    journal.note("subject started")
    refused(journal, 0.0)
    journal.killed(1.0)
    refused(journal, 3.0)
    return journal.run()


@CASES.passes("R02")
def tried_once_more_for_a_new_event() -> Run:
    journal = Journal()
    refused(journal, 0.0)
    journal.delivery("order.address_changed", 1.0, id="evt_2")
    refused(journal, 1.1)
    return journal.run()


@CASES.idle("R02")
def nothing_was_refused() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=INVOICE, status=201)
    return journal.run()


# R03


@CASES.fails("R03", "after no answer (occurrence 1, seq 1), without an Idempotency-Key")
def repeated_without_a_key() -> Run:
    journal = Journal()
    journal.lost(SHIP, 0.0, body=SHIPMENT)
    journal.call(SHIP, 10.5, body=SHIPMENT, status=201)
    return journal.run()


@CASES.fails("R03", "after a 500")
def repeated_after_a_failure_of_the_server() -> Run:
    journal = Journal()
    journal.call(SHIP, 0.0, body=SHIPMENT, status=500, applied=True, inject="server_error")
    journal.call(SHIP, 0.5, body=SHIPMENT, status=201)
    return journal.run()


@CASES.fails("R03")
def looked_up_something_else() -> Run:
    journal = Journal()
    journal.lost("crm.create_activity", 0.0, body=ACTIVITY)
    journal.call("crm.search_customers", 10.1, about=EMAIL, body={"email": EMAIL})
    journal.call("crm.create_activity", 10.2, body=ACTIVITY, status=201)
    return journal.run()


@CASES.fails("R03")
def repeated_by_the_next_process() -> Run:
    journal = Journal()
    journal.note("subject started")
    journal.call(SHIP, 0.0, body=SHIPMENT, status=201, inject="crash", outcome="lost", left=0.0)
    journal.killed(0.0)
    journal.call(SHIP, 2.0, body=SHIPMENT, status=201)
    return journal.run()


@CASES.passes("R03")
def repeated_with_a_key() -> Run:
    journal = Journal()
    journal.lost(SHIP, 0.0, body=SHIPMENT, key="k")
    journal.call(SHIP, 10.5, body=SHIPMENT, key="k", status=201, applied=False)
    return journal.run()


@CASES.passes("R03")
def looked_up_first() -> Run:
    journal = Journal()
    journal.lost(SHIP, 0.0, applied=False, body=SHIPMENT)
    journal.call("shipping.list_shipments", 10.4, query=f"reference={ORDER}", answer={"shipments": []})
    journal.call(SHIP, 10.5, body=SHIPMENT, status=201)
    return journal.run()


@CASES.idle("R03")
def creates_by_natural_key() -> Run:
    journal = Journal()
    body = {"name": "x", "email": EMAIL}
    journal.lost("crm.create_customer", 0.0, about=EMAIL, body=body)
    journal.call("crm.create_customer", 10.5, about=EMAIL, body=body, status=409)
    return journal.run()


@CASES.idle("R03")
def sent_again_after_it_was_not_accepted() -> Run:
    journal = Journal()
    limited(journal, SHIP, 0.0, body=SHIPMENT)
    journal.call(SHIP, 2.5, body=SHIPMENT, status=201)
    return journal.run()


@CASES.idle("R03")
def the_network_repeated_it() -> Run:
    journal = Journal()
    first = journal.call(SHIP, 0.0, body=SHIPMENT, status=201, inject="repeated_request")
    journal.call(SHIP, 0.0, body=SHIPMENT, status=201, outcome="lost", repeat_of=first)
    return journal.run()


@CASES.idle("R03")
def voided_twice() -> Run:
    journal = Journal()
    journal.lost("accounting.void_invoice", 0.0)
    journal.call("accounting.void_invoice", 10.5)
    return journal.run()


# R15


@CASES.fails("R15", "accounting.create_invoice for 2025-4471 got a 500 (occurrence 1, seq 1)")
def swallowed_a_failure() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=INVOICE, status=500, applied=False, inject="server_error")
    journal.call(SHIP, 0.1, body=SHIPMENT, key="s", status=201)
    return journal.run(Books().state)


@CASES.fails("R15", "got no answer")
def took_silence_for_success() -> Run:
    journal = Journal()
    journal.lost(CREATE, 0.0, applied=False, key="k", body=INVOICE)
    journal.call("accounting.list_invoices", 20.0, about=OTHER)
    return journal.run(Books().state)


@CASES.passes("R15")
def retried_what_failed() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=INVOICE, status=503, applied=False, inject="server_error")
    journal.call(CREATE, 1.0, key="k", body=INVOICE, status=201)
    return journal.run()


@CASES.passes("R15")
def found_the_effect_by_looking() -> Run:
    journal = Journal()
    journal.lost(SHIP, 0.0, body=SHIPMENT)
    journal.call("shipping.list_shipments", 11.0, answer={"shipments": [{}]})
    return journal.run()


@CASES.passes("R15")
def parked_the_order() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=INVOICE, status=500, applied=False, inject="server_error")
    journal.call("shop.set_fulfilment", 1.0, body={"status": "on_hold", "reason": "accounting is down"})
    return journal.run()


@CASES.passes("R15")
def parked_as_the_probe_says() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=INVOICE, status=500, applied=False, inject="server_error")
    return journal.run(parked={ORDER: "accounting is down"})


@CASES.passes("R15")
def the_order_was_cancelled_meanwhile() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=INVOICE, status=500, applied=False, inject="server_error")
    books = Books()
    books.orders[0]["status"] = "cancelled"
    return journal.run(books.state)


@CASES.passes("R15")
def the_breaker_is_open() -> Run:
    journal = Journal()
    for number in range(5):
        about = f"2025-{number}"
        journal.call(
            CREATE, number, about=about, key=about, body={"n": number}, status=503, applied=False, inject="outage"
        )
    return journal.run()


@CASES.passes("R15")
def polled_again() -> Run:
    journal = Journal()
    journal.call("shop.list_orders", 0.0, about="-", query="limit=100", status=503, inject="server_error")
    journal.call("shop.list_orders", 60.0, about="-", query="limit=100&updated_since=x")
    return journal.run()


@CASES.idle("R15")
def the_run_ended_too_soon_to_tell() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=INVOICE, status=500, applied=False, inject="server_error")
    return journal.run(lasts=30.0)


@CASES.idle("R15")
def nothing_failed() -> Run:
    journal = Journal()
    journal.call(SHIP, 0.0, body=SHIPMENT, status=201)
    return journal.run()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    case.check()


def test_scenario_is_not_judged() -> None:
    journal = Journal()
    limited(journal, "shop.place_order", 0.0, scenario=True, body={"order_number": ORDER})
    journal.call("shop.place_order", 0.1, scenario=True, body={"order_number": ORDER}, status=201)
    assert journal.run().attempts == []
