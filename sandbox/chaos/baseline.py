"""A baseline: failures that a team knows, so that only new ones fail. Each has a reason and a date at which it ends.

```yaml
known:
  - rule: F01
    at: accounting.create_invoice timeout applied      # or a list, in any order; `no fault` for a run without any
    reason: the invoice service has no idempotency keys yet, PAY-1234
    until: 2026-12-31
```

An entry speaks of the place and kind of the faults, not of orders and numbers, so it holds for any scenario. It covers
each plan with at least its faults.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

from sandbox.chaos.explore import Exploration
from sandbox.errors import PlanError, nearest
from sandbox.plan import CallPoint, Injection, Plan
from sandbox.shape import check_shape
from sandbox.written import parse, read_text

NO_FAULT: Final = "no fault"
_SCHEMA: Final = Path(__file__).with_name("baseline.schema.json")
_VALIDATOR: Final = Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))
_HINTS: Final = {
    "known": "write known: and a list of {rule, at, reason, until}",
    "rule": "write the id of the rule that is broken: F01",
    "at": "write where, and which fault: accounting.create_invoice timeout applied",
    "reason": "write why it is not mended yet",
    "until": "write the day until which it may fail: 2026-12-31",
}


@dataclass(frozen=True, slots=True)
class Known:
    """One known failure.

    Attributes:
        at: The faults, as `address` names them.
        until: The last day on which it counts.
        place: `file:line` of its entry.
    """

    rule: str
    at: tuple[str, ...]
    reason: str
    until: date
    place: str

    def covers(self, rule: str, plan: Plan) -> bool:
        """Whether it speaks of a failing plan."""
        left = [address(fault) for fault in plan.faults] or [NO_FAULT]
        for wanted in self.at:
            if wanted not in left:
                return False
            left.remove(wanted)
        return rule == self.rule


@dataclass(slots=True)
class Baseline:
    """The known failures of a project, and which of them were met.

    Attributes:
        met: The positions of the entries that covered a failing plan.
    """

    file: Path
    entries: tuple[Known, ...]
    today: date
    met: set[int] = field(default_factory=set)

    def knows(self, plan: Plan, broken: Iterable[str]) -> bool:
        """Whether each rule that a plan breaks is known to be broken by it, and may be."""
        verdicts = [self._knows(plan, rule) for rule in broken]
        return all(verdicts)

    def _knows(self, plan: Plan, rule: str) -> bool:
        covering = [number for number, entry in enumerate(self.entries) if entry.covers(rule, plan)]
        self.met.update(covering)
        return any(self.entries[number].until >= self.today for number in covering)

    def accept(self, searches: Iterable[Exploration]) -> int:
        """Take the known failures out of what searches found; returns how many there were."""
        accepted = 0
        for search in searches:
            new = [trial for trial in search.failures if not self.knows(trial.plan, trial.verdict.broken)]
            accepted += len(search.failures) - len(new)
            search.failures = new
        return accepted

    def sentences(self, known: int, *, covered: bool) -> Iterator[str]:
        """What it did, and what of it has to be looked after.

        Args:
            known: How many failing plans fail nothing because of it.
            covered: Whether the search came to its end, so that what was not met is not there.
        """
        if known:
            plans = "1 failing plan is known, and fails" if known == 1 else f"{known} failing plans are known, and fail"
            yield f"{plans} nothing ({self.file})"
        for number, entry in enumerate(self.entries):
            named = f"{entry.rule} at {' + '.join(entry.at)}"
            if entry.until < self.today:
                what = "so it fails again" if number in self.met else "and nothing failed like it: remove it"
                yield f"{entry.place}: {named} expired on {entry.until}, {what}"
            elif covered and number not in self.met:
                yield f"{entry.place}: nothing failed like {named}: remove it"


def address(fault: Injection) -> str:
    """A fault by its place and kind: `accounting.create_invoice timeout applied`."""
    on = fault.on
    place = ".".join(part for part in (on.system, on.operation) if part) if isinstance(on, CallPoint) else on.event
    return " ".join([place, fault.inject, *(["applied"] if fault.effect == "applied" else [])])


def read_baseline(file: Path, now: float, rules: Sequence[str]) -> Baseline:
    """A baseline from its file.

    Args:
        now: The present, in unix seconds.
        rules: The ids of all rules.

    Raises:
        PlanError: with file and line, when something in it is wrong.
    """
    written = parse(read_text(file, "baseline"), str(file), "a baseline")
    with written.told():
        check_shape(_VALIDATOR, written.data, "baseline", _HINTS)
        entries = [
            _known(entry, f"/known/{number}", f"{file}:{written.line(f'/known/{number}')}", rules)
            for number, entry in enumerate(written.data["known"])
        ]
    return Baseline(file, tuple(entries), datetime.fromtimestamp(now, tz=UTC).date())


def _known(entry: dict[str, Any], pointer: str, place: str, rules: Sequence[str]) -> Known:
    if entry["rule"] not in rules:
        what = f"rule: there is no rule {entry['rule']!r}"
        raise PlanError(what, nearest(entry["rule"], rules), f"{pointer}/rule")
    try:
        until = date.fromisoformat(entry["until"])
    except ValueError:
        raise PlanError(f"until: {entry['until']!r} is no date", _HINTS["until"], f"{pointer}/until") from None
    at = entry["at"]
    return Known(entry["rule"], (at,) if isinstance(at, str) else tuple(at), entry["reason"], until, place)
