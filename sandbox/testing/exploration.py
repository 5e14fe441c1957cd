"""Plans as tests: the mark `chaos` runs a test once for each fault that a subject must survive, in virtual time.

Which faults there are is found out when tests are collected, by one run without any; the runs themselves happen in
their tests, so they are chosen, spread and repeated like all tests. With `depth=2` each of them goes on with the pairs
that its fault begins: there may be tens of thousands, too many to be tests of their own.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from shlex import quote
from typing import Any, Final

import pytest

from sandbox.chaos.check import Judge, Verdict
from sandbox.chaos.explain import story
from sandbox.chaos.explore import fingerprint
from sandbox.chaos.library import REPRODUCERS, USUAL_SCENARIO, Library
from sandbox.chaos.minimise import Reproducer, save
from sandbox.chaos.points import candidates
from sandbox.chaos.report import Finding, Judged, Report, card_of, counters
from sandbox.chaos.report_files import write_report
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.runners import runner_for
from sandbox.chaos.scenario import Scenario
from sandbox.chaos.subjects import Factory
from sandbox.clock import SystemClock
from sandbox.journal import Entry
from sandbox.plan import CallPoint, Injection, Plan, seconds
from sandbox.project import Project
from sandbox.remote_world import State
from sandbox.testing.settings import one_line, project_of, report_folder, seed_of, settings_of
from sandbox.testing.subjects import PYTEST, factory_of, replay_of, subject_of

_OPTIONS: Final = ("subject", "scenario", "depth", "seed", "budget")
_DEPTHS: Final = (1, 2)
# Of a search for pairs that is not told how long it may take, as on the command line.
_BUDGET: Final = "60s"
_LABS: Final = pytest.StashKey[dict[Any, "Lab"]]()
_BEGAN: Final = pytest.StashKey[dict[str, float]]()
_CLOCK: Final = SystemClock()


class Lab:
    """What runs and judges plans against one subject; specs and mocks are compiled once."""

    def __init__(self, project: Project, subject: Factory) -> None:
        made = subject()
        self.name = made.name
        self.project = project
        self.library = Library(project)
        self.judge = Judge(project, made)
        self._runner = runner_for(project, made)
        self._extended: set[bytes] = set()
        self._failing: dict[tuple[str, int | None, str], bool] = {}

    def close(self) -> None:
        """End what it has started."""
        self._runner.close()

    def run(self, plan: Plan, scenario: Scenario) -> tuple[RunRecord, Verdict]:
        """Carry out a plan and judge it."""
        record = self._runner.run(plan, scenario)
        return record, self.judge.check(record)

    def singles(self, scenario: Scenario, seed: int) -> list[Plan]:
        """The plan without faults, and all single faults at the points that it reaches."""
        bare = Plan(scenario=scenario.name, seed=seed)
        record, verdict = self.run(bare, scenario)
        self._extended.add(fingerprint(record))
        # Where it fails by itself, no fault would say anything.
        faults = () if verdict.failed else candidates(record.journal, self.project.specs)
        return [bare, *(replace(bare, faults=(fault,)) for fault in faults)]

    def pairs(self, plan: Plan, record: RunRecord, scenario: Scenario, singles: Sequence[Plan]) -> Iterator[Plan]:
        """The pairs that a surviving plan begins, as `sandbox chaos explore` chooses them.

        Left out are those that an earlier plan began, those whose second fault fails by itself, and all of them where
        the subject did the same as in a run that was extended already.
        """
        behaviour = fingerprint(record)
        if not plan.faults or behaviour in self._extended:
            return
        self._extended.add(behaviour)
        alone = {str(one.faults[0].to_json()): one for one in singles if one.faults}
        own = str(plan.faults[0].to_json())
        earlier = set(itertools.takewhile(lambda name: name != own, alone))
        for second in candidates(record.journal, self.project.specs):
            name = str(second.to_json())
            if name != own and name not in earlier and not (name in alone and self._fails(name, alone[name], scenario)):
                yield replace(plan, faults=(*plan.faults, second))

    def _fails(self, name: str, plan: Plan, scenario: Scenario) -> bool:
        known = (scenario.name, plan.seed, name)
        if known not in self._failing:
            self._failing[known] = self.run(plan, scenario)[1].failed
        return self._failing[known]


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plan that one test is about.

    Attributes:
        replay: The command that runs it again from its file; None when only the test itself can.
        budget: Seconds that all tests of one function may take together; None for no limit.
        singles: The plans of all tests of the function, where each goes on with pairs.
        file: Where it lies already; else it is saved when it fails.
    """

    lab: Lab
    plan: Plan
    scenario: Scenario
    replay: str | None
    budget: float | None = None
    singles: Sequence[Plan] = ()
    file: Path | None = None


class Case:
    """What the fixture `chaos` is: one plan, run when something of it is asked for.

    Attributes:
        plan: Its faults.
    """

    def __init__(
        self, chosen: Chosen, again: str, reports: Path, root: Path, goes_on: Callable[[], bool] = lambda: True
    ) -> None:
        self.plan = chosen.plan
        self._goes_on = goes_on
        self._chosen = chosen
        self._again = again
        self._reports = reports
        self._root = root
        self._checked = False

    def __repr__(self) -> str:
        return f"<chaos case {name_of(self.plan)}>"

    @property
    def journal(self) -> list[Entry]:
        """What each side sent, and what took effect."""
        return self._outcome[0].journal

    @property
    def state(self) -> State:
        """All records that were left, by system and collection."""
        return self._outcome[0].state

    @property
    def said(self) -> tuple[str, ...]:
        """The last lines of what the program under test printed and logged."""
        return self._outcome[0].said

    @property
    def verdict(self) -> Verdict:
        """What the rules say."""
        return self._outcome[1]

    @property
    def story(self) -> list[str]:
        """What customers do and what goes wrong, in sentences."""
        return list(story(self.plan, self._chosen.scenario))

    def check(self) -> None:
        """Demand that no rule of severity E is broken; a test that does not ask is asked for it in the end.

        Raises:
            AssertionError: with the story, the command that replays it, and the report.
        """
        __tracebackhide__ = True
        if self._checked:
            return
        self._checked = True
        record, verdict = self._outcome
        if verdict.failed:
            raise AssertionError("\n".join(self._told(self.plan, record, verdict)))
        if verdict.exit_code:
            raise AssertionError("\n".join(["inconclusive:", *verdict.trouble, *self.story]))
        chosen = self._chosen
        if chosen.singles:
            for tried, plan in enumerate(chosen.lab.pairs(self.plan, record, chosen.scenario, chosen.singles)):
                if not self._goes_on():
                    pytest.skip(f"not covered: the budget of {chosen.budget:g} s was used up after {tried} pairs")
                record, verdict = chosen.lab.run(plan, chosen.scenario)
                if verdict.failed:
                    raise AssertionError("\n".join(self._told(plan, record, verdict)))

    @cached_property
    def _outcome(self) -> tuple[RunRecord, Verdict]:
        return self._chosen.lab.run(self.plan, self._chosen.scenario)

    def _told(self, plan: Plan, record: RunRecord, verdict: Verdict) -> Iterator[str]:
        lab, rule = self._chosen.lab, verdict.broken[0]
        found = Reproducer(
            plan, self._chosen.scenario, rule, verdict.story, record, verdict, runs=0, exhausted=False, flaky=False
        )
        path = self._chosen.file
        if path is None:
            sealed = lab.library.sealed(replace(plan, description=None), rule)
            path, _ = save(_near(self._root / REPRODUCERS), found, sealed)
        shown = _near(path)
        command = self._again if self._chosen.replay is None else self._chosen.replay.format(file=quote(str(shown)))
        report = Report(
            "run",
            lab.name,
            plan.seed or 0,
            exit_code=verdict.exit_code,
            findings=[Finding(found, shown, command)],
            card=card_of([verdict]),
            trouble=list(verdict.trouble),
            counters=counters(record),
            judged=Judged(path.stem, command, record, verdict),
        )
        files = write_report(self._reports / path.stem, report, lab.judge.rules)
        page = next(file for file in files if file.suffix == ".html")
        for broken in verdict.broken:
            yield f"{broken}: {verdict.story_of(broken)}"
        yield from (f"  {sentence}" for sentence in story(plan, self._chosen.scenario))
        yield from (f"  it said: {line}" for line in record.said)
        yield f"plan: {shown}"
        yield f"replay: {command}"
        yield f"report: {page.resolve().as_uri()}"


def _near(path: Path) -> Path:
    """A path as commands of the present folder name it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def parametrize(metafunc: pytest.Metafunc, mark: pytest.Mark) -> None:
    """Give a test one parameter for each plan that its mark asks for."""
    unknown = [name for name in mark.kwargs if name not in _OPTIONS]
    if mark.args or unknown:
        what = f"{unknown[0]!r}" if unknown else "positional arguments"
        pytest.fail(f"the mark chaos takes no {what}; it takes: {', '.join(_OPTIONS)}", pytrace=False)
    config, given = metafunc.config, mark.kwargs
    depth = given.get("depth", 1)
    if depth not in _DEPTHS:
        pytest.fail(f"the mark chaos: depth={depth!r} is unknown; it is 1 or 2", pytrace=False)
    with one_line():
        subject = given.get("subject") or subject_of(config)
        lab = lab_of(config, subject)
        scenario = lab.library.scenario(
            given.get("scenario") or next(iter(settings_of(config).scenarios), USUAL_SCENARIO)
        )
        seed = seed_of(config) if given.get("seed") is None else int(given["seed"])
        budget = given.get("budget", _BUDGET if depth > 1 else None)
        budget = None if budget is None else seconds(budget, "budget")
        plans = lab.singles(scenario, seed)
    replay = replay_of(config, subject)
    chosen = [
        pytest.param(Chosen(lab, plan, scenario, replay, budget, plans if depth > 1 else ()), id=name)
        for plan, name in zip(plans, _names(plans), strict=True)
    ]
    metafunc.parametrize("chaos", chosen, indirect=True)


def begin(request: pytest.FixtureRequest) -> Case:
    """The case of a test, unless the budget of its function is used up."""
    config, chosen = request.config, request.param
    deadline = math.inf
    if chosen.budget is not None:
        function = request.node.nodeid.partition("[")[0]
        deadline = chosen.budget + config.stash.setdefault(_BEGAN, {}).setdefault(function, _CLOCK.now())
        if _CLOCK.now() >= deadline:
            pytest.skip(f"not covered: the budget of {chosen.budget:g} s was used up")
    again = f"{PYTEST} {quote(request.node.nodeid)}"
    return Case(chosen, again, report_folder(config), config.rootpath, lambda: _CLOCK.now() < deadline)


def lab_of(config: pytest.Config, subject: Any) -> Lab:
    """The laboratory for a subject, one for each in a session; it ends with the session.

    Raises:
        SandboxError: when there is no such subject, or the project cannot be served.
    """
    labs = config.stash.setdefault(_LABS, {})
    name = subject if isinstance(subject, str) else id(subject)
    if name not in labs:
        # The factory is kept, so that no other one gets its id.
        labs[name] = Lab(project_of(config), factory_of(subject, settings_of(config), config.rootpath))
        config.add_cleanup(labs[name].close)
    return labs[name]


def name_of(plan: Plan) -> str:
    """A plan as the id of a test: `accounting.create_invoice-2025-4471-timeout-applied`."""
    return "+".join(map(_fault_name, plan.faults)) or "no-fault"


def _names(plans: list[Plan]) -> list[str]:
    """The ids of plans; where two would be the same, their parameters tell them apart."""
    plain = [name_of(plan) for plan in plans]
    return [
        f"{name}-{_slug('-'.join(str(value) for fault in plan.faults for value in fault.parameters.values()))}"
        if plain.count(name) > 1
        else name
        for name, plan in zip(plain, plans, strict=True)
    ]


def _fault_name(fault: Injection) -> str:
    on = fault.on
    where = ".".join(part for part in (on.system, on.operation) if part) if isinstance(on, CallPoint) else on.event
    number = on.occurrence.to_json()
    parts = [where, "" if on.key in (None, "-") else str(on.key), "" if number == 1 else f"no{number}", fault.inject]
    return _slug("-".join(part for part in (*parts, "applied" if fault.effect == "applied" else "") if part))


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text).strip("-")
