"""R04 to R08, the rules about idempotency keys, on journals written by hand."""

from __future__ import annotations

import pytest

from sandbox.rules import Run
from tests.rules.journals import EMAIL, ORDER, OTHER, Books, Case, Cases, Journal

CASES = Cases()
CREATE = "accounting.create_invoice"
SHIP = "shipping.create_shipment"
INVOICE = {"order_number": ORDER, "amount_net": 1290.0}
SHIPMENT = {"reference": ORDER}


def refused(journal: Journal, at: float, problem: str = "wrong-sum") -> None:
    answer = {"type": f"/problems/{problem}", "status": 400}
    journal.call(CREATE, at, key="k", body=INVOICE, status=400, applied=False, answer=answer)


# R04


@CASES.fails("R04", "with the new key k2 0.5 s after no answer (occurrence 1, seq 1) to key k1")
def retried_with_a_new_key() -> Run:
    journal = Journal()
    journal.lost(CREATE, 0.0, key="k1", body=INVOICE)
    journal.call(CREATE, 10.5, key="k2", body=INVOICE, status=201)
    return journal.run()


@CASES.fails("R04", "with no key")
def retried_without_its_key() -> Run:
    journal = Journal()
    journal.call(SHIP, 0.0, key="k1", body=SHIPMENT, status=503, applied=False, inject="server_error")
    journal.call(SHIP, 0.5, body=SHIPMENT, status=201)
    return journal.run()


@CASES.passes("R04")
def kept_the_key_in_other_quotes() -> Run:
    journal = Journal()
    journal.lost(CREATE, 0.0, key="k1", body=INVOICE)
    journal.call(CREATE, 10.5, key='"k1"', body=INVOICE, status=201, applied=False)
    return journal.run()


@CASES.passes("R04")
def looked_up_and_began_anew() -> Run:
    journal = Journal()
    journal.lost(CREATE, 0.0, applied=False, key="k1", body=INVOICE)
    journal.call("accounting.list_invoices", 10.2, query=f"order_number={ORDER}", answer={"invoices": []})
    journal.call(CREATE, 10.5, key="k2", body=INVOICE, status=201)
    return journal.run()


@CASES.idle("R04")
def another_request_with_another_key() -> Run:
    journal = Journal()
    journal.lost(CREATE, 0.0, key="k1", body=INVOICE)
    journal.call(CREATE, 10.5, about=OTHER, key="k2", body=INVOICE | {"order_number": OTHER}, status=201)
    return journal.run()


# R05


@CASES.fails("R05", "came with key k and another body")
def another_body_under_the_same_key() -> Run:
    journal = Journal()
    journal.lost(CREATE, 0.0, key="k", body=INVOICE)
    journal.call(CREATE, 10.5, key="k", body=INVOICE | {"amount_net": 1.0}, status=422, applied=False)
    return journal.run()


@CASES.fails("R05")
def another_body_after_a_refusal_that_was_stored() -> Run:
    journal = Journal()
    refused(journal, 0.0)
    answer = {"type": "/problems/idempotency-key-reused", "status": 422}
    journal.call(CREATE, 1.0, key="k", body=INVOICE | {"amount_net": 1.0}, status=422, applied=False, answer=answer)
    return journal.run()


@CASES.passes("R05")
def the_same_body_again() -> Run:
    journal = Journal()
    journal.lost(CREATE, 0.0, key="k", body={"a": 1, "b": 2})
    journal.call(CREATE, 10.5, key="k", body={"b": 2, "a": 1}, status=201, applied=False)
    return journal.run()


@CASES.passes("R05")
def mended_before_it_had_begun() -> Run:
    journal = Journal()
    refused(journal, 0.0, problem="validation")
    journal.call(CREATE, 1.0, key="k", body=INVOICE | {"amount_net": 1.0}, status=201)
    return journal.run()


@CASES.idle("R05")
def one_key_in_two_operations() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=INVOICE, status=201)
    journal.call("accounting.create_credit_note", 1.0, key="k", body={"lines": []}, status=201)
    return journal.run()


# R06


@CASES.fails("R06", f"took key today for {ORDER} (seq 1) and for {OTHER} (seq 2)")
def one_key_for_two_orders() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="today", body=INVOICE, status=201)
    journal.call(CREATE, 1.0, about=OTHER, key="today", body=INVOICE | {"order_number": OTHER}, status=422)
    return journal.run()


@CASES.passes("R06")
def a_key_for_each_order() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k1", body=INVOICE, status=201)
    journal.call(CREATE, 1.0, about=OTHER, key="k2", body=INVOICE | {"order_number": OTHER}, status=201)
    return journal.run()


@CASES.idle("R06")
def no_keys_at_all() -> Run:
    journal = Journal()
    journal.call(SHIP, 0.0, body=SHIPMENT, status=201)
    return journal.run()


# R07


@CASES.fails("R07", "has 256 characters")
def a_long_key() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k" * 256, body=INVOICE, status=400)
    return journal.run()


@CASES.fails("R07", "holds personal data")
def an_e_mail_address_in_the_key() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key=f"{EMAIL}-invoice", body=INVOICE, status=201)
    return journal.run()


@CASES.fails("R07", "holds personal data: invoice for Martha Klein")
def a_name_in_the_key() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="invoice for Martha Klein", body=INVOICE, status=201)
    return journal.run(Books().state)


@CASES.passes("R07")
def an_order_number_in_the_key() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key=f"Example Ltd {ORDER}", body=INVOICE, status=201)
    journal.call(CREATE, 0.0, key="k" * 255, body=INVOICE, status=201)
    return journal.run(Books().state)


@CASES.idle("R07")
def keys_were_not_used() -> Run:
    return no_keys_at_all()


# R08


def in_progress(journal: Journal, at: float = 0.0, key: str | None = "k") -> None:
    answer = {"type": "/problems/idempotency-key-in-progress", "status": 409}
    journal.call(CREATE, at, key=key, body=INVOICE, status=409, applied=False, inject="conflict", answer=answer)


@CASES.fails("R08", "was retried with key k2 instead of k")
def another_key_while_in_progress() -> Run:
    journal = Journal()
    in_progress(journal)
    journal.call(CREATE, 1.0, key="k2", body=INVOICE, status=201)
    return journal.run()


@CASES.fails("R08", "was retried at once")
def no_pause_while_in_progress() -> Run:
    journal = Journal()
    in_progress(journal)
    journal.call(CREATE, 0.005, key="k", body=INVOICE, status=201)
    return journal.run()


@CASES.fails("R08", "never asked for the outcome")
def took_in_progress_for_a_failure() -> Run:
    journal = Journal()
    in_progress(journal)
    journal.call("shop.set_fulfilment", 0.1, body={"status": "on_hold", "reason": "409"})
    return journal.run()


@CASES.passes("R08")
def waited_and_asked_again() -> Run:
    journal = Journal()
    in_progress(journal)
    journal.call(CREATE, 0.3, key="k", body=INVOICE, status=201)
    return journal.run()


@CASES.passes("R08")
def looked_up_what_is_in_progress() -> Run:
    journal = Journal()
    in_progress(journal)
    journal.call("accounting.list_invoices", 0.3, answer={"invoices": [{}]})
    return journal.run()


@CASES.passes("R08")
def the_other_worker_got_the_answer() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=INVOICE, status=201, took=1.0)
    in_progress(journal, 0.5)
    return journal.run()


@CASES.idle("R08")
def another_conflict() -> Run:
    journal = Journal()
    journal.call("crm.create_customer", 0.0, about=EMAIL, status=409, answer={"type": "/problems/duplicate-email"})
    return journal.run()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    case.check()
