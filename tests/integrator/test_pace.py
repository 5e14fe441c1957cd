"""Backoff, Retry-After and the breaker."""

from __future__ import annotations

from email.utils import formatdate
from random import Random
from typing import Any

import pytest

from sandbox.integrator.failures import Postponed
from sandbox.integrator.pace import Backoff, Breaker, retry_after

NOW = 1_767_225_600.0


def backoff() -> Backoff:
    return Backoff(Random(1), base=0.5, cap=60.0)


@pytest.mark.parametrize(("attempts", "limit"), [(1, 0.5), (2, 1.0), (5, 8.0), (8, 60.0), (2000, 60.0)])
def test_full_jitter(attempts: int, limit: float) -> None:
    delays = [backoff_of.delay(attempts) for backoff_of in [backoff()] for _ in range(500)]
    assert 0 <= min(delays) < limit / 10
    assert limit * 0.9 < max(delays) <= limit


def test_next_try_is_never_before_the_time_that_the_system_named() -> None:
    pace = backoff()
    assert all(NOW + 30 <= pace.next_try(NOW, 1, NOW + 30) <= NOW + 30.5 for _ in range(100))
    assert any(pace.next_try(NOW, 8, NOW + 1) > NOW + 10 for _ in range(100))


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("7", NOW + 7),
        (" 0 ", NOW),
        ("9" * 400, NOW + 7 * 24 * 3600),
        ("Fri, 01 Jan 2126 00:00:00 GMT", NOW + 7 * 24 * 3600),
        (formatdate(NOW + 90, usegmt=True), NOW + 90),
        ("Thu, 01 Jan 2026 00:01:30 -0000", NOW + 90),
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
    ],
)
def test_retry_after(value: str | None, moment: float | None) -> None:
    assert retry_after(value, NOW) == moment


@pytest.fixture
def clock(rig: Any) -> Any:
    return rig.clock


def test_breaker_opens_after_failures_in_a_row(clock: Any) -> None:
    breaker = Breaker("crm", clock, backoff(), threshold=3)
    for _ in range(2):
        breaker.failed()
        breaker.check()
    breaker.succeeded()
    for _ in range(2):
        breaker.failed()
    breaker.check()
    breaker.failed()
    with pytest.raises(Postponed) as postponed:
        breaker.check()
    clock.time = postponed.value.until
    breaker.check()
    breaker.failed()
    with pytest.raises(Postponed):
        breaker.check()


def test_breaker_gives_the_rest_that_was_asked_for(clock: Any) -> None:
    breaker = Breaker("crm", clock, backoff())
    breaker.rest_until(clock.now() + 10)
    breaker.rest_until(clock.now() + 5)
    clock.time += 9.9
    with pytest.raises(Postponed):
        breaker.check()
    clock.time += 0.1
    breaker.check()
