"""What is found in a program that has lived through other runs is made sure of before anything is said."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from sandbox.chaos.attempt import _Surely
from sandbox.chaos.check import Judge, Verdict
from sandbox.chaos.live import LiveRunner
from sandbox.chaos.minimise import CONFIRMATIONS, minimise
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.scenario import Scenario, Step
from sandbox.plan import Plan
from sandbox.project import Project
from sandbox.rules import RULES
from sandbox.rules.base import Judgement
from sandbox.rules.base import Verdict as RuleVerdict
from sandbox.rules.violation import Violation

SCENARIO = Scenario("one", "", (Step(0.0, "place", "2025-4471", {"order_number": "2025-4471"}),))
PLAN = Plan(scenario="one")
RULE = next(rule for rule in RULES if rule.severity == "E")
FAILED = Verdict((Judgement(RULE, RuleVerdict.FAIL, (Violation("it was so", ()),)),), 1)
PASSED, UNCERTAIN = Verdict((), 0), Verdict((), 3, ("a fault never fired",))


@dataclass
class Script:
    """A runner and a judge that do as they are told, and note how they were asked."""

    verdicts: list[Verdict]
    can_crash: bool = True
    asked: list[str] = field(default_factory=list)
    spoilt: bool = False

    def run(self, plan: Plan, scenario: Scenario, *, fresh: bool = False, patient: bool = False) -> RunRecord:
        self.asked.append(("patient" if patient else "fresh") if fresh else "reused")
        return RunRecord(plan, scenario, [], {}, [], complete=True, reused=not fresh)

    def check(self, _: RunRecord) -> Verdict:
        return self.verdicts.pop(0)

    def spoil(self, _: str) -> None:
        self.spoilt = True


@pytest.mark.parametrize(
    ("verdicts", "asked", "expected", "spoilt"),
    [
        ([PASSED], ["reused"], PASSED, False),
        ([FAILED, FAILED], ["reused", "patient"], FAILED, True),
        ([FAILED, PASSED, FAILED], ["reused", "patient", "fresh"], FAILED, True),
        ([FAILED, PASSED, PASSED], ["reused", "patient", "fresh"], replace(PASSED, wavered=True), False),
        ([UNCERTAIN, PASSED], ["reused", "fresh"], PASSED, False),
        ([UNCERTAIN, UNCERTAIN], ["reused", "fresh"], UNCERTAIN, False),
    ],
)
def test_a_failure_is_made_sure_of(verdicts: list[Verdict], asked: list[str], expected: Verdict, spoilt: bool) -> None:
    script = Script(list(verdicts))
    surely = _Surely(cast("LiveRunner", script), cast("Judge", script))
    assert surely(PLAN, SCENARIO)[1] == expected
    assert (script.asked, script.spoilt, script.verdicts) == (asked, spoilt, [])


def test_how_often_it_fails_is_counted_and_the_majority_decides(project: Project) -> None:
    """It breaks its rule in two of three runs, in turn, whatever the plan."""
    turns: list[int] = []

    def attempt(plan: Plan, scenario: Scenario) -> tuple[RunRecord, Verdict]:
        turns.append(len(turns))
        fails = len(turns) % 3 and scenario.steps
        return cast("RunRecord", None), FAILED if fails else PASSED

    long = replace(SCENARIO, steps=(*SCENARIO.steps, Step(1.0, "pay", "2025-4471", {})))
    small = minimise(PLAN, long, RULE.id, attempt, project.specs, repeat=attempt)
    assert len(small.scenario.steps) == 1
    assert small.flaky
    assert 0 < small.failing < small.repeated == CONFIRMATIONS
    assert small.often == f"flaky: it broke the rule in {small.failing} of 5 runs"
    assert small.story == "it was so"
