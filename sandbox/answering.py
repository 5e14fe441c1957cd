"""The answers of a system without a mock's method: records in the envelope and the shape that the spec declares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeAlias

import orjson

from sandbox import deeds
from sandbox.exchange import Exchange
from sandbox.inference import Place, fields_of
from sandbox.inference.envelopes import schema_there
from sandbox.inference.schemas import plain
from sandbox.model import Json, Reply
from sandbox.operation import MediaType, Operation
from sandbox.seeded import SeededFaker
from sandbox.spec import Collection as CollectionSpec
from sandbox.store import Transaction
from sandbox.stored import Query, Record
from sandbox.values import Muse
from sandbox.world import rfc3339

Document: TypeAlias = dict[str, Json]
_TRIES: Final = 5


class Records(Protocol):
    """A collection as a mock's method sees it (`sandbox.system.Collection`)."""

    id_field: str

    def record(self, id: str) -> Record | None: ...  # noqa: A002 - the field's own name
    def get(self, id: str) -> Document | None: ...  # noqa: A002 - the field's own name
    def require(self, id: str) -> Document: ...  # noqa: A002 - the field's own name
    def add(self, record: Mapping[str, Json]) -> Document: ...
    def save(self, record: Mapping[str, Json]) -> Document: ...
    def put(self, record: Mapping[str, Json]) -> None: ...
    def remove(self, id: str) -> None: ...  # noqa: A002 - the field's own name
    def page(self, query: Query) -> list[Record]: ...
    def shown(self, record: Document) -> Document: ...


class Mock(Protocol):
    """A system as its methods see it (`sandbox.system.System`)."""

    exchange: Exchange
    transaction: Transaction

    @property
    def faker(self) -> SeededFaker: ...
    @property
    def timestamp(self) -> str: ...
    def seeded(self, *parts: str) -> SeededFaker: ...
    def emit(self, type: str, data: Json) -> None: ...  # noqa: A002 - the payload's own name
    def collection(self, name: str) -> Records: ...


class Answers:
    """What one call of one operation answers."""

    def __init__(self, mock: Mock, operation: Operation) -> None:
        self._mock = mock
        self._exchange = mock.exchange
        self._spec = mock.exchange.spec
        self._operation = operation
        self._meaning = operation.meaning
        self._shaper = self._spec.shaper
        # The records that the answer tells of.
        self._concerned: list[Document] = []

    @property
    def _records(self) -> Records:
        return self._mock.collection(self._meaning.collection or "")

    @property
    def _kind(self) -> CollectionSpec:
        return self._spec.collections[self._meaning.collection or ""]

    def _shown(self, record: Record) -> Document:
        return self._records.shown(record.body)

    def _answer(self, record: Document, status: int | None = None, *, gone: bool = False) -> Json | Reply:
        """The answer that tells of one record."""
        at = self._meaning.answer_at or Place()
        shown = self._records.shown(record)
        self._concerned = [shown]
        told = self._operation.cache.get("told")
        if not isinstance(told, frozenset):
            told = self._operation.cache["told"] = self._told(status or self._operation.success_status, at)
        # What is told once, when the record is made, such as a secret.
        shown |= {name: record[name] for name in told if name in record}
        if gone and self._media(status or self._operation.success_status) is None:
            return None
        return self._shaped(at.put([shown] if at.many else shown), status)

    def _told(self, status: int, at: Place) -> frozenset[str]:
        """The fields that this answer shows although the record's own schema hides them."""
        media, kind = self._media(status), self._spec.collections.get(self._meaning.collection or "")
        schema = schema_there(None if media is None else media.schema, at, self._spec.document)
        if schema is None or kind is None:
            return frozenset()
        fields = fields_of(plain(schema, self._spec.document), self._spec.document)
        hidden = {name for name, field in kind.fields.items() if field.get("writeOnly")}
        return frozenset(name for name in hidden & fields.keys() if not fields[name].get("writeOnly"))

    def _answer_all(self, records: list[Document], *, gone: bool = False) -> Json | Reply:
        """The answer that tells of several records."""
        at = self._meaning.answer_at or Place()
        shown = [self._records.shown(record) for record in records]
        self._concerned = shown
        if gone and self._media(self._operation.success_status) is None:
            return None
        if not at.many:
            return self._shaped(at.put(shown[0] if shown else {}))
        return self._shaped(at.put(shown), facts={"count": len(shown), "total": len(shown), "place": at.path})

    def _parts(self) -> Document:
        """What the request itself says, for an answer that may say it again."""
        body = self._exchange.body
        found = {one.name: self._exchange.parameters.get(one.python_name) for one in self._operation.parameters}
        found = {name: value for name, value in found.items() if value is not None}
        return {**found, **(body if isinstance(body, dict) else {})}

    def _made(self, known: Document) -> Json | Reply:
        """An answer that nothing is kept of: as its schema says, with what is known."""
        media = self._media(self._operation.success_status)
        schema = {} if media is None or media.schema is None else media.schema
        document = self._spec.document
        place = self._meaning.answer_at or Place()
        inner: Any = plain(schema, document)
        for name in place.path:
            inner = plain(fields_of(inner, document).get(name, {}), document)
        inner = plain(inner.get("items", {}), document) if place.many else inner
        fields = fields_of(inner, document)
        said = {name: value for name, value in known.items() if name in fields}
        body: Any = said if not place.many else [said]
        if not fields:
            body = None
        example = None if media is None else media.example
        if isinstance(example, dict) and not place.path:
            body = {**example, **(said if isinstance(body, dict) else {})}
        elif example is not None and not isinstance(example, dict):
            body = example
        return self._shaped(place.put(body) if body is not None else None, made=True)

    def _media(self, status: int) -> MediaType | None:
        """What is declared for a status, JSON if possible; None where there is no body."""
        declared = self._operation.response_for(status)
        return None if declared is None or not declared.content else declared.preferred

    def _shaped(
        self,
        body: Json,
        status: int | None = None,
        *,
        facts: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        made: bool = False,
    ) -> Json | Reply:
        """The body in the shape that the spec declares for it."""
        status = status or self._operation.success_status
        media = self._media(status)
        if media is None:
            return Reply(None, status, dict(headers or {}))
        if media.validator is None and not media.is_json:
            return deeds.blob(media.name, status)
        schema = media.schema or {}
        if facts is not None and isinstance(body, dict):
            body = deeds.tell(schema, self._spec.document, body, facts)
        if body is None or (media.validator is not None and media.validator.errors_of(orjson.dumps(body), body)):
            parts = [str(value) for value in self._exchange.path_parameters.values()]
            stamp = rfc3339(self._exchange.world.clock.now())
            muse = Muse(self._mock.seeded("answer", self._operation.id, *parts), stamp)
            body = self._fit(media, schema, muse, body, made=made)
        return Reply(body, status, dict(headers or {}), media.name if media.is_json else "application/json")

    def _fit(self, media: MediaType, schema: Any, muse: Muse, body: Json, *, made: bool) -> Json:
        known = {} if body is None else {"given": body}
        shaped = self._shaper.complete(schema, muse, made=made, **known)
        if media.validator is None:
            return shaped
        for attempt in range(_TRIES):
            errors = media.validator.errors(shaped)
            if not errors:
                break
            for error in errors:
                shaped = self._shaper.mend(schema, muse, shaped, error.pointer, attempt)
        return shaped
