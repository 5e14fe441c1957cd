"""Which business object a call is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from sandbox.expression import Expression, as_text
from sandbox.inference.meaning import Meaning
from sandbox.inference.schemas import Schema
from sandbox.inference.words import singulars, words

# What callers name their business objects by, the likeliest first; before each may stand what the collection holds.
_KEYS: Final = (
    ("order", "number"),
    ("order", "reference"),
    ("order", "id"),
    ("external", "id"),
    ("external", "reference"),
    ("external", "order", "id"),
    ("client", "reference", "id"),
    ("merchant", "reference"),
    ("merchant", "order", "id"),
    ("reference", "id"),
    ("reference", "number"),
    ("reference",),
    ("number",),
)


def key_field_of(sent: Mapping[str, Schema], fields: Mapping[str, Schema], name: str) -> str | None:
    """The field that says which business object a record belongs to, by the names that callers use for it.

    Args:
        sent: What one sends to create a record.
        fields: What a record has.
        name: Of the collection.
    """
    by_words = {words(field): field for field in sent if field in fields}
    own = singulars(name)[-1:]
    for candidate in ((*own, "number"), (*own, "reference"), *_KEYS):
        if candidate in by_words and sent[by_words[candidate]].get("type") not in ("object", "array", "boolean"):
            return by_words[candidate]
    return None


class Addressed(Protocol):
    """An operation, as far as its business key goes."""

    @property
    def meaning(self) -> Meaning: ...

    @property
    def expressions(self) -> tuple[Expression, ...]: ...


def business_key(
    operation: Addressed,
    *,
    path: Mapping[str, Any],
    query: Mapping[str, Any],
    body: object,
    record: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None = None,
) -> str | None:
    """Which business object a call is about.

    With `x-business-key`: the first of its expressions that resolves. Without: the collection's key field, looked up in
    the record, the path, the query and the body; else the id in the path; else the id that the body brings along.

    Args:
        operation: The called operation.
        path: Path parameters by the names of the spec.
        query: Query parameters by the names of the spec.
        body: The parsed body, not yet validated; None when there is none.
        record: The stored record that the path addresses, if there is one.
        headers: Header fields, by any case.

    Returns:
        At most 255 characters, or None when the call is about no business object.
    """
    if operation.expressions:
        found = (
            expression.evaluate(path=path, query=query, headers=headers or {}, body=body, record=record)
            for expression in operation.expressions
        )
        return next((text for text in found if text is not None), None)
    meaning = operation.meaning
    sent = meaning.body_at.get(body) if meaning.body_at.path else body
    if isinstance(sent, list):
        sent = sent[0] if sent else None
    if meaning.key_field is not None:
        for source in (record, path, query, sent):
            if isinstance(source, Mapping) and (text := as_text(source.get(meaning.key_field))) is not None:
                return text
    if meaning.id_parameter is not None:
        return as_text(path.get(meaning.id_parameter))
    if meaning.action == "create" and isinstance(sent, Mapping) and meaning.id_field is not None:
        return as_text(sent.get(meaning.id_field))
    return None
