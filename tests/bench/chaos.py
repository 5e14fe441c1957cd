"""Chaos: what one run in virtual time costs, and what a second worker brings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter, process_time

from sandbox.chaos.check import Judge
from sandbox.chaos.explore import Exploration, Explorer
from sandbox.chaos.runner import Runner
from sandbox.chaos.scenario import Scenario, read_scenario
from sandbox.chaos.session import silent_reference
from sandbox.clock import SystemClock
from sandbox.garbage import collect_seldom
from sandbox.plan import Plan
from sandbox.project import Project
from tests.bench.figure import Figure, percentile, show

ROOT = Path(__file__).resolve().parents[2]
RUNS = 200


def figures() -> Iterator[Figure]:
    project = Project.load(ROOT)
    scenario = read_scenario(ROOT / "contracts" / "scenarios" / "one-paid-order.yaml")
    # As the command does it.
    collect_seldom()
    yield Figure(
        "chaos: one run of one order, median", _run(project, scenario), "ms", 5, "run and judged, one core", aim=2
    )
    seconds = {workers: _explore(project, scenario, workers) for workers in (1, 2)}
    yield Figure("chaos: time with 2 workers to time with 1", seconds[2] / seconds[1], "", 1 / 1.8, "depth 1")


def _run(project: Project, scenario: Scenario) -> float:
    """Milliseconds of CPU for a run and its verdict."""
    subject = silent_reference()
    runner, judge, plan = Runner(project, subject), Judge(project, subject), Plan(scenario=scenario.name, seed=1)
    took = []
    for _ in range(RUNS):
        began = process_time()
        judge.check(runner.run(plan, scenario))
        took.append((process_time() - began) * 1000)
    return percentile(took, 0.5)


def _explore(project: Project, scenario: Scenario, workers: int) -> float:
    """Seconds for all single faults, once the workers are up."""
    explorer = Explorer(project, silent_reference, SystemClock(), workers)
    plans: list[int] = []
    for _ in range(2):
        began = perf_counter()
        found: Exploration = explorer.explore(scenario, seed=1)
        took = perf_counter() - began
        plans.append(found.trials)
    assert plans[0] == plans[1]
    return took


def main() -> None:
    show(figures())


if __name__ == "__main__":
    main()
