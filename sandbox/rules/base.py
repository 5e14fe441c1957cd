"""What a rule is, what it says about a run, and what that means for the exit code.

A rule is one function that looks at a run and yields what is wrong, each with its evidence:

```python
@rule("R01", severity="E", source="RFC 9110, section 10.2.3")
def waits_for_retry_after(run: Run) -> Iterator[Violation]:
    \"\"\"The next attempt comes not before Retry-After.\"\"\"
```

It raises `NotExercised` when what it speaks of never arose. A rule that falls over has judged nothing: inconclusive.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import ModuleType
from typing import Any, Final

from sandbox.rules.run import Run
from sandbox.rules.violation import NotExercised, Severity, Violation

Check = Callable[[Run], Iterable[Violation]]

FAILED: Final = 1
UNCERTAIN: Final = 3
_ORDER: Final[tuple[Severity, ...]] = ("E", "W", "I")
_ID: Final = re.compile(r"[A-Z][A-Za-z0-9_-]{0,15}")


class Verdict(StrEnum):
    """What a rule says about a run."""

    PASS = "pass"  # noqa: S105 - the word of the report card
    FAIL = "fail"
    NOT_EXERCISED = "not_exercised"
    INCONCLUSIVE = "inconclusive"
    MUTED = "muted"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule.

    Attributes:
        id: `R01`.
        severity: E is an error, W a warning, I information.
        title: What it demands, in one line.
        source: The standard that says so.
        check: The function.
        effects: Whether it is about effects (an invariant) rather than about behaviour; those are judged first.
    """

    id: str
    severity: Severity
    title: str
    source: str
    check: Check = field(repr=False)
    effects: bool = False

    def __call__(self, run: Run) -> Iterator[Violation]:
        """The violations; none when the rule was not exercised."""
        try:
            yield from self.check(run)
        except NotExercised:
            return

    def judge(self, run: Run) -> Judgement:
        """The verdict on a run."""
        try:
            found = tuple(self.check(run))
        except NotExercised:
            return Judgement(self, Verdict.NOT_EXERCISED)
        except Exception as error:  # noqa: BLE001 - whatever a check falls over, it has judged nothing
            return Judgement(self, Verdict.INCONCLUSIVE, error=f"{type(error).__name__}: {error}")
        return Judgement(self, Verdict.FAIL, found) if found else Judgement(self, Verdict.PASS)

    def to_json(self) -> dict[str, str]:
        return {"id": self.id, "severity": self.severity, "title": self.title, "source": self.source}


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one rule says about one run.

    Attributes:
        error: Why it is inconclusive.
        reason: Why it is muted.
    """

    rule: Rule
    verdict: Verdict
    violations: tuple[Violation, ...] = ()
    error: str = ""
    reason: str = ""

    @property
    def severity(self) -> Severity:
        """The worst of its violations; the rule's own when there are none."""
        found = {violation.severity or self.rule.severity for violation in self.violations}
        return next((severity for severity in _ORDER if severity in found), self.rule.severity)

    @property
    def fails(self) -> bool:
        """Whether it fails the run: an error was found."""
        return self.verdict is Verdict.FAIL and self.severity == "E"

    def muted(self, reason: str) -> Judgement:
        """The same where the project wants no failure by this rule: what it found is kept, and fails nothing."""
        if self.verdict not in (Verdict.FAIL, Verdict.INCONCLUSIVE):
            return self
        return replace(self, verdict=Verdict.MUTED, reason=reason)

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"rule": self.rule.id, "severity": self.severity, "verdict": self.verdict.value}
        if self.violations:
            document["violations"] = [violation.to_json() for violation in self.violations]
        more = {"error": self.error, "reason": self.reason}
        return document | {name: text for name, text in more.items() if text}


def rule(id: str, *, severity: Severity = "E", source: str = "") -> Callable[[Check], Rule]:  # noqa: A002 - the field's own name
    """Make a rule about behaviour of a function; the first line of its docstring is what the rule demands."""
    return _decorator(id, severity, source, effects=False)


def invariant(id: str, *, severity: Severity = "E", source: str = "") -> Callable[[Check], Rule]:  # noqa: A002 - the field's own name
    """Make a rule about effects of a function in `contracts/invariants.py`.

    ```python
    @invariant("X01")
    def no_free_orders(run: Run) -> Iterator[Violation]:
        \"\"\"Nobody is billed nothing.\"\"\"
        for invoice in run.records("accounting", "invoices"):
            if not invoice["amount_net"]:
                yield Violation(f"invoice {invoice['id']} is over nothing", key=invoice["order_number"])
    ```

    Args:
        id: Letters, digits, `_` and `-`, the first a capital letter; F, H, P and R with two digits are taken.
        severity: `E` fails the run, `W` warns, `I` informs.
        source: Where it is written.

    Raises:
        ValueError: when the id is none, the severity unknown, or the function has no docstring.
    """
    return _decorator(id, severity, source, effects=True)


def _decorator(identifier: str, severity: Severity, source: str, *, effects: bool) -> Callable[[Check], Rule]:
    if not _ID.fullmatch(identifier):
        raise ValueError(f"{identifier!r} is no id of a rule; write something like 'X01'")
    if severity not in _ORDER:
        raise ValueError(f"{identifier}: {severity!r} is no severity; write 'E', 'W' or 'I'")

    def make(check: Check) -> Rule:
        title = (check.__doc__ or "").strip().partition("\n")[0].strip()
        if not title:
            raise ValueError(
                f"{identifier}: {getattr(check, '__name__', check)} needs a docstring that says what it demands"
            )
        return Rule(identifier, severity, title, source, check, effects)

    return make


def rules_of(module: ModuleType) -> tuple[Rule, ...]:
    """The rules that a module defines, in its order; those that it imports are others'."""
    return tuple(
        value
        for value in vars(module).values()
        if isinstance(value, Rule) and getattr(value.check, "__module__", None) == module.__name__
    )


def judge(run: Run, rules: Iterable[Rule]) -> list[Judgement]:
    """What each rule says about a run, in the order of the rules.

    Invariants are judged first: whether an event was worked off shows in its effects, so some rules ask for them.
    """
    rules = list(rules)
    invariants = [rule for rule in rules if rule.effects]
    verdicts = {id(rule): rule.judge(run) for rule in invariants}
    run.broken = _broken(verdicts.values()) if invariants else None
    return [verdicts.get(id(rule)) or rule.judge(run) for rule in rules]


def _broken(judgements: Iterable[Judgement]) -> dict[str, list[Violation]]:
    """By business key, the errors that invariants found about it."""
    broken: dict[str, list[Violation]] = {}
    for judgement in judgements:
        for violation in judgement.violations:
            if violation.key and (violation.severity or judgement.rule.severity) == "E":
                broken.setdefault(violation.key, []).append(violation)
    return broken


def verdict_of_run(
    judgements: Iterable[Judgement], *, unfired: int = 0, dropped: bool = False, limited: bool = False
) -> int:
    """The exit code of a run.

    Args:
        unfired: How many named faults never fired.
        dropped: Whether the journal dropped entries.
        limited: Whether a hard limit ended the run.

    Returns:
        1 when an error was found; else 3 when that is not certain; else 0.
    """
    judgements = list(judgements)
    if any(judgement.fails for judgement in judgements):
        return FAILED
    crashed = any(judgement.verdict is Verdict.INCONCLUSIVE for judgement in judgements)
    return UNCERTAIN if crashed or unfired or dropped or limited else 0
