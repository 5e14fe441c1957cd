"""When a run over sockets is over: what was seen of the program decides, and what was not seen is waited for longer."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.chaos.habits import Course, Habits

KEY = "2025-4471"
HEADERS = {"sandbox-actor": "scenario"}


def call(at: float, operation: str = "create_invoice", *, status: int | None = 201, **more: Any) -> dict[str, Any]:
    """A call that is answered 10 ms after it came."""
    headers = more.pop("headers", {})
    key = more.pop("key", KEY)
    return {
        "kind": "call",
        "at": at,
        "address": {"system": "accounting", "operation": operation, "key": key, "occurrence": 1},
        "request": {"method": "GET" if operation.startswith(("get", "list")) else "POST", "headers": {}},
        "answer": {"outcome": "sent", "status": status, "headers": headers, "at": at + 0.01},
        **more,
    }


def placed(at: float) -> dict[str, Any]:
    order = call(at, "place_order")
    return order | {"request": {"method": "POST", "headers": HEADERS}}


def delivery(at: float, error: str = "") -> dict[str, Any]:
    answer = {"error": error, "at": at} if error else {"status": 204, "at": at + 0.01}
    return {"kind": "delivery", "at": at, "system": "shop", "address": {"event": "order.paid"}, "answer": answer}


def is_safe(_system: str, operation: str, _method: str) -> bool:
    return operation.startswith(("get", "list"))


def known() -> Habits:
    """What was learned from a plain run of a program that thinks for 20 ms."""
    habits = Habits()
    course = Course(habits, is_safe, 0.0)
    course.take([placed(0.0), delivery(0.02), call(0.04), call(0.07)])
    course.end()
    return habits


def over(course: Course, *entries: dict[str, Any], since: float = 1.0) -> float:
    """How long after a moment a run is over."""
    course.take(entries)
    return round(course.over_at() - since, 3)


def test_a_program_that_nothing_is_known_of_is_waited_for() -> None:
    assert over(Course(Habits(), is_safe, 0.0), placed(0.99)) == 6.0
    assert over(Course(Habits(), is_safe, 0.0), placed(0.5), call(0.99)) == 1.0


def test_one_that_was_seen_thinking_is_waited_for_a_little_longer_than_that() -> None:
    habits = known()
    assert (list(habits.cold), habits.reacted) == ([pytest.approx(0.02)], pytest.approx(0.02))
    assert over(Course(habits, is_safe, 0.0, cold=False), placed(0.5), call(0.99)) == pytest.approx(0.14)


def test_a_failed_call_is_waited_for_as_its_retries_were_seen() -> None:
    habits = known()
    course = Course(habits, is_safe, 0.0, cold=False, plain=False)
    assert over(course, placed(0.5), call(0.99, status=500)) == 6.0
    course.take([call(1.5)])
    assert over(course, since=1.51) == pytest.approx(0.14)
    again = Course(habits, is_safe, 0.0, cold=False, plain=False)
    assert over(again, placed(0.5), call(0.99, status=500)) == pytest.approx(0.1 + 3 * 0.5)


def test_whoever_was_asked_to_come_later_is_waited_for_until_then() -> None:
    course = Course(known(), is_safe, 0.0, plain=False)
    assert over(course, placed(0.5), call(0.99, status=429, headers={"retry-after": "2"})) == 8.0


def test_a_lost_event_is_waited_for_until_somebody_has_looked() -> None:
    habits = known()
    course = Course(habits, is_safe, 0.0, plain=False)
    assert over(course, placed(0.5), call(0.6), delivery(1.0, "dropped")) == 6.0
    assert over(course, call(1.5, "list_orders", status=200, key="-"), since=1.51) == pytest.approx(0.14)


def test_looking_again_and_again_for_news_keeps_no_run_from_ending() -> None:
    course = Course(known(), is_safe, 0.0)
    polls = [call(1.0 + n, "list_orders", status=200, key="-") for n in range(5)]
    assert over(course, placed(0.5), call(0.6), *polls, since=0.61) == pytest.approx(0.14)


def test_a_crash_says_nothing_about_how_long_it_thinks() -> None:
    habits = known()
    course = Course(habits, is_safe, 0.0, cold=False, plain=False)
    happened = {"killed": 0.7, "restarted": 3.0}
    notes = [{"kind": "note", "at": at, "text": f"subject {what}"} for what, at in happened.items()]
    course.take([placed(0.5), call(0.6), *notes, call(4.0), call(4.02)])
    course.end()
    assert (list(habits.thought), habits.resumed) == ([], pytest.approx(1.0))
