"""A program that runs already, and of which only the address of its webhooks is given."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.access import access
from sandbox.chaos.explore import Explorer
from sandbox.chaos.library import Library
from sandbox.chaos.live import LiveRunner
from sandbox.chaos.session import Session
from sandbox.chaos.subject_settings import SubjectError, SubjectSettings
from sandbox.clock import SystemClock
from sandbox.errors import PlanError
from sandbox.plan import Plan
from sandbox.project import Project


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def settings(project: Project, tmp_path: Path) -> Iterator[SubjectSettings]:
    """The reference integrator, started by somebody else with what `sandbox env` prints."""
    ours, its = free_port(), free_port()
    url = f"http://127.0.0.1:{its}/webhooks"
    environment = access(project.specs.values(), f"http://127.0.0.1:{ours}", 0).environment()
    more = {"PORT": str(its), "WEBHOOK_URL": url, "READ_TIMEOUT": "0.3", "BACKOFF_BASE": "0.05", "BACKOFF_CAP": "0.5"}
    started = subprocess.Popen(
        [sys.executable, "-m", "sandbox.integrator"],
        env={**os.environ, **environment, **more, "DATA_FILE": str(tmp_path / "data.db")},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not answers(its) and time.monotonic() < deadline:
        time.sleep(0.02)
    yield SubjectSettings(url=url, port=ours)
    started.kill()
    started.wait()


def test_it_is_judged_run_after_run_and_never_killed(
    project: Project, settings: SubjectSettings, tmp_path: Path
) -> None:
    session = Session(project, settings, tmp_path)
    library = Library(project)
    try:
        for name in ("one-paid-order", "lost-answer", "double-webhook"):
            _, plan = library.find(name)
            record, verdict = session.run(plan, library.scenario_of(plan))
            assert (verdict.exit_code, verdict.story, verdict.trouble) == (0, "", ())
            told = {entry["address"]["key"] for entry in record.journal if entry["kind"] == "delivery"}
            assert told == {"2025-4471"}
        _, crash = library.find("crash-between-two-systems")
        with pytest.raises(PlanError, match="a crash cannot be done to a program that is running already"):
            session.run(crash, library.scenario_of(crash))
        explorer = Explorer(project, settings, SystemClock(), laboratory=session.laboratory)
        found = explorer.explore(library.scenario("one-paid-order"), seed=0, budget=0.0)
        assert found.pruned["crash"] > 5
    finally:
        session.close()


def test_nobody_listens(project: Project) -> None:
    url = f"http://127.0.0.1:{free_port()}/webhooks"
    runner = LiveRunner(project, SubjectSettings(url=url))
    scenario = Library(project).scenario("one-paid-order")
    with pytest.raises(SubjectError, match=f"nothing listens at {url}: Connection refused"):
        runner.run(Plan(scenario=scenario.name), scenario)
    runner.close()
