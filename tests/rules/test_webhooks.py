"""H01 to H08 on journals written by hand."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from sandbox.rules import Run, Violation
from tests.rules.journals import ORDER, OTHER, START, Books, Case, Cases, Journal

CASES = Cases()
CREATE = "accounting.create_invoice"
BODY = {"order_number": ORDER}
LOST = f"order {ORDER} is paid, but nothing was done for it"


def broken(run: Run, *keys: str, excess: bool = False) -> Run:
    """The run as it is after the invariants were judged."""
    run.broken = {key: [Violation(LOST, key=key, excess=excess)] for key in keys}
    return run


# H01


@CASES.fails("H01", "was answered 204 only after 16 s")
def answered_too_late() -> Run:
    journal = Journal()
    journal.delivery("order.paid", took=16.0)
    return journal.run()


@CASES.fails("H01", "got no answer within 15 s")
def never_answered() -> Run:
    journal = Journal()
    journal.delivery("order.paid", status=None, error="no answer within 15 s", took=15.0)
    return journal.run()


@CASES.fails("H01", "after 5 s", severity="W")
def answered_late() -> Run:
    journal = Journal()
    journal.delivery("order.paid", took=5.0)
    return journal.run()


@CASES.passes("H01")
def answered_at_once() -> Run:
    journal = Journal()
    journal.delivery("order.paid", took=0.1)
    return journal.run()


@CASES.passes("H01")
def killed_while_answering() -> Run:
    journal = Journal()
    journal.delivery("order.paid", status=None, error="no answer within 15 s", took=15.0)
    journal.killed(3.0)
    return journal.run()


@CASES.idle("H01")
def nobody_was_there() -> Run:
    journal = Journal()
    journal.delivery("order.paid", status=None, error="connection refused")
    journal.delivery("order.paid", status=None, error="dropped", inject="drop", id="evt_2")
    return journal.run()


# H02


@CASES.fails("H02", "accounting.create_invoice for 2025-4471 took effect twice")
def worked_off_twice() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0)
    journal.call(CREATE, 0.1, key="k1", body=BODY, status=201)
    journal.delivery("order.paid", 3.0, inject="duplicate")
    journal.call(CREATE, 3.1, key="k2", body=BODY, status=201)
    return journal.run()


@CASES.fails("H02", "in the end answered 400")
def refused_the_second_time() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0)
    journal.delivery("order.paid", 3.0, inject="duplicate", status=400)
    return journal.run()


@CASES.fails("H02", "in the end answered 500")
def fell_over_the_second_time() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0)
    journal.delivery("order.paid", 3.0, inject="duplicate", status=500)
    return journal.run()


@CASES.passes("H02")
def counted_once() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0)
    journal.call(CREATE, 0.1, key="k1", body=BODY, status=201)
    journal.delivery("order.paid", 3.0, inject="duplicate")
    return journal.run()


@CASES.passes("H02")
def put_the_concurrent_one_off() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0, took=0.5)
    journal.delivery("order.paid", 0.1, inject="concurrent_duplicate", status=409)
    return journal.run()


@CASES.passes("H02")
def relied_on_redelivery() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0, status=500)
    journal.delivery("order.paid", 5.2, attempt=2)
    return journal.run()


@CASES.passes("H02")
def two_equal_credits_for_two_events() -> Run:
    journal = Journal()
    note = "accounting.create_credit_note"
    journal.delivery("order.line_item_cancelled", 0.0, id="evt_1")
    journal.call(note, 0.1, key="k1", body=BODY, status=201)
    journal.delivery("order.line_item_cancelled", 1.0, id="evt_1", inject="duplicate")
    journal.delivery("order.line_item_cancelled", 2.0, id="evt_2")
    journal.call(note, 2.1, key="k2", body=BODY, status=201)
    return journal.run()


@CASES.passes("H02")
def created_again_because_the_answer_was_lost() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0, status=500)
    journal.lost(CREATE, 0.1, key="k1", body=BODY, after=1.0)
    journal.delivery("order.paid", 5.2, attempt=2)
    journal.call(CREATE, 5.3, key="k2", body=BODY, status=201)
    return journal.run()


@CASES.idle("H02")
def each_event_came_once() -> Run:
    journal = Journal()
    journal.delivery("order.placed", 0.0, id="evt_1")
    journal.delivery("order.paid", 0.0, id="evt_2")
    return journal.run()


# H03


@CASES.fails("H03", "(unsigned) was answered 204")
def accepted_a_forgery() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0, about="7974-5528", inject="forged", fault={"with": {"how": "unsigned"}})
    return journal.run()


@CASES.fails("H03", "had an effect: accounting.create_invoice for 7974-5528")
def acted_on_a_forgery() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0, about="7974-5528", inject="forged", status=500)
    journal.call(CREATE, 0.1, about="7974-5528", key="k", body=BODY, status=201)
    return journal.run()


@CASES.passes("H03")
def refused_a_forgery() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0, about="7974-5528", inject="forged", status=401)
    return journal.run()


@CASES.idle("H03")
def all_was_genuine() -> Run:
    return each_event_came_once()


# H04


@CASES.fails("H04", "bore two signatures, the second one valid, and was refused with 401")
def looked_at_the_first_signature_only() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0, inject="rotated", status=401)
    return journal.run()


@CASES.fails("H04", "had other white space, and was refused with 400")
def checked_what_it_had_parsed() -> Run:
    journal = Journal()
    journal.delivery("order.paid", 0.0, inject="respaced", status=400)
    return journal.run()


@CASES.passes("H04")
def accepted_both() -> Run:
    journal = Journal()
    journal.delivery("order.placed", 0.0, inject="rotated")
    journal.delivery("order.paid", 0.0, inject="respaced", status=503, id="evt_2")
    return journal.run()


@CASES.idle("H04")
def plain_signatures() -> Run:
    return each_event_came_once()


# H05


def disorder(*keys: str) -> Run:
    journal = Journal()
    journal.call("shop.place_order", 0.0, scenario=True, events=["evt_1", "evt_2"], status=201)
    journal.call("shop.cancel_order", 1.0, scenario=True, events=["evt_3"])
    journal.delivery("order.placed", 0.0, id="evt_1")
    journal.delivery("order.cancelled", 1.0, id="evt_3")
    journal.delivery("order.paid", 1.1, id="evt_2", inject="reorder")
    return broken(journal.run(), *keys)


@CASES.fails("H05", "order.paid for 2025-4471 (evt_2, seq 5) came after the newer order.cancelled")
def turned_state_back() -> Run:
    return disorder(ORDER)


@CASES.passes("H05")
def took_disorder_as_it_came() -> Run:
    return disorder()


@CASES.passes("H05")
def something_else_is_broken() -> Run:
    return disorder(OTHER)


@CASES.idle("H05")
def events_came_in_order() -> Run:
    journal = Journal()
    journal.call("shop.place_order", 0.0, scenario=True, events=["evt_1", "evt_2"], status=201)
    journal.delivery("order.placed", 0.0, id="evt_1")
    journal.delivery("order.paid", 1.1, id="evt_2")
    return broken(journal.run(), ORDER)


@CASES.idle("H05")
def nobody_judged_the_effects_of_disorder() -> Run:
    run = disorder()
    run.broken = None
    return run


# H06


def crashed(at: float, *keys: str, excess: bool = False) -> Run:
    journal = Journal()
    journal.note("subject started")
    journal.delivery("order.paid", 1.0, inject="crash")
    journal.killed(at)
    return broken(journal.run(), *keys, excess=excess)


@CASES.fails("H06", "was answered 204, the subject was killed 0 s later")
def forgot_what_it_had_promised() -> Run:
    return crashed(1.0, ORDER)


@CASES.passes("H06")
def kept_what_it_had_promised() -> Run:
    return crashed(1.0)


@CASES.passes("H06")
def did_too_much_rather_than_too_little() -> Run:
    return crashed(1.0, ORDER, excess=True)


@CASES.idle("H06")
def killed_long_after() -> Run:
    return crashed(60.0, ORDER)


# H07


def lost(*keys: str, polls: tuple[tuple[float, int], ...] = (), healed: float | None = None, **settings: Any) -> Run:
    """An event is dropped; then come polls (time, status), and the effect that makes up for it."""
    journal = Journal()
    journal.delivery("order.paid", 0.0, status=None, error="dropped", inject="drop")
    for at, status in polls:
        journal.call("shop.list_orders", at, about="-", status=status, inject="" if status == 200 else "outage")
    if healed is not None:
        journal.call(CREATE, healed, key="k", body=BODY, status=201)
    return broken(journal.run(Books().state, lasts=2000.0, **settings), *keys)


@CASES.fails("H07", f"never arrived, and in the end {LOST}")
def never_made_up() -> Run:
    return lost(ORDER, reconcile_every=300.0)


@CASES.fails("H07", "was made up for 15 min later")
def made_up_too_late() -> Run:
    return lost(polls=((900.0, 200),), healed=900.1, reconcile_every=300.0)


@CASES.passes("H07")
def made_up_in_time() -> Run:
    return lost(polls=((290.0, 200),), healed=290.1, reconcile_every=300.0)


@CASES.passes("H07")
def made_up_late_because_the_shop_was_down() -> Run:
    return lost(polls=((290.0, 503), (900.0, 200)), healed=900.1, reconcile_every=300.0)


@CASES.passes("H07")
def made_up_whenever() -> Run:
    return lost()


@CASES.idle("H07")
def undeclared_over_sockets() -> Run:
    return lost(ORDER, virtual=False)


@CASES.idle("H07")
def no_event_was_lost() -> Run:
    return broken(each_event_came_once(), ORDER)


# H08


def polls(*queries: str) -> Run:
    journal = Journal()
    for number, query in enumerate(queries):
        journal.call("shop.list_orders", 300.0 * number, about="-", query=query)
    return journal.run()


def since(seconds: int) -> str:
    return f"limit=100&updated_since={quote(f'2026-01-01T00:{seconds // 60:02}:00Z')}"


@CASES.fails("H08", "was polled 3 times, never with updated_since", severity="W")
def asked_for_everything() -> Run:
    return polls("limit=100", "limit=100", "limit=100")


@CASES.fails("H08", "always with updated_since=2026-01-01T00:00:00Z", severity="W")
def asked_since_the_beginning() -> Run:
    return polls(since(0), since(0), since(0))


@CASES.passes("H08")
def asked_for_changes() -> Run:
    return polls("limit=100", since(0), since(300), f"{since(300)}&cursor=abc")


@CASES.idle("H08")
def polled_twice() -> Run:
    return polls("limit=100", "limit=100")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    case.check()


def test_times_are_told_from_the_start() -> None:
    journal = Journal()
    journal.delivery("order.paid", 0.0)
    assert journal.run().when(START + 2.5) == "2.5 s after the start"
