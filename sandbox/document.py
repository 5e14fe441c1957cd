"""An OpenAPI file as data: all its files in one tree, of one shape, mended, with line numbers for messages.

Whatever version it is of (2.0, 3.0, 3.1), in YAML or JSON, `data` is what OpenAPI 3 calls a document, on which the rest
of the sandbox can rely; what was wrong with the one that was written is in `defects`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias

from sandbox.bundle import FILES, bundle
from sandbox.cache import Cache
from sandbox.defect import Defect, shown
from sandbox.errors import SpecError
from sandbox.mending import Mender
from sandbox.pointer import split
from sandbox.text import Lines, deep_line, lines, parse

Remote: TypeAlias = Callable[[str], bytes]
_READ: Final = ("3.0", "3.1", "3.2")
# Bytes from which on it is quicker to look a spec up than to read it.
_WORTH: Final = 100_000
_PARTS: Final = re.compile(rb"""[$]ref["']?\s*:\s*["']?[^\s"'#]""")
_MODULES: Final = (
    *("text.py", "bundle.py", "swagger.py", "dialect.py", "naming.py", "walk.py", "defect.py", "document.py"),
    *("schema_mending.py", "schema_cycles.py", "alternatives.py", "security_mending.py", "mending.py", "pointer.py"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A file that was read, with what is needed to say where in it something is wrong.

    Args:
        path: The file.
        data: Its content as OpenAPI 3, mended; do not change it.
        version: As it was written: `2.0`, `3.0.3`, `3.1.0`.
        defects: What was wrong with it.
        moved: Pointer of each part that stood elsewhere -> (file, pointer in it); an empty file is this one.
        sources: The other files it consists of, relative to its folder -> SHA-256.
        root: The folder that references may not leave.
    """

    path: Path
    data: dict[str, Any] = field(repr=False)
    version: str = "3.0.3"
    defects: tuple[Defect, ...] = field(default=(), repr=False)
    moved: Mapping[str, tuple[str, str]] = field(default_factory=dict, repr=False)
    sources: Mapping[str, str] = field(default_factory=dict, repr=False)
    root: Path | None = field(default=None, repr=False)
    _lines: dict[str, Lines | None] = field(default_factory=dict, repr=False)

    @classmethod
    def read(cls, path: Path, root: Path | None = None, remote: Remote | None = None) -> Document:
        """Read an OpenAPI file and all that it refers to.

        Args:
            path: YAML or JSON.
            root: The folder that its references may not leave; its own when left out, or the one that the program runs
                in when that lies above it.
            remote: Fetches what lies at a URL; left out, references to other machines are not followed.

        Raises:
            SpecError: The file is missing, unreadable, neither YAML nor JSON, or no OpenAPI; one line with the line.
        """
        raw = _content(path)
        root = _root(path) if root is None else root
        # A spec with parts elsewhere depends on where it lies; else on nothing but its content.
        place = f"{path.absolute()}\n{root.absolute()}\n{remote is not None}" if _PARTS.search(raw) else ""
        key = digest(b"\n".join((_readers().encode(), place.encode(), raw)))
        cache = Cache("specs")
        known = cache.get(key) if len(raw) >= _WORTH else None
        if known is not None and _unchanged(path, known["sources"], remote):
            return cls._restored(path, root, known)
        with _no_garbage():
            document = cls._fresh(path, raw, root, remote)
        if len(raw) >= _WORTH:
            cache.put(key, document._kept())
        return document

    @classmethod
    def _fresh(cls, path: Path, raw: bytes, root: Path, remote: Remote | None) -> Document:
        data, twice = parse(path, raw)
        version = _version(path, data)
        defects = [
            Defect("", f"the key {one.key!r} stands twice (line {one.line + 1}); the later one counts", "take one out")
            for one in twice
        ]
        try:
            whole = bundle(path, data, root, remote)
            defects += whole.defects
            if version.startswith("3.2"):
                defects.append(Defect("/openapi", f"OpenAPI {version} is read as 3.1", "write 3.1.1"))
            defects += Mender(whole.data, whole.reasons, whole.moved).run()
        except RecursionError:
            line = deep_line(raw.decode("utf-8-sig"))
            raise SpecError(f"{path}:{line}: nested too deeply", "flatten the document") from None
        return cls(path, whole.data, version, tuple(defects), whole.moved, whole.sources, root)

    @classmethod
    def _restored(cls, path: Path, root: Path, known: Mapping[str, Any]) -> Document:
        defects = tuple(map(Defect.from_json, known["defects"]))
        moved = {pointer: (file, inside) for pointer, (file, inside) in known["moved"].items()}
        return cls(path, known["data"], known["version"], defects, moved, known["sources"], root)

    def _kept(self) -> dict[str, Any]:
        return {
            "data": self.data,
            "version": self.version,
            "defects": [defect.to_json() for defect in self.defects],
            "moved": self.moved,
            "sources": self.sources,
        }

    def line(self, pointer: str) -> int | None:
        """The line (from 1) of the value at a pointer, or of its nearest parent; in whatever file it stands."""
        return self.found(pointer)[1]

    def place(self, pointer: str) -> str:
        """`file:line pointer`, the beginning of every message."""
        file, line, inside = self.found(pointer)
        where = f"{file}:{line}" if line else file
        return f"{where} {inside}" if inside else where

    def found(self, pointer: str) -> tuple[str, int | None, str]:
        """File, line and pointer of what was written there."""
        file, pointer = self.origin(pointer)
        if file not in self._lines:
            self._lines[file] = _lines_of(Path(file))
        node = self._lines[file]
        line = None if node is None else node[0]
        for token in split(pointer) if node is not None else ():
            assert node is not None  # noqa: S101 - or there is nothing to go through
            inside = node[1]
            if isinstance(inside, dict) and token in inside:
                node = inside[token]
            elif isinstance(inside, list) and token.isdecimal() and int(token) < len(inside):
                node = inside[int(token)]
            else:
                break
            line = node[0] if node is not None else line
        return file, None if line is None else line + 1, pointer

    def origin(self, pointer: str) -> tuple[str, str]:
        """The file in which something was written, and the pointer in it."""
        file, pointer = self._moved_from(pointer)
        if not file and pointer.startswith(f"/{FILES}/"):
            file, pointer = self._moved_from(pointer)
        return file or str(self.path), pointer

    def _moved_from(self, pointer: str) -> tuple[str, str]:
        head = pointer
        while head:
            if head in self.moved:
                file, instead = self.moved[head]
                return file, instead + pointer[len(head) :]
            head = head.rpartition("/")[0]
        return "", pointer

    def error(self, pointer: str, what: str, hint: str | None = None) -> SpecError:
        """The error that says in one line what is wrong at a pointer."""
        return SpecError(f"{self.place(pointer)}: {what}", hint)

    def told(self, defect: Defect) -> SpecError:
        """A defect as an error, with its place."""
        return self.error(defect.pointer, defect.what, defect.hint or None)

    @property
    def harmless(self) -> Iterator[Defect]:
        """The defects that take no operation down."""
        return (defect for defect in self.defects if not defect.down)

    @property
    def down(self) -> Mapping[str, Defect]:
        """The first defect of each operation that cannot be served, by the operation's pointer."""
        return {defect.down: defect for defect in reversed(self.defects) if defect.down}


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise SpecError(f"{path}: no such file", "check the path") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror})", "check the path and its permissions") from None


def _version(path: Path, data: Any) -> str:
    """Which OpenAPI it is.

    Raises:
        SpecError: None that can be read.
    """
    if not isinstance(data, dict):
        what = f"the root is {shown(data)}, no mapping"
        raise SpecError(f"{path}:1: not an OpenAPI document: {what}", "start it with 'openapi: 3.0.3'")
    version = data.get("openapi", data.get("swagger"))
    if version is None:
        raise SpecError(
            f"{path}:1: not an OpenAPI document: it has no 'openapi' field", "start it with 'openapi: 3.0.3'"
        )
    old = "openapi" not in data
    if not (str(version).startswith("2") if old else str(version).startswith(_READ)):
        where = _lines_of(path)
        line = where[1]["swagger" if old else "openapi"][0] + 1 if where and isinstance(where[1], dict) else 1
        raise SpecError(f"{path}:{line}: OpenAPI {version!s:.40} is not supported", "write 2.0, 3.0.x or 3.1.x")
    return str(version)


def _root(path: Path) -> Path:
    here, folder = Path.cwd(), path.absolute().parent
    return here if folder.resolve().is_relative_to(here.resolve()) else folder


def _lines_of(path: Path) -> Lines | None:
    try:
        return lines(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        return None


def digest(raw: bytes) -> str:
    """SHA-256, hexadecimal."""
    return hashlib.sha256(raw).hexdigest()


def _unchanged(path: Path, sources: Mapping[str, str], remote: Remote | None) -> bool:
    """Whether the other files of a spec are those that it was read with."""
    for name, known in sources.items():
        try:
            raw = remote(name) if remote and "://" in name else (path.absolute().parent / name).read_bytes()
        except (OSError, SpecError):
            return False
        if digest(raw) != known:
            return False
    return True


@functools.cache
def _readers() -> str:
    """What decides how a spec is read besides its content: the modules that read it."""
    here = Path(__file__).parent
    stats = [(name, (here / name).stat()) for name in _MODULES]
    return " ".join(f"{name}:{stat.st_size}:{stat.st_mtime_ns}" for name, stat in stats)


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    """While a large tree is built nothing of it is garbage, and looking for some takes a third of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
