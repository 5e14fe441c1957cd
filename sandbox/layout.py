"""Where a project's files are, and its specs; what needs no mock needs no more than this."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sandbox.errors import ProjectError
from sandbox.spec import Spec

MARKER: Final = "sandbox.yaml"
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
# What can stand in a URL and, in capitals, in the name of an environment variable; `/w/` is where the worlds are.
_NAME: Final = re.compile(r"(?!w$)[A-Za-z][A-Za-z0-9_-]*")


def project_root(path: Path | None = None) -> Path:
    """The project's folder: `path`, else the nearest upwards with a `sandbox.yaml`, else the reference project's."""
    return path if path is not None else _nearest(Path.cwd()) or reference_root()


def reference_root() -> Path:
    """Where the reference project is: inside an installed package, or the checkout of an editable one."""
    package = Path(__file__).parent
    shipped = package / "_project"
    return shipped if shipped.is_dir() else package.parent


def spec_files(root: Path) -> list[Path]:
    """The OpenAPI files of a project.

    Raises:
        ProjectError: when there are none, or one has a name that no system can have.
    """
    folder = root / "specs"
    files = sorted(file for file in folder.glob("*") if file.suffix in _SUFFIXES) if folder.is_dir() else []
    if not files:
        raise ProjectError(f"{folder}: there are no OpenAPI files", "put one there: specs/NAME.yaml")
    for file in files:
        if not _NAME.fullmatch(file.stem):
            raise ProjectError(
                f"{file}: {file.stem!r} cannot be the name of a system",
                "name the file with letters, digits, - and _, beginning with a letter, and not 'w'",
            )
    return files


def load_specs(root: Path) -> dict[str, Spec]:
    """The specs of a project, by the names of their systems.

    Raises:
        ProjectError: when there are none, or two have one name.
        SpecError: when one cannot be served.
    """
    specs: dict[str, Spec] = {}
    for file in spec_files(root):
        spec = Spec.load(file)
        if spec.name in specs:
            raise ProjectError(f"{file}: there is a system {spec.name} already", "give the file another name")
        specs[spec.name] = spec
    return specs


def _nearest(folder: Path) -> Path | None:
    return next((above for above in (folder, *folder.parents) if (above / MARKER).is_file()), None)
