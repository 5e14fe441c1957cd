"""The schemas that describe one place of a JSON value, and the way from there to the places within it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sandbox.pointer import reference, resolve

_COMPOSITES: Final = ("allOf", "anyOf", "oneOf")


class Described:
    """A place that at least one schema describes; through `$ref`, `allOf`, `anyOf` and `oneOf`.

    Args:
        schemas: Schema objects each of which may describe the place.
        document: The OpenAPI document in which their references lie.

    Attributes:
        schemas: All of them, resolved.
    """

    __slots__ = ("_document", "schemas")

    def __init__(self, schemas: Sequence[Any], document: Mapping[str, Any]) -> None:
        self._document = document
        found: dict[int, Mapping[str, Any]] = {}
        stack = list(schemas)
        while stack:
            schema = stack.pop()
            if not isinstance(schema, Mapping) or id(schema) in found:
                continue
            found[id(schema)] = schema
            if reference(schema) is not None:
                stack.append(resolve(document, schema))
            for keyword in _COMPOSITES:
                parts = schema.get(keyword)
                stack.extend(parts if isinstance(parts, list) else ())
        self.schemas = tuple(schema for schema in found.values() if reference(schema) is None)

    def member(self, name: str) -> Described | None:
        """The place of a property; None when no schema names it or says what others look like."""
        below = []
        for schema in self.schemas:
            properties = schema.get("properties")
            own = properties.get(name) if isinstance(properties, Mapping) else None
            below.append(own if own is not None else schema.get("additionalProperties"))
        return self._below(below)

    @property
    def items(self) -> Described | None:
        """The place of an array's items; None when no schema describes them."""
        return self._below([schema.get("items") for schema in self.schemas])

    def _below(self, schemas: list[Any]) -> Described | None:
        named = [schema for schema in schemas if isinstance(schema, Mapping)]
        return Described(named, self._document) if named else None
