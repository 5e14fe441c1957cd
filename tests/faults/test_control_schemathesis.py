"""The control API keeps its own specification: every check of Schemathesis, in all its phases, finds nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from sandbox.server import Server

EXAMPLES = 15


def test_nothing_found(server: Server, checkout: Path, tmp_path: Path) -> None:
    config = checkout / "tests" / "schemathesis" / "control.toml"
    command = [Path(sys.executable).with_name("schemathesis"), "--config-file", config, "run"]
    command += [f"{server.url}/_sandbox/openapi.json", "--no-color", "--max-examples", str(EXAMPLES)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    tested = re.search(r"Tested: ([0-9]+)", done.stdout)
    assert tested is not None
    assert int(tested[1]) == 20, "each operation is tested"
    passed = re.search(r"([0-9]+) generated, ([0-9]+) passed", done.stdout)
    assert passed is not None
    assert passed[1] == passed[2]
    assert int(passed[1]) > 500
