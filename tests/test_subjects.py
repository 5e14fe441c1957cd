"""Integrators as their own communities write them, over real sockets: correct ones survive, mistakes are caught."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from sandbox.chaos.attempt import attempt_with
from sandbox.chaos.check import Judge, Verdict
from sandbox.chaos.explore import Explorer
from sandbox.chaos.library import Library
from sandbox.chaos.live import LiveRunner
from sandbox.chaos.subject_settings import SubjectSettings
from sandbox.clock import SystemClock
from sandbox.project import Project

HERE = Path(__file__).with_name("subjects")
# What compiles quickly runs long enough.
JAVA = f"java -XX:TieredStopAtLevel=1 {HERE / 'java' / 'Integrator.java'}"
COMMANDS = {
    "node": ("node", f"node {HERE / 'node' / 'integrator.js'}"),
    "java": ("java", JAVA),
    "asyncio": (sys.executable, f"{sys.executable} {HERE / 'asyncio' / 'integrator.py'}"),
}
MISTAKES = {
    "new-key-on-retry": ("lost-answer", "R04"),
    "no-deduplication": ("double-webhook", "F01"),
    "acknowledges-before-storing": ("crash-after-acknowledging", "F01"),
}
TRIES = 4
SURVIVED = ("lost-answer", "double-webhook", "crash-after-acknowledging", "still-in-progress", "token-expires-mid-flow")


def subject(language: str, mistake: str = "") -> SubjectSettings:
    runtime, command = COMMANDS[language]
    if shutil.which(runtime) is None:
        pytest.skip(f"there is no {runtime} on this machine")
    return SubjectSettings(command, environment=(("MISTAKE", mistake),))


def judged(project: Project, program: SubjectSettings, failures: Iterable[str]) -> dict[str, Verdict]:
    """The verdicts on failures, one after the other in one process."""
    library, runner = Library(project), LiveRunner(project, program)
    attempt = attempt_with(runner, Judge(project, program))
    try:
        plans = {failure: library.find(failure)[1] for failure in failures}
        return {failure: attempt(plan, library.scenario(str(plan.scenario)))[1] for failure, plan in plans.items()}
    finally:
        runner.close()


def survives(project: Project, language: str, failures: Iterable[str]) -> None:
    found = judged(project, subject(language), failures)
    assert {
        name: (verdict.exit_code, verdict.story, verdict.trouble) for name, verdict in found.items()
    } == dict.fromkeys(found, (0, "", ()))


@pytest.mark.parametrize("language", COMMANDS)
def test_the_correct_one_survives_a_lost_answer(project: Project, language: str) -> None:
    survives(project, language, ["lost-answer"])


@pytest.mark.parametrize("language", ["node"])
def test_a_mistake_is_caught(project: Project, language: str) -> None:
    assert "R04" in judged(project, subject(language, "new-key-on-retry"), ["lost-answer"])["lost-answer"].broken


@pytest.mark.slow
@pytest.mark.parametrize("language", COMMANDS)
def test_the_correct_one_survives(project: Project, language: str) -> None:
    survives(project, language, SURVIVED)


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("language", COMMANDS)
def test_each_mistake_is_caught(project: Project, language: str, mistake: str) -> None:
    failure, rule = MISTAKES[mistake]
    # In real time a duplicate may come so early that both are one; a search would also try it later.
    tries = (judged(project, subject(language, mistake), [failure])[failure] for _ in range(TRIES))
    assert any(rule in verdict.broken for verdict in tries)


@pytest.mark.slow
@pytest.mark.parametrize("language", COMMANDS)
def test_the_correct_one_survives_every_single_fault(project: Project, language: str) -> None:
    program = subject(language)
    explorer = Explorer(project, program, SystemClock(), workers=2)
    try:
        found = explorer.explore(Library(project).scenario("one-paid-order"), seed=0)
    finally:
        explorer.close()
    assert [(trial.plan.faults, trial.verdict.story) for trial in found.failures] == []
    assert [trial.verdict.trouble for trial in found.uncertain] == []
    assert found.trials > 150
