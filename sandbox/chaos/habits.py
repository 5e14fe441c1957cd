"""How a program under test behaves in time, learned from its runs; and when nothing more is to be expected of it.

A program in real time does not say when it is done. It is taken to be when nothing is under way, no delivery is due, no
failed call awaits another try, no lost event awaits a poll, and then nothing happens for several times as long as it
was ever seen to think. What it was never seen to do is waited for longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

from sandbox.chaos.customer import ACTOR

_SPOILT: Final = frozenset({"malformed", "truncated", "redirect"})
_COME_AGAIN: Final = frozenset({401, 409, 425, 429})
_SHORTEST: Final = 0.2
# As long as nothing is known of the program.
_AT_FIRST: Final = 1.0
_UNKNOWN: Final = 6.0
_UNKNOWN_RESTART: Final = 3.0
_LONGEST: Final = 15.0
# Thinking takes about the same each time; a pause before a retry is drawn by lot, and grows.
_THOUGHTS: Final = 4.0
_PAUSES: Final = 3.0
_POLLS: Final = 1.5
_PATIENCE: Final = 3.0

Point = tuple[str, str, str]
IsSafe = Callable[[str, str, str], bool]
"""Whether an operation (system, operationId, HTTP method) only reads."""


@dataclass(slots=True)
class Habits:
    """What was seen of a program in all its runs; spans in seconds.

    Attributes:
        thought: The longest pause before its next call, when all was well.
        retried: By how often a call had failed in a row, the longest pause before the next try.
        resumed: The longest pause from its restart to its first call.
        polled: The longest pause between two looks for news.
        speed: How many times faster than ours its clock runs.
    """

    speed: float = 1.0
    polled: float | None = None
    thought: float | None = None
    resumed: float | None = None
    retried: dict[int, float] = field(default_factory=dict)

    def quiet(self, *, patient: bool = False) -> float:
        """How long nothing must happen."""
        known = _AT_FIRST * self.speed if self.thought is None else _THOUGHTS * self.thought
        quiet = max(known, _SHORTEST * self.speed)
        return min(_PATIENCE * max(quiet, _AT_FIRST / 2 * self.speed) if patient else quiet, _LONGEST * self.speed)

    def retry(self, failures: int) -> float | None:
        """The longest pause to expect after so many failures in a row; None when it was never seen to try again."""
        if not self.retried:
            return None
        latest = max(self.retried)
        grown = 2.0 ** max(0, failures - latest)
        return (
            max(pause for number, pause in self.retried.items() if number <= max(failures, min(self.retried))) * grown
        )

    def overtook(self, pause: float) -> None:
        """A call came so long after its run had been taken to be over."""
        self.thought = max(self.thought or 0.0, pause)


@dataclass(slots=True)
class _Failing:
    """A point at which calls fail.

    Attributes:
        since: When the last one failed, or when it was to be tried again.
    """

    failures: int
    since: float


class Course:
    """The course of one run, as its journal tells it.

    Args:
        patient: Wait several times as long as usual.
        reconcile_every: Seconds between two of the program's looks for news, where it says so.

    Attributes:
        calls: How many calls of the program there were, by operation.
    """

    def __init__(
        self,
        habits: Habits,
        is_safe: IsSafe,
        began: float,
        *,
        patient: bool = False,
        reconcile_every: float | None = None,
    ) -> None:
        self._habits = habits
        self._is_safe = is_safe
        self._patient = patient
        self._every = reconcile_every
        self._last = began
        self._handed = began
        self._failing: dict[Point, _Failing] = {}
        self._looked: dict[Point, float] = {}
        self._restarted: float | None = None
        self._lost: float | None = None
        self.calls: dict[tuple[str, str], int] = {}

    def take(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Go on with the entries that have become complete."""
        for entry in entries:
            match entry["kind"]:
                case "note":
                    self._note(entry)
                case "delivery":
                    self._delivered(entry)
                case _ if _is_own(entry):
                    self._called(entry)
                case _:
                    self._last = max(self._last, _ended(entry))

    def over_at(self, *moments: float | None) -> float:
        """When the run is over, if nothing else happens.

        Args:
            moments: When something else may happen, e.g. a delivery be due.
        """
        habits, quiet = self._habits, self._habits.quiet(patient=self._patient)
        found = [moment + quiet for moment in (self._last, *moments) if moment is not None]
        found += [
            failing.since + self._pause(habits.retry(failing.failures), _PAUSES, _UNKNOWN, quiet)
            for failing in self._failing.values()
        ]
        if self._restarted is not None:
            found.append(self._restarted + self._pause(habits.resumed, _PAUSES, _UNKNOWN_RESTART, quiet))
        if self._lost is not None:
            found.append(self._lost + self._pause(self._every or habits.polled, _POLLS, _UNKNOWN, quiet))
        return max(found)

    def _pause(self, known: float | None, times: float, unknown: float, quiet: float) -> float:
        if known is None:
            return max(quiet, unknown * self._habits.speed)
        wait = times * known * (_PATIENCE if self._patient else 1.0)
        return quiet + min(wait, _LONGEST * self._habits.speed)

    def _note(self, entry: Mapping[str, Any]) -> None:
        self._last = max(self._last, entry["at"])
        if str(entry.get("text")) == "subject restarted":
            self._restarted = self._handed = entry["at"]

    def _delivered(self, entry: Mapping[str, Any]) -> None:
        ended = _ended(entry)
        self._last, self._handed = max(self._last, ended), max(self._handed, ended)
        if (entry.get("answer") or {}).get("error") == "dropped":
            self._lost = ended

    def _called(self, entry: Mapping[str, Any]) -> None:
        address, at, ended = entry["address"], entry["at"] or 0.0, _ended(entry)
        point: Point = (address["system"], address["operation"], address["key"])
        method = (entry.get("request") or {}).get("method", "")
        safe = self._is_safe(point[0], point[1], method)
        self.calls[point[:2]] = self.calls.get(point[:2], 0) + 1
        self._learn(point, at, safe)
        self._handed = max(self._handed, ended)
        if _failed(entry):
            before = self._failing.get(point)
            self._failing[point] = _Failing(1 + (before.failures if before else 0), max(ended, _asked(entry, ended)))
            self._last = max(self._last, ended)
            return
        for other in [
            other for other in self._failing if other == point or (other[0], other[2]) == (point[0], point[2])
        ]:
            del self._failing[other]
        if self._lost is not None and safe and point[2] == "-" and at > self._lost:
            self._lost = None
        if not safe:
            self._looked.clear()
        if not safe or point not in self._looked:
            # That it looks again and again for something to do does not mean that it does something.
            self._last = max(self._last, ended)
        if safe:
            self._looked[point] = at

    def _learn(self, point: Point, at: float, safe: bool) -> None:
        habits, failing = self._habits, self._failing.get(point)
        gap = max(0.0, at - self._handed)
        if failing is not None:
            pause = max(0.0, at - failing.since)
            habits.retried[failing.failures] = max(pause, habits.retried.get(failing.failures, 0.0))
        elif safe and point in self._looked:
            habits.polled = max(at - self._looked[point], habits.polled or 0.0)
        elif self._restarted is not None:
            habits.resumed = max(at - self._restarted, habits.resumed or 0.0)
        elif point[2] != "-" and not self._failing:
            habits.thought = max(gap, habits.thought or 0.0)
        self._restarted = None


def _is_own(entry: Mapping[str, Any]) -> bool:
    headers = (entry.get("request") or {}).get("headers") or {}
    return bool(headers.get(ACTOR[0]) != ACTOR[1] and "repeat_of" not in entry)


def _ended(entry: Mapping[str, Any]) -> float:
    answer = entry.get("answer")
    at = answer.get("at") if isinstance(answer, dict) else None
    return float(max(entry.get("at") or 0.0, at or 0.0, entry.get("left_at") or 0.0))


def _failed(entry: Mapping[str, Any]) -> bool:
    """Whether the caller got nothing that it could make use of, or was asked to come again."""
    answer = entry["answer"]
    if not isinstance(answer, dict) or answer.get("outcome") != "sent" or answer.get("status") is None:
        return True
    if (entry.get("fault") or {}).get("inject") in _SPOILT:
        return True
    return bool(answer["status"] in _COME_AGAIN or answer["status"] >= 500)


def _asked(entry: Mapping[str, Any], ended: float) -> float:
    """When the caller was asked to come again."""
    answer = entry["answer"]
    value = str(((answer.get("headers") or {}) if isinstance(answer, dict) else {}).get("retry-after", ""))
    if value.isdecimal():
        return ended + float(value)
    try:
        return parsedate_to_datetime(value).timestamp()
    except ValueError:
        return ended


def is_waiting(entry: Mapping[str, Any]) -> bool:
    """Whether its caller still waits for an answer that will not come; the network does not wait."""
    answer = entry.get("answer")
    lost = isinstance(answer, dict) and answer.get("outcome") == "lost"
    return lost and "left_at" not in entry and "repeat_of" not in entry
