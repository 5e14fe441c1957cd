"""What the tests of chaos share: one project, compiled once, and the reference integrator that says nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox.chaos.scenario import Scenario, parse_scenario
from sandbox.chaos.session import Session, silent_reference
from sandbox.project import Project
from tests.chaos.tiny import make_project


@pytest.fixture(scope="session")
def project(checkout: Path) -> Project:
    return Project.load(checkout)


@pytest.fixture(scope="session")
def session(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(project, silent_reference, tmp_path_factory.mktemp("reproducers"))


@pytest.fixture(scope="session")
def tiny_project(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.load(make_project(checkout, tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="session")
def one_order() -> Scenario:
    steps = [{"place": {"order_number": "2025-1", "customer": "Example Ltd"}}]
    return parse_scenario("one", {"description": "One order.", "steps": steps}, "scenario")
