"""Alternatives of a `oneOf` that cannot be told apart.

`oneOf` asks that exactly one alternative fits. Where all that is as one of them describes fits another one, too, that
one can never be the only one: what its author shows as valid would be refused. He meant `anyOf`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.pointer import resolve

_DEEPEST: Final = 4
_MOST: Final = 30
_BOUNDS: Final = (
    *("pattern", "format", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    *("minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "minProperties", "maxProperties"),
)
# What is more than a glance can compare.
_OPAQUE: Final = ("oneOf", "anyOf", "not", "if", "patternProperties", "dependentSchemas", "contains", "prefixItems")


def loosened(document: Mapping[str, Any], choices: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[tuple[str, str]]:
    """Make `anyOf` of each `oneOf` of which an alternative could never be the only one that fits.

    Args:
        choices: Schemas that have a `oneOf`, each with its pointer.

    Yields:
        Pointer and what was found.
    """
    for pointer, node in choices:
        options = node.get("oneOf")
        if not isinstance(options, list) or "anyOf" in node or not 2 <= len(options) <= _MOST:
            continue
        flat = [_flat(document, one) for one in options]
        pairs = ((n, m) for n in range(len(flat)) for m in range(len(flat)) if n != m)
        found = next(((n, m) for n, m in pairs if _covers(document, flat[m], flat[n], 0)), None)
        if found is not None:
            node["anyOf"] = node.pop("oneOf")
            first, second = found[0] + 1, found[1] + 1
            what = f"what is as alternative {first} says is always as {second} says, too; any of them is taken"
            yield f"{pointer}/oneOf", what


@dataclass(slots=True)
class _Flat:
    kinds: set[str] = field(default_factory=set)
    properties: dict[str, Any] = field(default_factory=dict)
    required: set[str] = field(default_factory=set)
    rules: dict[str, Any] = field(default_factory=dict)
    opaque: bool = False


def _flat(document: Mapping[str, Any], schema: Any, depth: int = 0) -> _Flat:
    """A schema with all that its `allOf` adds."""
    found = _Flat()
    try:
        schema = resolve(document, schema)
    except KeyError:
        schema = None
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return _Flat(opaque=True)
    kinds = schema.get("type")
    found.kinds = {kinds} if isinstance(kinds, str) else set(kinds or ())
    properties, required = schema.get("properties"), schema.get("required")
    found.properties = dict(properties) if isinstance(properties, Mapping) else {}
    found.required = set(required) if isinstance(required, list) else set()
    found.opaque = any(word in schema for word in _OPAQUE)
    found.rules = {word: schema[word] for word in (*_BOUNDS, "enum", "const", "items") if word in schema}
    if isinstance(schema.get("additionalProperties"), Mapping) or schema.get("additionalProperties") is False:
        found.rules["additionalProperties"] = schema["additionalProperties"]
    for part in schema.get("allOf", ()):
        inner = _flat(document, part, depth + 1)
        found.kinds |= inner.kinds
        found.properties = {**inner.properties, **found.properties}
        found.required |= inner.required
        found.rules = {**inner.rules, **found.rules}
        found.opaque = found.opaque or inner.opaque
    if not found.kinds and found.properties:
        found.kinds = {"object"}
    return found


def _covers(document: Mapping[str, Any], wide: _Flat, narrow: _Flat, depth: int) -> bool:
    """Whether all that is as `narrow` describes, with no other fields than its own, fits `wide`, as far as one sees."""
    if wide.opaque or narrow.opaque or depth > _DEEPEST or not narrow.kinds:
        return False
    kinds = wide.kinds | ({"integer"} if "number" in wide.kinds else set())
    if wide.kinds and not narrow.kinds <= kinds:
        return False
    options = wide.rules.get("enum", [wide.rules["const"]] if "const" in wide.rules else None)
    if options is not None:
        own = narrow.rules.get("enum", [narrow.rules["const"]] if "const" in narrow.rules else None)
        if own is None or any(one not in options for one in own):
            return False
    if any(word in wide.rules and wide.rules[word] != narrow.rules.get(word) for word in _BOUNDS):
        return False
    if not wide.required <= narrow.required:
        return False
    if "additionalProperties" in wide.rules and not narrow.properties.keys() <= wide.properties.keys():
        return False
    pairs = [(wide.properties[name], narrow.properties[name]) for name in wide.properties.keys() & narrow.properties]
    if "items" in wide.rules and "array" in narrow.kinds:
        pairs.append((wide.rules["items"], narrow.rules.get("items", {})))
    return all(
        one == other or _covers(document, _flat(document, one), _flat(document, other), depth + 1)
        for one, other in pairs
    )
