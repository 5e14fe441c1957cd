"""R10 to R14 and R16 on journals written by hand."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from sandbox.rules import Run
from tests.rules.journals import ORDER, Books, Case, Cases, Journal

CASES = Cases()
CREATE = "accounting.create_invoice"
BODY = {"order_number": ORDER}


def tries(delays: Iterable[float], *, about: str = ORDER, journal: Journal | None = None, **given: object) -> Journal:
    """One request that fails, and is tried again after each delay; the last one succeeds."""
    journal = journal or Journal()
    at = 0.0
    for delay in delays:
        journal.call(CREATE, at, about=about, key=about, body=BODY, status=503, applied=False, inject="outage", **given)
        at += delay
    journal.call(CREATE, at, about=about, key=about, body=BODY, status=201)
    return journal


# R10


@CASES.fails("R10", "was tried 51 times within 50 s")
def every_second() -> Run:
    return tries([1.0] * 50).run()


@CASES.fails("R10", "in the end still every 4 s")
def every_four_seconds_for_ever() -> Run:
    return tries([4.0] * 100).run()


@CASES.passes("R10")
def a_minute_apart_for_ever() -> Run:
    return tries([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, *[60.0] * 100]).run()


@CASES.passes("R10")
def a_handful_of_tries() -> Run:
    return tries([0.01] * 5).run()


@CASES.idle("R10")
def no_retries() -> Run:
    return tries([]).run()


# R11


@CASES.fails("R11", "the first two delays took 10 s, the last two 10 s", severity="W")
def constant_delays() -> Run:
    return tries([5.0] * 6).run()


@CASES.passes("R11")
def growing_delays() -> Run:
    return tries([0.5, 1.0, 2.0, 4.0, 8.0]).run()


@CASES.passes("R11")
def jitter_that_shrinks_once() -> Run:
    journal = tries([0.4, 0.3, 1.9, 3.0, 0.1, 0.2])
    tries([0.2, 0.9, 1.1, 3.5, 6.0], about="2025-2", journal=journal)
    return journal.run()


@CASES.idle("R11")
def too_few_delays() -> Run:
    return tries([5.0] * 4).run()


@CASES.idle("R11")
def delays_that_the_server_asked_for() -> Run:
    return tries([5.0] * 6, answer_headers={"retry-after": "5"}).run()


@CASES.idle("R11")
def delays_of_the_provider_redelivering() -> Run:
    journal = tries([5.0] * 6)
    for number in range(1, 7):
        journal.delivery("order.paid", 5.0 * number, attempt=number + 1)
    return journal.run()


# R12


def crowd(delays: Iterable[float]) -> Run:
    journal = Journal()
    for number, delay in enumerate(delays):
        tries([delay], about=f"2025-{number}", journal=journal)
    return journal.run()


@CASES.fails("R12", "was first retried after 1 s for each of 20 orders", severity="W")
def all_at_once() -> Run:
    return crowd([1.0] * 20)


@CASES.passes("R12")
def spread() -> Run:
    return crowd(0.5 + number / 20 for number in range(20))


@CASES.idle("R12")
def nineteen_orders() -> Run:
    return crowd([1.0] * 19)


# R13


@CASES.fails("R13", "the last time after 512 s", severity="W")
def doubling_without_end() -> Run:
    return tries([0.5 * 2**number for number in range(11)]).run(lasts=3000.0)


@CASES.fails("R13", "the last time after 120 min", severity="W")
def hours() -> Run:
    return tries([1.0, 1.0, 1.0, 1.0, 7200.0]).run(lasts=9000.0)


@CASES.passes("R13")
def capped_at_a_minute() -> Run:
    return tries([min(60.0, 0.5 * 2**number) for number in range(20)]).run(lasts=3000.0)


@CASES.passes("R13")
def behind_a_breaker_that_others_probe() -> Run:
    journal = tries([1.0, 2.0, 4.0, 8.0, 500.0])
    last = journal.entries.pop()
    journal.call(CREATE, 300.0, about="2025-2", key="b", body={}, status=503, applied=False, inject="outage")
    journal.entries.append(last | {"seq": len(journal.entries) + 1})
    return journal.run()


@CASES.idle("R13")
def a_few_delays() -> Run:
    return tries([1.0, 500.0]).run()


# R14


def outage(early: int, late: int, orders: int = 20, lasts: float = 600.0) -> Run:
    journal = Journal()
    for number in range(orders):
        journal.delivery("order.paid", 0.0, about=f"2025-{number}", id=f"evt_{number}")
    moments = [lasts / 3 * n / early for n in range(early)] + [lasts - lasts / 3 * n / late for n in range(late)][::-1]
    for number, at in enumerate(moments):
        about = f"2025-{number % orders}"
        journal.call(CREATE, at, about=about, key=about, body={}, status=503, applied=False, inject="outage")
    return journal.run()


@CASES.fails("R14", "got 60 calls in the first third of it, 60 in the last", severity="W")
def hammering_on() -> Run:
    return outage(60, 60)


@CASES.passes("R14")
def calming_down() -> Run:
    return outage(60, 5)


@CASES.idle("R14")
def a_short_outage() -> Run:
    return outage(60, 60, lasts=60.0)


@CASES.idle("R14")
def an_outage_over_few_orders() -> Run:
    return outage(60, 60, orders=3)


# R16


@CASES.fails("R16", "was silent for 300 s before it was given up")
def waited_for_five_minutes() -> Run:
    journal = Journal()
    journal.lost(CREATE, 0.0, key="k", body=BODY, after=300.0)
    return journal.run()


@CASES.fails("R16", "was silent for 17 min")
def waits_still() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=BODY, status=None, inject="timeout", outcome="lost")
    return journal.run()


@CASES.fails("R16", "was silent for 61 s")
def waited_for_a_slow_answer() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=BODY, status=201, inject="slow", took=61.0)
    return journal.run()


@CASES.fails("R16", "dripped for 120 s", severity="W")
def let_it_drip() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", status=201, inject="slow", fault={"with": {"drip": "1s"}}, took=120.0)
    return journal.run()


@CASES.passes("R16")
def gave_up_after_ten_seconds() -> Run:
    journal = Journal()
    journal.lost(CREATE, 0.0, key="k", body=BODY, after=10.0)
    return journal.run(Books().state)


@CASES.passes("R16")
def a_longer_limit_is_configured() -> Run:
    journal = Journal()
    journal.lost(CREATE, 0.0, key="k", body=BODY, after=90.0)
    return journal.run(request_limit=100.0)


@CASES.idle("R16")
def everybody_answered() -> Run:
    journal = Journal()
    journal.call(CREATE, 0.0, key="k", body=BODY, status=201)
    journal.call(CREATE, 0.0, key="k", body=BODY, status=None, inject="reset", outcome="reset")
    return journal.run()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_case(case: Case) -> None:
    case.check()
