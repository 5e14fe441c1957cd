"""Integrators as their own communities write them, over real sockets: correct ones survive, mistakes are caught."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from sandbox.chaos.check import Judge, Verdict
from sandbox.chaos.library import Library
from sandbox.chaos.live import LiveRunner
from sandbox.chaos.subject_settings import SubjectSettings
from sandbox.project import Project

HERE = Path(__file__).with_name("subjects")
COMMANDS = {
    "node": ("node", f"node {HERE / 'node' / 'integrator.js'}"),
    "asyncio": (sys.executable, f"{sys.executable} {HERE / 'asyncio' / 'integrator.py'}"),
}
MISTAKES = {
    "new-key-on-retry": ("lost-answer", "R04"),
    "no-deduplication": ("double-webhook", "F01"),
    "acknowledges-before-storing": ("crash-after-acknowledging", "F01"),
}
SURVIVED = ("lost-answer", "double-webhook", "crash-after-acknowledging", "still-in-progress", "token-expires-mid-flow")


def judged(project: Project, language: str, failure: str, mistake: str = "") -> Verdict:
    runtime, command = COMMANDS[language]
    if shutil.which(runtime) is None:
        pytest.skip(f"there is no {runtime} on this machine")
    library = Library(project)
    _, plan = library.find(failure)
    program = SubjectSettings(command, environment=(("MISTAKE", mistake),))
    runner = LiveRunner(project, program)
    try:
        return Judge(project, program).check(runner.run(plan, library.scenario(str(plan.scenario))))
    finally:
        runner.close()


def survives(project: Project, language: str, failure: str) -> None:
    verdict = judged(project, language, failure)
    assert (verdict.broken, verdict.story) == ((), "")


@pytest.mark.parametrize("language", COMMANDS)
def test_the_correct_one_survives_a_lost_answer(project: Project, language: str) -> None:
    survives(project, language, "lost-answer")


@pytest.mark.parametrize("language", COMMANDS)
def test_a_mistake_is_caught(project: Project, language: str) -> None:
    assert "R04" in judged(project, language, "lost-answer", "new-key-on-retry").broken


@pytest.mark.slow
@pytest.mark.parametrize("failure", SURVIVED)
@pytest.mark.parametrize("language", COMMANDS)
def test_the_correct_one_survives(project: Project, language: str, failure: str) -> None:
    survives(project, language, failure)


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("language", COMMANDS)
def test_each_mistake_is_caught(project: Project, language: str, mistake: str) -> None:
    failure, rule = MISTAKES[mistake]
    assert rule in judged(project, language, failure, mistake).broken
