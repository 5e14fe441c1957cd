"""Which calls a test means, and where others differ from them: what is expected, and the nearest misses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypedDict

from sandbox.plan import Effect
from sandbox.pointer import lookup
from sandbox.redaction import Redactor
from sandbox.rules import Call

_MOST_SHOWN: Final = 3
_ABSENT: Final = object()
# A call of another operation is further away than one of the right operation that differs in a few fields.
_ELSEWHERE: Final = 10

Equal = Callable[[Any, Any], bool]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where a call is not what was wanted."""

    name: str
    wanted: Any
    found: Any

    @property
    def weight(self) -> int:
        return _ELSEWHERE if self.name == "operation" else 1

    def __str__(self) -> str:
        was = "is absent" if self.found is _ABSENT else f"is {_shown(self.found)}"
        return f"{self.name}: expected {_shown(self.wanted)}, {was}"


class Wanted(TypedDict, total=False):
    """What calls are like, as a test says it; what is left out matches all.

    Attributes:
        key: The business key.
        occurrence: The n-th arrival for that key.
        status: What the caller saw; where the answer was lost, it saw none.
        body: JSON pointer into the request's body -> value: `{"/amount_net": 1290.0}`.
        header: Name of a request's header -> value.
        effect: Whether something changed: `applied` or `none`.
        fault: The name of the fault that it met.
    """

    key: str | None
    occurrence: int | None
    status: int | None
    body: Mapping[str, Any] | None
    header: Mapping[str, str] | None
    effect: Effect | None
    fault: str | None


@dataclass(frozen=True, slots=True)
class Criteria:
    """Which calls are meant: those at a point, `system.operation` or `system`, that are as wanted."""

    point: str | None = None
    key: str | None = None
    occurrence: int | None = None
    status: int | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, str] = field(default_factory=dict)
    effect: str | None = None
    fault: str | None = None

    def differences(self, call: Call, equal: Equal) -> list[Difference]:
        """Where a call differs; nowhere when it is meant."""
        return [one for one in self._compared(call) if not equal(one.wanted, one.found)]

    def _compared(self, call: Call) -> Iterator[Difference]:
        lost = _ABSENT if call.status is None else f"lost ({call.status})"
        plain = {
            "operation": (self.point, f"{call.system}.{call.operation}" if "." in (self.point or "") else call.system),
            "key": (self.key, call.key),
            "occurrence": (self.occurrence, call.occurrence),
            "status": (self.status, lost if call.seen is None else call.seen),
            "effect": (self.effect, "applied" if call.applied else "none"),
            "fault": (self.fault, call.inject or _ABSENT),
        }
        for name, (wanted, found) in plain.items():
            if wanted is not None:
                yield Difference(name, wanted, found)
        for pointer, wanted in self.body.items():
            yield Difference(f"body {pointer}", wanted, _at(call.body, pointer))
        for name, wanted in self.header.items():
            yield Difference(f"header {name}", wanted, call.headers.get(name.lower(), _ABSENT))

    def __str__(self) -> str:
        plain = {"key": self.key, "occurrence": self.occurrence, "status": self.status}
        plain |= {"effect": self.effect, "fault": self.fault}
        told = [f"{name}={value!r}" for name, value in plain.items() if value is not None]
        told += [f"{name}={dict(given)!r}" for name, given in (("body", self.body), ("header", self.header)) if given]
        conditions = f" with {', '.join(told)}" if told else ""
        return f"{self.point or 'any operation'}{conditions}"


class Redacted:
    """Compares what a test knows with what the journal shows of it: labels in place of secrets and personal values."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor

    def __call__(self, wanted: Any, found: Any) -> bool:
        if isinstance(wanted, str) and isinstance(found, str):
            return found in (wanted, self._redactor.text(wanted), self._redactor.personal(wanted))
        if isinstance(wanted, Mapping) and isinstance(found, Mapping):
            return wanted.keys() == found.keys() and all(self(value, found[name]) for name, value in wanted.items())
        if isinstance(wanted, Sequence) and isinstance(found, list) and not isinstance(wanted, str):
            return len(wanted) == len(found) and all(map(self, wanted, found))
        # In JSON true is not 1, in Python it is.
        return isinstance(wanted, bool) == isinstance(found, bool) and bool(wanted == found)


def unmet(criteria: Criteria, count: str, found: Sequence[Call], calls: Sequence[Call], own: int, equal: Equal) -> str:
    """Why an expectation is not met: what came too often, or the nearest misses.

    Args:
        count: How many were expected, in words.
        found: The calls that are meant.
        calls: All calls of the program under test.
        own: How many of the test's own calls would have been meant.
    """
    lines = [f"expected {count} of {criteria}, there {_were(len(found))}"]
    if own:
        lines.append(f"{own} more by the test itself not counted; own=True counts those too")
    lines += [f"  {_place(call)}" for call in found[: 2 * _MOST_SHOWN]]
    if not calls:
        lines.append("the program under test has called nothing at all; does it take its URLs from sandbox.env?")
        return "\n".join(lines)
    misses = [(call, criteria.differences(call, equal)) for call in calls if call not in found]
    misses = sorted(misses, key=lambda miss: _weight(miss[1]))[:_MOST_SHOWN]
    # Calls of other operations are worth a look only where there is none of the right one.
    misses = [miss for miss in misses if _weight(miss[1]) < _ELSEWHERE] or misses
    if misses and not found:
        lines.append("nearest misses:")
        for call, differences in misses:
            lines.append(f"  {_place(call)}")
            lines += [f"    {one}" for one in differences]
    return "\n".join(lines)


def _weight(differences: Sequence[Difference]) -> int:
    return sum(one.weight for one in differences)


def _place(call: Call) -> str:
    answer = f"{call.status} {call.outcome}" if call.seen is None else str(call.seen)
    fault = f", fault: {call.inject}" if call.inject else ""
    return f"#{call.seq} {call.system}.{call.operation} {call.key} ({call.occurrence}): {answer}{fault}"


def _were(number: int) -> str:
    return "was 1" if number == 1 else f"were {number or 'none'}"


def _at(body: Any, pointer: str) -> Any:
    try:
        return lookup(body, pointer)
    except KeyError:
        return _ABSENT


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."
