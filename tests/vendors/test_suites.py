"""The contract suites hold systems that they have never seen to their specs, without further words."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SPECS = Path(__file__).with_name("specs")
# What declares no refusals cannot be held to them.
NAMES = sorted(path.stem for path in SPECS.glob("*.yaml") if path.stem != "careless")
SUITES = ("idempotency", "retry", "webhooks", "state")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "books" else pytest.mark.slow) for name in NAMES]
)
def test_the_suites_find_nothing(name: str, outside: dict[str, str], tmp_path: Path) -> None:
    wanted = [word for suite in SUITES for word in ("--suite", suite)]
    command = [sys.executable, "-m", "sandbox.cli", "contracts", "--spec", f"{name}={SPECS / f'{name}.yaml'}", *wanted]
    done = subprocess.run(command, cwd=tmp_path, env=outside, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert " passed" in done.stdout
