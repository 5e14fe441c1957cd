"""Answers and bodies of any system without their envelopes, as its operations are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sandbox.inference.schemas import fields_of, plain
from sandbox.model import JSON, PROBLEM, Json
from sandbox.operation import Operation
from sandbox.refusal import status_for


def record_in(operation: Operation, body: Json) -> Any:
    """The record that an answer tells of."""
    place = operation.meaning.answer_at
    found = body if place is None else place.get(body)
    return found[0] if isinstance(found, list) and found else found


def records_in(operation: Operation, body: Json) -> list[Any]:
    """The records of a list answer."""
    place = operation.meaning.answer_at
    found = body if place is None else place.get(body)
    return found if isinstance(found, list) else []


def sent_in(operation: Operation, body: Json) -> Any:
    """The record in a request's body."""
    place = operation.meaning.body_at
    found = place.get(body) if place.path else body
    return found[0] if isinstance(found, list) and found else found


def refusal_types(operation: Operation, status: int) -> Iterable[str]:
    """The content types of a refusal: those declared for it, else for any other, and the problem document's.

    Where an operation declares no refusal at all, it may refuse as others of its system do.
    """
    declared = operation.response_for(status)
    if declared is None:
        refusals = [one for code, one in operation.responses.items() if code[:1] in ("4", "5")]
        return {PROBLEM, *(name for one in refusals for name in one.content)} | (set() if refusals else {JSON})
    known = [name for name in declared.content if "*" not in name]
    return {PROBLEM, *known, *((JSON,) if "*/*" in declared.content else ())}


def can_show(operation: Operation, record: Json) -> bool:
    """Whether the schema of a success answer has room for a record, as another operation has shown it."""
    declared = operation.response_for(operation.success_status)
    media = None if declared is None else declared.preferred
    place = operation.meaning.answer_at
    if media is None or media.validator is None or place is None or place.path:
        return True
    return not media.validator.errors([record] if place.many else record)


def shown_fields(operation: Operation) -> frozenset[str]:
    """The fields that a record has in a success answer, as its schema declares them."""
    declared = operation.response_for(operation.success_status)
    media = None if declared is None else declared.preferred
    schema = None if media is None else media.schema
    for name in operation.meaning.answer_at.path if operation.meaning.answer_at is not None else ():
        schema = fields_of(plain(schema or {}, operation.document), operation.document).get(name)
    schema = plain(schema or {}, operation.document)
    return frozenset(fields_of(plain(schema.get("items", schema), operation.document), operation.document))


def refused_as(operation: Operation, *statuses: int) -> frozenset[int]:
    """The statuses of a refusal: those named, and what an operation that does not declare them declares instead."""
    return frozenset({*statuses, *(status_for(status, operation) for status in statuses)})
