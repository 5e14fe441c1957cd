"""How a program under test behaves in time, learned from its runs; and when nothing more is to be expected of it.

A program in real time does not say when it is done. It is taken to be when nothing is under way, no delivery is due, no
failed call awaits another try, no lost event awaits a poll, and then nothing happens for several times as long as it
was ever seen to think. What it was never seen to do is waited for longer.
"""

from __future__ import annotations

from bisect import bisect
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Final

from sandbox.chaos.customer import ACTOR
from sandbox.model import NO_KEY

_SPOILT: Final = frozenset({"malformed", "truncated", "redirect"})
_COME_AGAIN: Final = frozenset({401, 409, 425, 429})
# As long as nothing is known of the program.
_AT_FIRST: Final = 1.0
_UNKNOWN: Final = 6.0
_UNKNOWN_RESTART: Final = 3.0
_LONGEST: Final = 15.0
# A machine that does something else for a moment.
_HICCUP: Final = 0.1
_THOUGHTS: Final = 2.0
# A pause before a retry is drawn by lot, and grows.
_PAUSES: Final = 3.0
_PATIENCE: Final = 3.0
_REMEMBERED: Final = 30
_LOOKS: Final = 3

Point = tuple[str, str, str]
IsSafe = Callable[[str, str, str], bool]
"""Whether an operation (system, operationId, HTTP method) only reads."""


@dataclass(slots=True)
class Habits:
    """What was seen of a program in its runs; spans in seconds.

    Attributes:
        thought: Of each of the last runs, the longest pause from an answer to the next call, when all was well.
        cold: The same of runs that began with the program.
        reacted: The longest pause from an event to the first call, in runs without faults.
        retried: By how often a call had failed in a row, the longest pause before the next try; looks for news apart.
        resumed: The longest pause from a restart to the first call.
        polled: The longest pause between two looks for news.
        speed: How many times faster than the machine's its clock runs: then whatever is not its own takes longer.
    """

    speed: float = 1.0
    thought: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    cold: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    reacted: float | None = None
    retried: dict[tuple[int, bool], float] = field(default_factory=dict)
    resumed: float | None = None
    polled: float | None = None

    def quiet(self, *, cold: bool = False) -> float:
        """How long nothing must happen once something has been done."""
        seen = [*self.thought, *self.cold] if cold else self.thought or self.cold
        if not seen:
            return _AT_FIRST * self.speed
        return min(_LONGEST * self.speed, _HICCUP * self.speed + _THOUGHTS * max(seen))

    def retry(self, failures: int, *, polls: bool) -> float | None:
        """The longest pause to expect after so many failures in a row; None when it was never seen to try again."""
        pauses = {number: pause for (number, polled), pause in self.retried.items() if polled == polls}
        if not pauses:
            return None
        seen = max(failures, min(pauses))
        grown = 2.0 ** max(0, failures - max(pauses))
        return grown * max(pause for number, pause in pauses.items() if number <= seen)

    def overtook(self, pause: float) -> None:
        """A call came so long after its run had been taken to be over."""
        self.thought.append(pause)


@dataclass(slots=True)
class _Failing:
    """A point at which calls fail.

    Attributes:
        since: When the last one failed, or when it was to be tried again.
        polls: Whether they look for news.
    """

    failures: int
    since: float
    polls: bool


class Course:
    """The course of one run, as its journal tells it.

    Args:
        cold: Whether the program began with it.
        plain: Whether it has no faults.
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
        cold: bool = True,
        plain: bool = True,
        patient: bool = False,
        reconcile_every: float | None = None,
    ) -> None:
        self._habits = habits
        self._is_safe = is_safe
        self._cold = cold
        self._plain = plain
        self._patience = _PATIENCE if patient else 1.0
        self._every = reconcile_every
        self._last = began
        self._event: float | None = None
        self._latest_call = self._called_last = self._killed = 0.0
        self._failing: dict[Point, _Failing] = {}
        self._looks: Counter[Point] = Counter()
        self._polled: dict[Point, float] = {}
        self._restarted: float | None = None
        self._lost: float | None = None
        # When it was told something, and whether by an event; when it called, and whether all was well.
        self._told: list[tuple[float, bool]] = []
        self._said: list[tuple[float, bool]] = []
        self.calls: Counter[tuple[str, str]] = Counter()

    def take(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Go on with the entries that have become complete."""
        for entry in entries:
            match entry["kind"]:
                case "note":
                    self._noted(entry)
                case "delivery":
                    self._delivered(entry)
                case _ if _is_own(entry):
                    self._called(entry)
                case _:
                    self._last = max(self._last, _ended(entry))
                    self._happened(entry["at"] or 0.0, _ended(entry))

    def over_at(self, *moments: float | None) -> float:
        """When the run is over, if nothing else happens.

        Args:
            moments: When something else may happen, e.g. a delivery be due.
        """
        habits = self._habits
        quiet = self._patience * habits.quiet(cold=self._cold)
        found = [moment + quiet for moment in (self._last, *moments) if moment is not None]
        if self._event is not None:
            found.append(self._event + self._pause(habits.reacted, _THOUGHTS, _UNKNOWN, quiet))
        found += [
            failing.since + self._pause(self._retry(failing), _THOUGHTS if failing.polls else _PAUSES, _UNKNOWN, quiet)
            for failing in self._failing.values()
        ]
        if self._restarted is not None:
            found.append(self._restarted + self._pause(habits.resumed, _PAUSES, _UNKNOWN_RESTART, quiet))
        if self._lost is not None:
            found.append(self._lost + self._pause(self._every or habits.polled, _THOUGHTS, _UNKNOWN, quiet))
        return max(found)

    def end(self) -> None:
        """It is over: what was seen in it is remembered."""
        habits, told, thought = self._habits, sorted(self._told), 0.0
        for at, well in self._said:
            before = bisect(told, (at, True))
            if not before:
                continue
            moment, by_event = told[before - 1]
            if by_event and self._plain:
                habits.reacted = max(at - moment, habits.reacted or 0.0)
            elif not by_event and well:
                thought = max(thought, at - moment)
        # Of a run with a crash nobody can say which pause was a thought.
        if thought and not self._killed:
            (habits.cold if self._cold else habits.thought).append(thought)

    def _retry(self, failing: _Failing) -> float | None:
        known = self._habits.retry(failing.failures, polls=failing.polls)
        return (self._every or self._habits.polled) if known is None and failing.polls else known

    def _pause(self, known: float | None, times: float, unknown: float, quiet: float) -> float:
        speed = self._habits.speed
        if known is None:
            return max(quiet, unknown * speed)
        return max(quiet, min(self._patience * (_HICCUP * speed + times * known), _LONGEST * speed))

    def _noted(self, entry: Mapping[str, Any]) -> None:
        self._last = max(self._last, entry["at"])
        text = str(entry.get("text"))
        if text == "subject killed":
            self._killed = entry["at"]
            self._polled.clear()
        elif text == "subject restarted" and self._called_last <= self._killed:
            self._restarted = entry["at"]

    def _delivered(self, entry: Mapping[str, Any]) -> None:
        ended = _ended(entry)
        self._last = max(self._last, ended)
        if (entry.get("answer") or {}).get("error") == "dropped":
            self._lost = ended
        else:
            self._happened(entry["at"], ended)

    def _happened(self, at: float, ended: float) -> None:
        """Something that the program may do something about."""
        self._told.append((at, True))
        if self._latest_call < at:
            self._event = max(self._event or 0.0, ended)

    def _called(self, entry: Mapping[str, Any]) -> None:
        address, at, ended = entry["address"], entry["at"] or 0.0, _ended(entry)
        point: Point = (address["system"], address["operation"], address["key"])
        method = (entry.get("request") or {}).get("method", "")
        safe = self._is_safe(point[0], point[1], method)
        polls = safe and point[2] == NO_KEY
        self.calls[point[:2]] += 1
        self._called_last = max(self._called_last, at)
        self._learn(point, at, polls=polls)
        self._told.append((ended, False))
        if not polls:
            self._latest_call = max(self._latest_call, at)
            if self._event is not None and at >= self._event:
                self._event = None
        if _failed(entry):
            before = self._failing.get(point)
            failures, since = 1 + (before.failures if before else 0), max(ended, _asked(entry, ended))
            self._failing[point] = _Failing(failures, since, polls)
            self._last = max(self._last, ended)
            return
        # A look at what became of it, or going on with the same order, is as good as another try.
        mended = [other for other in self._failing if (other[0], other[2]) == (point[0], point[2])]
        for other in mended:
            del self._failing[other]
        found = polls and self._lost is not None and at > self._lost
        if found:
            self._lost = None
        if not safe:
            self._looks.clear()
        self._looks[point] += 1
        # That it looks again and again for something to do does not mean that it does something.
        if mended or found or not (polls or (safe and self._looks[point] > _LOOKS)):
            self._last = max(self._last, ended)

    def _learn(self, point: Point, at: float, *, polls: bool) -> None:
        habits, failing = self._habits, self._failing.get(point)
        if failing is not None:
            pause = max(0.0, at - failing.since)
            place = (failing.failures, polls)
            habits.retried[place] = max(pause, habits.retried.get(place, 0.0))
        elif polls and point in self._polled:
            habits.polled = max(at - self._polled[point], habits.polled or 0.0)
        elif self._restarted is not None:
            habits.resumed = max(at - self._restarted, habits.resumed or 0.0)
        elif point[2] != NO_KEY:
            self._said.append((at, not self._failing))
        self._restarted = None
        if polls:
            self._polled[point] = at


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
