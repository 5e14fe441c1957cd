"""Where a project's files are, and its specs; what needs no mock needs no more than this."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from sandbox.corrections import read_corrections
from sandbox.errors import ProjectError
from sandbox.spec import Spec

Fetch: TypeAlias = Callable[[str], bytes]

MARKER: Final = "sandbox.yaml"
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})
# What can stand in a URL and, in capitals, in the name of an environment variable; `/w/` is where the worlds are.
_NAME: Final = re.compile(r"(?!w$)[A-Za-z][A-Za-z0-9_-]*")
_NAMES: Final = "a name has letters, digits, - and _, begins with a letter, and is not 'w'"
_MARK: Final = re.compile(rb"""(?:^|[{,\s])["']?(?:openapi|swagger)["']?\s*:""")


def project_root(path: Path | None = None) -> Path:
    """The project's folder: `path`, else the nearest upwards with a `sandbox.yaml`, else the reference project's."""
    return path if path is not None else _nearest(Path.cwd()) or reference_root()


def reference_root() -> Path:
    """Where the reference project is: inside an installed package, or the checkout of an editable one."""
    package = Path(__file__).parent
    shipped = package / "_project"
    return shipped if shipped.is_dir() else package.parent


def systems_root(root: Path) -> Path:
    """The folder whose systems a project has: its own; a project with a `sandbox.yaml` and no folder `specs` stands on
    the systems of the reference project."""
    own = (root / "specs").is_dir() or not (root / MARKER).is_file()
    return root if own else reference_root()


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the specs of a project come from: its folder, and files given by hand.

    Args:
        root: The project's folder, where its mocks and contracts lie.
        given: (system's name, file) of each spec given by hand; they come before those of the folder.
        folder: Whether the specs in `root/specs` belong to it.
        remote: Fetches the text at a URL, for references to other machines; None refuses them.
    """

    root: Path
    given: tuple[tuple[str, Path], ...] = ()
    folder: bool = True
    remote: Fetch | None = None

    @classmethod
    def find(cls, project: Path | None = None, texts: Sequence[str] = (), remote: Fetch | None = None) -> Sources:
        """The specs that were given; else those of the project at `project`, or of the nearest, or the reference's.

        Args:
            project: A project's folder; named beside given specs, its own are served, too.
            texts: `FILE`, `NAME=FILE` or `DIR`; a name left out is the file's, made one that a system can have.

        Raises:
            ProjectError: when a file is missing, a folder holds no spec, or two systems have one name.
        """
        if not texts:
            return cls(project_root(project), remote=remote)
        given: dict[str, Path] = {}
        for name, path in (pair for text in texts for pair in _given(text)):
            if name in given:
                raise ProjectError(
                    f"{path}: there is a system {name} already, from {given[name]}",
                    f"name it otherwise: --spec OTHER={path}",
                )
            given[name] = path
        root = project if project is not None else _home(next(iter(given.values())))
        return cls(root, tuple(given.items()), project is not None, remote)

    def files(self) -> dict[str, Path]:
        """The OpenAPI files by the names of their systems.

        Raises:
            ProjectError: when there are none, one has a name that no system can have, or two have the same.
        """
        found = dict(self.given)
        for file in spec_files(self.root) if self.folder else ():
            name = file.name.partition(".")[0]
            if name in found and name not in dict(self.given):
                raise ProjectError(f"{file}: there is a system {name} already", "give the file another name")
            found.setdefault(name, file)
        return found

    def load(self) -> dict[str, Spec]:
        """The specs by the names of their systems.

        Raises:
            ProjectError: when the files do not fit together.
            SpecError: when one cannot be read.
        """
        return {name: self.spec(name, file) for name, file in self.files().items()}

    def spec(self, name: str, file: Path) -> Spec:
        """One of the specs.

        Raises:
            SpecError: when it cannot be read.
        """
        corrections = self.root / "mocks" / f"{name}.yaml"
        if not corrections.is_file():
            return Spec.load(file, name, self._root(file), self.remote)
        said = read_corrections(corrections)
        spec = Spec.load(file, name, self._root(file), self.remote, said.apply)
        read = {one.meaning.collection for one in spec.operations.values() if not one.meaning.corrected}
        said.check([one.name for one in spec.collections.values() if one.fields or one.name in read])
        return spec

    def _root(self, file: Path) -> Path | None:
        """The folder that a file's references may not leave."""
        inside = file.absolute().resolve().is_relative_to(self.root.absolute().resolve())
        return self.root if inside and (self.folder or file.parent.name == "specs") else None


def spec_files(root: Path) -> list[Path]:
    """The OpenAPI files of a project.

    Raises:
        ProjectError: when there are none, or one has a name that no system can have.
    """
    folder = systems_root(root) / "specs"
    files = sorted(file for file in folder.glob("*") if file.suffix in _SUFFIXES) if folder.is_dir() else []
    parts = _parts(files)
    files = [file for file in files if file not in parts]
    if not files:
        raise ProjectError(f"{folder}: there are no OpenAPI files", "put one there: specs/NAME.yaml")
    for file in files:
        if not _NAME.fullmatch(file.stem):
            raise ProjectError(
                f"{file}: {file.stem!r} cannot be the name of a system",
                "name the file with letters, digits, - and _, beginning with a letter, and not 'w'",
            )
    return files


def load_specs(sources: Sources | Path) -> dict[str, Spec]:
    """The specs of a project, by the names of their systems.

    Raises:
        ProjectError: when there are none, or two have one name.
        SpecError: when one cannot be read.
    """
    return (Sources(sources) if isinstance(sources, Path) else sources).load()


def system_name(stem: str) -> str:
    """A file's name without its suffix as a name that a system can have: `Big Shop v1.2` is `Big-Shop-v1-2`."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-_") or "api"
    return name if _NAME.fullmatch(name) else f"api-{name}"


def _given(text: str) -> Iterator[tuple[str, Path]]:
    """(name, file) of each spec that an option names."""
    name, path = "", Path(text)
    if not path.exists() and "=" in text:
        name, _, rest = text.partition("=")
        path = Path(rest)
        if not _NAME.fullmatch(name):
            raise ProjectError(f"--spec {text}: {name!r} cannot be the name of a system", _NAMES)
    if path.is_dir():
        if name:
            raise ProjectError(f"--spec {text}: a folder's systems have the names of its files", "leave the name out")
        files = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES and _is_spec(file))
        if not files:
            raise ProjectError(f"{path}: there are no OpenAPI files", "name a folder with .yaml, .yml or .json files")
        yield from ((system_name(file.stem), file) for file in files)
    elif path.is_file():
        yield name or system_name(path.stem), path
    else:
        raise ProjectError(f"{path}: no such file", "check the path: --spec FILE, --spec NAME=FILE or --spec DIR")


def _parts(files: list[Path]) -> set[Path]:
    """Those of some files that are no specs, and that one that is one names: it refers to them."""
    others = [file for file in files if not _is_spec(file)]
    texts = [file.read_bytes() for file in files if file not in others] if others else []
    return {file for file in others if any(file.name.encode() in text for text in texts)}


def _is_spec(file: Path) -> bool:
    """Whether a file says that it is one: beside specs there lie parts of them, and much else."""
    try:
        return _MARK.search(file.read_bytes()) is not None
    except OSError:
        return True


def _home(file: Path) -> Path:
    """The folder of the project that a single spec may belong to."""
    folder = file.absolute().parent
    return folder.parent if folder.name == "specs" else folder


def _nearest(folder: Path) -> Path | None:
    return next((above for above in (folder, *folder.parents) if (above / MARKER).is_file()), None)
