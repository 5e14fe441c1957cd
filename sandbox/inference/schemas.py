"""Schema objects as inference looks at them: through references and compositions, in any dialect of OpenAPI."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from sandbox.pointer import resolve

Schema: TypeAlias = Mapping[str, Any]


def schema_at(document: Schema, node: Any) -> Schema:
    """The resolved schema object; an empty one where something else stands."""
    try:
        found = resolve(document, node)
    except KeyError:
        return {}
    return found if type(found) is dict or isinstance(found, Mapping) else {}


def fields_of(schema: Schema | None, document: Schema) -> dict[str, Schema]:
    """The top-level properties of an object schema, resolved, through `$ref` and `allOf`; `{}` when there are none."""
    found: dict[str, Schema] = {}
    for part in parts(schema, document):
        properties = part.get("properties")
        for name, value in properties.items() if isinstance(properties, Mapping) else ():
            found.setdefault(name, schema_at(document, value))
    return found


def required_of(schema: Schema | None, document: Schema) -> frozenset[str]:
    """The names of the properties that an object schema requires, through `$ref` and `allOf`."""
    listed = (part.get("required") for part in parts(schema, document))
    return frozenset(name for names in listed if isinstance(names, list) for name in names)


def parts(schema: Schema | None, document: Schema) -> Iterator[Schema]:
    """A schema and all that its `allOf` adds, resolved."""
    seen: set[int] = set()
    stack: list[Any] = [schema] if schema is not None else []
    while stack:
        part = schema_at(document, stack.pop(0))
        if not part or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        composed = part.get("allOf")
        stack.extend(composed if isinstance(composed, list) else ())


def plain(schema: Any, document: Schema) -> Schema:
    """The schema, or the first alternative of it that is an object's or an array's, where it is a choice."""
    found = schema_at(document, schema)
    for _ in range(4):
        choice = found.get("oneOf") or found.get("anyOf")
        if "properties" in found or not isinstance(choice, list):
            break
        inner = [schema_at(document, one) for one in choice]
        found = next((one for one in inner if kind_of(one, document) in ("object", "array")), found)
    return found


def kind_of(schema: Any, document: Schema) -> str:
    """The JSON type of the values that a schema describes; empty where it does not say."""
    for part in parts(schema, document):
        kind = part.get("type")
        if isinstance(kind, list):
            kind = next((one for one in kind if one != "null"), "null")
        if isinstance(kind, str):
            return kind
        if "properties" in part:
            return "object"
        if "items" in part:
            return "array"
        for word in ("oneOf", "anyOf"):
            for inner in part[word] if isinstance(part.get(word), list) else ():
                if inner is not schema and "$ref" not in inner and (found := inner.get("type")) not in (None, "null"):
                    return str(found[0] if isinstance(found, list) else found)
                target = schema_at(document, inner)
                if target.get("type") == "object" or "properties" in target:
                    return "object"
    return ""


def scalar_of(schema: Schema, document: Schema) -> Schema:
    """A scalar's schema in one piece, with all that its `allOf` adds; the first word on each thing counts."""
    if "allOf" not in schema:
        return schema
    found: dict[str, Any] = {}
    for part in parts(schema, document):
        found = {**part, **found}
    found.pop("allOf", None)
    return found


def items_of(schema: Any, document: Schema) -> Schema | None:
    """The schema of an array's items as written; None where the schema is no array's."""
    for part in parts(schema, document):
        if isinstance(part.get("items"), Mapping):
            found: Schema = part["items"]
            return found
    return {} if kind_of(schema, document) == "array" else None


def is_nullable(schema: Schema) -> bool:
    """Whether null is among the values, in the words of OpenAPI 3.0 or of JSON Schema."""
    kind = schema.get("type")
    return schema.get("nullable") is True or (isinstance(kind, list) and "null" in kind) or kind == "null"
