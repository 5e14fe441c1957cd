"""The long checks can be cut in parts and stopped in time, and say what they left out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def suite(checkout: Path, tmp_path: Path) -> Path:
    """Seven tests beside this project's conftest.py."""
    (tmp_path / "conftest.py").symlink_to(checkout / "tests" / "conftest.py")
    tests = "\n".join(f"def test_{number}(): pass" for number in range(7))
    (tmp_path / "test_seven.py").write_text(tests, encoding="utf-8")
    return tmp_path


def run(suite: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--rootdir", str(suite), *options]
    settings = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": ""}
    return subprocess.run(command, cwd=suite, env=settings, capture_output=True, text=True, check=False)


def passed(shown: str) -> list[str]:
    return [line.split("::")[1].split()[0] for line in shown.splitlines() if "PASSED" in line]


@pytest.mark.parametrize("total", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_shards_cover_everything_once(suite: Path, total: int) -> None:
    shards = [run(suite, "--shard", f"{number}/{total}") for number in range(1, total + 1)]
    names = [name for shard in shards for name in passed(shard.stdout)]
    assert sorted(names) == [f"test_{number}" for number in range(7)]


@pytest.mark.parametrize("shard", ["0/2", "3/2", "a/b"])
def test_a_shard_that_does_not_exist(suite: Path, shard: str) -> None:
    done = run(suite, "--shard", shard)
    assert done.returncode == 4
    assert f"--shard {shard}: expected k/n" in done.stdout + done.stderr


def test_a_used_up_budget_is_told(suite: Path) -> None:
    done = run(suite, "--budget", "0", "-rs")
    assert done.returncode == 0
    assert passed(done.stdout) == []
    assert "not covered: the budget of 0 s was used up" in done.stdout
