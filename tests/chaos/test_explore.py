"""Searching: it finds what brute force finds, says what it left out, and ends when it is told to."""

from __future__ import annotations

import pytest

from sandbox.chaos import points
from sandbox.chaos.explore import Explorer, Laboratory, Trial, failing
from sandbox.chaos.points import Kind
from sandbox.chaos.report import not_covered, possible, search_sentences
from sandbox.chaos.scenario import Scenario
from sandbox.clock import SystemClock, VirtualClock
from sandbox.plan import Plan
from sandbox.plan_file import dump_plan
from sandbox.project import Project
from tests.chaos.tiny import Blind, Careful, Idle, Tiny


@pytest.fixture
def few_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few kinds of faults that all pairs can be run: silence and crashes, with and without the work done.

    A reset and a 500 are told apart by no subject here, and a malformed answer to a booking from none at all.
    """
    on_writes = (Kind("timeout", "applied"), Kind("crash", "applied"), Kind("malformed", "applied"))
    monkeypatch.setattr(points, "ON_WRITES", on_writes)
    monkeypatch.setattr(points, "ON_READS", ())
    monkeypatch.setattr(points, "ON_ALL", (Kind("timeout"), Kind("crash"), Kind("reset"), Kind("server_error")))


def brute_force(laboratory: Laboratory, scenario: Scenario) -> tuple[list[Trial], list[Trial]]:
    """All single faults, and all pairs in both orders, with nothing left out."""
    singles = [
        laboratory.trial(Plan(faults=(fault,), scenario=scenario.name, seed=0), scenario)
        for fault in laboratory.trial(Plan(scenario=scenario.name, seed=0), scenario).follow_ups
    ]
    pairs = [
        laboratory.trial(Plan(faults=(*single.plan.faults, second), scenario=scenario.name, seed=0), scenario)
        for single in singles
        for second in single.follow_ups
        if second not in single.plan.faults
    ]
    return singles, pairs


@pytest.mark.usefixtures("few_kinds")
@pytest.mark.parametrize(
    "subject", [Tiny, pytest.param(Blind, marks=pytest.mark.slow), pytest.param(Careful, marks=pytest.mark.slow)]
)
def test_it_finds_what_brute_force_finds(tiny_project: Project, one_order: Scenario, subject: type[Tiny]) -> None:
    singles, pairs = brute_force(Laboratory(tiny_project, subject), one_order)
    found = Explorer(tiny_project, subject, SystemClock()).explore(one_order, 0, depth=2)
    failing = {frozenset(map(str, trial.plan.faults)) for trial in found.failures}
    behaviours = {trial.fingerprint for trial in found.failures}
    assert {frozenset(map(str, single.plan.faults)) for single in singles if single.verdict.failed} <= failing
    alone = {str(single.plan.faults[0]) for single in singles if single.verdict.failed}
    missed = [
        dump_plan(pair.plan)
        for pair in pairs
        if pair.verdict.failed
        and not alone & set(map(str, pair.plan.faults))
        and frozenset(map(str, pair.plan.faults)) not in failing
        and pair.fingerprint not in behaviours
    ]
    assert missed == []
    assert bool(failing) is (subject is not Careful)
    # Where nothing is left out, and nothing depends on retries and crashes, nothing is proved.
    reached = {str(single.plan.faults[0]) for single in singles}
    by_first = [pair for pair in pairs if str(pair.plan.faults[1]) not in reached]
    assert {fault.inject for pair in by_first for fault in pair.plan.faults} >= {"timeout", "crash"}
    assert found.pruned["subsumed" if subject is Blind else "same behaviour"] > 0
    if subject is Tiny:
        assert not alone
        retried = {fault.inject for pair in by_first if pair.verdict.failed for fault in pair.plan.faults}
        assert retried >= {"timeout", "crash"}
    if not alone:
        distinct = {frozenset(map(str, pair.plan.faults)) for pair in pairs}
        assert possible(found) == 1 + len(singles) + len(distinct)
    assert found.covered


def test_all_kinds_at_depth_one(tiny_project: Project, one_order: Scenario) -> None:
    found = Explorer(tiny_project, Careful, SystemClock()).explore(one_order, 0)
    assert [trial.verdict.story for trial in found.failures] == []
    assert found.covered
    assert found.trials == found.possible == possible(found)
    assert sum(count for (rule, _), count in found.card.items() if rule == "X01") == found.trials
    assert {weak.inject for weak in found.weaknesses} == {"stale_read", "repeated_request"}


def test_a_baseline_that_fails_ends_the_search(tiny_project: Project, one_order: Scenario) -> None:
    found = Explorer(tiny_project, Idle, SystemClock()).explore(one_order, 0)
    assert found.trials == 1
    assert [trial.plan.faults for trial in found.failures] == [()]


def test_the_budget_ends_it_and_says_what_is_missing(tiny_project: Project, one_order: Scenario) -> None:
    clock = VirtualClock()
    told: list[int] = []

    def tell(search: object) -> None:
        told.append(1)
        clock.advance(1.0)

    found = Explorer(tiny_project, Careful, clock).explore(one_order, 0, depth=2, budget=10.0, progress=tell)
    assert not found.covered
    assert found.trials == len(told)
    assert 0 < not_covered(found) == found.possible - found.trials
    assert any("no pair was begun" in sentence for sentence in search_sentences(found))


@pytest.mark.slow
def test_two_workers_find_the_same(tiny_project: Project, one_order: Scenario) -> None:
    here = Explorer(tiny_project, Tiny, SystemClock()).explore(one_order, 0)
    there = Explorer(tiny_project, Tiny, SystemClock(), workers=2).explore(one_order, 0)
    assert [dump_plan(trial.plan) for trial in here.failures] == [dump_plan(trial.plan) for trial in there.failures]
    assert here.card == there.card


@pytest.mark.slow
def test_the_first_failure_ends_the_workers(tiny_project: Project, one_order: Scenario) -> None:
    here = Explorer(tiny_project, Tiny, SystemClock(), stop=failing).explore(one_order, 0, depth=2)
    there = Explorer(tiny_project, Tiny, SystemClock(), workers=2, stop=failing).explore(one_order, 0, depth=2)
    assert dump_plan(here.failures[0].plan) == dump_plan(there.failures[0].plan)
    assert len(here.failures) == 1
    assert not there.covered
