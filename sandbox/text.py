"""YAML and JSON texts as plain trees of data, and the lines on which their values stand.

YAML is read by the JSON schema of YAML 1.2, which OpenAPI recommends, and not by PyYAML's 1.1 rules: a date stays a
string, `no` and `on` are words, `12:30:45` is no number. Keys are strings as written (`200:` is `"200"`).

The tree is built from the events of libyaml, which calls itself for no level of nesting: that is several times as fast
as PyYAML's own constructors, and neither a thousand levels nor aliases of aliases of aliases can exhaust anything.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

import orjson
import yaml

from sandbox.errors import SpecError

DEEPEST: Final = 200
LARGEST: Final = 64 * 1024 * 1024
# What aliases may add to a text, in values: a bomb of a kilobyte would be billions.
_MOST_ALIASED: Final = 1_000_000

_WORDS: Final = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("null", "Null", "NULL", "~", ""), None),
}
_NUMERIC: Final = frozenset("-+.0123456789")
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_TAGS: Final = "tag:yaml.org,2002:"
_MERGE: Final = "<<"
_DIGITS: Final = 4300

# A value's line (from 0), and those of what it holds.
Lines: TypeAlias = tuple[int, dict[str, Any] | list[Any] | None]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # which of two is known at run time
    """Only its events are used."""


class Twice:
    """A key that stands twice in one mapping; the later one counts."""

    def __init__(self, key: str, line: int) -> None:
        self.key = key
        self.line = line


def parse(path: Path, raw: bytes) -> tuple[Any, list[Twice]]:
    """The data in a file, and the keys that stand twice (of YAML; `doubles` finds those of JSON).

    Raises:
        SpecError: It is not UTF-8, neither YAML nor JSON, too large or too deep; one line with file and line.
    """
    if len(raw) > LARGEST:
        raise SpecError(
            f"{path}: larger than {LARGEST // 1024 // 1024} MiB", "split it, or take out what is not needed"
        )
    text = _decoded(path, raw)
    if text.lstrip()[:1] in ("{", "["):
        try:
            return orjson.loads(text), []
        except orjson.JSONDecodeError as error:
            if path.suffix == ".json":
                _refuse_json(path, error, text)
    try:
        return _yaml(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        what = " ".join(str(error.problem or error.context).split())
        raise SpecError(f"{where}: not YAML: {what}", "mend the syntax") from None
    except yaml.YAMLError as error:
        line = text.count("\n", 0, max(getattr(error, "position", 0) or 0, 0)) + 1
        raise SpecError(f"{path}:{line}: not YAML: {' '.join(str(error).split())}", "mend the syntax") from None


def _decoded(path: Path, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        if b"\0" in raw[:1024]:
            raise SpecError(f"{path}:1: not a text, but binary data", "name an OpenAPI file in YAML or JSON") from None
        raise SpecError(f"{path}:{line}: not UTF-8 (byte {error.start})", "save the file as UTF-8") from None
    if not text.strip():
        raise SpecError(f"{path}:1: the file is empty", "start it with 'openapi: 3.0.3'")
    return text


def _refuse_json(path: Path, error: orjson.JSONDecodeError, text: str) -> NoReturn:
    line = error.lineno
    if "ecursion" in error.msg:
        line = next(_deep_lines(text), 1)
        raise SpecError(f"{path}:{line}: nested too deeply", "flatten the document") from None
    raise SpecError(f"{path}:{line}: not JSON: {error.msg}", "mend the syntax") from None


def deep_line(text: str) -> int:
    """The line on which a text first goes deeper than `DEEPEST`, as far as its brackets tell."""
    return next(_deep_lines(text), 1)


def _deep_lines(text: str) -> Iterator[int]:
    level = 0
    for bracket in re.finditer(r"[\[\]{}]", text):
        level += 1 if bracket[0] in "[{" else -1
        if level > DEEPEST:
            yield text.count("\n", 0, bracket.start()) + 1


def _yaml(text: str) -> tuple[Any, list[Twice]]:  # noqa: C901, PLR0912, PLR0915 - one loop over hundreds of thousands
    """The only document of a YAML text."""
    loader = _Loader(text)
    next_event = loader.get_event
    twice: list[Twice] = []
    anchors: dict[str, tuple[Any, int] | None] = {}
    # One frame for each open collection: what it is, the key that waits for a value, its anchor, values before it.
    stack: list[tuple[Any, Any, str | None, int]] = []
    root: list[Any] = [None]
    into: Any = root
    key: str | None = None
    own, values, aliased = {}, 0, 0
    anchor: str | None = None
    start, documents = 0, 0
    merges: list[Any] | None = None
    frames: list[tuple[dict[str, int], list[Any] | None]] = []
    try:
        while True:
            event = next_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                values += 1
                if type(into) is dict and key is None:
                    key = event.value
                    if key == _MERGE and event.implicit[0]:
                        key = None
                        merges = _merged(loader, merges, anchors)
                    elif key in own:
                        twice.append(Twice(key, event.start_mark.line))
                    else:
                        own[key] = 1
                    continue
                value = event.value if event.implicit[1] and event.tag is None else _scalar(event)
                if event.anchor is not None:
                    anchors[event.anchor] = value, 1
            elif kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                if type(into) is dict and key is None:
                    raise _error("a key must be a plain string", event)
                if len(stack) >= DEEPEST:
                    raise _error("it is nested too deeply", event)
                values += 1
                stack.append((into, key, anchor, start))
                frames.append((own, merges))
                anchor, start = event.anchor, values
                if anchor is not None:
                    anchors[anchor] = None
                into, key = ({} if kind is yaml.MappingStartEvent else []), None
                own, merges = {}, None
                continue
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                value = into
                if merges is not None:
                    value = {name: one for base in merges for name, one in reversed(base.items())} | value
                if anchor is not None:
                    anchors[anchor] = value, values + aliased - start
                into, key, anchor, start = stack.pop()
                own, merges = frames.pop()
            elif kind is yaml.AliasEvent:
                if type(into) is dict and key is None:
                    raise _error("a key must be a plain string", event)
                value, size = _anchored(anchors, event)
                aliased += size
                if aliased > _MOST_ALIASED:
                    raise _error("its aliases unfold to more than a million values", event)
                value = copy.deepcopy(value)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise _error("a second document begins here", event)
                continue
            elif kind is yaml.StreamEndEvent:
                return root[0], twice
            else:
                continue
            if type(into) is dict:
                into[key] = value
                key = None
            elif into is root:
                root[0] = value
            else:
                into.append(value)
    finally:
        loader.dispose()


def _merged(loader: Any, merges: list[Any] | None, anchors: dict[str, tuple[Any, int] | None]) -> list[Any]:
    """What the value of a merge key (`<<`) adds to a mapping; the first ones win."""
    event = loader.get_event()
    found: list[Any] = []
    if type(event) is yaml.AliasEvent:
        found.append(_anchored(anchors, event)[0])
    elif type(event) is yaml.SequenceStartEvent:
        while type(event := loader.get_event()) is yaml.AliasEvent:
            found.append(_anchored(anchors, event)[0])
        if type(event) is not yaml.SequenceEndEvent:
            raise _error("a merge key takes aliases of mappings", event)
    else:
        raise _error("a merge key takes aliases of mappings", event)
    if not all(isinstance(one, dict) for one in found):
        raise _error("a merge key takes aliases of mappings", event)
    return [*(merges or []), *copy.deepcopy(found[::-1])]


def _anchored(anchors: dict[str, tuple[Any, int] | None], event: Any) -> tuple[Any, int]:
    if event.anchor not in anchors:
        raise _error(f"found undefined alias {event.anchor!r}", event)
    known = anchors[event.anchor]
    if known is None:
        raise _error("a YAML anchor contains itself; use $ref for recursion", event)
    return known


def _error(what: str, event: Any) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, what, event.start_mark)


def _scalar(event: Any) -> Any:
    """The value of a scalar that is plain, or has a tag."""
    text, tag = event.value, event.tag
    if tag is not None and tag != "!":
        wanted = tag.removeprefix(_TAGS)
        if wanted not in ("bool", "null", "int", "float"):
            return text
    elif not event.implicit[0]:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMERIC:
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > _DIGITS:
            raise _error("a number has too many digits", event)
        return int(text, 0 if text[:2] in ("0o", "0x") else 10)
    return float(text) if _FLOAT.fullmatch(text) else text


def lines(text: str) -> Lines | None:
    """Where each value of a YAML or JSON text stands; None when that cannot be told."""
    # A tab cannot indent YAML, but does indent much JSON; it moves no line.
    loader = _Loader(text.replace("\t", " "))
    stack: list[tuple[Lines, tuple[str, int] | None]] = []
    root: list[Lines] = []
    into: Lines = (0, root)
    key: tuple[str, int] | None = None
    try:
        while type(event := loader.get_event()) is not yaml.StreamEndEvent:
            kind, line = type(event), event.start_mark.line
            if kind is yaml.ScalarEvent and isinstance(into[1], dict) and key is None:
                key = event.value, line
                continue
            if kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                into, key = stack.pop()
                continue
            if kind not in _VALUES:
                continue
            found: Lines = (key[1] if key is not None else line, _VALUES[kind]())
            if isinstance(into[1], dict):
                assert key is not None  # noqa: S101 - a collection as a key was refused when the text was parsed
                into[1][key[0]] = found
            elif into[1] is not None:
                into[1].append(found)
            key = None
            if found[1] is not None:
                stack.append((into, key))
                into = found
        return root[0] if root else None
    except (yaml.YAMLError, AssertionError):
        return None
    finally:
        loader.dispose()


def _nothing() -> None:
    return None


_VALUES: Final[dict[Any, Any]] = {
    yaml.ScalarEvent: _nothing,
    yaml.AliasEvent: _nothing,
    yaml.MappingStartEvent: dict,
    yaml.SequenceStartEvent: list,
}


def doubles(text: str) -> Iterator[Twice]:
    """The keys that stand twice in one mapping of a text."""
    loader = _Loader(text.replace("\t", " "))
    # For each open collection the keys so far, or None for a sequence; and whether a key is due.
    stack: list[tuple[set[str] | None, bool]] = []
    keys: set[str] | None = None
    due = False
    try:
        while type(event := loader.get_event()) is not yaml.StreamEndEvent:
            kind = type(event)
            if kind is yaml.MappingStartEvent or kind is yaml.SequenceStartEvent:
                stack.append((keys, keys is not None))
                keys, due = (set(), True) if kind is yaml.MappingStartEvent else (None, False)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                keys, due = stack.pop()
            elif kind is yaml.ScalarEvent and keys is not None and due:
                if event.value in keys:
                    yield Twice(event.value, event.start_mark.line)
                keys.add(event.value)
                due = False
            else:
                due = keys is not None
    except yaml.YAMLError:
        return
    finally:
        loader.dispose()
