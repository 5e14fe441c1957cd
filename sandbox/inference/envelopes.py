"""Envelopes: where in a body the records lie, be it `{data, meta}`, `{Invoices: […]}`, `{customer: {…}}` or none."""

from __future__ import annotations

from typing import Final

from sandbox.inference.meaning import Place
from sandbox.inference.schemas import Schema, fields_of, items_of, kind_of, plain
from sandbox.inference.words import same, words

USUAL: Final = ("data", "items", "results", "records", "entries", "content", "value", "values", "list", "objects")
_ONE: Final = ("data", "result", "item", "record", "resource", "object", "payload", "response", "attributes")
_OUTER: Final = ("data", "response", "result", "results", "_embedded", "embedded", "body", "payload", "page", "list")
# Beside the records of an answer, and never themselves the records.
_BESIDE: Final = frozenset(
    "meta metadata links paging pagination errors warnings error included extensions page summary facets "
    "aggregations messages request requestid traceid".split()
)
_MANY: Final = ("inputs", "items", "data", "records", "objects", "requests", "entities", "results", "operations")


def list_place(schema: Schema | None, name: str, document: Schema) -> Place | None:
    """Where the records of a list answer lie; None when the answer holds no array."""
    if schema is None:
        return None
    schema = plain(schema, document)
    if kind_of(schema, document) == "array":
        return Place((), many=True)
    found = _array(schema, name, document)
    if found is not None:
        return Place((found,), many=True)
    fields = fields_of(schema, document)
    for outer in (*_OUTER, *fields):
        inner = fields.get(outer)
        if inner is not None and not _is_beside(outer) and (nested := _array(plain(inner, document), name, document)):
            return Place((outer, nested), many=True)
    return None


def item_place(schema: Schema | None, name: str, ids: tuple[str, ...], document: Schema) -> Place | None:
    """Where the one record of an answer, or of a request's body, lies; None when it holds no object.

    Args:
        name: Of the collection.
        ids: What a record's own id may be called: an object that has one needs no envelope.
    """
    if schema is None:
        return None
    schema = plain(schema, document)
    if kind_of(schema, document) == "array":
        return Place((), many=True)
    fields = fields_of(schema, document)
    if not fields:
        return Place()
    named = next((field for field in fields if same(field, name)), None)
    if any(field in fields for field in ids) and not (named and len(_others(fields)) == 1):
        return Place()
    if named is None or not _holds(fields[named], document):
        others = _others(fields)
        holders = [field for field in others if _holds(fields[field], document)]
        usual = [field for field in holders if field.lower() in _ONE or (field.lower() in USUAL and len(others) == 1)]
        # A record may well have a part called `object` or `items`; an envelope has little besides.
        named = usual[0] if usual and len(others) <= 3 else None
        if named is None and len(holders) == 1 and len(_others(fields)) == 1:
            named = holders[0]
        last = words(name)[-1:] or ("",)
        if named is None:
            # `{plan_data: {…}}` or `{catalog_object: {…}}`: a noun of the collection, among few others.
            alike = [field for field in holders if same(words(field)[-1], last[0])]
            named = alike[0] if len(alike) == 1 and len(_others(fields)) <= 3 else None
    if named is None:
        return Place()
    many = kind_of(fields[named], document) == "array"
    if many or named.lower() not in _ONE:
        return Place((named,), many=many)
    inner = fields_of(plain(fields[named], document), document)
    deeper = next((field for field in inner if same(field, name) and _holds(inner[field], document)), None)
    if deeper is None or any(field in inner for field in ids):
        return Place((named,), many=False)
    return Place((named, deeper), many=kind_of(inner[deeper], document) == "array")


def batch_place(schema: Schema | None, name: str, document: Schema) -> Place | None:
    """Where the many records of a batch lie; None when a body holds no array."""
    if schema is None:
        return None
    schema = plain(schema, document)
    if kind_of(schema, document) == "array":
        return Place((), many=True)
    fields = fields_of(schema, document)
    arrays = [field for field, value in fields.items() if kind_of(value, document) == "array"]
    named = next((field for field in arrays if same(field, name)), None)
    named = named or next((field for field in _MANY if field in arrays), None)
    named = named or (arrays[0] if len(arrays) == 1 else None)
    return None if named is None else Place((named,), many=True)


def schema_there(schema: Schema | None, place: Place | None, document: Schema) -> Schema | None:
    """The schema of one record at a place, as written."""
    if schema is None or place is None:
        return None
    found: Schema | None = schema
    for name in place.path:
        found = fields_of(plain(found, document), document).get(name)
    if place.many:
        found = items_of(plain(found, document), document)
    return found


def _array(schema: Schema, name: str, document: Schema) -> str | None:
    """The array property of an object that holds its records."""
    fields = fields_of(schema, document)
    arrays = [field for field, value in fields.items() if kind_of(plain(value, document), document) == "array"]
    # Names as they stand come first, and then those that mean the same.
    usual = [field for field in arrays if field.lower() == name.lower() or field.lower() in USUAL]
    usual = usual or [field for field in arrays if same(field, name)]
    objects = [
        field
        for field in arrays
        if not _is_beside(field) and kind_of(items_of(fields[field], document) or {}, document) in ("object", "")
    ]
    return next(iter(usual or objects), None)


def is_usual(place: Place | None, name: str) -> bool:
    """Whether records lie where those of a list are expected."""
    if place is None or not place.many:
        return False
    return not place.path or place.path[-1].lower() in USUAL or same(place.path[-1], name)


def _holds(schema: Schema, document: Schema) -> bool:
    """Whether a property can hold records: an object, or an array of objects."""
    schema = plain(schema, document)
    kind = kind_of(schema, document)
    if kind == "array":
        return kind_of(items_of(schema, document) or {}, document) == "object"
    return kind == "object" and bool(fields_of(schema, document) or "additionalProperties" in schema)


def _others(fields: dict[str, Schema]) -> list[str]:
    return [field for field in fields if not _is_beside(field)]


def _is_beside(field: str) -> bool:
    return "".join(words(field)) in _BESIDE
