"""When to try again: exponential backoff with full jitter, Retry-After, and a breaker for each system."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from random import Random

from sandbox.clock import Clock
from sandbox.integrator.failures import Postponed

__all__ = ["Backoff", "Breaker", "retry_after"]

# A longer one is a mistake; believing it would mean to wait for ever.
_LONGEST_REST = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with full jitter: the n-th delay is drawn from 0 to `base` times two to the n, capped."""

    random: Random
    base: float
    cap: float

    def delay(self, attempts: int) -> float:
        """Seconds to wait after a number of failed attempts (1 or more)."""
        exponent = min(attempts - 1, 32)
        return self.random.uniform(0.0, min(self.cap, self.base * 2.0**exponent))

    def next_try(self, now: float, attempts: int, not_before: float | None = None) -> float:
        """When to try again, in unix seconds: never before the time that the system named."""
        due = now + self.delay(attempts)
        return due if not_before is None else max(due, not_before + self.random.uniform(0.0, self.base))


class Breaker:
    """Gives a failing system a rest: one probe at a growing distance instead of every order's own retries.

    Args:
        name: The system's name.
        threshold: Failures in a row that open the breaker.
    """

    def __init__(self, name: str, clock: Clock, backoff: Backoff, threshold: int = 5) -> None:
        self._name = name
        self._clock = clock
        self._backoff = backoff
        self._threshold = threshold
        self._failures = 0
        self._open_until = 0.0

    def check(self) -> None:
        """Let a call pass.

        Raises:
            Postponed: while the breaker is open.
        """
        if self._clock.now() < self._open_until:
            raise Postponed(self._name, self._open_until)

    def succeeded(self) -> None:
        """Note that the system answered as it should."""
        self._failures = 0

    def failed(self) -> None:
        """Note that the system did not answer, or answered that it cannot."""
        self._failures += 1
        if self._failures >= self._threshold:
            self.rest_until(self._clock.now() + self._backoff.delay(self._failures))

    def rest_until(self, moment: float) -> None:
        """Send nothing before a time in unix seconds: the system asked for it."""
        self._open_until = max(self._open_until, moment)


def retry_after(value: str | None, now: float) -> float | None:
    """The time that a Retry-After header names (RFC 9110, section 10.2.3: seconds or an HTTP-date), in unix seconds.

    None when there is no such header or it cannot be understood.
    """
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdecimal():
        return now + min(float(value), _LONGEST_REST)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    return min(moment.replace(tzinfo=moment.tzinfo or UTC).timestamp(), now + _LONGEST_REST)
