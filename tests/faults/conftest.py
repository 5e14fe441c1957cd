"""What the tests of faults share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project
from tests.faults.desk import SEED, Desk


@pytest.fixture(scope="module")
def sandboxes(checkout: Path) -> Iterator[tuple[InProcess, InProcess]]:
    project = Project.load(checkout)
    pair = InProcess(project, SEED), InProcess(project, SEED)
    yield pair
    for sandbox in pair:
        sandbox.close()


@pytest.fixture
def desk(sandboxes: tuple[InProcess, InProcess]) -> Desk:
    return Desk(sandboxes[0])


@pytest.fixture
def twin(sandboxes: tuple[InProcess, InProcess]) -> Desk:
    """The same sandbox, where nothing goes wrong."""
    return Desk(sandboxes[1])
