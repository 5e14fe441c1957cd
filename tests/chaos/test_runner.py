"""Running a plan: crashes lose what was not durable, waiting costs nothing, and the same plan is the same run."""

from __future__ import annotations

import orjson
import pytest

from sandbox.chaos.check import Judge
from sandbox.chaos.runner import Runner, RunRecord
from sandbox.chaos.scenario import Scenario
from sandbox.limits import Limits
from sandbox.plan_file import parse_plan
from sandbox.project import Project
from tests.chaos.tiny import Careful, Tiny

BOOK = 'on: {system: ledger, operation: book, key: "2025-1"}'


@pytest.fixture
def runner(tiny_project: Project) -> Runner:
    return Runner(tiny_project, Careful())


def notes(record: RunRecord) -> list[str]:
    return [entry["text"] for entry in record.journal if entry["kind"] == "note"]


def calls(record: RunRecord, operation: str) -> list[dict[str, object]]:
    return [e for e in record.journal if e["kind"] == "call" and e["address"]["operation"] == operation]


@pytest.mark.parametrize(("effect", "booked"), [("none", 2), ("applied", 1)])
def test_a_crash_at_a_call(runner: Runner, one_order: Scenario, effect: str, booked: int) -> None:
    record = runner.run(parse_plan(f"faults: [{{{BOOK}, inject: crash, effect: {effect}}}]"), one_order)
    assert notes(record) == ["subject started", "subject killed", "subject restarted"]
    assert [call["effect"] for call in calls(record, "book")] == ["none", "applied"][-booked:]
    assert len(record.state["ledger"]["entries"]) == 1
    assert record.complete
    assert record.trouble == ()


@pytest.mark.parametrize(
    "faults",
    [
        "[]",
        f"[{{{BOOK}, inject: timeout, effect: applied}}]",
        f"[{{{BOOK}, inject: crash, effect: applied}}]",
        "[{on: {system: ledger}, inject: outage, with: {for: 10m}}]",
    ],
)
def test_the_same_plan_is_the_same_run(tiny_project: Project, runner: Runner, one_order: Scenario, faults: str) -> None:
    plan = parse_plan(f"seed: 5\nfaults: {faults}")
    first, second = runner.run(plan, one_order), runner.run(plan, one_order)
    fresh = Runner(tiny_project, Careful()).run(plan, one_order)
    assert orjson.dumps(first.journal) == orjson.dumps(second.journal) == orjson.dumps(fresh.journal)
    assert first.state == second.state == fresh.state


def test_a_journal_that_dropped_entries_passes_no_verdict(tiny_project: Project, one_order: Scenario) -> None:
    record = Runner(tiny_project, Careful(), Limits(journal=2)).run(parse_plan("seed: 5"), one_order)
    verdict = Judge(tiny_project, Careful()).check(record)
    assert record.dropped > 0
    assert verdict.exit_code == 3
    assert f"the journal dropped {record.dropped} entries" in verdict.trouble[-1]


def test_one_run_leaves_nothing_to_the_next(runner: Runner, one_order: Scenario) -> None:
    before = runner.run(parse_plan("seed: 5"), one_order)
    runner.run(parse_plan(f"seed: 5\nfaults: [{{{BOOK}, inject: crash}}]"), one_order)
    assert runner.run(parse_plan("seed: 5"), one_order).journal == before.journal


def test_an_outage_is_waited_out_in_virtual_time(runner: Runner, one_order: Scenario) -> None:
    record = runner.run(parse_plan("faults: [{on: {system: ledger}, inject: outage, with: {for: 2h}}]"), one_order)
    assert record.lasted > 7200
    assert len(record.state["ledger"]["entries"]) == 1
    assert len(calls(record, "look_up")) > 100


def test_a_fault_that_never_fires_is_seen(runner: Runner, one_order: Scenario) -> None:
    record = runner.run(
        parse_plan('faults: [{on: {system: ledger, operation: book, key: "x"}, inject: reset}]'), one_order
    )
    assert [armed.fired for armed in record.armed] == [0]


def test_a_subject_that_dies_is_started_again(tiny_project: Project, one_order: Scenario) -> None:
    class Mortal(Tiny):
        def start(self, surroundings):  # type: ignore[no-untyped-def]
            process = super().start(surroundings)
            if surroundings.disk.setdefault("lives", 0) < 2:
                surroundings.disk["lives"] += 1
                process.step = dict(surroundings.disk).__getitem__
            return process

    record = Runner(tiny_project, Mortal()).run(parse_plan("{}"), one_order)
    assert sum(text.startswith("subject died: TypeError") for text in notes(record)) == 2
    assert len(record.state["ledger"]["entries"]) == 1
