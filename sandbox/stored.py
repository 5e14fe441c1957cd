"""What the store keeps: records, and what one asks of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.model import Answer

Document = dict[str, Any]


class Record:
    """A stored document with what the engine knows about it; nobody changes it.

    Attributes:
        seq: Its place in the order of creation.
        version: Counts real changes from 1; the strong ETag of RFC 9110 is made of it.
        updated: Unix seconds of the last real change.
        raw: The document as JSON.
        answers: By operation, the answer that shows it, as long as it is what it is.
    """

    __slots__ = ("_body", "answers", "collection", "id", "raw", "seq", "updated", "version")

    def __init__(self, collection: str, id: str, seq: int, version: int, updated: float, raw: bytes) -> None:  # noqa: A002 - the column's own name
        self.collection = collection
        self.id = id
        self.seq = seq
        self.version = version
        self.updated = updated
        self.raw = raw
        self.answers: dict[str, Answer] = {}
        self._body: Document | None = None

    @property
    def body(self) -> Document:
        """The document, shared by all who see the record: to be looked at only."""
        if self._body is None:
            self._body = orjson.loads(self.raw)
        return self._body

    def changed(self, at: float, body: Mapping[str, Any]) -> Record:
        """The next version of the record."""
        return Record(self.collection, self.id, self.seq, self.version + 1, at, orjson.dumps(body))

    def copy(self) -> Document:
        """The document, for whoever asks to keep and change."""
        copied: Document = orjson.loads(self.raw)
        return copied

    def terms(self, indexed: frozenset[str]) -> set[tuple[str, str]]:
        """The fields that queries look up, each with its value as text."""
        return {
            (field, term(value))
            for field in indexed
            if (value := self.body.get(field)) is not None and not isinstance(value, (dict, list))
        }


@dataclass(frozen=True, slots=True)
class Query:
    """Which records of a collection, in the order they were created.

    Attributes:
        after: They are behind this place.
        skip: So many of them are left out.
    """

    equals: Mapping[str, Any]
    updated_since: float | None = None
    after: int = 0
    limit: int | None = None
    skip: int = 0

    def matches(self, record: Record, indexed: frozenset[str]) -> bool:
        """Whether it asks for a record, as the database would say that looks up the indexed fields as text."""
        if record.seq <= self.after or (self.updated_since is not None and record.updated < self.updated_since):
            return False
        for field, wanted in self.equals.items():
            value = record.body.get(field)
            if field not in indexed:
                if value != wanted:
                    return False
            elif value is None or isinstance(value, (dict, list)) or term(value) != term(wanted):
                return False
        return True


Place = tuple[str, str]
"""A collection and the id of a record in it."""
Before = Mapping[Place, tuple[Record | None, frozenset[str]]]
"""What a record was before (None: it was not there) and which of its fields are indexed."""


@dataclass(frozen=True, slots=True)
class Made:
    """Records, each with its indexed fields, and the last place taken in each collection."""

    records: tuple[tuple[Record, frozenset[str]], ...]
    last: Mapping[str, int]


def term(value: Any) -> str:
    """A value as it is looked up; true is not 1, and neither is "1" when they are compared as JSON."""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
