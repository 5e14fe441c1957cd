"""A table of path templates: which operation a request is for, and which methods its path allows.

OpenAPI 3.0.3, "Paths Object": a path without templates is matched before templated ones. Here segment by segment:
literal, then templates with literal parts (`{id}.pdf`), then whole parameters. A parameter never matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Match(Generic[T]):
    """What a table knows of a request.

    Args:
        target: What was registered for method and path; None when there is none.
        allowed: The methods that the matched path allows, sorted; empty when no path matches.
        values: The path parameters as they stand in the path.
    """

    target: T | None
    allowed: tuple[str, ...]
    values: dict[str, str]


@dataclass(slots=True)
class _Node(Generic[T]):
    literals: dict[str, _Node[T]] = field(default_factory=dict)
    mixed: dict[str, tuple[re.Pattern[str], _Node[T]]] = field(default_factory=dict)
    parameter: _Node[T] | None = None
    # Method -> what is registered and the names of the parameters on the way.
    targets: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()


class PathTable(Generic[T]):
    """Finds what is registered for a method and a path in time that grows with the path, not with the table.

    Args:
        entries: (method in upper case, path template, target).
    """

    __slots__ = ("_root",)

    def __init__(self, entries: Iterable[tuple[str, str, T]]) -> None:
        self._root: _Node[T] = _Node()
        for method, template, target in entries:
            self._add(method, template, target)

    def _add(self, method: str, template: str, target: T) -> None:
        node = self._root
        names: list[str] = []
        for segment in template.split("/")[1:]:
            found = re.findall(r"\{([^{}]*)\}", segment)
            names.extend(found)
            if not found:
                node = node.literals.setdefault(segment, _Node())
            elif segment == f"{{{found[0]}}}":
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                parts = re.split(r"\{[^{}]*\}", segment)
                between = "(.+)".join(re.escape(part) for part in parts)
                # The text of an id stands in quotes, as OData writes it: `Orders('x')` for `Orders({id})`.
                pattern = re.compile(between.replace(r"\((.+)\)", r"\('?(.+?)'?\)"), re.DOTALL)
                node = node.mixed.setdefault(pattern.pattern, (pattern, _Node()))[1]
        # Of two that no request can tell apart the first one is meant; authors put the exception behind the rule.
        node.targets.setdefault(method, (target, tuple(names)))
        node.allowed = tuple(sorted(node.targets))

    def find(self, method: str, path: str) -> Match[T]:
        """Look a request up.

        Args:
            method: Upper case.
            path: From the system's root, beginning with a slash, percent-decoded or not.
        """
        if not path.startswith("/"):
            return Match(None, (), {})
        values: list[str] = []
        node = _descend(self._root, path.split("/")[1:], 0, values)
        if node is None:
            return Match(None, (), {})
        target, names = node.targets.get(method) or (None, next(iter(node.targets.values()))[1])
        return Match(target, node.allowed, dict(zip(names, values, strict=True)))


def _descend(node: _Node[T], segments: list[str], index: int, values: list[str]) -> _Node[T] | None:
    if index == len(segments):
        return node if node.targets else None
    segment = segments[index]
    literal = node.literals.get(segment)
    if literal is not None and (found := _descend(literal, segments, index + 1, values)) is not None:
        return found
    for pattern, child in node.mixed.values():
        matched = pattern.fullmatch(segment)
        if matched is not None:
            values.extend(matched.groups())
            if (found := _descend(child, segments, index + 1, values)) is not None:
                return found
            del values[-len(matched.groups()) :]
    if node.parameter is not None and segment:
        values.append(segment)
        if (found := _descend(node.parameter, segments, index + 1, values)) is not None:
            return found
        values.pop()
    return None
