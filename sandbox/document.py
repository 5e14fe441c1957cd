"""An OpenAPI file as data: strict YAML or JSON, JSON pointers (RFC 6901), local references, line numbers for messages.

YAML is read by the JSON schema of YAML 1.2, which OpenAPI 3.0 recommends, and not by PyYAML's 1.1 rules: a date stays a
string, `no` and `on` are words, `12:30:45` is no number. Keys are strings as written (`200:` is `"200"`); a key that
stands twice is an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import unquote

import yaml

from sandbox.errors import SpecError

MAX_REFERENCE_HOPS: Final = 64
DEEPEST: Final = 200
_BRACKET: Final = re.compile(r"[\[\]{}]")
_COMPACT: Final = re.compile(rf"(?:[-?][ \t]+){{{DEEPEST}}}")
_BASE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LITERAL_KEYWORDS: Final = frozenset({"example", "default", "enum", "const"})
_NAMED_MAPS: Final = frozenset(
    {"properties", "patternProperties", "schemas", "responses", "parameters", "requestBodies", "headers", "callbacks"}
)


def escape(token: object) -> str:
    """One reference token of a JSON pointer, escaped as RFC 6901 says."""
    return str(token).replace("~", "~0").replace("/", "~1")


def join(*tokens: object) -> str:
    """A JSON pointer of raw tokens: `join("paths", "/orders")` is `/paths/~1orders`."""
    return "".join("/" + escape(token) for token in tokens)


def split(pointer: str) -> list[str]:
    """The raw tokens of a JSON pointer; `[]` for the whole document.

    Raises:
        ValueError: The pointer is neither empty nor begins with `/`.
    """
    if not pointer:
        return []
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is no JSON pointer: it must begin with '/'")
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer[1:].split("/")]


def lookup(value: Any, pointer: str) -> Any:
    """The value at a JSON pointer.

    Raises:
        KeyError: Nothing is there.
    """
    for token in split(pointer):
        if isinstance(value, Mapping) and token in value:
            value = value[token]
        elif isinstance(value, list) and token.isdecimal() and int(token) < len(value):
            value = value[int(token)]
        else:
            raise KeyError(pointer)
    return value


def reference(node: Any) -> str | None:
    """The target of a reference object, such as `#/components/schemas/Order`; None for anything else."""
    target = node.get("$ref") if isinstance(node, Mapping) else None
    return target if isinstance(target, str) else None


def resolve(document: Mapping[str, Any], node: Any) -> Any:
    """What a node stands for: itself, or the end of its chain of local references.

    Raises:
        KeyError: A reference is not local, leads nowhere, or only to itself.
    """
    for _ in range(MAX_REFERENCE_HOPS):
        target = reference(node)
        if target is None:
            return node
        if not target.startswith("#"):
            raise KeyError(target)
        try:
            node = lookup(document, unquote(target[1:]))
        except (KeyError, ValueError):
            raise KeyError(target) from None
    raise KeyError(reference(node))


class StrictLoader(_BASE_LOADER):  # type: ignore[misc]
    """PyYAML's parser with the types of YAML 1.2's JSON schema."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[str, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise yaml.constructor.ConstructorError(None, None, "expected a mapping", node.start_mark)
        own: set[str] = set()
        merges = False
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain string", key.start_mark)
            if key.tag == "tag:yaml.org,2002:merge":
                merges = True
            elif key.value in own:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            else:
                own.add(key.value)
        if merges:
            self.flatten_mapping(node)
        return {key.value: self.construct_object(value, deep=deep) for key, value in node.value}

    def construct_integer(self, node: yaml.ScalarNode) -> int:
        text = self.construct_scalar(node)
        try:
            return int(text, 0 if text[:2] in ("0o", "0x") else 10)
        except ValueError as error:
            raise yaml.constructor.ConstructorError(None, None, str(error), node.start_mark) from error


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("merge", r"<<", "<"),
):
    StrictLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))
StrictLoader.add_constructor("tag:yaml.org,2002:int", StrictLoader.construct_integer)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return result


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """A file that was read, with what is needed to say where in it something is wrong."""

    path: Path
    text: str = field(repr=False)
    data: dict[str, Any] = field(repr=False)
    _composed: list[Any] = field(default_factory=list, repr=False)

    @classmethod
    def read(cls, path: Path) -> Document:
        """Read a YAML or JSON file whose root is a mapping.

        Raises:
            SpecError: The file is missing, unreadable, not UTF-8, not YAML or JSON, or not a mapping.
        """
        try:
            text = path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            raise SpecError(f"{path}: no such file", "check the path") from None
        except UnicodeDecodeError as error:
            raise SpecError(f"{path}: not UTF-8 (byte {error.start})", "save the file as UTF-8") from None
        except OSError as error:
            raise SpecError(
                f"{path}: cannot be read ({error.strerror})", "check the path and its permissions"
            ) from None
        data = _parse(path, text)
        if not isinstance(data, dict):
            raise SpecError(
                f"{path}:1: not an OpenAPI document: the root is no mapping", "start it with 'openapi: 3.0.3'"
            )
        return cls(path, text, data)

    def line(self, pointer: str) -> int | None:
        """The line (from 1) of the value at a pointer, or of its nearest parent; composes the node tree once."""
        if not self._composed:
            try:
                self._composed.append(yaml.compose(self.text, Loader=StrictLoader))
            except yaml.YAMLError:
                self._composed.append(None)
        node = self._composed[0]
        if node is None:
            return None
        line = None
        for token in [None, *split(pointer)]:
            if token is not None:
                found = _child(node, token)
                if found is None:
                    break
                line, node = found
            else:
                line = node.start_mark.line
        return None if line is None else int(line) + 1

    def place(self, pointer: str) -> str:
        """`file:line pointer`, the beginning of every message."""
        line = self.line(pointer)
        where = f"{self.path}:{line}" if line else str(self.path)
        return f"{where} {pointer}" if pointer else where

    def error(self, pointer: str, what: str, hint: str | None = None) -> SpecError:
        """The error that says in one line what is wrong at a pointer."""
        return SpecError(f"{self.place(pointer)}: {what}", hint)

    def references(self) -> Iterator[tuple[str, str]]:
        """Each reference in the document as (pointer of the object that holds it, target); literal values left out.

        Raises:
            SpecError: A YAML anchor contains itself.
        """
        done: set[int] = set()
        path: set[int] = set()
        stack: list[tuple[Any, str, bool, bool]] = [(self.data, "", False, False)]
        while stack:
            node, pointer, named, leave = stack.pop()
            if leave:
                path.discard(id(node))
                done.add(id(node))
                continue
            if id(node) in path:
                raise self.error(pointer, "a YAML anchor contains itself", "use $ref for recursion")
            if id(node) in done:
                continue
            path.add(id(node))
            stack.append((node, pointer, named, True))
            if isinstance(node, dict):
                if isinstance(target := node.get("$ref"), str) and not named:
                    yield pointer, target
                for key, value in reversed(node.items()):
                    literal = not named and (key in _LITERAL_KEYWORDS or key.startswith("x-"))
                    if isinstance(value, dict | list) and not literal and not (key == "examples" and not named):
                        stack.append((value, f"{pointer}/{escape(key)}", not named and key in _NAMED_MAPS, False))
            else:
                for index, value in reversed(list(enumerate(node))):
                    if isinstance(value, dict | list):
                        stack.append((value, f"{pointer}/{index}", False, False))


def _child(node: Any, token: str) -> tuple[int, Any] | None:
    """The line and value node of a key or an index of a composed YAML node."""
    if isinstance(node, yaml.MappingNode):
        return next(((key.start_mark.line, value) for key, value in node.value if key.value == token), None)
    if isinstance(node, yaml.SequenceNode) and token.isdecimal() and int(token) < len(node.value):
        value = node.value[int(token)]
        return value.start_mark.line, value
    return None


def _check_depth(text: str) -> None:
    """Refuse a text nested so deeply that the C parser, which calls itself for each level, would not survive it."""
    level = most = 0
    for bracket in _BRACKET.finditer(text):
        level += 1 if bracket[0] in "[{" else -1
        most = max(most, level)
    if most <= DEEPEST and _COMPACT.search(text) is None:
        return
    # Brackets may stand within strings: the events of the parser, which it gives without calling itself, are exact.
    level = 0
    for event in yaml.parse(text, Loader=StrictLoader):
        level += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if level > DEEPEST:
            mark: Any = event.start_mark
            raise yaml.constructor.ConstructorError(None, None, "it is nested too deeply", mark)


def _parse(path: Path, text: str) -> Any:
    try:
        if path.suffix == ".json":
            return json.loads(text, object_pairs_hook=_no_duplicates)
        _check_depth(text)
        return yaml.load(text, Loader=StrictLoader)  # noqa: S506 - a subclass of the safe loader
    except json.JSONDecodeError as error:
        raise SpecError(f"{path}:{error.lineno}: not JSON: {error.msg}", "mend the syntax") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise SpecError(f"{where}: not YAML: {error.problem or error.context}", "mend the syntax") from None
    except yaml.YAMLError as error:
        raise SpecError(f"{path}: not YAML: {' '.join(str(error).split())}", "mend the syntax") from None
    except RecursionError:
        raise SpecError(f"{path}: nested too deeply", "flatten the document") from None
    except ValueError as error:
        raise SpecError(f"{path}: not JSON: {error}", "mend the syntax") from None
