"""A program of its own over real sockets: what the sandbox itself costs in a run, and how long a whole search takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shutil import which
from time import perf_counter, process_time
from typing import Any

from sandbox.chaos.check import Judge
from sandbox.chaos.explore import Exploration, Explorer
from sandbox.chaos.live import LiveRunner
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.scenario import Scenario, read_scenario
from sandbox.chaos.subject_settings import SubjectSettings
from sandbox.clock import SystemClock
from sandbox.plan import Plan
from sandbox.project import Project
from tests.bench.figure import Figure, percentile, show

ROOT = Path(__file__).resolve().parents[2]
NODE = SubjectSettings(f"node {ROOT / 'tests' / 'subjects' / 'node' / 'integrator.js'}")
RUNS = 40


def figures() -> Iterator[Figure]:
    if which("node") is None:
        return
    project = Project.load(ROOT)
    scenario = read_scenario(ROOT / "contracts" / "scenarios" / "one-paid-order.yaml")
    own, wall, quiet, cpu = _runs(project, scenario)
    note = "wall time less what the program took and what it was waited for"
    yield Figure("live: the sandbox's own part of a run, median", own, "ms", 60, note)
    yield Figure("live: CPU of a run, median", cpu, "ms")
    yield Figure("live: a run of one order, median", wall, "ms", None, f"{quiet:.0f} ms of it in quiet")
    found = _explore(project, scenario)
    covered = f"{found.trials} of {found.possible} plans, 2 workers, {len(found.failures)} failed"
    yield Figure("live: all single faults of one order, Node", found.seconds, "s", 60, covered)


def _runs(project: Project, scenario: Scenario) -> tuple[float, float, float, float]:
    """Milliseconds: the sandbox's own part, all of a run, the quiet at its end, CPU of this process."""
    runner, judge, plan = LiveRunner(project, NODE), Judge(project, NODE), Plan(scenario=scenario.name, seed=1)
    own, wall, quiet, cpu = [], [], [], []
    try:
        judge.check(runner.run(plan, scenario))
        for _ in range(RUNS):
            began, used = perf_counter(), process_time()
            record = runner.run(plan, scenario)
            judge.check(record)
            took = perf_counter() - began
            thinking, waiting = _of_the_program(record)
            wall.append(took * 1000)
            quiet.append(waiting * 1000)
            own.append((took - thinking - waiting) * 1000)
            cpu.append((process_time() - used) * 1000)
    finally:
        runner.close()
    return tuple(percentile(values, 0.5) for values in (own, wall, quiet, cpu))  # type: ignore[return-value]


def _of_the_program(record: RunRecord) -> tuple[float, float]:
    """Seconds in which the program had the word: while no call of anybody was being answered, and at the end."""
    spans = sorted(_span(entry) for entry in record.journal if entry["kind"] == "call")
    last = max(end for _, end in spans)
    thinking, until = 0.0, spans[0][1]
    for begin, end in spans[1:]:
        thinking += max(0.0, begin - until)
        until = max(until, end)
    return thinking, record.began + record.lasted - last


def _span(entry: dict[str, Any]) -> tuple[float, float]:
    return entry["at"], entry["answer"]["at"]


def _explore(project: Project, scenario: Scenario) -> Exploration:
    explorer = Explorer(project, NODE, SystemClock(), workers=2)
    try:
        return explorer.explore(scenario, seed=1)
    finally:
        explorer.close()


def main() -> None:
    show(figures())


if __name__ == "__main__":
    main()
