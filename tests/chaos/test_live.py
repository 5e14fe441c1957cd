"""A program of its own is run over real sockets: started, subscribed, killed where the plan says, judged, and ended."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.chaos.check import Judge
from sandbox.chaos.library import Library
from sandbox.chaos.live import LiveRunner
from sandbox.chaos.scale import scaled
from sandbox.chaos.subject_settings import SubjectError, SubjectSettings
from sandbox.errors import PlanError
from sandbox.plan import Plan
from sandbox.plan_file import parse_plan
from sandbox.project import Project

# Its time limits and pauses are short, as in a test environment.
SETTINGS = (("READ_TIMEOUT", "0.3"), ("BACKOFF_BASE", "0.05"), ("BACKOFF_CAP", "1"), ("DATA_FILE", "integrator.db"))
REFERENCE = SubjectSettings(f"{sys.executable} -m sandbox.integrator", environment=SETTINGS)
IDLE = """\
    import os, sys
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from pathlib import Path

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            {then}
            self.send_response(204)
            self.end_headers()

        def do_GET(self):
            self.send_response(200)
            self.end_headers()

    print("at your service", flush=True)
    Path(os.environ["PIDS"]).open("a").write(f"{{os.getpid()}}\\n")
    HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture
def library(project: Project) -> Library:
    return Library(project)


@pytest.fixture
def pids(tmp_path: Path) -> Path:
    return tmp_path / "pids"


def idle(folder: Path, pids: Path, then: str = "pass") -> SubjectSettings:
    """A program that takes webhooks and does nothing for the orders."""
    source = folder / "idle.py"
    source.write_text(textwrap.dedent(IDLE).format(then=then))
    return SubjectSettings(f"{sys.executable} {source}", environment=(("PIDS", str(pids)),))


@pytest.fixture
def reference(project: Project) -> Iterator[LiveRunner]:
    runner = LiveRunner(project, REFERENCE)
    yield runner
    runner.close()


@pytest.mark.parametrize("name", ["lost-answer", "crash-between-two-systems", "double-webhook"])
def test_a_correct_program_survives(project: Project, library: Library, reference: LiveRunner, name: str) -> None:
    _, plan = library.find(name)
    scenario = library.scenario(str(plan.scenario))
    record = reference.run(plan, scenario)
    verdict = Judge(project, REFERENCE).check(record)
    assert (verdict.exit_code, verdict.story, verdict.trouble) == (0, "", ())
    killed = [entry["text"] for entry in record.journal if entry["kind"] == "note"]
    assert killed == ["subject started", *(["subject killed", "subject restarted"] if "crash" in name else [])]


def test_one_that_does_nothing_fails_and_is_ended(
    project: Project, library: Library, tmp_path: Path, pids: Path
) -> None:
    program = idle(tmp_path, pids)
    runner = LiveRunner(project, program)
    record = runner.run(Plan(scenario="one-paid-order"), library.scenario("one-paid-order"))
    runner.close()
    verdict = Judge(project, program).check(record)
    assert verdict.exit_code == 1
    assert "F02" in verdict.broken
    (pid,) = pids.read_text().split()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_one_that_dies_is_started_again_and_told_of(
    project: Project, library: Library, tmp_path: Path, pids: Path
) -> None:
    program = idle(tmp_path, pids, "os.path.exists('died') or (open('died', 'w'), os._exit(7))")
    runner = LiveRunner(project, program)
    record = runner.run(Plan(scenario="one-paid-order"), library.scenario("one-paid-order"))
    runner.close()
    assert "ended with exit status 7; it said: at your service" in record.trouble[0]
    assert len(pids.read_text().split()) == 2


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f"{sys.executable} -c pass", "ended with exit status 0; it said nothing"),
        (f"{sys.executable} -c 'raise SystemExit(\"no SHOP\")'", "ended with exit status 1; it said: no SHOP"),
        ("nothing-of-this-name", "cannot be started"),
        ("'unclosed", "No closing quotation"),
    ],
)
def test_one_that_does_not_start(project: Project, library: Library, command: str, said: str) -> None:
    runner = LiveRunner(project, SubjectSettings(command))
    with pytest.raises(SubjectError, match=said):
        runner.run(Plan(scenario="one-paid-order"), library.scenario("one-paid-order"))
    runner.close()


def test_one_that_never_listens(project: Project, library: Library) -> None:
    sleeper = SubjectSettings(f"{sys.executable} -c 'import time; time.sleep(60)'", ready_within=0.5)
    runner = LiveRunner(project, sleeper)
    with pytest.raises(SubjectError, match=r"not ready within 0\.5 s: nothing listens on PORT"):
        runner.run(Plan(scenario="one-paid-order"), library.scenario("one-paid-order"))
    runner.close()


def test_a_day_is_too_long(project: Project, library: Library, reference: LiveRunner) -> None:
    with pytest.raises(PlanError, match="a program has its own time"):
        reference.run(Plan(scenario="quiet-day"), library.scenario("quiet-day"))


def test_spans_are_made_shorter() -> None:
    plan = parse_plan(
        """
        faults:
          - {on: {system: accounting}, inject: outage, with: {for: 10m}, ttl: 1h}
          - {on: {system: crm, operation: create_customer}, inject: rate_limited, with: {retry_after: 30}}
          - {on: {event: order.paid}, inject: delay, with: {by: 10m}}
        """
    )
    outage, limited, late = scaled(plan, 0.01).faults
    assert (outage.parameters["for"], outage.ttl) == (6.0, 36.0)
    assert limited.parameters["retry_after"] == 1
    assert late.parameters["by"] == 6.0
    assert replace(plan, faults=()) == replace(scaled(plan, 0.01), faults=())
