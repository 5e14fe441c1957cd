"""The payload of an event in the shape that its spec declares; where that is ours, or open, as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from sandbox.inference.schemas import fields_of, kind_of, plain
from sandbox.inference.words import words
from sandbox.model import Event, dump
from sandbox.schema import Apart, SchemaValidator
from sandbox.seeded import SeededFaker
from sandbox.spec import Spec
from sandbox.values import Muse

_TYPES: Final = frozenset(
    "type,event,event type,topic,event name,webhook type,action,kind,subscription type".split(",")
)
_IDS: Final = frozenset("id,event id,webhook id,delivery id,uuid".split(","))
_MOMENTS: Final = frozenset("timestamp,created,created at,occurred at,date,time,sent at,event time".split(","))
_HOLDERS: Final = ("data", "object", "payload", "resource", "record", "entity", "body", "attributes", "current")
_DEEPEST: Final = 3
_TRIES: Final = 5


@dataclass(frozen=True, slots=True)
class Payload:
    """What a spec says of the payload of an event.

    Args:
        apart: The validator in two, of what stands around `data` and of that.
        usual: Whether it is left open, or is as Standard Webhooks have it: a type and its data.
    """

    validator: SchemaValidator
    apart: Apart | None
    usual: bool


def payload_of(spec: Spec, type_: str) -> Payload:
    """What a spec says of the payload of an event that it declares."""
    validator = spec.events[type_]
    fields = fields_of(plain(validator.schema, spec.document), spec.document)
    return Payload(validator, validator.apart("data"), not fields or {"type", "data"} <= fields.keys())


def shape_event(spec: Spec, event: Event, faker: SeededFaker) -> Event:
    """The event with a payload that its validator takes, if one can be made of it."""
    validator = spec.events[event.type]
    document = spec.document
    schema = plain(validator.schema, document)
    payload = orjson.loads(event.body)
    stamp = str(payload["timestamp"])
    muse = Muse(faker, stamp)
    known = _filled(schema, document, event, payload["data"], muse, 0)
    body = spec.shaper.complete(schema, muse, known)
    for attempt in range(_TRIES):
        errors = validator.errors(body)
        if not errors:
            break
        for error in errors:
            body = spec.shaper.mend(schema, muse, body, error.pointer, attempt)
    return replace(event, body=dump(body))


def _filled(schema: Any, document: Mapping[str, Any], event: Event, data: Any, muse: Muse, depth: int) -> Any:
    """What is known of a payload: the record where one is expected, and the event's own facts around it."""
    fields = fields_of(plain(schema, document), document)
    record = data if isinstance(data, Mapping) else {}
    holder = next((name for name in fields if _holds(name, fields[name], event, document)), None)
    if holder is None or depth >= _DEEPEST:
        return dict(record)
    found: dict[str, Any] = {}
    for name, inner in fields.items():
        said, kind = " ".join(words(name)), kind_of(plain(inner, document), document)
        if name == holder:
            found[name] = _filled(inner, document, event, data, muse, depth + 1)
        elif said in _TYPES and kind == "string":
            found[name] = event.type
        elif said in _IDS and kind == "string":
            found[name] = event.id
        elif said in _MOMENTS and kind in ("string", "integer", "number"):
            found[name] = muse.timestamp if kind == "string" else muse.unix
    return found


def _holds(name: str, schema: Mapping[str, Any], event: Event, document: Mapping[str, Any]) -> bool:
    if kind_of(plain(schema, document), document) != "object":
        return False
    return name.lower() in _HOLDERS or (bool(words(name)) and words(name)[-1] in words(event.type))
