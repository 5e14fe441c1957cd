"""What a project has ready to run: scenarios and named failures, and how a name becomes a plan and its scenario.

Both lie in `contracts/`: `contracts/scenarios/NAME.yaml` are workloads, `contracts/failures/NAME.yaml` plans with a
description. A project with a shop has those of the reference project, too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Final

from sandbox.catalog import Catalog
from sandbox.chaos.customer import SHOP
from sandbox.chaos.scenario import Scenario, parse_scenario, read_scenario
from sandbox.errors import PlanError, nearest
from sandbox.layout import reference_root
from sandbox.plan import Plan
from sandbox.plan_file import load_plan, profiles
from sandbox.project import Project
from sandbox.settings import read_settings

USUAL_SCENARIO: Final = "one-paid-order"
REPRODUCERS: Final = Path(".sandbox", "reproducers")
_SCENARIOS: Final = Path("contracts", "scenarios")
_FAILURES: Final = Path("contracts", "failures")
_SUFFIXES: Final = (".yaml", ".yml", ".json")


class Library:
    """The scenarios and named failures of a project, by name."""

    def __init__(self, project: Project) -> None:
        self._project = project
        # Those of the reference project are done in its shop.
        self._roots = (reference_root(), project.root) if SHOP in project.specs else (project.root,)

    @cached_property
    def scenarios(self) -> dict[str, Path]:
        """The files of all scenarios."""
        return _files(self._roots, _SCENARIOS)

    @cached_property
    def failures(self) -> dict[str, Path]:
        """The files of all named failures."""
        return _files(self._roots, _FAILURES)

    @property
    def usual(self) -> str:
        """The scenario of whoever names none: the first that `sandbox.yaml` names, else the only one there is."""
        if named := read_settings(self._project.root).scenarios:
            return named[0]
        return next(iter(self.scenarios)) if len(self.scenarios) == 1 else USUAL_SCENARIO

    def scenario(self, name: str) -> Scenario:
        """A scenario by its name, or by the path of its file.

        Raises:
            PlanError: when there is none, with the nearest; or when its file cannot be understood.
        """
        path = self.scenarios.get(name)
        if path is None and _is_path(name):
            path = Path(name)
        if path is None:
            raise PlanError(f"there is no scenario {name!r}", nearest(name, list(self.scenarios)))
        return self._fitting(read_scenario(path), str(path))

    def _fitting(self, scenario: Scenario, where: str) -> Scenario:
        """A scenario whose steps this project has the systems for.

        Raises:
            PlanError: with the nearest operation, or the systems that it needs.
        """
        specs = self._project.specs
        for number, step in enumerate(scenario.steps, 1):
            here = f"{where}: step {number}"
            if step.action == "call":
                system, _, operation = step.body["operation"].partition(".")
                if system not in specs:
                    raise PlanError(f"{here}: there is no system {system!r}", nearest(system, list(specs)))
                if operation not in specs[system].operations:
                    known = nearest(operation, list(specs[system].operations))
                    raise PlanError(f"{here}: {system} has no operation {operation!r}", known)
            elif step.action != "wait" and SHOP not in specs:
                hint = "write steps such as call: system.operation, in contracts/scenarios"
                raise PlanError(f"{here}: {step.action} is done in the system `shop`, and this project has none", hint)
        return scenario

    def load(self, path: Path) -> Plan:
        """A plan from its file, with the points that it names checked against the project.

        Raises:
            PlanError: when it cannot be read, or something in it is wrong.
        """
        return load_plan(path, Catalog(self._project.specs))

    def find(self, name: str) -> tuple[str, Plan]:
        """What `chaos run` is asked for: a named failure, a scenario without faults, a profile, or a plan file.

        Returns:
            How to call it, and the plan.

        Raises:
            PlanError: when there is nothing of this name, with the nearest.
        """
        if _is_path(name):
            return Path(name).stem, self.load(Path(name))
        if name in self.failures:
            return name, self.load(self.failures[name])
        if name in self.scenarios:
            return name, Plan(scenario=name)
        known = profiles(reference_root(), self._project.specs) | profiles(self._project.root)
        if name in known:
            return name, self.load(known[name])
        everything = [*self.failures, *self.scenarios, *known]
        hint = nearest(name, everything)
        if hint.startswith("known"):
            hint = "sandbox chaos list shows what there is; a plan file ends in .yaml or .json"
        raise PlanError(f"there is no failure, scenario or profile {name!r}", hint)

    def scenario_of(self, plan: Plan) -> Scenario:
        """The workload of a plan: the one it names or contains, else the usual one.

        Raises:
            PlanError: when there is none of this name, or the one inside cannot be understood.
        """
        if isinstance(plan.scenario, Mapping):
            return self._fitting(parse_scenario("inline", plan.scenario, "scenario"), "scenario")
        return self.scenario(plan.scenario or self.usual)

    def sealed(self, plan: Plan, rule: str) -> Plan:
        """A plan as a reproducer: with the rule that it breaks, and the hashes of the specs it broke it with."""
        return replace(plan, expect={"rule": rule}, specs=self.spec_hashes)

    @cached_property
    def spec_hashes(self) -> dict[str, str]:
        """By system, the SHA-256 of its spec's file in hexadecimal."""
        return {name: hashlib.sha256(spec.path.read_bytes()).hexdigest() for name, spec in self._project.specs.items()}

    def changed_specs(self, plan: Plan) -> list[str]:
        """The systems whose specs are not those that a reproducer was found with."""
        return [name for name, known in plan.specs.items() if self.spec_hashes.get(name) != known]


def _files(roots: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Files by their stems; the later root wins."""
    found: dict[str, Path] = {}
    for root in roots:
        here = root / folder
        if here.is_dir():
            found |= {file.stem: file for file in here.iterdir() if file.suffix in _SUFFIXES}
    return dict(sorted(found.items()))


def _is_path(name: str) -> bool:
    path = Path(name)
    return path.suffix in _SUFFIXES or len(path.parts) > 1
