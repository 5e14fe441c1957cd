"""What the schema objects of one place say together: references followed, `allOf` joined, pointers kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import unquote

from sandbox.field_error import Direction
from sandbox.pointer import MAX_REFERENCE_HOPS, join, lookup, reference

LOWER: Final = ("minimum", "minLength", "minItems", "minProperties")
UPPER: Final = ("maximum", "maxLength", "maxItems", "maxProperties")
_ALTERNATIVES: Final = ("oneOf", "anyOf")
# Words that say nothing about which values are valid.
_REMARKS: Final = frozenset({"description", "title", "example", "examples", "externalDocs", "deprecated", "xml"})
_DEEPEST: Final = 50


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A node of a document.

    Args:
        pointer: Where it really stands, behind all references.
        node: What stands there.
    """

    pointer: str
    node: Any

    def child(self, document: Mapping[str, Any], *tokens: object) -> Place | None:
        """What stands below, references followed; None when nothing does."""
        here = self
        for token in tokens:
            if not isinstance(here.node, Mapping) or token not in here.node:
                return None
            here = follow(document, here.pointer + join(token), here.node[token])
        return here


def follow(document: Mapping[str, Any], pointer: str, node: Any) -> Place:
    """The place that a node stands for: itself, or the end of its chain of references.

    Raises:
        KeyError: A reference leads nowhere, or only to itself.
    """
    for _ in range(MAX_REFERENCE_HOPS):
        target = reference(node)
        if target is None:
            return Place(pointer, node)
        pointer = unquote(target[1:])
        node = lookup(document, pointer)
    raise KeyError(pointer)


class Shape:
    """A schema as one sees it from outside.

    Args:
        document: In which the places lie.
        places: Schema objects all of which apply.
        direction: `request` leaves out what is read-only, `response` what is write-only.

    Attributes:
        pointer: Of the first schema object.
        parts: The schema objects, those of `allOf` included.
    """

    def __init__(self, document: Mapping[str, Any], places: Sequence[Place], direction: Direction) -> None:
        self.document = document
        self.direction = direction
        self.parts: list[Place] = []
        self._collect(places)
        self.pointer = self.parts[0].pointer if self.parts else ""

    def _collect(self, places: Sequence[Place]) -> None:
        seen: set[int] = set()
        stack = list(reversed(places))
        while stack:
            given = stack.pop()
            place = follow(self.document, given.pointer, given.node)
            if not isinstance(place.node, Mapping) or id(place.node) in seen:
                continue
            seen.add(id(place.node))
            self.parts.append(place)
            parts = place.node.get("allOf")
            for index, part in reversed(list(enumerate(parts if isinstance(parts, list) else ()))):
                stack.append(Place(place.pointer + join("allOf", index), part))

    @property
    def identity(self) -> tuple[str, ...]:
        """What two shapes of one document share only when they are the same."""
        return tuple(part.pointer for part in self.parts)

    def word(self, keyword: str) -> Any:
        """What a keyword says; of several, the first one. None where it is missing."""
        return next((part.node[keyword] for part in self.parts if keyword in part.node), None)

    def where(self, keyword: str) -> str:
        """The pointer of a keyword, of the schema itself where it has none."""
        return next((part.pointer + join(keyword) for part in self.parts if keyword in part.node), self.pointer)

    @property
    def nullable(self) -> bool:
        """Whether null is valid: the whole says so, or each part that names a type does."""
        typed = [part for part in self.parts if "type" in part.node]
        first = self.parts[0].node.get("nullable") is True if self.parts else True
        return first or all(part.node.get("nullable") is True for part in typed)

    @property
    def enum(self) -> list[Any] | None:
        """The values that are allowed, null left out; None when any is."""
        lists = [part.node["enum"] for part in self.parts if isinstance(part.node.get("enum"), list)]
        if not lists:
            return None
        return [value for value in lists[0] if value is not None and all(value in other for other in lists[1:])]

    def bound(self, keyword: str) -> tuple[float, bool] | None:
        """A bound and whether it is exclusive; the tightest of several."""
        exclusive = "exclusive" + keyword.capitalize()
        found = [
            (part.node[keyword], part.node.get(exclusive) is True)
            for part in self.parts
            if isinstance(part.node.get(keyword), int | float)
        ]
        if not found:
            return None
        if keyword in LOWER:
            return max(found)
        return min(found, key=lambda bound: (bound[0], not bound[1]))

    @cached_property
    def properties(self) -> dict[str, tuple[Place, ...]]:
        """The fields, each with all schema objects that describe it."""
        found: dict[str, tuple[Place, ...]] = {}
        hidden: set[str] = set()
        for part in self.parts:
            members = part.node.get("properties")
            for name, node in members.items() if isinstance(members, Mapping) else ():
                place = Place(part.pointer + join("properties", name), node)
                found[name] = (*found.get(name, ()), place)
                if self._is_hidden(place):
                    hidden.add(name)
        return {name: places for name, places in found.items() if name not in hidden}

    def _is_hidden(self, place: Place) -> bool:
        keyword = "readOnly" if self.direction == "request" else "writeOnly"
        node = follow(self.document, place.pointer, place.node).node
        return isinstance(node, Mapping) and node.get(keyword) is True

    @cached_property
    def required(self) -> frozenset[str]:
        """The fields that must be there."""
        lists = (part.node.get("required") for part in self.parts)
        named = {name for names in lists if isinstance(names, list) for name in names}
        declared = {name for part in self.parts for name in part.node.get("properties") or ()}
        return frozenset(named - (declared - self.properties.keys()))

    @property
    def closed(self) -> bool:
        """Whether fields that no schema names are refused."""
        return any(part.node.get("additionalProperties") is False for part in self.parts)

    @property
    def rest(self) -> tuple[Place, ...]:
        """The schema objects of fields that no schema names."""
        return tuple(
            Place(part.pointer + join("additionalProperties"), part.node["additionalProperties"])
            for part in self.parts
            if isinstance(part.node.get("additionalProperties"), Mapping)
        )

    @property
    def items(self) -> tuple[Place, ...]:
        """The schema objects of an array's items."""
        return tuple(
            Place(part.pointer + join("items"), part.node["items"])
            for part in self.parts
            if isinstance(part.node.get("items"), Mapping)
        )

    @property
    def variants(self) -> tuple[Place, ...]:
        """The alternatives of the first `oneOf` or `anyOf`."""
        for part in self.parts:
            for keyword in _ALTERNATIVES:
                nodes = part.node.get(keyword)
                if isinstance(nodes, list):
                    return tuple(
                        follow(self.document, part.pointer + join(keyword, index), node)
                        for index, node in enumerate(nodes)
                    )
        return ()

    def of(self, places: Sequence[Place]) -> Shape:
        """The shape of some places of the same document, in the same direction."""
        return Shape(self.document, places, self.direction)

    def below(self, name: str) -> Iterator[Shape]:
        """The shapes that may describe a field, or with `*` an item; those of all alternatives."""
        places = self.items if name == "*" else self.properties.get(name, self.rest)
        if name == "*" and not places:
            places = self.rest
        if places:
            yield self.of(places)
        for variant in self.variants:
            yield from self.of([variant]).below(name)

    def find(self, path: Sequence[str]) -> list[Shape]:
        """The shapes that may describe what stands at a path of names, `*` being any index or name."""
        found = [self]
        for name in path[:_DEEPEST]:
            found = [shape for above in found for shape in above.below(name)]
        return found


def essence(document: Mapping[str, Any], node: Any, above: frozenset[int] = frozenset()) -> Any:
    """A schema without remarks, its references put in; equal for schemas that allow the same by the same words."""
    if isinstance(node, list):
        return [essence(document, item, above) for item in node]
    if not isinstance(node, Mapping):
        return node
    node = follow(document, "", node).node
    if id(node) in above:
        return "recursion"
    above |= {id(node)}
    found: dict[str, Any] = {}
    for word, value in node.items() if isinstance(node, Mapping) else ():
        if word in _REMARKS or word.startswith("x-"):
            continue
        if word == "properties" and isinstance(value, Mapping):
            found[word] = {name: essence(document, schema, above) for name, schema in value.items()}
        elif word == "required" and isinstance(value, list):
            found[word] = sorted(map(str, value))
        else:
            found[word] = essence(document, value, above)
    return found
