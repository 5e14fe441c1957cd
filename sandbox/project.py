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
from sandbox.layout import Sources, project_root, systems_root
from sandbox.rules import RULES, Rule, rules_of
from sandbox.spec import Spec
from sandbox.system import System


@dataclass(frozen=True, slots=True)
class Project:
    """Systems by name, each with its spec and its mock's class (`System` itself where it has none)."""

    sources: Sources
    specs: dict[str, Spec]
    mocks: dict[str, type[System]]

    @property
    def root(self) -> Path:
        """Its folder."""
        return self.sources.root

    @classmethod
    def find(cls, path: Path | None = None) -> Project:
        """The project at `path`, else the nearest one upwards with a `sandbox.yaml`, else the reference project.

        Raises:
            ProjectError: when there are no specs, or a mock does not fit.
            SpecError: when a spec cannot be served.
        """
        return cls.load(project_root(path))

    @classmethod
    def load(cls, sources: Path | Sources) -> Project:
        """The project in a folder, or of specs from several places.

        Raises:
            ProjectError: when there are no specs, or a mock does not fit.
            SpecError: when a spec cannot be read.
        """
        if isinstance(sources, Path):
            sources = Sources(sources)
        specs = sources.load()
        given, root = dict(sources.given), sources.root
        homes = {name: root if name in given else systems_root(root) for name in specs}
        return cls(sources, specs, {name: _mock_of(home, name) for name, home in homes.items()})


def forget_mocks(root: Path) -> None:
    """Let the mocks of a project be imported anew, because their files may have changed."""
    importlib.invalidate_caches()
    for home in dict.fromkeys((systems_root(root), root)):
        prefix = f"{_mount(home)}.mocks"
        for name in [name for name in sys.modules if name == prefix or name.startswith(f"{prefix}.")]:
            del sys.modules[name]


def load_invariants(root: Path) -> tuple[Rule, ...]:
    """The invariants of the project in a folder, from `contracts/invariants.py`; none when it has no such file.

    Raises:
        ProjectError: when the file cannot be imported, or two rules have one id.
    """
    found: list[Rule] = []
    taken = {rule.id for rule in RULES}
    # What must be true of the reference project's systems must be so, too, in a project that stands on them.
    for home in dict.fromkeys((systems_root(root), root)):
        file = home / "contracts" / "invariants.py"
        if not file.is_file():
            continue
        for rule in rules_of(_import(home, "contracts.invariants", "mend the invariants")):
            if rule.id in taken:
                raise ProjectError(f"{file}: there is a rule {rule.id} already", "give this one another id")
            taken.add(rule.id)
            found.append(rule)
    return tuple(found)


def _import(root: Path, name: str, hint: str) -> ModuleType:
    """A module of the project."""
    try:
        return importlib.import_module(f"{_mount(root)}.{name}")
    except Exception as error:
        # Whatever a user's module raises while it is imported, the user wants its place, not our stack.
        what = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())
        raise ProjectError(f"{_place(root, error)}: {type(error).__name__}: {what}", hint) from error


def _mock_of(root: Path, name: str) -> type[System]:
    file = root / "mocks" / f"{name}.py"
    if not file.is_file():
        return System
    module = _import(root, f"mocks.{name}", "mend the mock")
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, System) and value.__module__ == module.__name__
    ]
    if len(found) != 1:
        raise ProjectError(f"{file}: holds {len(found)} subclasses of System, not one", "leave exactly one")
    return found[0]


def _place(root: Path, error: Exception) -> str:
    """`file:line` of a mistake: the last line of the project that was at work."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(root.resolve())]
    frame = (own or frames)[-1]
    return f"{frame.filename}:{frame.lineno}"


def _mount(root: Path) -> str:
    name = f"sandbox_project_{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(root.resolve())]
        sys.modules[name] = package
    return name
