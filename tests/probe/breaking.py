"""Runs suites on broken mocks, each in a process of its own: a fork of this one, which has imported everything.

Reads one JSON document per line, `{"mutant": …, "arguments": […], "output": FILE}`, and writes pytest's exit code.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import traceback
from pathlib import Path

import pytest
import schemathesis.pytest.plugin
from hypothesis import Phase

from sandbox.probe import plugin, receiver
from sandbox.project import Project
from tests.probe.mutants import MUTANTS

__all__ = ["schemathesis"]


def run(mutant: str, arguments: list[str], output: Path) -> int:
    """The exit code of pytest in a forked process whose mocks are broken."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 70
    try:
        with output.open("wb") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        # Whether it is found matters here, not how small it can be made nor how patiently it is looked for.
        plugin.PHASES = (Phase.generate,)
        receiver.PATIENCE = 3.0
        MUTANTS[mutant][3]()
        code = int(pytest.main(arguments))
        sys.stdout.flush()
    except BaseException:  # noqa: BLE001 - a fork must end here, whatever happens
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    # Read once; its mocks are broken in the forks.
    project = Project.find(Path(__file__).resolve().parents[2])
    plugin.Project.find = lambda _=None: project  # type: ignore[method-assign]
    gc.freeze()
    for line in sys.stdin:
        wanted = json.loads(line)
        sys.stdout.write(f"{run(wanted['mutant'], wanted['arguments'], Path(wanted['output']))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
