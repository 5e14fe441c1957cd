"""Making failing plans small, and keeping them as files that replay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.catalog import Catalog
from sandbox.chaos.attempt import Attempt, attempt_with
from sandbox.chaos.check import Judge
from sandbox.chaos.library import Library
from sandbox.chaos.minimise import CONFIRMATIONS, Case, minimise, save
from sandbox.chaos.runner import Runner
from sandbox.chaos.scenario import Scenario, parse_scenario
from sandbox.plan import Plan
from sandbox.plan_file import dump_plan, load_plan, parse_plan
from sandbox.project import Project
from tests.chaos.tiny import Blind

LARGE = """
seed: 3
faults:
- on: {system: shop, operation: list_orders, key: "-"}
  inject: slow
  with: {delay: 5s}
- on: {system: ledger, operation: book, key: "2025-2", occurrence: 1-2}
  inject: malformed
  effect: applied
  count: 1
- on: {system: ledger, operation: book, key: "2025-2"}
  inject: crash
  effect: applied
- on: {system: ledger, operation: book, key: "2025-3"}
  inject: rate_limited
  with: {retry_after: 30}
"""


@pytest.fixture
def attempt(tiny_project: Project) -> Attempt:
    return attempt_with(Runner(tiny_project, Blind()), Judge(tiny_project, Blind()))


@pytest.fixture
def three_orders() -> Scenario:
    steps = [{"place": {"order_number": f"2025-{number}"}, "at": f"{number}m"} for number in (1, 2, 3)]
    return parse_scenario("three", {"description": "Three orders.", "steps": steps}, "scenario")


def test_it_becomes_as_small_as_it_gets(tiny_project: Project, attempt: Attempt, three_orders: Scenario) -> None:
    small = minimise(parse_plan(LARGE), three_orders, "X01", attempt, tiny_project.specs)
    (fault,) = small.plan.faults
    assert fault.to_json() == {
        "on": {"system": "ledger", "operation": "book", "key": "2025-2", "occurrence": 1},
        "inject": "timeout",
        "effect": "applied",
    }
    assert [(step.order, step.at) for step in small.scenario.steps] == [("2025-2", 0.0)]
    assert small.story == "order 2025-2 was booked 2 times"
    assert small.runs <= 200
    assert not small.flaky
    assert not small.exhausted


def test_the_rule_stays_the_same(tiny_project: Project, attempt: Attempt, three_orders: Scenario) -> None:
    for rule in attempt(parse_plan(LARGE), three_orders)[1].broken:
        small = minimise(parse_plan(LARGE), three_orders, rule, attempt, tiny_project.specs)
        assert rule in small.verdict.broken


def test_weather_becomes_faults(tiny_project: Project, attempt: Attempt, three_orders: Scenario) -> None:
    weather = "{on: {system: ledger, operation: book}, inject: reset, effect: applied, rate: 60 %}"
    plan = parse_plan(f"seed: 1\nweather: [{weather}]\n")
    small = minimise(plan, three_orders, "X01", attempt, tiny_project.specs)
    assert small.plan.weather == ()
    assert [fault.inject for fault in small.plan.faults] == ["timeout"]


def test_the_budget_holds(tiny_project: Project, attempt: Attempt, three_orders: Scenario) -> None:
    runs: list[Plan] = []

    def counted(plan: Plan, scenario: Scenario) -> object:
        runs.append(plan)
        return attempt(plan, scenario)

    small = minimise(parse_plan(LARGE), three_orders, "X01", counted, tiny_project.specs, budget=5)  # type: ignore[arg-type]
    assert small.exhausted
    assert small.runs == 5
    assert len(runs) == 5 + CONFIRMATIONS


def test_one_that_wavers_is_called_flaky(tiny_project: Project, attempt: Attempt, one_order: Scenario) -> None:
    fault = 'faults: [{on: {system: ledger, operation: book, key: "2025-1"}, inject: timeout, effect: applied}]'
    plan = parse_plan(fault)
    bare = replace(plan, faults=())
    answers: Iterator[Plan] = iter([plan, bare, plan, plan, bare])

    def wavering(tried: Plan, scenario: Scenario) -> object:
        whole = (tried, scenario) == (plan, one_order)
        return attempt(next(answers) if whole else bare, scenario)

    small = minimise(plan, one_order, "X01", wavering, tiny_project.specs)  # type: ignore[arg-type]
    assert small.flaky
    assert small.story


def test_a_reproducer_replays(tiny_project: Project, attempt: Attempt, three_orders: Scenario, tmp_path: Path) -> None:
    small = minimise(parse_plan(LARGE), three_orders, "X01", attempt, tiny_project.specs)
    library = Library(tiny_project)
    path, command = save(tmp_path / "new" / "folder", small, library.sealed(small.plan, "X01"))
    assert command == f"sandbox chaos replay {path}"
    assert command in path.read_text().splitlines()[0]
    plan = load_plan(path, Catalog(tiny_project.specs))
    assert plan.expect == {"rule": "X01"}
    assert plan.seed == 3
    assert set(plan.specs) == {"ledger", "shop"}
    assert library.changed_specs(plan) == []
    assert library.changed_specs(replace(plan, specs={**plan.specs, "shop": "0" * 64})) == ["shop"]
    assert dump_plan(parse_plan(dump_plan(plan))) == dump_plan(plan)
    scenario = library.scenario_of(plan)
    assert scenario.steps == small.scenario.steps
    assert attempt(plan, scenario)[1].story_of("X01") == small.story


def test_scenarios_read_what_they_write() -> None:
    document = {
        "description": "All there is.",
        "steps": [
            {"place": {"order_number": "0123", "paid": False}},
            {"pay": "0123", "at": "90s"},
            {"wait": "1h"},
            {"change_address": "0123", "with": {"city": "Leeds"}},
            {"cancel_line_item": "0123", "at": "2h"},
            {"set_stock": "DESK-180", "with": {"level": 3}, "at": 7201.5},
            {"cancel": "0123"},
        ],
    }
    scenario = parse_scenario("all", document, "scenario")
    again = parse_scenario("all", parse_plan(dump_plan(Plan(scenario=scenario.to_json()))).scenario, "scenario")
    assert again == scenario
    assert Case(Plan(), again).identity == Case(Plan(), scenario).identity
