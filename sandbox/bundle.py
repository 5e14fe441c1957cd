"""A specification that lies in several files as one tree: the others stand in it under `x-files`.

Each reference into another file becomes a local one, `#/x-files/parts~1order.yaml/Order`, so that cycles over several
files are cycles in one, and whatever reads the tree needs to know nothing of files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import quote, unquote, urljoin, urlsplit

from sandbox.defect import Defect
from sandbox.errors import SpecError
from sandbox.pointer import escape
from sandbox.text import parse

FILES: Final = "x-files"
_MOST: Final = 5_000
_HERE: Final = ""


@dataclass(slots=True)
class Bundle:
    """A specification and all it refers to.

    Attributes:
        data: The tree.
        moved: Pointer of each part that came from elsewhere -> (file, pointer in it).
        sources: Each other file -> SHA-256 of its content, hexadecimal.
        reasons: Reference -> why it cannot be followed.
        defects: Keys that stand twice in other files.
    """

    data: dict[str, Any]
    moved: dict[str, tuple[str, str]] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    defects: list[Defect] = field(default_factory=list)


def bundle(path: Path, data: dict[str, Any], root: Path, remote: Callable[[str], bytes] | None) -> Bundle:
    """Bring everything that a specification refers to into its own tree.

    Args:
        path: The specification's file.
        data: What is in it; changed.
        root: References may not leave this folder.
        remote: Fetches what lies at a URL; None refuses references to other machines.
    """
    return _Bundler(path, data, root, remote).run()


class _Bundler:
    def __init__(self, path: Path, data: dict[str, Any], root: Path, remote: Callable[[str], bytes] | None) -> None:
        self._home = path.absolute().parent
        self._name = path.name
        self._root = root.absolute().resolve()
        self._remote = remote
        self._bundle = Bundle(data)
        self._files: dict[str, Any] = {}
        self._failed: dict[str, str] = {}

    def run(self) -> Bundle:
        pending = [(_HERE, self._bundle.data)]
        while pending:
            name, tree = pending.pop()
            before = set(self._files)
            for node in references(tree):
                node["$ref"] = self._local(node["$ref"], name)
            pending += [(new, self._files[new]) for new in self._files.keys() - before]
        if self._files:
            self._bundle.data[FILES] = self._files
        return self._bundle

    def _local(self, target: str, where: str) -> str:
        """A reference that stands in a file, as one into the tree; itself when it cannot be followed."""
        address, _, fragment = target.partition("#")
        if not address:
            return target if where == _HERE else self._into(where, fragment)
        try:
            name = self._file(address, where)
        except SpecError as error:
            self._bundle.reasons[target] = error.message
            return target
        return f"#{fragment}" if name == _HERE else self._into(name, fragment)

    @staticmethod
    def _into(name: str, fragment: str) -> str:
        return f"#/{FILES}/{quote(escape(name), safe='/~:@!$&()*+,;=._-')}{fragment.rstrip('/')}"

    def _file(self, address: str, where: str) -> str:
        """The name of the file at an address, once it has been read."""
        if urlsplit(where).scheme or urlsplit(address).scheme in ("http", "https"):
            name = urljoin(where, address)
            if self._remote is None:
                raise SpecError("it leads to another machine, which is refused without --allow-remote-refs")
        elif urlsplit(address).scheme and len(urlsplit(address).scheme) > 1:
            raise SpecError(f"references by {urlsplit(address).scheme}: are not followed")
        else:
            name = self._relative(unquote(address), where)
        if name == self._name:
            return _HERE
        if name in self._failed:
            raise SpecError(self._failed[name])
        if name not in self._files:
            if len(self._files) >= _MOST:
                raise SpecError(f"more than {_MOST} files are referred to")
            try:
                self._files[name] = self._read(name)
            except SpecError as error:
                self._failed[name] = error.message
                raise
        return name

    def _relative(self, address: str, where: str) -> str:
        """The path of a file from the specification's folder."""
        if PurePosixPath(address).is_absolute() or "\\" in address:
            raise SpecError("it is not relative")
        absolute = (self._home / PurePosixPath(where).parent / address).resolve()
        if not absolute.is_relative_to(self._root):
            raise SpecError(f"it leaves the folder {self._root}")
        try:
            return absolute.relative_to(self._home.resolve()).as_posix()
        except ValueError:
            ups = next(up for up, above in enumerate(self._home.resolve().parents, 1) if absolute.is_relative_to(above))
            above = self._home.resolve().parents[ups - 1]
            return "../" * ups + absolute.relative_to(above).as_posix()

    def _read(self, name: str) -> Any:
        if urlsplit(name).scheme:
            assert self._remote is not None  # noqa: S101 - refused before
            raw, shown = self._remote(name), name
        else:
            file = self._home / name
            try:
                raw, shown = file.read_bytes(), str(file)
            except OSError as error:
                raise SpecError(f"{name} cannot be read ({error.strerror})") from None
        tree, twice = parse(Path(shown), raw)
        self._bundle.sources[name] = hashlib.sha256(raw).hexdigest()
        pointer = f"/{FILES}/{escape(name)}"
        self._bundle.moved[pointer] = (shown, "")
        self._bundle.defects += [
            Defect(pointer, f"the key {one.key!r} stands twice (line {one.line + 1}); the later one counts")
            for one in twice
        ]
        return tree


def references(tree: Any) -> Iterator[dict[str, Any]]:
    """Each reference object of a file's tree.

    Those in examples, too: what a part of a specification is cannot be told by its place in its file, and whoever
    writes a reference into an example means it.
    """
    stack = [tree]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node
            stack.extend(value for value in node.values() if isinstance(value, dict | list))
        elif isinstance(node, list):
            stack.extend(value for value in node if isinstance(value, dict | list))
