"""Runs the zoo's integrators and has them judged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sandbox.chaos import explore
from sandbox.chaos.attempt import Attempt, attempt_with
from sandbox.chaos.check import Judge, Verdict
from sandbox.chaos.runner import Runner, RunRecord
from sandbox.chaos.scenario import read_scenario
from sandbox.chaos.subject import Subject
from sandbox.plan import Plan
from sandbox.project import Project, load_invariants
from sandbox.rules import RULES, Rule


class Laboratory:
    """Runs plans against any subject; specs and mocks are compiled once for all of them."""

    def __init__(self, root: Path) -> None:
        self.project = Project.load(root)
        self.scenarios = {path.stem: read_scenario(path) for path in (root / "contracts" / "scenarios").glob("*.yaml")}
        self._runner: Runner | None = None

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All that a run is judged by."""
        return (*load_invariants(self.project.root), *RULES)

    def runner(self, subject: Subject) -> Runner:
        """What runs plans against a subject, until it is asked for the next one."""
        if self._runner is None:
            self._runner = Runner(self.project, subject)
        # A runner is made for one subject; making another one would compile everything anew.
        self._runner._subject = subject
        return self._runner

    def attempt(self, subject: Subject) -> Attempt:
        """What runs a plan on any workload, and judges it."""
        return attempt_with(self.runner(subject), Judge(self.project, subject))

    def trials_of(self, subject: Callable[[], Subject]) -> explore.Laboratory:
        """What a search has its plans run by."""
        return explore.Laboratory(self.project, subject, self.runner(subject()))

    def trial(self, subject: Subject, plan: Plan) -> tuple[RunRecord, Verdict]:
        """Run a plan and judge it."""
        return self.attempt(subject)(plan, self.scenarios[str(plan.scenario)])
