"""Records that are there from the beginning, in collections that nothing else fills."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.answering import Mock
from sandbox.model import Json
from sandbox.spec import Collection as CollectionSpec
from sandbox.values import Muse

_SUPPLIED: Final = 3


def supply_below(mock: Mock, kind: CollectionSpec, record: Mapping[str, Json]) -> None:
    """Put some records below a new one into the collections that nothing else fills."""
    id_ = record[kind.id_field]
    for below in mock.exchange.spec.collections.values():
        parent = below.parent
        if below.supplied and below.fields and parent is not None and parent.collection == kind.name:
            supply(mock, below.name, {parent.field: id_}, str(id_))


def supply(mock: Mock, name: str, known: Mapping[str, Json] | None = None, whose: str = "") -> None:
    """Put some records into a collection that nothing else fills.

    Args:
        known: What they have in common, such as their parent's id.
        whose: Their parent's id.
    """
    spec = mock.exchange.spec
    kind = spec.collections[name]
    options = kind.fields.get(kind.id_field, {}).get("enum") or []
    for number in range(len(options[:_SUPPLIED]) or _SUPPLIED):
        muse = Muse(mock.seeded(name, whose, str(number)), mock.timestamp)
        made = spec.shaper.complete(kind.schema, muse, dict(known or {}), made=True)
        record = {**(made if isinstance(made, dict) else {}), **(known or {})}
        if number or known or record.get(kind.id_field) is None:
            record.pop(kind.id_field, None)
        if options:
            record[kind.id_field] = options[number]
        id_ = record.get(kind.id_field)
        if id_ is None or mock.collection(name).record(str(id_)) is None:
            supply_below(mock, kind, mock.collection(name).add(record))
