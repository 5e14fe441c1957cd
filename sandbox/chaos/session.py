"""What the commands of chaos do, apart from printing: run, search, make small, save."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sandbox.chaos.attempt import attempt_with, repeat_with
from sandbox.chaos.check import Judge, Verdict
from sandbox.chaos.explore import Laboratory, Trial
from sandbox.chaos.library import REPRODUCERS, Library
from sandbox.chaos.minimise import minimise, save
from sandbox.chaos.reference import ReferenceSubject
from sandbox.chaos.report import Finding
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.runners import runner_for
from sandbox.chaos.scenario import Scenario
from sandbox.chaos.shrink import InTime, always
from sandbox.chaos.subject import Subject, Tested
from sandbox.chaos.subject_settings import SubjectSettings
from sandbox.plan import CallPoint, Plan
from sandbox.project import Project
from sandbox.rules import Rule

# More than so many kinds of failures nobody reads before mending the first.
MOST_SHOWN: Final = 8


def reference() -> Subject:
    """The reference integrator."""
    return ReferenceSubject()


def silent_reference() -> Subject:
    """The reference integrator, without what it logs; in whatever process it is made."""
    logging.getLogger("sandbox.integrator").setLevel(logging.CRITICAL + 1)
    return ReferenceSubject()


@dataclass(frozen=True, slots=True)
class Group:
    """Failing plans that break the same rule at the same place; the first stands for all."""

    rule: str
    trials: list[Trial]


def groups(failures: Sequence[Trial]) -> list[Group]:
    """Failing plans, by the rule that they break first and the place of their first fault."""
    found: dict[tuple[str, str], Group] = {}
    for trial in failures:
        rule = trial.verdict.broken[0]
        on = trial.plan.faults[0].on if trial.plan.faults else None
        place = "" if on is None else f"{on.system}.{on.operation}" if isinstance(on, CallPoint) else on.event
        found.setdefault((rule, place), Group(rule, [])).trials.append(trial)
    return list(found.values())


class Session:
    """Runs plans of one project against one subject.

    Args:
        folder: Where reproducers are written.

    Attributes:
        laboratory: Runs plans for a search, with the same subject.
        options: With which a command is told of the subject, unless it is the usual one.
        close: Ends the subject, where it is a program of its own.
    """

    def __init__(self, project: Project, subject: Callable[[], Tested], folder: Path = REPRODUCERS) -> None:
        made = subject()
        self.name = made.name
        self.reconcile_every = made.reconcile_every
        self.library = Library(project)
        self._project = project
        self._judge = Judge(project, made)
        runner = runner_for(project, made)
        self._attempt, self._repeat = attempt_with(runner, self._judge), repeat_with(runner, self._judge)
        self._folder = folder
        self.laboratory = Laboratory(project, subject, runner)
        self.close = runner.close
        self.options = made.options if isinstance(made, SubjectSettings) else ""

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules that are judged: the project's invariants and those about behaviour."""
        return self._judge.rules

    @property
    def muted(self) -> Mapping[str, str]:
        """The rules that fail nothing in this project, each with the reason."""
        return self._judge.muted

    def run(self, plan: Plan, scenario: Scenario) -> tuple[RunRecord, Verdict]:
        """Run a plan and judge it."""
        return self._attempt(plan, scenario)

    def finding(self, plan: Plan, scenario: Scenario, rule: str, alike: int = 1, in_time: InTime = always) -> Finding:
        """A failing plan made small, as far as there is time for it, and saved."""
        small = minimise(plan, scenario, rule, self._attempt, self._project.specs, in_time=in_time, repeat=self._repeat)
        sealed = self.library.sealed(replace(small.plan, description=None), rule)
        path, command = save(self._folder, small, sealed, self.options)
        return Finding(small, path, command, alike)

    def findings(self, failures: Sequence[Trial], scenario: Scenario, in_time: InTime = always) -> list[Finding]:
        """Failing plans of a search, made small; those that become the same are one."""
        found: dict[Path, Finding] = {}
        for group in groups(failures)[:MOST_SHOWN]:
            one = self.finding(group.trials[0].plan, scenario, group.rule, len(group.trials), in_time)
            before = found.get(one.path)
            found[one.path] = one if before is None else replace(before, alike=before.alike + one.alike)
        return list(found.values())
