"""A suite is worth what it catches: each broken mock is caught by the test that is meant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.probe.mutants import MUTANTS

Run = Callable[[str, list[str], Path], int]


@pytest.fixture(scope="module")
def run(checkout: Path) -> Iterator[Run]:
    """Runs pytest on broken mocks and returns its exit code."""
    settings = os.environ | {"PYTEST_ADDOPTS": "", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    settings = {name: value for name, value in settings.items() if not name.startswith("PYTEST_XDIST")}
    command = [sys.executable, "-m", "tests.probe.breaking"]
    with subprocess.Popen(
        command, cwd=checkout, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask(mutant: str, arguments: list[str], output: Path) -> int:
            print(json.dumps({"mutant": mutant, "arguments": arguments, "output": str(output)}), file=process.stdin)
            process.stdin.flush()
            return int(process.stdout.readline())

        yield ask
        process.stdin.close()


def test_there_are_enough() -> None:
    assert len(MUTANTS) - len(LATER) >= 20
    assert not LATER - MUTANTS.keys()
    assert {suite for _, suite, _, _ in MUTANTS.values()} == {"schema", "idempotency", "retry", "webhooks", "state"}


# What is like another one, or takes long, has time in `make verify`.
LATER = {
    *(
        "replays-with-200",
        "does-not-say-that-it-replays",
        "forgets-keys-after-an-hour",
        "shares-keys-between-operations",
    ),
    *("asks-to-wait-longer-than-needed", "shows-a-record-on-two-pages", "gives-each-try-a-new-id", "needs-no-key"),
    *("keeps-knocking-after-410", "does-not-say-how-to-sign-in"),
}
NAMES = [pytest.param(name, marks=pytest.mark.slow) if name in LATER else name for name in MUTANTS]


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_mock_is_caught(name: str, run: Run, checkout: Path, tmp_path: Path) -> None:
    system, suite, caught_by, _ = MUTANTS[name]
    contracts, output = checkout / "contracts", tmp_path / "output"
    arguments = [
        *("-c", str(contracts / "pytest.ini"), "--rootdir", str(contracts), "-p", "sandbox.probe.plugin", "-q", "-x"),
        *("--tb=line", "-rf", "--sandbox-examples", "5", "--sandbox-project", str(checkout)),
        "--sandbox-schemathesis=--phases=examples",
        *("--sandbox-system", system, "-k", caught_by.partition("[")[0], "--basetemp", str(tmp_path / "probe")),
        str(contracts / "provider" / f"test_{suite}.py"),
    ]
    code = run(name, arguments, output)
    said = output.read_text(encoding="utf-8")
    assert code == 1, said[-3000:]
    assert any(caught_by in line for line in said.splitlines() if line.startswith("FAILED")), said[-3000:]
