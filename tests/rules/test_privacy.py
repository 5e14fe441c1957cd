"""P01 to P08 on journals written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.rules import Run, Violation
from tests.rules.journals import EMAIL, ORDER, Books, Case, Cases, Journal

CASES = Cases()
CREATE = "accounting.create_invoice"
CUSTOMER = "crm.create_customer"
TOKEN = "crm.issue_token"
BODY = {"order_number": ORDER}
PERSON = {"name": "[personal:00000001]", "email": EMAIL}
RECIPIENT = {"name": "[personal:00000001]", "address": {"street": "[personal:00000002]", "country": "GB"}}


def customer(journal: Journal, at: float, status: int = 201) -> None:
    inject = "unauthorized" if status == 401 else ""
    journal.call(CUSTOMER, at, about=EMAIL, key="k", body=PERSON, status=status, applied=status == 201, inject=inject)


def invoice(journal: Journal, at: float, status: int = 201) -> None:
    inject = "unauthorized" if status == 401 else ""
    journal.call(CREATE, at, key="k", body=BODY, status=status, applied=status == 201, inject=inject)


def token(journal: Journal, at: float) -> None:
    journal.call(TOKEN, at, about="-", applied=False)


def plain() -> Run:
    journal = Journal()
    journal.call("shipping.create_shipment", 0.0, body={"reference": ORDER, "recipient": RECIPIENT}, status=201)
    return journal.run()


# P01


@CASES.fails("P01", "was answered 401 3 times")
def asked_for_tokens_in_a_loop() -> Run:
    journal = Journal()
    for number in range(3):
        customer(journal, float(number), 401)
        token(journal, number + 0.5)
    customer(journal, 3.0)
    return journal.run()


@CASES.fails("P01", "4 new tokens were fetched for 1 refused calls")
def fetched_too_many_tokens() -> Run:
    journal = Journal()
    customer(journal, 0.0, 401)
    for number in range(4):
        token(journal, 0.1 + number / 10)
    customer(journal, 1.0)
    return journal.run()


@CASES.fails("P01", "without a new token")
def retried_with_the_old_token() -> Run:
    journal = Journal()
    customer(journal, 0.0, 401)
    customer(journal, 0.5)
    return journal.run()


@CASES.fails("P01", "neither retried with a new token nor parked")
def gave_up_on_an_expired_token() -> Run:
    journal = Journal()
    customer(journal, 0.0, 401)
    return journal.run(Books().state)


@CASES.fails("P01", "a static one, and was retried 0.5 s later")
def retried_with_a_refused_key() -> Run:
    journal = Journal()
    invoice(journal, 0.0, 401)
    invoice(journal, 0.5)
    return journal.run()


@CASES.fails("P01", "and the order was not parked")
def went_on_without_a_key() -> Run:
    journal = Journal()
    invoice(journal, 0.0, 401)
    journal.call("shipping.create_shipment", 0.1, body={"reference": ORDER}, status=201)
    return journal.run(Books().state)


@CASES.passes("P01")
def fetched_one_token_and_retried_once() -> Run:
    journal = Journal()
    customer(journal, 0.0, 401)
    token(journal, 0.1)
    customer(journal, 0.2)
    return journal.run()


@CASES.passes("P01")
def took_the_token_of_another_worker() -> Run:
    journal = Journal()
    journal.call(
        CUSTOMER, 0.0, about=EMAIL, key="k", body=PERSON, status=401, applied=False, inject="unauthorized", took=0.3
    )
    token(journal, 0.2)
    customer(journal, 0.4)
    return journal.run()


@CASES.passes("P01")
def parked_for_another_key() -> Run:
    journal = Journal()
    invoice(journal, 0.0, 401)
    journal.call("shop.set_fulfilment", 0.1, body={"status": "on_hold", "reason": "401"})
    return journal.run()


@CASES.passes("P01")
def parked_and_taken_up_again_for_an_event() -> Run:
    journal = Journal()
    invoice(journal, 0.0, 401)
    journal.delivery("order.address_changed", 0.1, id="evt_2")
    invoice(journal, 0.2)
    return journal.run()


@CASES.passes("P01")
def tried_again_after_a_pause() -> Run:
    journal = Journal()
    invoice(journal, 0.0, 401)
    invoice(journal, 300.0)
    return journal.run()


@CASES.idle("P01")
def no_credential_was_refused() -> Run:
    return plain()


# P02


@CASES.fails("P02", "holds a credential: GET /orders?api_key=[secret:shop]")
def key_in_the_query() -> Run:
    journal = Journal()
    journal.call("shop.list_orders", about="-", query="api_key=[secret:shop]")
    return journal.run()


@CASES.fails("P02", "holds personal data")
def address_in_the_path() -> Run:
    journal = Journal()
    journal.call("crm.get_customer", about=EMAIL, path=f"/customers/{EMAIL}", status=404)
    return journal.run()


@CASES.fails("P02", "holds personal data")
def name_in_the_query() -> Run:
    journal = Journal()
    journal.call("crm.-", about="-", path="/customers", query="name=Martha+Klein", status=404)
    return journal.run(Books().state)


@CASES.passes("P02")
def clean_urls() -> Run:
    journal = Journal()
    journal.call("shop.list_orders", about="-", query="updated_since=2026-01-01T00%3A00%3A00.000Z")
    journal.call("crm.-", about="-", path="/customers", query="company=Example%20Ltd", status=404)
    return journal.run(Books().state)


@CASES.idle("P02")
def only_the_customer_called() -> Run:
    journal = Journal()
    journal.call("shop.list_orders", about="-", query="api_key=[secret:shop]", scenario=True)
    return journal.run()


# P03


@CASES.fails("P03", "carried a credential of shop")
def shop_key_to_shipping() -> Run:
    journal = Journal()
    journal.call("shipping.list_shipments", headers={"x-shop-api-key": "[secret:shop]"})
    return journal.run()


@CASES.fails("P03", "carried a credential of crm")
def token_in_a_body() -> Run:
    journal = Journal()
    journal.call(CREATE, key="k", body=BODY | {"note": "token [secret:crm]"}, status=400)
    return journal.run()


@CASES.fails("P03", "the secret that signs webhooks")
def webhook_secret_to_the_crm() -> Run:
    journal = Journal()
    journal.call(CUSTOMER, about=EMAIL, body={"note": "[secret:webhook]"}, status=201)
    return journal.run()


@CASES.passes("P03")
def each_credential_at_home() -> Run:
    journal = Journal()
    subscription = {"url": "http://127.0.0.1:9000", "secret": "[secret:webhook]"}
    journal.call("shop.create_webhook_subscription", about="-", body=subscription, status=201)
    journal.call(TOKEN, about="-", headers={"authorization": "Basic [secret:unknown]"})
    customer(journal, 1.0)
    return journal.run()


@CASES.idle("P03")
def nothing_needed_a_credential() -> Run:
    journal = Journal()
    token(journal, 0.0)
    return journal.run()


# P04


@CASES.fails("P04", "was sent /recipient/date_of_birth")
def date_of_birth_to_shipping() -> Run:
    journal = Journal()
    body = {"reference": ORDER, "recipient": RECIPIENT | {"date_of_birth": "[personal:00000004]"}}
    journal.call("shipping.create_shipment", body=body, status=201)
    return journal.run()


def read_order(journal: Journal) -> None:
    journal.call("shop.get_order", answer={"order_number": ORDER, "buyer": PERSON})


@CASES.fails("P04", "was sent /order/buyer/email")
def whole_order_to_shipping() -> Run:
    journal = Journal()
    read_order(journal)
    body = {"reference": ORDER, "recipient": RECIPIENT, "order": {"buyer": PERSON}}
    journal.call("shipping.create_shipment", body=body, status=201)
    return journal.run()


@CASES.fails("P04", "was sent /custom/street")
def street_in_an_unknown_field_of_the_crm() -> Run:
    journal = Journal()
    body = PERSON | {"custom": {"street": Books().orders[0]["delivery_address"]["street"]}}
    journal.call(CUSTOMER, about=EMAIL, body=body, status=201)
    return journal.run(Books().state)


@CASES.passes("P04")
def what_is_needed_and_no_more() -> Run:
    journal = Journal()
    read_order(journal)
    journal.call("shipping.create_shipment", body={"reference": ORDER, "recipient": RECIPIENT}, status=201)
    custom = {"company": "Example Ltd", "segment": "business customer", "phone": None}
    journal.call(CUSTOMER, about=EMAIL, body=PERSON | custom, status=201)
    return journal.run(Books().state)


@CASES.idle("P04")
def nothing_was_sent() -> Run:
    journal = Journal()
    journal.call("shop.get_order")
    return journal.run()


# P05


def answered(point: str, status: int, problem: str, **given: Any) -> Run:
    journal = Journal()
    journal.call(point, status=status, applied=False, answer={"type": f"/problems/{problem}", "detail": "x"}, **given)
    return journal.run()


@CASES.fails("P05", "accounting.create_invoice for 2025-4471 does not conform: x (answered 400")
def a_field_was_missing() -> Run:
    return answered(CREATE, 400, "validation", body={})


@CASES.fails("P05", "shop has no GET /order")
def a_path_that_is_none() -> Run:
    return answered("shop.-", 404, "not-found", about="-", path="/order")


@CASES.fails("P05")
def a_required_key_was_missing() -> Run:
    return answered(CREATE, 400, "idempotency-key-missing", body=BODY)


@CASES.passes("P05")
def refused_by_a_business_rule() -> Run:
    return answered(CREATE, 400, "fraction-of-a-cent", body=BODY)


@CASES.passes("P05")
def a_record_that_is_none() -> Run:
    return answered("shop.get_order", 404, "about:blank")


@CASES.idle("P05")
def nobody_called() -> Run:
    return only_the_customer_called()


# P06


def drifted(journal: Journal, point: str = CREATE, with_: Any = None, **given: Any) -> None:
    fault = {} if with_ is None else {"with": with_}
    journal.call(point, 0.0, key="k", body=BODY, status=201, inject="schema_drift", fault=fault, **given)


@CASES.fails("P06", "had an added field (occurrence 1, seq 1), and it was sent again 0.5 s later")
def took_an_added_field_for_a_failure() -> Run:
    journal = Journal()
    drifted(journal)
    invoice(journal, 0.5)
    return journal.run()


@CASES.fails("P06", "and in the end order 2025-4471 was parked: unexpected field")
def parked_because_of_an_added_field() -> Run:
    journal = Journal()
    drifted(journal, with_={"add": {"/x": 1}})
    books = Books()
    books.orders[0]["fulfilment"] = {"status": "on_hold", "reason": "unexpected field"}
    return journal.run(books.state)


@CASES.fails("P06", "and in the end order 2025-4471 is lost")
def lost_an_order_over_an_added_field() -> Run:
    journal = Journal()
    journal.call("shop.list_orders", about="-", inject="schema_drift")
    run = journal.run(Books().state)
    run.broken = {ORDER: [Violation(f"order {ORDER} is lost", key=ORDER)]}
    return run


@CASES.passes("P06")
def ignored_an_added_field() -> Run:
    journal = Journal()
    drifted(journal)
    return journal.run(Books().state)


@CASES.passes("P06")
def sends_everything_anew_for_each_event() -> Run:
    journal = Journal()
    for at in (0.0, 0.5):
        journal.call("crm.create_activity", at, key="a", body={"type": "order_placed"}, status=201)
        journal.call(CREATE, at, key="k", body=BODY, status=201, inject="" if at else "schema_drift")
    return journal.run(Books().state)


@CASES.passes("P06")
def parked_for_another_reason() -> Run:
    journal = Journal()
    drifted(journal)
    journal.call("shipping.create_shipment", 1.0, body={"reference": ORDER}, status=400)
    books = Books()
    books.orders[0]["fulfilment"] = {"status": "on_hold", "reason": "shipping refused it"}
    return journal.run(books.state)


@CASES.idle("P06")
def a_field_was_renamed() -> Run:
    journal = Journal()
    drifted(journal, with_={"rename": {"/id": "invoice_id"}})
    return journal.run(Books().state)


# P07


@CASES.fails("P07", "1 of 2 calls carried no traceparent, first accounting.create_invoice", severity="I")
def no_correlation_id() -> Run:
    journal = Journal()
    customer(journal, 0.0)
    invoice(journal, 0.1)
    del journal.entries[1]["request"]["headers"]["traceparent"]
    return journal.run()


@CASES.passes("P07")
def a_correlation_id_throughout() -> Run:
    return plain()


@CASES.idle("P07")
def no_order_was_worked_on() -> Run:
    journal = Journal()
    token(journal, 0.0)
    return journal.run()


# P08


def redirected(followed: bool, **given: Any) -> Run:
    journal = Journal()
    journal.call(
        CREATE, 0.0, key="k", body=BODY, status=307, applied=False, inject="redirect",
        answer_headers={"location": "/accounting/elsewhere/invoices"},
    )  # fmt: skip
    if followed:
        journal.call("accounting.-", 0.1, about="-", method="POST", path="/elsewhere/invoices", status=404, **given)
        if "headers" in given:
            del journal.entries[1]["request"]["headers"]["authorization"]
    return journal.run()


@CASES.fails("P08", "was followed with credentials and the body to /elsewhere/invoices (seq 2)", severity="W")
def followed_with_all_it_had() -> Run:
    return redirected(followed=True, body=BODY)


@CASES.passes("P08")
def did_not_follow() -> Run:
    return redirected(followed=False)


@CASES.passes("P08")
def followed_empty_handed() -> Run:
    return redirected(followed=True, headers={})


@CASES.idle("P08")
def nobody_was_redirected() -> Run:
    return plain()


@CASES.passes("P05")
def where_a_redirect_led() -> Run:
    return redirected(followed=True)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    case.check()
