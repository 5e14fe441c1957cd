"""The reference integrator survives what a search comes up with, in every scenario."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from sandbox.chaos.explore import Exploration, Explorer, Laboratory, Trial
from sandbox.chaos.library import USUAL_SCENARIO, Library
from sandbox.chaos.report import search_sentences
from sandbox.chaos.session import silent_reference
from sandbox.clock import SystemClock
from sandbox.plan import Plan
from sandbox.plan_file import dump_plan
from sandbox.project import Project

SMALL = (USUAL_SCENARIO, "cancelled-line-item", "cancelled-order", "change-of-address", "unpaid-order")
LARGE = ("poison-order", "quiet-day", "rush-hour", "ten-orders")
SINGLES, MANY = 3, 40
PAIRS = 50
SEED = 1
# Seconds for all pairs of one scenario.
LONGEST = 120.0


@pytest.fixture(scope="module")
def laboratory(project: Project) -> Laboratory:
    return Laboratory(project, silent_reference)


@pytest.fixture(scope="module")
def library(project: Project) -> Library:
    return Library(project)


def survived(trial: Trial) -> None:
    verdict = trial.verdict
    assert (verdict.broken, verdict.story) == ((), ""), dump_plan(trial.plan)
    if trial.fired:
        assert verdict.trouble == (), dump_plan(trial.plan)


def search(
    project: Project, laboratory: Laboratory, library: Library, scenario: str, depth: int, budget: float
) -> Exploration:
    explorer = Explorer(project, silent_reference, SystemClock(), laboratory=laboratory)
    found = explorer.explore(library.scenario(scenario), SEED, depth, budget)
    for trial in (*found.failures, *found.uncertain):
        survived(trial)
    return found


def test_all_scenarios_are_here(library: Library) -> None:
    assert set(library.scenarios) == {*SMALL, *LARGE}


@pytest.mark.parametrize(
    "scenario", [USUAL_SCENARIO, *(pytest.param(name, marks=pytest.mark.slow) for name in SMALL[1:])]
)
def test_it_survives_each_single_fault(
    project: Project, laboratory: Laboratory, library: Library, scenario: str
) -> None:
    found = search(project, laboratory, library, scenario, 1, float("inf"))
    assert found.trials == found.possible > 200


@pytest.mark.parametrize("scenario", [*SMALL[1:], *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)])
def test_it_survives_a_sample_of_single_faults(laboratory: Laboratory, library: Library, scenario: str) -> None:
    bare = Plan(scenario=scenario, seed=SEED)
    workload = library.scenario(scenario)
    for fault in Random(scenario).sample(
        laboratory.trial(bare, workload).follow_ups, MANY if scenario in SMALL else SINGLES
    ):
        survived(laboratory.trial(replace(bare, faults=(fault,)), workload))


def test_it_survives_a_sample_of_pairs(laboratory: Laboratory, library: Library) -> None:
    chance = Random(SEED)
    bare = Plan(scenario=USUAL_SCENARIO, seed=SEED)
    workload = library.scenario(USUAL_SCENARIO)
    singles = laboratory.trial(bare, workload).follow_ups
    for first in chance.choices(singles, k=PAIRS // 2):
        single = laboratory.trial(replace(bare, faults=(first,)), workload)
        for second in chance.sample([fault for fault in single.follow_ups if fault != first], 2):
            survived(laboratory.trial(replace(bare, faults=(first, second)), workload))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", LARGE)
def test_it_survives_each_single_fault_that_there_is_time_for(
    project: Project,
    laboratory: Laboratory,
    library: Library,
    scenario: str,
    time_left: float,
    record_property: Callable[[str, object], None],
) -> None:
    found = search(project, laboratory, library, scenario, 1, time_left / len(LARGE))
    record_property("told", f"{search_sentences(found)[0]}{'' if found.covered else ', the budget ended it'}")


@pytest.mark.slow
def test_it_survives_each_pair_of_faults_on_one_order(
    project: Project, laboratory: Laboratory, library: Library, record_property: Callable[[str, object], None]
) -> None:
    found = search(project, laboratory, library, USUAL_SCENARIO, 2, float("inf"))
    record_property("told", "; ".join(search_sentences(found)[:2]))
    assert found.covered


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [name for name in SMALL if name != USUAL_SCENARIO])
def test_it_survives_each_pair_of_faults_that_there_is_time_for(
    project: Project,
    laboratory: Laboratory,
    library: Library,
    scenario: str,
    time_left: float,
    record_property: Callable[[str, object], None],
) -> None:
    found = search(project, laboratory, library, scenario, 2, min(time_left / len(SMALL), LONGEST))
    record_property("told", "; ".join(search_sentences(found)[:2]))
