"""YAML files that people write for the sandbox: read strictly, with the line of whatever is wrong in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.errors import PlanError
from sandbox.pointer import join
from sandbox.strict_yaml import StrictLoader

LARGEST: Final = 1_048_576
DEEPEST: Final = 64


@dataclass(frozen=True, slots=True)
class Written:
    """What a file says.

    Attributes:
        where: The file's name, for messages.
        lines: By JSON pointer, the line (from 1) at which it stands.
    """

    where: str
    data: Any
    lines: Mapping[str, int] = field(repr=False)

    @contextmanager
    def told(self) -> Iterator[None]:
        """What is wrong in there is told with file and line.

        Raises:
            PlanError: in place of one that has a pointer only.
        """
        try:
            yield
        except PlanError as error:
            place = f"{self.where}:{self.line(error.pointer)}"
            raise PlanError(f"{place}: {error.message}", error.hint, error.pointer) from None

    def line(self, pointer: str) -> int:
        """The line of what a pointer leads to, or of its nearest parent."""
        while pointer not in self.lines and pointer:
            pointer = pointer.rpartition("/")[0]
        return self.lines.get(pointer, 1)


def read_text(path: Path, what: str) -> str:
    """The text of a file.

    Args:
        what: What it is, such as `plan`.

    Raises:
        PlanError: when it cannot be read, or is too large.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST:
            raise PlanError(f"{path}: {size} bytes are too many for a {what}", f"it may have {LARGEST}")
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise PlanError(f"{path}: no such file", "check the path") from None
    except UnicodeDecodeError as error:
        raise PlanError(f"{path}: not UTF-8 (byte {error.start})", "save the file as UTF-8") from None
    except OSError as error:
        raise PlanError(f"{path}: cannot be read ({error.strerror})", "check the path and its permissions") from None


def parse(text: str, where: str, what: str, adjust: Callable[[str, yaml.Node], None] | None = None) -> Written:
    """What a YAML text says.

    Args:
        where: The file's name, for messages.
        what: What it is, such as `a plan`.
        adjust: May change a node, of which it is told the pointer, before its value is made.

    Raises:
        PlanError: with file and line, when it is no YAML, or uses what no such file needs.
    """
    try:
        scan(text, what)
        return _construct(text, where, adjust)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = f"{where}:{mark.line + 1}" if mark else where
        raise PlanError(f"{at}: not YAML: {error.problem or error.context}", "mend the syntax") from None
    except yaml.YAMLError as error:
        raise PlanError(f"{where}: not YAML: {' '.join(str(error).split())}", "mend the syntax") from None


def scan(text: str, what: str) -> None:
    """Refuse what no file of ours needs: a text nested so deeply that the C parser would not survive it, and one that
    refers to parts of itself, and so may have no end.

    Raises:
        yaml.MarkedYAMLError: with its place.
    """
    depth = 0
    for event in yaml.parse(text, Loader=StrictLoader):
        mark: Any = event.start_mark
        if isinstance(event, yaml.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, f"{what} has no anchors and aliases", mark)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise yaml.constructor.ConstructorError(None, None, "it is nested too deeply", mark)


def _construct(text: str, where: str, adjust: Callable[[str, yaml.Node], None] | None) -> Written:
    loader = StrictLoader(text)
    lines: dict[str, int] = {}
    try:
        root = loader.get_single_node()
        if root is None:
            return Written(where, None, lines)
        for pointer, line, node in _nodes(root, "", root.start_mark.line):
            lines[pointer] = line + 1
            if adjust is not None:
                adjust(pointer, node)
        return Written(where, loader.construct_document(root), lines)
    finally:
        loader.dispose()


def _nodes(node: yaml.Node, pointer: str, line: int) -> Iterator[tuple[str, int, yaml.Node]]:
    """Each node with its pointer, and the line of its key where it has one."""
    yield pointer, line, node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _nodes(value, pointer + join(getattr(key, "value", "")), key.start_mark.line)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _nodes(value, f"{pointer}/{index}", value.start_mark.line)
