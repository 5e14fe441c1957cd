"""What a pytest session says of the sandbox: options of the command line, else of the ini file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from sandbox.errors import SandboxError
from sandbox.layout import MARKER, project_root
from sandbox.plan import seconds
from sandbox.project import Project
from sandbox.settings import ProjectSettings, read_settings

_LARGEST_SEED: Final = 4_294_967_295
_PROJECT: Final = pytest.StashKey[Project]()
_SETTINGS: Final = pytest.StashKey[ProjectSettings]()


@contextmanager
def one_line() -> Iterator[None]:
    """What a user can mend is told in one line, without our stack."""
    try:
        yield
    except SandboxError as error:
        pytest.fail(told(error), pytrace=False)


def told(error: SandboxError) -> str:
    """An error with its hint."""
    return f"{error.message}; {error.hint}" if error.hint else error.message


def setting(config: pytest.Config, name: str) -> Any:
    """An option of the command line, else of the ini file."""
    given = config.getoption(name, None)
    return config.getini(name) if given is None else given


def root_of(config: pytest.Config) -> Path:
    """The project's folder: as the settings say, else the nearest upwards from the rootdir, else the reference's."""
    given = config.getoption("sandbox_project", None)
    if given is not None:
        return Path(config.invocation_params.dir, given)
    written = config.getini("sandbox_project")
    if written:
        return Path(config.rootpath if config.inipath is None else config.inipath.parent, written)
    above = (config.rootpath, *config.rootpath.parents)
    return project_root(next((folder for folder in above if (folder / MARKER).is_file()), None))


def settings_of(config: pytest.Config) -> ProjectSettings:
    """What the session's `sandbox.yaml` says, read once.

    Raises:
        SandboxError: when something in it is wrong.
    """
    if _SETTINGS not in config.stash:
        config.stash[_SETTINGS] = read_settings(root_of(config))
    return config.stash[_SETTINGS]


def project_of(config: pytest.Config) -> Project:
    """The session's project, loaded once.

    Raises:
        SandboxError: when it cannot be served.
    """
    if _PROJECT not in config.stash:
        config.stash[_PROJECT] = Project.load(root_of(config))
    return config.stash[_PROJECT]


def seed_of(config: pytest.Config) -> int:
    """The session's seed.

    Raises:
        SandboxError: when it is none.
    """
    given = str(setting(config, "sandbox_seed"))
    if not given.isdecimal() or int(given) > _LARGEST_SEED:
        raise SandboxError(f"sandbox_seed: {given!r} is no seed", f"write a number from 0 to {_LARGEST_SEED}")
    return int(given)


def reconcile_every(config: pytest.Config) -> float | None:
    """Seconds between two reconciling polls of the program under test; None when nobody says.

    Raises:
        SandboxError: when it is no span.
    """
    given = config.getini("sandbox_reconcile_every")
    return seconds(given, "sandbox_reconcile_every") if given else settings_of(config).reconcile_every


def report_folder(config: pytest.Config) -> Path:
    """Where the reports of failing plans go."""
    return Path(config.rootpath, setting(config, "sandbox_report"))
