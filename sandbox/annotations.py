"""Where annotated fields lie in JSON bodies: personal ones (`x-personal`), and those only the server sets (`readOnly`).

A body is walked beside its schemas: through `$ref`, `allOf`, `anyOf`, `oneOf`, objects and arrays. Each distinct set of
schemas that can describe one place is compiled once, so recursion ends; parts without a mark below them are not walked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from sandbox.pointer import escape, reference, resolve

MAX_DEPTH: Final = 200
_COMPOSITES: Final = ("allOf", "anyOf", "oneOf")


class _Place:
    """The schemas that describe one place of a body, and where one gets from there."""

    __slots__ = ("_expanded", "_items", "_properties", "_rest", "_walk", "mark", "marked", "schemas")

    def __init__(self, walk: _Walk, schemas: tuple[Mapping[str, Any], ...]) -> None:
        self._walk = walk
        self.schemas = schemas
        self.mark = walk.mark(schemas)
        self._expanded = False
        self._properties: dict[str, _Place | None] = {}
        self._rest: _Place | None = None
        self._items: _Place | None = None
        # The properties that lead to a mark; filled when the place is expanded.
        self.marked: tuple[tuple[str, _Place], ...] = ()

    def _expand(self) -> None:
        maps = [
            (properties if isinstance(properties := schema.get("properties"), Mapping) else {}, schema)
            for schema in self.schemas
        ]
        names = dict.fromkeys(name for properties, _ in maps for name in properties)
        place = self._walk.place
        for name in names:
            self._properties[name] = place(
                [properties.get(name, schema.get("additionalProperties")) for properties, schema in maps]
            )
        self._rest = place([schema.get("additionalProperties") for schema in self.schemas])
        self._items = place([schema.get("items") for schema in self.schemas])
        self.marked = tuple((name, child) for name, child in self._properties.items() if child is not None)
        self._expanded = True

    @property
    def properties(self) -> Mapping[str, _Place | None]:
        if not self._expanded:
            self._expand()
        return self._properties

    @property
    def rest(self) -> _Place | None:
        """The place of properties that no schema names."""
        if not self._expanded:
            self._expand()
        return self._rest

    @property
    def items(self) -> _Place | None:
        if not self._expanded:
            self._expand()
        return self._items

    def property(self, name: str) -> _Place | None:
        properties = self.properties
        return properties.get(name, self._rest)


class _Walk:
    """The places of one document that lead to a marked schema."""

    def __init__(
        self, document: Mapping[str, Any], marker: Callable[[Mapping[str, Any]], Sequence[str] | None]
    ) -> None:
        self._document = document
        self._marker = marker
        self._places: dict[frozenset[int], _Place | None] = {}

    def mark(self, schemas: tuple[Mapping[str, Any], ...]) -> tuple[str, ...] | None:
        """The marks of all schemas of a place together; None when it has none."""
        marks = [mark for schema in schemas if (mark := self._marker(schema)) is not None]
        return tuple(dict.fromkeys(word for mark in marks for word in mark)) if marks else None

    def place(self, schemas: Sequence[Any]) -> _Place | None:
        """The place that these schemas describe; None when no mark lies in it or below it."""
        closed = self._closure(schemas)
        key = frozenset(map(id, closed))
        if key not in self._places:
            self._places[key] = _Place(self, closed) if self._leads_to_mark(closed) else None
        return self._places[key]

    def _closure(self, schemas: Sequence[Any]) -> tuple[Mapping[str, Any], ...]:
        found: dict[int, Mapping[str, Any]] = {}
        stack = list(schemas)
        while stack:
            schema = stack.pop()
            if isinstance(schema, Mapping) and id(schema) not in found:
                found[id(schema)] = schema
                if reference(schema) is not None:
                    stack.append(resolve(self._document, schema))
                for keyword in _COMPOSITES:
                    if isinstance(parts := schema.get(keyword), list):
                        stack.extend(parts)
        return tuple(found.values())

    def _leads_to_mark(self, schemas: tuple[Mapping[str, Any], ...]) -> bool:
        seen: set[int] = set()
        stack = list(schemas)
        while stack:
            schema = stack.pop()
            if id(schema) in seen:
                continue
            seen.add(id(schema))
            if self._marker(schema) is not None:
                return True
            properties = schema.get("properties")
            below = [schema.get("items"), schema.get("additionalProperties")]
            below.extend(properties.values() if isinstance(properties, Mapping) else ())
            stack.extend(self._closure(below))
        return False


def _personal(schema: Mapping[str, Any]) -> Sequence[str] | None:
    purposes = schema.get("x-personal")
    if purposes is None or purposes is False:
        return None
    return [purposes] if isinstance(purposes, str) else purposes if isinstance(purposes, list) else []


def _read_only(schema: Mapping[str, Any]) -> Sequence[str] | None:
    return () if schema.get("readOnly") is True else None


class PersonalMap:
    """The personal fields of a body, as the `x-personal` marks of its schemas say.

    Args:
        schemas: Schema objects each of which may describe the body; a field is personal when any of them says so.
        document: The OpenAPI document in which their references lie.
    """

    __slots__ = ("_root",)

    def __init__(self, schemas: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> None:
        self._root = _Walk(document, _personal).place(schemas)

    def __bool__(self) -> bool:
        """Whether there are personal fields at all."""
        return self._root is not None

    @property
    def paths(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """(pointer, purposes) of each personal field; `*` stands for any index or name; recursion is listed once."""
        return tuple(_paths(self._root, "", frozenset()))

    def redact(self, value: Any, label: Callable[[str], str]) -> Any:
        """A copy of a JSON body in which each personal scalar is replaced by `label(str(scalar))`; null stays null.

        Where a whole object or array is personal, each of its leaves is replaced. Parts without personal fields are
        shared with the original.
        """
        return _redact(self._root, value, label, 0)


class ReadOnlyMap:
    """The fields of a request body that only the server sets.

    Args:
        schemas: Schema objects that describe the body.
        document: The OpenAPI document in which their references lie.
    """

    __slots__ = ("_root",)

    def __init__(self, schemas: Sequence[Mapping[str, Any]], document: Mapping[str, Any]) -> None:
        self._root = _Walk(document, _read_only).place(schemas)

    def drop(self, value: Any) -> Any:
        """A copy of a JSON body without its read-only fields; the value itself when there can be none."""
        return _drop(self._root, value, 0)


def _paths(place: _Place | None, pointer: str, above: frozenset[int]) -> Iterator[tuple[str, tuple[str, ...]]]:
    if place is None or id(place) in above:
        return
    if place.mark is not None:
        yield pointer, place.mark
        return
    above |= {id(place)}
    for name, child in place.properties.items():
        yield from _paths(child, f"{pointer}/{escape(name)}", above)
    yield from _paths(place.rest, f"{pointer}/*", above)
    yield from _paths(place.items, f"{pointer}/*", above)


def _redact(place: _Place | None, value: Any, label: Callable[[str], str], depth: int) -> Any:
    if place is None or value is None:
        return value
    if place.mark is not None:
        return _leaves(value, label, depth)
    if depth > MAX_DEPTH:
        return label("")
    if isinstance(value, dict):
        known, rest = place.properties, place.rest
        copied = dict(value)
        if rest is not None:
            for name in value.keys() - known.keys():
                copied[name] = _redact(rest, value[name], label, depth + 1)
        for name, child in place.marked:
            item = value.get(name)
            if type(item) is str and child.mark is not None:
                copied[name] = label(item)
            elif item is not None:
                copied[name] = _redact(child, item, label, depth + 1)
        return copied
    if isinstance(value, list):
        items = place.items
        return value if items is None else [_redact(items, child, label, depth + 1) for child in value]
    return value


def _leaves(value: Any, label: Callable[[str], str], depth: int) -> Any:
    if value is None:
        return None
    if isinstance(value, dict | list) and depth > MAX_DEPTH:
        return label("")
    if isinstance(value, dict):
        return {name: _leaves(child, label, depth + 1) for name, child in value.items()}
    if isinstance(value, list):
        return [_leaves(child, label, depth + 1) for child in value]
    return label(str(value))


def _drop(place: _Place | None, value: Any, depth: int) -> Any:
    if place is None or depth > MAX_DEPTH:
        return value
    if isinstance(value, dict):
        children = ((name, place.property(name), child) for name, child in value.items())
        return {
            name: _drop(below, child, depth + 1)
            for name, below, child in children
            if below is None or below.mark is None
        }
    if isinstance(value, list) and place.items is not None:
        return [_drop(place.items, child, depth + 1) for child in value]
    return value
