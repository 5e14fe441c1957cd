"""Reproducers as tests: each plan file of a folder `reproducers` is replayed and must pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from shlex import quote
from typing import Any, Final

import pytest
import yaml

from sandbox.errors import SandboxError
from sandbox.strict_yaml import StrictLoader
from sandbox.testing.exploration import Case, Chosen, lab_of
from sandbox.testing.settings import one_line, report_folder, root_of, told
from sandbox.testing.subjects import PYTEST, replay_of, subject_of

_FOLDER: Final = Path("contracts", "reproducers")
_FIELDS: Final = frozenset({"faults", "weather"})


def add_folder(config: pytest.Config) -> None:
    """Let the session collect the project's reproducers, too, when they lie below its rootdir."""
    folder = root_of(config) / _FOLDER
    if folder.is_dir() and folder.resolve().is_relative_to(config.rootpath.resolve()):
        here = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
        if not any(folder.resolve().is_relative_to(path) for path in here):
            config.args.append(str(folder))


def collect(path: Path, parent: pytest.Collector, named: bool) -> pytest.Collector | None:
    """The collector of a plan file; None for another file, unless the command line names it."""
    return ReproducerFile.from_parent(parent, path=path) if named or _is_plan(path) else None


def _is_plan(path: Path) -> bool:
    """Whether a file is meant to be a plan; one that cannot be read may be, and shall not be passed over."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8-sig"), Loader=StrictLoader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, UnicodeDecodeError):
        return True
    return isinstance(document, dict) and not _FIELDS.isdisjoint(document)


class ReproducerFile(pytest.File):
    """One plan file."""

    def collect(self) -> Iterator[Reproduced]:
        with one_line():
            subject = subject_of(self.config)
            lab = lab_of(self.config, subject)
            plan = lab.library.load(self.path)
            chosen = Chosen(lab, plan, lab.library.scenario_of(plan), replay_of(self.config, subject), file=self.path)
        yield Reproduced.from_parent(self, name="replay", chosen=chosen)


class Reproduced(pytest.Item):
    """The replay of a plan."""

    def __init__(self, *, chosen: Chosen, **more: Any) -> None:
        super().__init__(**more)
        self._chosen = chosen

    def runtest(self) -> None:
        again = f"{PYTEST} {quote(self.nodeid)}"
        Case(self._chosen, again, report_folder(self.config), self.config.rootpath).check()

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, AssertionError):
            return str(excinfo.value)
        if isinstance(excinfo.value, SandboxError):
            return told(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"replay of {self.path.name}"
