"""The worked example of the README: two systems of one's own, an integrator in shell and curl, an invariant, a bug."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

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


def test_a_program_that_calls_nothing_was_not_tested(outside: dict[str, str], tmp_path: Path) -> None:
    project = shutil.copytree(EXAMPLE, tmp_path / "example")
    (project / "contracts" / "invariants.py").unlink()
    program = """
        def app(environ, start_response):
            start_response("204 No Content", [])
            return [b""]
    """
    (project / "idle.py").write_text(textwrap.dedent(program), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "sandbox.cli",
        "chaos",
        "explore",
        "--subject",
        "idle:app",
    ]
    done = subprocess.run(command, cwd=project, env=outside, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "one-order: the program called no system" in done.stdout
