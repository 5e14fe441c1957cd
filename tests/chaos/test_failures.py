"""The named failures: each can be told, each happens, and the reference integrator survives them all."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.chaos.explain import story
from sandbox.chaos.session import Session

FAILURES = sorted(Path(__file__).resolve().parents[2].joinpath("contracts", "failures").glob("*.yaml"))


def test_there_are_enough() -> None:
    assert len(FAILURES) >= 20


@pytest.mark.parametrize("name", [file.stem for file in FAILURES])
def test_the_reference_survives(session: Session, name: str) -> None:
    _, plan = session.library.find(name)
    record, verdict = session.run(plan, session.library.scenario_of(plan))
    assert [armed.injection.to_json() for armed in record.armed if not armed.fired] == []
    assert verdict.story == ""
    assert verdict.trouble == ()
    assert verdict.exit_code == 0


@pytest.mark.parametrize("name", [file.stem for file in FAILURES])
def test_it_can_be_told(session: Session, name: str) -> None:
    _, plan = session.library.find(name)
    told = list(story(plan, session.library.scenario_of(plan)))
    assert plan.description
    assert len(told) > len(plan.faults) + 1
    assert all(sentence.endswith((".", "!")) and "{" not in sentence and "happens" not in sentence for sentence in told)
