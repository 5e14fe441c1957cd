"""The answers of a system without a mock's method: records in the envelope and the shape that the spec declares."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import quote

import orjson

from sandbox import deeds, xml_bodies
from sandbox.clock import rfc3339
from sandbox.exchange import Exchange
from sandbox.expansion import expand, wanted
from sandbox.inference import Place, fields_of
from sandbox.inference.envelopes import schema_there
from sandbox.inference.schemas import plain
from sandbox.model import Json, Reply
from sandbox.operation import MediaType, Operation, is_xml
from sandbox.seeded import SeededFaker
from sandbox.spec import Collection as CollectionSpec
from sandbox.store import Transaction
from sandbox.stored import Query, Record
from sandbox.told import headers_of, self_link
from sandbox.values import Muse

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
    def total(self, query: Query) -> int: ...
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
        shown = self._expanded(shown)
        if gone and self._media(status or self._operation.success_status) is None:
            return self._shaped(None)
        return self._shaped(at.put([shown] if at.many else shown), status)

    def _expanded(self, shown: Document) -> Document:
        """The record with its own address, and with what the caller wants to see of others in it."""
        place, path = self._address
        if place and (address := self._at(path, shown)) is not None:
            shown = deeds.merge_patch(shown, Place(place).put(address))
        if not self._kind.references or not self._ways:
            return shown
        return expand(self._spec, self._look, self._kind, shown, self._ways)

    @property
    def _address(self) -> tuple[tuple[str, ...], str]:
        """Where a record says its own address, and the path at which it is read."""
        known = self._operation.cache.get("address")
        if not isinstance(known, tuple):
            reading = next((one for one in self._spec.operations.values() if self._reads(one)), None)
            place = () if reading is None else self_link(self._kind.schema, self._spec.document)
            known = self._operation.cache["address"] = place, "" if reading is None else reading.path
        return known

    def _reads(self, operation: Operation) -> bool:
        meaning = operation.meaning
        return meaning.action == "read" and meaning.collection == self._meaning.collection and not meaning.single

    def _at(self, path: str, record: Document) -> str | None:
        """The address of a record; None where more than its id and what this path says is needed to tell."""
        *front, last = path.split("/")
        known = {f"{{{name}}}": value for name, value in self._exchange.path_parameters.items()}
        parts = [known.get(part, part) for part in front]
        id_ = record.get(self._kind.id_field)
        if id_ is None or any("{" in part for part in parts):
            return None
        whole = "/".join([*parts, re.sub(r"\{[^{}]*\}", lambda _: str(id_), last)])
        return self._exchange.origin + quote(self._exchange.root + whole, safe="/:@'(),~")

    @functools.cached_property
    def _ways(self) -> tuple[tuple[str, ...], ...]:
        return wanted(self._exchange, self._operation)

    def _look(self, collection: str, id_: str) -> Document | None:
        records = self._mock.collection(collection)
        found = records.get(id_)
        return None if found is None else records.shown(found)

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
            return self._shaped(None)
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
        headers = {**self._declared_headers(status, facts), **(headers or {})}
        if media is None:
            return Reply(None, status, headers)
        if media.validator is None and not media.is_json:
            return replace(deeds.blob(media.name, status), headers=headers)
        schema = media.schema or {}
        if facts is not None and isinstance(body, dict):
            body = deeds.tell(schema, self._spec.document, body, facts)
        if body is None or (media.validator is not None and media.validator.errors_of(orjson.dumps(body), body)):
            parts = [str(value) for value in self._exchange.path_parameters.values()]
            stamp = rfc3339(self._exchange.world.clock.now())
            muse = Muse(self._mock.seeded("answer", self._operation.id, *parts), stamp)
            body = self._fit(media, schema, muse, body, made=made)
        if is_xml(media.name):
            return Reply(xml_bodies.written(body, schema, self._spec.document), status, headers, media.name)
        return Reply(body, status, headers, media.name if media.is_json else "application/json")

    def _declared_headers(self, status: int, facts: Mapping[str, Any] | None) -> dict[str, str]:
        declared = self._operation.response_for(status)
        if declared is None or not declared.described:
            return {}
        stamp = rfc3339(self._exchange.world.clock.now())
        seed = f"{self._exchange.world.seed}\n{self._operation.id}\n{self._exchange.seq}"
        return headers_of(declared, self._shaper, seed, stamp, facts)

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
