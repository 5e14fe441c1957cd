"""What is of OpenAPI 3.1 alone: the names that schemas give themselves, and null among the types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sandbox.pointer import escape


def as_written(node: Any) -> Any:
    """A 3.1 document without the one word of 3.0 that readers here are given: `nullable` is null among the types."""
    if isinstance(node, list):
        return [as_written(value) for value in node]
    if not isinstance(node, dict):
        return node
    written = {key: as_written(value) for key, value in node.items()}
    if written.get("nullable") is True and isinstance(written.get("type"), str):
        del written["nullable"]
        written["type"] = [written["type"], "null"]
    return written


def bases(data: Any) -> dict[str, str]:
    """Where the names lead that schemas of 2020-12 give themselves: `$id`, `$anchor` and `$dynamicAnchor`."""
    return {name: f"#{pointer}" for name, pointer in _named(data, "")}


def _named(data: Any, pointer: str) -> Iterator[tuple[str, str]]:
    stack: list[tuple[Any, str, str]] = [(data, pointer, "")]
    while stack:
        node, at, base = stack.pop()
        if isinstance(node, dict):
            own = node.get("$id")
            if isinstance(own, str) and own:
                base = own
                yield own, at
            for key in ("$anchor", "$dynamicAnchor"):
                anchor = node.get(key)
                if isinstance(anchor, str):
                    yield f"{base}#{anchor}", at
                    yield f"#{anchor}", at
            stack.extend(
                (value, f"{at}/{escape(key)}", base) for key, value in node.items() if type(value) in (dict, list)
            )
        elif isinstance(node, list):
            stack.extend(
                (value, f"{at}/{index}", base) for index, value in enumerate(node) if type(value) in (dict, list)
            )
