"""Schemas that contain themselves at the same place of a value, without a step into it: no value can ever be checked.

`Pet: {oneOf: [Cat]}` with `Cat: {allOf: [Pet]}` is the usual one, by people who mean inheritance. Recursion through a
property or an item is none: the value ends some day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote

from sandbox.pointer import lookup, reference

_ONE: Final = ("not", "if", "then", "else")
_MANY: Final = ("oneOf", "anyOf", "allOf")


def break_cycles(data: dict[str, Any], targets: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Take each such schema apart, and say where: (pointer, what was done).

    Args:
        data: The document; changed.
        targets: The references in it; each leads somewhere.
    """
    done: set[str] = set()
    for target in sorted(targets):
        while (broken := _broken(data, target, done)) is not None:
            yield broken


def _broken(data: dict[str, Any], start: str, done: set[str]) -> tuple[str, str] | None:
    """The first cycle on the way from a target, once it is taken apart; None when there is none.

    Args:
        done: Targets from which no cycle can be reached; filled in.
    """
    if start in done:
        return None
    # Each step: the target, what is still to be followed from it, and by which keyword of what one came here.
    path: list[tuple[str, Iterator[tuple[str, dict[str, Any], str]], dict[str, Any], str]] = []
    path.append((start, iter(list(_edges(_at(data, start)))), {}, ""))
    while path:
        target, edges, _, _ = path[-1]
        found = next(edges, None)
        if found is None:
            done.add(target)
            path.pop()
            continue
        following, owner, key = found
        if following in done:
            continue
        above = [step[0] for step in path]
        if following not in above:
            path.append((following, iter(list(_edges(_at(data, following)))), owner, key))
            continue
        # Of the steps around, the one that chooses among heirs says least about the value.
        steps = [*((step[2], step[3]) for step in path[above.index(following) + 1 :]), (owner, key)]
        broken, word = next(((one, by) for one, by in steps if by in ("oneOf", "anyOf")), steps[-1])
        if word in ("oneOf", "anyOf"):
            broken.pop(word, None)
        else:
            _cut(broken, word, following)
        return unquote(following[1:]), f"the schema contains itself by {word}, without end; that {word} is ignored"
    return None


def _at(data: Mapping[str, Any], target: str) -> Any:
    try:
        return lookup(data, unquote(target[1:]))
    except (KeyError, ValueError):
        return None


def _edges(schema: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(reference, the object it stands in, by which keyword) of all that is checked at the same place."""
    stack = [schema]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        if not isinstance(node, dict) or id(node) in seen:
            continue
        seen.add(id(node))
        if (target := reference(node)) is not None:
            yield target, node, "$ref"
            continue
        for key in _MANY:
            parts = node.get(key)
            for part in parts if isinstance(parts, list) else ():
                if (target := reference(part)) is not None:
                    yield target, node, key
                else:
                    stack.append(part)
        for key in _ONE:
            if (target := reference(node.get(key))) is not None:
                yield target, node, key
            else:
                stack.append(node.get(key))


def _cut(owner: dict[str, Any], key: str, target: str) -> None:
    if key == "$ref" or key in _ONE:
        owner.pop(key, None)
        return
    owner[key] = [part for part in owner[key] if reference(part) != target]
    if not owner[key]:
        del owner[key]
