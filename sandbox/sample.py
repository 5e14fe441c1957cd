"""Believable values for a schema: its examples first, then its own constraints, then Faker by name and format."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from faker import Faker

from sandbox.document import resolve

_DEEPEST: Final = 8
_MOST_TAPES: Final = 2000
# What may be handed out again, because nobody can change it.
_PLAIN: Final = (str, int, float, bool, tuple)

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
    # Weighing names by how common they are makes each draw walk through all of them.
    return Faker(use_weighting=False)


@dataclass(slots=True)
class Tape:
    """What was drawn from one random source, in order: what was asked for, and what came."""

    draws: list[tuple[tuple[Any, ...], Any]] = field(default_factory=list)


class Tapes:
    """The tapes of many sources; the same source draws the same again, in each life of a world and for each order."""

    def __init__(self) -> None:
        self._kept: dict[object, Tape] = {}

    def of(self, source: object) -> Tape:
        """The tape of a source; of many, all are forgotten."""
        tape = self._kept.get(source)
        if tape is None:
            if len(self._kept) >= _MOST_TAPES:
                self._kept.clear()
            tape = self._kept[source] = Tape()
        return tape


class SeededFaker:
    """Faker with a random source of its own, cheap to make: `SeededFaker(lambda: random.Random(7)).name()`.

    Args:
        source: Makes the random source, which a tape may render needless.
        tape: What the same source gave before.
    """

    def __init__(self, source: Callable[[], random.Random], tape: Tape | None = None) -> None:
        self._source = source
        self._tape = tape
        self._place = 0
        self._chance: random.Random | None = None

    def __getattr__(self, provider: str) -> Any:
        if self._tape is None:
            return getattr(self._live(), provider)
        return functools.partial(self._draw, self._tape, provider)

    def _live(self) -> Any:
        faker: Any = _faker()
        if self._chance is None:
            self._chance = self._source()
        faker.random = self._chance
        return faker

    def _draw(self, tape: Tape, provider: str, *args: Any, **named: Any) -> Any:
        asked = (provider, args, tuple(named.items()))
        if self._chance is None:
            if self._place < len(tape.draws) and tape.draws[self._place][0] == asked:
                self._place += 1
                return tape.draws[self._place - 1][1]
            for (name, given, also), _ in tape.draws[: self._place]:
                getattr(self._live(), name)(*given, **dict(also))
        value = getattr(self._live(), provider)(*args, **named)
        if self._place == len(tape.draws) and isinstance(value, _PLAIN):
            tape.draws.append((asked, value))
            self._place += 1
        else:
            self._place = -1
        return value


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
