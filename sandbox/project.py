"""A project: a folder with `specs/`, `mocks/` and `contracts/`, loaded by path.

Mocks are imported below a synthetic parent package whose `__path__` is the project's root, so that they can have
dataclasses and relative imports while `sys.path` and the user's own `mocks` stay untouched.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from sandbox.errors import ProjectError
from sandbox.layout import load_specs, project_root
from sandbox.spec import Spec
from sandbox.system import System


@dataclass(frozen=True, slots=True)
class Project:
    """Systems by name, each with its spec and its mock's class (`System` itself where it has none)."""

    root: Path
    specs: dict[str, Spec]
    mocks: dict[str, type[System]]

    @classmethod
    def find(cls, path: Path | None = None) -> Project:
        """The project at `path`, else the nearest one upwards with a `sandbox.yaml`, else the reference project.

        Raises:
            ProjectError: when there are no specs, or a mock does not fit.
            SpecError: when a spec cannot be served.
        """
        return cls.load(project_root(path))

    @classmethod
    def load(cls, root: Path) -> Project:
        """The project in a folder."""
        specs = load_specs(root)
        return cls(root, specs, {name: _mock_of(root, name) for name in specs})


def _mock_of(root: Path, name: str) -> type[System]:
    file = root / "mocks" / f"{name}.py"
    if not file.is_file():
        return System
    try:
        module = importlib.import_module(f"{_mount(root)}.mocks.{name}")
    except Exception as error:
        # Whatever a user's module raises while it is imported, the user wants its place, not our stack.
        where = traceback.extract_tb(error.__traceback__)[-1]
        line = error.lineno if isinstance(error, SyntaxError) else where.lineno
        at = file if isinstance(error, SyntaxError) else where.filename
        raise ProjectError(f"{at}:{line}: {type(error).__name__}: {error}", "mend the mock") from error
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, System) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ProjectError(f"{file}: holds {len(found)} subclasses of System, not one", "leave exactly one")
    return found[0]


def _mount(root: Path) -> str:
    name = f"sandbox_project_{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(root.resolve())]
        sys.modules[name] = package
    return name
