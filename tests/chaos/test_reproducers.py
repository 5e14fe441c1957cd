"""What once broke the reference integrator: each of these plans failed on it, and must not do so again."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.chaos.session import Session

REPRODUCERS = sorted(Path(__file__).resolve().parents[2].joinpath("contracts", "reproducers").glob("*.yaml"))


def test_there_is_one() -> None:
    assert REPRODUCERS


@pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in REPRODUCERS])
def test_the_reference_passes(session: Session, file: Path) -> None:
    plan = session.library.load(file)
    record, verdict = session.run(plan, session.library.scenario_of(plan))
    assert plan.description
    assert plan.seed is not None
    assert plan.expect["rule"] in {rule.id for rule in session.rules}
    assert [armed.injection.to_json() for armed in record.armed if not armed.fired] == []
    assert verdict.story == ""
    assert verdict.trouble == ()
    assert verdict.exit_code == 0
