"""Runs the zoo's integrators and has them judged."""

from __future__ import annotations

from pathlib import Path

from sandbox.chaos.check import Judge, Verdict
from sandbox.chaos.runner import Runner, RunRecord
from sandbox.chaos.scenario import read_scenario
from sandbox.chaos.subject import Subject
from sandbox.plan import Plan
from sandbox.project import Project


class Laboratory:
    """Runs plans against any subject; specs and mocks are compiled once for all of them."""

    def __init__(self, root: Path) -> None:
        self.project = Project.load(root)
        self.scenarios = {path.stem: read_scenario(path) for path in (root / "contracts" / "scenarios").glob("*.yaml")}
        self._runner: Runner | None = None

    def trial(self, subject: Subject, plan: Plan) -> tuple[RunRecord, Verdict]:
        """Run a plan and judge it."""
        if self._runner is None:
            self._runner = Runner(self.project, subject)
        # A runner is made for one subject; making another one would compile everything anew.
        self._runner._subject = subject
        record = self._runner.run(plan, self.scenarios[plan.scenario or ""])
        return record, Judge(self.project, subject).check(record)
