"""Trying a plan: run it and judge it; where the subject is not ruled by us, make sure before anything is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sandbox.chaos.check import Judge, Verdict
from sandbox.chaos.live import LiveRunner
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.runners import AnyRunner
from sandbox.chaos.scenario import Scenario
from sandbox.plan import Plan
from sandbox.rules.base import UNCERTAIN

Attempt = Callable[[Plan, Scenario], tuple[RunRecord, Verdict]]


def attempt_with(runner: AnyRunner, judge: Judge) -> Attempt:
    """How a plan is tried; what is said to fail fails in a process of its own, too."""
    if isinstance(runner, LiveRunner):
        return _Surely(runner, judge)

    def attempt(plan: Plan, scenario: Scenario) -> tuple[RunRecord, Verdict]:
        record = runner.run(plan, scenario)
        return record, judge.check(record)

    return attempt


def repeat_with(runner: AnyRunner, judge: Judge) -> Attempt | None:
    """How a plan is tried once more, to count how often it fails; None where each run is like the other."""
    if not isinstance(runner, LiveRunner):
        return None
    live = runner

    def repeat(plan: Plan, scenario: Scenario) -> tuple[RunRecord, Verdict]:
        record = live.run(plan, scenario, fresh=True)
        verdict = judge.check(record)
        if verdict.failed:
            live.spoil("a run of it failed")
        return record, verdict

    return repeat


@dataclass(frozen=True, slots=True)
class _Surely:
    """Tries a plan over sockets.

    A run that fails or says less than it should may do so because of what the process has gone through before, or
    because it was taken to be over too early. A failure that does not come again in two fresh processes is none, but
    the verdict tells of it.
    """

    runner: LiveRunner
    judge: Judge

    def __call__(self, plan: Plan, scenario: Scenario) -> tuple[RunRecord, Verdict]:
        record, verdict = self._run(plan, scenario)
        if verdict.exit_code == UNCERTAIN and record.reused and self.runner.can_crash:
            record, verdict = self._run(plan, scenario, fresh=True)
        if not verdict.failed:
            return record, verdict
        for patient in (True, False):
            record, verdict = self._run(plan, scenario, fresh=True, patient=patient)
            if verdict.failed:
                self.runner.spoil("a run of it failed")
                return record, verdict
        return record, replace(verdict, wavered=True)

    def _run(
        self, plan: Plan, scenario: Scenario, *, fresh: bool = False, patient: bool = False
    ) -> tuple[RunRecord, Verdict]:
        record = self.runner.run(plan, scenario, fresh=fresh, patient=patient)
        return record, self.judge.check(record)
