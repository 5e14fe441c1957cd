"""The worked example of the README: two systems of one's own, an integrator in shell and curl, an invariant, a bug."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.chaos.customer import by_customer
from sandbox.chaos.requests import Requests
from sandbox.chaos.scenario import parse_scenario, read_scenario
from sandbox.errors import PlanError
from sandbox.project import Project

EXAMPLE = Path(__file__).with_name("example")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the example's integrator is a script with curl")
def test_the_example_finds_its_bug(outside: dict[str, str], tmp_path: Path) -> None:
    project = shutil.copytree(EXAMPLE, tmp_path / "example")
    command = [sys.executable, "-m", "sandbox.cli", "chaos", "explore", "--scenario", "one-order", "-x"]
    done = subprocess.run(
        [*command, "--subject", "sh integrator.sh", "--budget", "40s"],
        cwd=project,
        env=outside,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "L01  order A-1 has 2 entries, not one" in done.stdout
    assert "operation: create_entry" in done.stdout


def test_it_is_short() -> None:
    """A scenario and an invariant of one's own take under thirty lines."""
    files = [EXAMPLE / "contracts" / "invariants.py", EXAMPLE / "contracts" / "scenarios" / "one-order.yaml"]
    assert sum(len(file.read_text("utf-8").splitlines()) for file in files) < 30


def test_steps_that_call_an_operation() -> None:
    scenario = read_scenario(EXAMPLE / "contracts" / "scenarios" / "one-order.yaml")
    (steps,) = by_customer(scenario)
    assert (steps[0].action, steps[0].order, steps[0].body) == (
        "call",
        "store.create_order",
        {"number": "A-1", "total": 20},
    )
    assert parse_scenario("again", scenario.to_json(), "again").steps == scenario.steps


@pytest.mark.parametrize(("called", "hint"), [("stor.create_order", "store"), ("store.create_ordr", "create_order")])
def test_a_step_that_names_nothing(called: str, hint: str) -> None:
    requests = Requests(Project.load(EXAMPLE).specs, ())
    with pytest.raises(PlanError) as caught:
        requests.find(called)
    assert hint in str(caught.value.hint)
