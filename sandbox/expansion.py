"""`expand=customer`: what an answer points at by its id stands there itself, where the spec lets it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeAlias

from sandbox.exchange import Exchange
from sandbox.inference.schemas import kind_of, schema_at
from sandbox.inference.words import words
from sandbox.model import Json
from sandbox.operation import Operation
from sandbox.spec import Collection, Spec

Document: TypeAlias = dict[str, Json]
# The record of a collection and an id as answers show it, if there is one.
Look: TypeAlias = Callable[[str, str], Document | None]

_NAMES: Final = frozenset(("expand", "include", "embed", "includes", "expansions"))
_DEEPEST: Final = 4
_MOST: Final = 50


def wanted(exchange: Exchange, operation: Operation) -> tuple[tuple[str, ...], ...]:
    """The ways to what a request wants to see: `invoice.customer`, in its query or in its body."""
    body = exchange.body if isinstance(exchange.body, Mapping) else {}
    named = [exchange.parameters.get(one.python_name) for one in operation.parameters if _asks(one.name)]
    named += [value for name, value in body.items() if _asks(name)]
    found = dict.fromkeys(path for value in named for path in _paths(value))
    return tuple(found)[:_MOST]


def expand(spec: Spec, look: Look, kind: Collection, record: Document, paths: tuple[tuple[str, ...], ...]) -> Document:
    """A record in which the ids at the ends of some ways are the records that they point at."""
    found = dict(record)
    for first, *rest in paths:
        # `expand=customer` of a record that has a `customer_id`, and could have a `customer`.
        beside = (name for name in kind.references if words(name)[:-1] == words(first))
        field = first if first in found else next(beside, "")
        target = kind.references.get(field)
        if field not in found or target is None or not _holds_object(kind.fields.get(first, {}), spec.document):
            continue
        there = found[field]
        inner = there if isinstance(there, dict) else look(target, str(there))
        if inner is not None:
            below = (tuple(rest),) if rest else ()
            found[first] = expand(spec, look, spec.collections[target], inner, below)
    return found


def _asks(name: str) -> bool:
    return len(words(name)) == 1 and words(name)[0] in _NAMES


def _paths(value: Any) -> Iterator[tuple[str, ...]]:
    for text in value if isinstance(value, list) else str(value or "").split(","):
        parts = [part for part in str(text).strip().split(".") if part]
        # Of a list, `data.customer` is what each of its records calls `customer`.
        parts = parts[1:] if parts[:1] in (["data"], ["*"]) and len(parts) > 1 else parts
        if parts:
            yield tuple(parts[:_DEEPEST])


def _holds_object(schema: Any, document: Mapping[str, Any]) -> bool:
    schema = schema_at(document, schema)
    choices = [*(schema.get("anyOf") or ()), *(schema.get("oneOf") or ())]
    return kind_of(schema, document) == "object" or any(kind_of(one, document) == "object" for one in choices)
