"""What is under contract, as the suites and their reports know it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from sandbox.project import Project


@dataclass(frozen=True, slots=True)
class Target:
    """What is under contract.

    Attributes:
        real: By system, the URL of a real provider; the others are the project's mocks.
        writable: Whether real providers may be changed.
        examples: Schemathesis' examples for each operation.
        options: Further options for Schemathesis.
    """

    project: Project
    systems: tuple[str, ...]
    real: dict[str, str]
    writable: bool
    examples: int
    options: tuple[str, ...]

    @property
    def contracts(self) -> Path:
        """The project's folder of contracts."""
        return self.project.root / "contracts"


TARGET: Final = pytest.StashKey[Target]()
