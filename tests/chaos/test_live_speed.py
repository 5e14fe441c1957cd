"""A program whose clock runs faster, and the sandbox's with it."""

from __future__ import annotations

import shutil
import sys
from email.utils import formatdate
from pathlib import Path

import pytest

from sandbox.chaos.check import Judge
from sandbox.chaos.faketime import check_reached, faked
from sandbox.chaos.library import Library
from sandbox.chaos.live import LiveRunner
from sandbox.chaos.subject_settings import SubjectError, SubjectSettings
from sandbox.clock import WorldClock
from sandbox.project import Project

NODE = Path(__file__).parents[1] / "subjects" / "node" / "integrator.js"
NOW = 1_800_000_000.0


def test_without_faketime_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SubjectError, match="there is no `faketime` on this machine") as caught:
        faked(["node", "integrator.js"], 50, NOW)
    assert "apt-get install faketime" in caught.value.hint


@pytest.mark.parametrize(
    ("shown", "ahead", "told"), [(None, 5.0, False), (NOW, 5.0, False), (None, 60.0, True), (NOW + 60, 60.0, True)]
)
def test_whether_it_is_reached_is_told_by_its_dates(shown: float | None, ahead: float, told: bool) -> None:
    date = None if shown is None else formatdate(shown, usegmt=True)
    assert check_reached(date, NOW + ahead, NOW) is told


def test_one_that_is_not_reached_is_refused() -> None:
    with pytest.raises(SubjectError, match="faketime does not reach the program under test"):
        check_reached(formatdate(NOW, usegmt=True), NOW + 60, NOW)


def test_a_faster_clock() -> None:
    slow, fast = WorldClock(), WorldClock(speed=100.0)
    before = slow.now(), fast.now()
    fast.sleep(2.0)
    machines, its = slow.now() - before[0], fast.now() - before[1]
    assert its >= 2.0
    assert machines < 1.0


@pytest.mark.slow
def test_a_program_lives_faster(project: Project) -> None:
    if shutil.which("faketime") is None or shutil.which("node") is None or sys.platform != "linux":
        pytest.skip("there is no faketime, or no node, on this machine")
    library = Library(project)
    slow = (("TIMEOUT_MS", "5000"), ("BACKOFF_BASE", "2"), ("RECONCILE_MS", "30000"))
    program = SubjectSettings(f"node {NODE}", environment=slow, speed=10.0)
    runner = LiveRunner(project, program)
    try:
        _, plan = library.find("lost-answer")
        record = runner.run(plan, library.scenario(str(plan.scenario)))
    finally:
        runner.close()
    verdict = Judge(project, program).check(record)
    assert (verdict.exit_code, verdict.story, verdict.trouble) == (0, "", ())
    (lost,) = [entry for entry in record.journal if (entry.get("fault") or {}).get("inject") == "timeout"]
    assert lost["left_at"] - lost["at"] > 4.0
