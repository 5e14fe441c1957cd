"""Believable values for a schema: its examples first, then its own constraints, then Faker by name and format."""

from __future__ import annotations

import functools
import random
from collections.abc import Mapping
from typing import Any, Final

from faker import Faker

from sandbox.document import resolve

_DEEPEST: Final = 8

_BY_FORMAT: Final = {
    "email": "email",
    "uuid": "uuid4",
    "uri": "url",
    "url": "url",
    "ipv4": "ipv4",
    "date": "date",
    "hostname": "hostname",
}
_BY_NAME: Final = {
    "email": "email",
    "phone": "phone_number",
    "name": "name",
    "first_name": "first_name",
    "last_name": "last_name",
    "company": "company",
    "street": "street_address",
    "city": "city",
    "postal_code": "postcode",
    "country": "country_code",
    "currency": "currency_code",
    "description": "sentence",
    "url": "url",
}


@functools.cache
def _faker() -> Faker:
    # Loading Faker's providers takes far longer than a call may; they keep no state but the random source.
    return Faker()


class SeededFaker:
    """Faker with a random source of its own, cheap to make: `SeededFaker(random.Random(7)).name()`."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def __getattr__(self, provider: str) -> Any:
        faker: Any = _faker()
        faker.random = self._chance
        return getattr(faker, provider)


def sample(
    schema: Mapping[str, Any],
    document: Mapping[str, Any],
    faker: SeededFaker,
    timestamp: str,
    name: str = "",
    depth: int = 0,
) -> Any:
    """A value that fits a schema.

    Args:
        schema: An OpenAPI 3.0 schema object.
        document: The document in which its references lie.
        faker: The seeded source of data.
        timestamp: What a `date-time` is filled with (RFC 3339).
        name: The property's name, which says what kind of text is believable.
    """
    schema = resolve(document, schema)
    for keyword in ("example", "default"):
        if keyword in schema:
            return schema[keyword]
    if schema.get("enum"):
        return schema["enum"][0]

    def part(inner: Mapping[str, Any], called: str = name) -> Any:
        return sample(inner, document, faker, timestamp, called, depth + 1)

    alternatives = schema.get("oneOf") or schema.get("anyOf")
    if alternatives:
        return part(alternatives[0])
    if "allOf" in schema:
        return _merged([part(inner) for inner in schema["allOf"]])
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if kind == "object":
        properties = schema.get("properties", {})
        wanted = schema.get("required", ()) if depth <= _DEEPEST else ()
        return {key: part(properties.get(key, {}), key) for key in wanted}
    if kind == "array":
        return [part(schema.get("items", {})) for _ in range(schema.get("minItems", 0))]
    return _scalar(schema, faker, timestamp, name, kind)


def _merged(parts: list[Any]) -> Any:
    merged: dict[str, Any] = {}
    for part in parts:
        if isinstance(part, dict):
            merged |= part
    return merged or (parts[0] if parts else None)


def _scalar(schema: Mapping[str, Any], faker: SeededFaker, timestamp: str, name: str, kind: str) -> Any:
    if kind == "boolean":
        return False
    if kind in ("integer", "number"):
        low = schema.get("minimum", 0)
        return low + 1 if schema.get("exclusiveMinimum") is True else low
    return _text(schema, faker, timestamp, name)


def _text(schema: Mapping[str, Any], faker: SeededFaker, timestamp: str, name: str) -> str:
    form = schema.get("format")
    if form == "date-time":
        return timestamp
    provider = _BY_FORMAT.get(form or "") or _BY_NAME.get(name)
    text = str(getattr(faker, provider)()) if provider else f"{name or 'text'}"
    text = text[: schema.get("maxLength", 255)]
    return text.ljust(schema.get("minLength", 0), "x")
