"""A WSGI application as a subject in this process: it knows nothing of the sandbox; its time and chance are ours."""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from sandbox.chaos.check import Judge
from sandbox.chaos.explore import Explorer
from sandbox.chaos.library import Library
from sandbox.chaos.parking import read_parked
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.subject_settings import SubjectError, SubjectSettings
from sandbox.chaos.wsgi_subject import WsgiApp, WsgiRunner
from sandbox.clock import SystemClock
from sandbox.plan import Plan
from sandbox.project import Project

FLASK = Path(__file__).parents[1] / "subjects" / "flask"


def integrator(mistake: str = "") -> WsgiApp:
    settings = SubjectSettings(environment=(("MISTAKE", mistake),), reconcile_every=10.0)
    return WsgiApp("integrator:app", FLASK, settings, "/work")


def replayed(project: Project, app: WsgiApp, name: str, runner: WsgiRunner | None = None) -> RunRecord:
    library = Library(project)
    _, plan = library.find(name)
    own = runner or WsgiRunner(project, app)
    record = own.run(plan, library.scenario_of(plan))
    if runner is None:
        own.close()
    return record


@pytest.fixture(scope="module")
def correct(project: Project) -> WsgiRunner:
    return WsgiRunner(project, integrator())


@pytest.mark.parametrize(
    "name",
    [
        "lost-answer",
        "crash-after-acknowledging",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("double-webhook", "crash-between-two-systems", "lost-webhook", "ten-minute-outage")
        ),
    ],
)
def test_a_correct_one_survives(project: Project, correct: WsgiRunner, name: str) -> None:
    verdict = Judge(project, integrator()).check(replayed(project, integrator(), name, correct))
    assert (verdict.exit_code, verdict.story, verdict.trouble) == (0, "", ())


@pytest.mark.slow
def test_a_correct_one_survives_every_single_fault(project: Project) -> None:
    scenario = Library(project).scenario("one-paid-order")
    found = Explorer(project, integrator(), SystemClock(), workers=2).explore(scenario, seed=0)
    assert found.trials > 200
    assert [(trial.plan.faults[0].to_json(), trial.verdict.story) for trial in found.failures] == []
    assert [trial.verdict.trouble for trial in found.uncertain] == []


@pytest.mark.slow
def test_what_was_never_said_is_not_demanded(project: Project) -> None:
    silent = WsgiApp("integrator:app", FLASK)
    verdict = Judge(project, silent).check(replayed(project, silent, "lost-webhook"))
    assert (verdict.exit_code, verdict.story) == (0, "")


def test_a_mistake_is_caught(project: Project) -> None:
    record = replayed(project, integrator("new-key-on-retry"), "lost-answer")
    assert Judge(project, integrator()).check(record).broken[:2] == ("F01", "R04")
    # What it logged is kept.
    assert any("accounting POST /invoices: ReadTimeout" in line for line in record.said)


def test_the_same_plan_is_the_same_run(project: Project) -> None:
    # Its keys are made by uuid4, and its pauses are drawn.
    first = replayed(project, integrator("new-key-on-retry"), "lost-answer")
    random.seed()
    assert replayed(project, integrator("new-key-on-retry"), "lost-answer").journal == first.journal


def test_the_process_is_as_it_was_before(project: Project, correct: WsgiRunner) -> None:
    before = dict(os.environ), sys.path[:], logging.getLogger().handlers[:], random.getstate(), sys.stdout, time.sleep
    replayed(project, integrator(), "lost-answer", correct)
    after = dict(os.environ), sys.path[:], logging.getLogger().handlers[:], random.getstate(), sys.stdout, time.sleep
    assert before == after
    assert time.time() > 1_767_300_000
    assert not threading.Lock().locked()


APP = """
    import os, threading, time
    from datetime import datetime
    from pathlib import Path

    {top}

    def app(environ, start_response):
        {then}
        start_response("204 No Content", [])
        return []

    def make():
        return app
"""


def application(folder: Path, then: str = "pass", top: str = "", name: str = "tiny:app", **more: str) -> WsgiApp:
    # The name of a module is only once in a process, whatever folder it is in; it is loaded afresh all the same.
    (folder / "tiny.py").write_text(textwrap.dedent(APP).format(top=top, then=then), encoding="utf-8")
    return WsgiApp(name, folder, SubjectSettings(**more))  # type: ignore[arg-type]


def run(project: Project, app: WsgiApp) -> RunRecord:
    runner = WsgiRunner(project, app)
    try:
        return runner.run(Plan(scenario="one-paid-order"), Library(project).scenario("one-paid-order"))
    finally:
        runner.close()


@pytest.mark.parametrize(
    ("then", "told"),
    [
        ("threading.Thread(target=print).start()", "it starts a thread, which does not obey virtual time"),
        pytest.param(
            "import asyncio; asyncio.run(asyncio.sleep(1))", "it runs an asyncio loop", marks=pytest.mark.slow
        ),
        pytest.param("import subprocess; subprocess.run(['true'])", "it starts a process", marks=pytest.mark.slow),
        ("import requests; requests.get('http://example.com/')", "it calls example.com:80"),
        pytest.param(
            "import socket; s = socket.socket(); s.settimeout(1)\n    with s: s.connect(('127.0.0.1', 9))",
            "it opens a connection to 127.0.0.1:9",
            marks=pytest.mark.slow,
        ),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning")
def test_what_cannot_be_run_faithfully_is_refused(project: Project, tmp_path: Path, then: str, told: str) -> None:
    with pytest.raises(SubjectError) as raised:
        run(project, application(tmp_path, then))
    assert raised.value.message.startswith(f"tiny:app cannot be run in this process: {told}")
    assert f"({tmp_path}/tiny.py:" in raised.value.message
    assert raised.value.hint == "run it as a program of its own, by its command"


@pytest.mark.parametrize(
    ("top", "name", "told"),
    [
        ("os.environ['STORE_URL']", "tiny:app", r"tiny\.py:6: KeyError: 'STORE_URL'"),
        pytest.param("def (", "tiny:app", r"tiny\.py:6: SyntaxError", marks=pytest.mark.slow),
        ("async def asgi(scope, receive, send): pass", "tiny:asgi", "is an ASGI application"),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                ("raise SystemExit('no config')", "tiny:app", "ended itself while it was loaded, with 'no config'"),
                ("", "tiny:nothing", "has no attribute 'nothing'"),
                ("", "nowhere_at_all:app", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
                ("number = 7", "tiny:number", "is no WSGI application, but int"),
                ("", "tiny:make", "is no WSGI application, but function"),
            )
        ),
    ],
)
def test_what_cannot_be_loaded(project: Project, tmp_path: Path, top: str, name: str, told: str) -> None:
    with pytest.raises(SubjectError, match=told):
        run(project, application(tmp_path, top=top, name=name))


def test_one_that_never_waits_is_ended(project: Project, tmp_path: Path) -> None:
    app = application(tmp_path, "end = time.time() + 1\n    while time.time() < end: pass")
    runner = WsgiRunner(project, app, patience=0.3)
    with pytest.raises(SubjectError, match=r"tiny:app is at work without end \(.*tiny\.py:\d+\), and never waits"):
        runner.run(Plan(scenario="one-paid-order"), Library(project).scenario("one-paid-order"))
    runner.close()
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    assert time.time() > 1_767_300_000


def test_time_locks_and_data_are_the_worlds(project: Project, tmp_path: Path) -> None:
    then = """
        with lock:
            began = time.monotonic()
            time.sleep(0.5)
            waited = threading.Event().wait(0.25)
            print(datetime.now().year, time.monotonic() - began, waited, flush=True)
        file = Path(os.environ["DATA_DIR"], "parked.json")
        file.write_text('{"2025-4471": "the customer is unknown"}')
    """
    app = application(
        tmp_path, textwrap.indent(textwrap.dedent(then), " " * 4).strip(), "lock = threading.Lock()", "tiny:make()",
        parking="parked.json",
    )  # fmt: skip
    began = time.monotonic()
    record = run(project, app)
    assert time.monotonic() - began < 10
    # Two webhooks that come at once wait for each other, each in its own time.
    assert record.said == ("2026 0.75 False", "2026 0.75 False")
    assert record.parked == {"2025-4471": "the customer is unknown"}
    assert "F02" not in Judge(project, app).check(record).broken


def test_a_path_says_what_is_parked(project: Project, tmp_path: Path) -> None:
    then = """if environ["PATH_INFO"] == "/parked":
            start_response("200 OK", [])
            return [b'["2025-4471"]']"""
    asked = run(project, application(tmp_path, then, parking="/parked"))
    assert (asked.parked, asked.trouble) == ({"2025-4471": "parked"}, ())
    asked = run(project, application(tmp_path, parking="/parked"))
    assert asked.trouble == ("the parking probe /parked answered 204",)


@pytest.mark.parametrize(
    ("text", "parked"),
    [
        ("", {}),
        ('{"7": "why", "8": null}', {"7": "why", "8": "parked"}),
        ('["7", {"order_number": "8", "reason": "why"}]', {"7": "parked", "8": "why"}),
    ],
)
def test_what_a_parking_probe_may_say(text: str, parked: dict[str, str]) -> None:
    assert read_parked(text) == parked


@pytest.mark.parametrize(
    ("text", "told"), [("7", "neither a mapping"), ("<html>", "Expecting"), ('[{"reason": "why"}]', "no order_number")]
)
def test_what_no_parking_probe_says(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_parked(text)
