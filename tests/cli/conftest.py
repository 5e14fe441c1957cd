"""The command line from the outside: real processes, real ports."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.cli import main

COMMAND = (sys.executable, "-m", "sandbox.cli")
TIME_LIMIT = 30

Done = subprocess.CompletedProcess[str]
Sandbox = Callable[..., Done]


@dataclass(frozen=True)
class Up:
    """A sandbox that serves, with what it said about itself."""

    process: subprocess.Popen[str]
    said: dict[str, Any]

    @property
    def url(self) -> str:
        return str(self.said["url"])

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """End it by a signal; exit code, rest of standard output, standard error."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=TIME_LIMIT)
        return self.process.returncode, out, err


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[Up]:
    """`sandbox up` on a free port."""
    process = subprocess.Popen(
        [*COMMAND, "up", "--port", "0", "--json", *options],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        if not first:
            pytest.fail(f"sandbox up ended: {process.communicate(timeout=TIME_LIMIT)[1]}")
        yield Up(process, json.loads(first))
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=TIME_LIMIT)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """One sandbox for the tests of a module; those that change it use a world of their own."""
    with serving(tmp_path_factory.mktemp("up")) as running:
        yield running


@pytest.fixture
def sandbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """Run `sandbox …` to its end in an empty folder, without the second that a process of its own takes to start."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> Done:
        with monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("SANDBOX_")]:
                patch.delenv(name)
            for name, value in environment.items():
                patch.setenv(name, value)
            patch.chdir(tmp_path)
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            out, err = io.StringIO(), io.StringIO()
            with redirect_stdout(out), redirect_stderr(err):
                code = main(list(arguments))
        return Done(arguments, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def sandbox_process(tmp_path: Path) -> Sandbox:
    """Run `sandbox …` to its end in an empty folder, as a process of its own."""

    def run(*arguments: str, stdin: str = "", **environment: str) -> Done:
        settings = {name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_")} | environment
        return subprocess.run(
            [*COMMAND, *arguments], cwd=tmp_path, env=settings, input=stdin, capture_output=True, text=True,
            check=False, timeout=TIME_LIMIT,
        )  # fmt: skip

    return run
