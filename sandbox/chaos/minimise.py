"""From a failing plan to the smallest that still breaks the same rule, and from there to a file that replays it.

Tried in this order: fewer faults, fewer orders, fewer steps, simpler kinds of faults, earlier occurrences, shorter
times. Weather is first turned into the faults that it was, so that there is something to leave out.
"""

from __future__ import annotations

import hashlib
import operator
import re
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from typing import Any, Final, TypeVar

import orjson

from sandbox.chaos.attempt import Attempt
from sandbox.chaos.check import Verdict
from sandbox.chaos.points import ON_ALL, ON_DELIVERIES, ON_READS, ON_WRITES, Kind, applies, injection
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.scenario import Scenario, Step
from sandbox.chaos.shrink import InTime, always, shrink
from sandbox.errors import PlanError
from sandbox.plan import CallPoint, Injection, Match, Occurrences, Plan, seconds, span_text
from sandbox.plan_document import read_fault
from sandbox.plan_file import dump_plan
from sandbox.spec import Spec

MOST_RUNS: Final = 200
CONFIRMATIONS: Final = 5
_VOTES: Final = 3
_CALL_KINDS: Final = (*ON_WRITES, *(kind for kind in ON_READS if kind not in ON_WRITES), *ON_ALL)
_SHORTER: Final = (0.0, 1.0, 10.0, 60.0, 600.0)
# The parameters that are spans of time, and the shortest that still means something.
_SPANS: Final = frozenset({"after", "by", "for", "delay", "retry_after"})
_SHORTEST_SPAN: Final = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Case:
    """What is made smaller: a plan with its workload."""

    plan: Plan
    scenario: Scenario

    @property
    def identity(self) -> Hashable:
        """Equal for cases that run alike."""
        document = [self.plan.to_json(), [step.to_json() for step in self.scenario.steps]]
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


@dataclass(frozen=True, slots=True)
class Reproducer:
    """The smallest case found that breaks a rule.

    Attributes:
        plan: With its workload inside, if that was made smaller.
        rule: The rule that it breaks.
        story: How, in one sentence.
        record: Its run.
        runs: How many runs it took to make it small.
        exhausted: Whether there was more to try.
        flaky: Whether it broke the rule in some runs only.
        failing: How often it did, of `repeated` runs at the end.
    """

    plan: Plan
    scenario: Scenario
    rule: str
    story: str
    record: RunRecord
    verdict: Verdict
    runs: int
    exhausted: bool
    flaky: bool
    failing: int = 0
    repeated: int = 0

    @property
    def often(self) -> str:
        """How often it breaks the rule, in words; empty when it always does."""
        return f"flaky: it broke the rule in {self.failing} of {self.repeated} runs" if self.flaky else ""

    @property
    def name(self) -> str:
        """The stem of its file: what it breaks, by what, and a hash that tells it from others."""
        faults = [f"{_slug(fault.inject)}-{_slug(_place(fault))}" for fault in self.plan.faults[:2]]
        digest = hashlib.sha256(dump_plan(self.plan).encode()).hexdigest()[:6]
        return "-".join([_slug(self.rule), *(faults or ["no-fault"]), digest])


def minimise(
    plan: Plan,
    scenario: Scenario,
    rule: str,
    attempt: Attempt,
    specs: Mapping[str, Spec],
    budget: int = MOST_RUNS,
    in_time: InTime = always,
    warnings: bool = False,
    repeat: Attempt | None = None,
) -> Reproducer:
    """Make a failing plan small.

    Args:
        plan: One whose run breaks the rule.
        rule: The id of the rule that must stay broken.
        budget: How many runs it may take; `CONFIRMATIONS` more confirm the result.
        in_time: Whether there is time for one more run.
        warnings: Whether a violation counts that does not fail the run.
        repeat: How a case is tried once more, where one run is not like the other: then the majority of three decides.
    """
    ids = operator.attrgetter("violated" if warnings else "broken")
    spent = 0
    latest: list[tuple[RunRecord, Verdict]] = []

    def breaks_once(case: Case, by: Attempt) -> bool:
        tried = by(case.plan, case.scenario)
        if rule in ids(tried[1]):
            latest[:] = [tried]
            return True
        return False

    def breaks(case: Case) -> bool:
        if not wavers:
            return breaks_once(case, attempt)
        first, second = breaks_once(case, attempt), breaks_once(case, attempt)
        return first if first == second else breaks_once(case, attempt)

    wavers = False
    if repeat is not None:
        wavers = sum(breaks_once(Case(plan, scenario), repeat) for _ in range(_VOTES)) < _VOTES
        spent += _VOTES

    case = Case(plan, scenario)
    if plan.weather:
        concrete = Case(_without_weather(plan, attempt(plan, scenario)[0]), scenario)
        spent += 2
        if breaks(concrete):
            case = concrete
    left = budget - spent
    shrunk = shrink(case, breaks, lambda value: _smaller(value, specs), lambda value: value.identity, left, in_time)
    final = shrunk.value
    again = repeat or attempt
    confirmed = [again(final.plan, final.scenario) for _ in range(CONFIRMATIONS)]
    failing = [(record, verdict) for record, verdict in confirmed if rule in ids(verdict)]
    record, verdict = (failing or latest or confirmed)[0]
    kept = final.plan
    if final.scenario.steps != scenario.steps:
        kept = replace(kept, scenario=final.scenario.to_json())
    return Reproducer(
        plan=kept,
        scenario=final.scenario,
        rule=rule,
        story=verdict.story_of(rule),
        record=record,
        verdict=verdict,
        runs=spent + shrunk.tries,
        exhausted=shrunk.exhausted,
        flaky=len(failing) < len(confirmed),
        failing=len(failing),
        repeated=len(confirmed),
    )


def save(folder: Path, reproducer: Reproducer, sealed: Plan, options: str = "") -> tuple[Path, str]:
    """Write a reproducer as a plan file.

    Args:
        sealed: Its plan, with the rule and the hashes of the specs.
        options: Of the command that replays it, e.g. which subject it was found with.

    Returns:
        The file, and the command that replays it.
    """
    path = folder / f"{reproducer.name}.yaml"
    command = f"sandbox chaos replay {quote(str(path))}{options and f' {options}'}"
    known = f"{reproducer.often}. " if reproducer.flaky else ""
    described = replace(sealed, description=sealed.description or f"{known}{reproducer.story}")
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# Replay it: {command}\n{dump_plan(described)}", encoding="utf-8")
    return path, command


def _smaller(case: Case, specs: Mapping[str, Spec]) -> Iterator[Case]:
    """Cases that are simpler than a case, those that take most away first."""
    plan, scenario = case.plan, case.scenario
    for weather in _fewer(plan.weather):
        yield Case(replace(plan, weather=weather), scenario)
    for faults in _fewer(plan.faults):
        yield Case(replace(plan, faults=faults), scenario)
    for steps in (*_fewer_orders(plan, scenario), *_fewer(scenario.steps)):
        yield Case(plan, replace(scenario, steps=steps))
    for change in (_simpler_kinds, _earlier, _plainer, _shorter):
        for position, fault in enumerate(plan.faults):
            for simpler in change(fault, specs):
                faults = (*plan.faults[:position], simpler, *plan.faults[position + 1 :])
                yield Case(replace(plan, faults=faults), scenario)
    for steps in _sooner(scenario.steps):
        yield Case(plan, replace(scenario, steps=steps))


def _fewer(items: Sequence[T]) -> Iterator[tuple[T, ...]]:
    """The items without all, a half, a quarter, … one of them."""
    size = len(items)
    while size:
        for start in range(0, len(items), size):
            yield (*items[:start], *items[start + size :])
        size //= 2


def _fewer_orders(plan: Plan, scenario: Scenario) -> Iterator[tuple[Step, ...]]:
    orders = list(dict.fromkeys(step.order for step in scenario.steps if step.action != "wait"))
    named = [order for order in orders if any(fault.on.key == order for fault in plan.faults)]
    if named and len(orders) > 1:
        yield tuple(step for step in scenario.steps if step.order in named)
    if len(orders) > 1:
        for kept in _fewer(orders):
            yield tuple(step for step in scenario.steps if step.order in kept)


def _simpler_kinds(fault: Injection, specs: Mapping[str, Spec]) -> Iterator[Injection]:
    kinds: Sequence[Kind] = _CALL_KINDS if isinstance(fault.on, CallPoint) else ON_DELIVERIES
    mine = Kind(fault.inject, fault.effect)
    ranks = [position for position, kind in enumerate(kinds) if replace(kind, parameters=()) == mine]
    for kind in kinds[: ranks[0] if ranks else len(kinds)]:
        if isinstance(fault.on, CallPoint):
            operation = specs[fault.on.system].operations.get(fault.on.operation or "")
            if operation is None or not applies(kind, operation):
                continue
        yield replace(fault, inject=kind.inject, effect=kind.effect, parameters=dict(kind.parameters))


def _earlier(fault: Injection, specs: Mapping[str, Spec]) -> Iterator[Injection]:  # noqa: ARG001 - as its siblings
    first, last = fault.on.occurrence.first, fault.on.occurrence.last
    earlier = [Occurrences(number, number) for number in range(1, first)]
    if last != first:
        earlier.append(Occurrences(first, first))
    for occurrence in earlier:
        yield replace(fault, on=replace(fault.on, occurrence=occurrence))


def _plainer(fault: Injection, specs: Mapping[str, Spec]) -> Iterator[Injection]:  # noqa: ARG001 - as its siblings
    if fault.match or fault.count is not None or fault.ttl is not None:
        yield replace(fault, match=Match(), count=None, ttl=None)


def _shorter(fault: Injection, specs: Mapping[str, Spec]) -> Iterator[Injection]:  # noqa: ARG001 - as its siblings
    for name, value in fault.parameters.items():
        if name not in _SPANS:
            continue
        try:
            now = seconds(value)
        except PlanError:
            continue
        for span in _SHORTER:
            if _SHORTEST_SPAN <= span < now:
                yield replace(fault, parameters={**fault.parameters, name: span_text(span)})


def _sooner(steps: tuple[Step, ...]) -> Iterator[tuple[Step, ...]]:
    """The steps with a pause between two of them made shorter."""
    for position, step in enumerate(steps):
        before = steps[position - 1].at if position else 0.0
        pause = step.at - before
        for span in _SHORTER:
            if span < pause:
                yield (*steps[:position], *(replace(later, at=later.at - pause + span) for later in steps[position:]))


def _without_weather(plan: Plan, record: RunRecord) -> Plan:
    """The plan with the faults that its weather was, in place of the weather."""
    struck = [
        replace(injection(read_point(entry), Kind("none")), **_kind_of(entry["fault"]))
        for entry in record.journal
        if (entry.get("fault") or {}).get("weather")
    ]
    return replace(plan, faults=(*plan.faults, *struck), weather=())


def read_point(entry: Mapping[str, Any]) -> Any:
    """The point at which an entry of the journal stands."""
    address = {name: value for name, value in entry["address"].items() if name != "subscriber"}
    return read_fault({"on": address, "inject": "none"}).on


def _kind_of(fault: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "inject": fault["inject"],
        "effect": fault.get("effect", "none"),
        "parameters": dict(fault.get("with", {})),
    }


def _place(fault: Injection) -> str:
    return (fault.on.operation or fault.on.system) if isinstance(fault.on, CallPoint) else fault.on.event


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9_]+", "-", text.lower()).strip("-")
