"""The base class of a mock: what a method of `mocks/NAME.py` sees.

A system without a mock class is a stateful mock all the same: each operation then does what its path and method mean.
"""

from __future__ import annotations

import functools
import itertools
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import orjson

from sandbox.exchange import Exchange
from sandbox.inference import fields_of
from sandbox.model import JSON, Json, Problem, Reply
from sandbox.pages import read_page
from sandbox.sample import SeededFaker, sample
from sandbox.spec import Collection as CollectionSpec
from sandbox.spec import Operation
from sandbox.store import Transaction
from sandbox.stored import Query, Record
from sandbox.world import rfc3339

Document = dict[str, Json]


@dataclass(frozen=True, slots=True)
class Emission:
    """An event that a method wants sent."""

    type: str
    key: str
    data: Json


class Collection:
    """The records of one collection, as a mock's method sees them; each record you get is your own copy."""

    def __init__(self, system: System, name: str, spec: CollectionSpec | None, indexed: frozenset[str]) -> None:
        self._system = system
        self._name = name
        self._stored_as = f"{system.name}.{name}"
        self._spec = spec
        self._indexed = indexed
        self.id_field = spec.id_field if spec is not None else "id"

    def record(self, id: str) -> Record | None:  # noqa: A002 - the field's own name
        """The stored record with its version, or None."""
        return self._system.transaction.get(self._stored_as, id)

    def get(self, id: str) -> Document | None:  # noqa: A002
        """The record of that id, or None."""
        record = self.record(str(id))
        return None if record is None else record.copy()

    def require(self, id: str) -> Document:  # noqa: A002
        """The record of that id.

        Raises:
            Problem: 404 when there is none.
        """
        return self.required(str(id)).copy()

    def required(self, id_: str) -> Record:
        """The stored record.

        Raises:
            Problem: 404 when there is none.
        """
        record = self.record(id_)
        if record is None:
            raise Problem(404, f"there is no {self._name.replace('_', ' ').removesuffix('s')} {id_[:80]!r}")
        return record

    def find(self, **equals: Json) -> list[Document]:
        """The records whose fields have these values, in the order they were created."""
        return [record.copy() for record in self._query(Query(equals))]

    def first(self, **equals: Json) -> Document | None:
        """The oldest record whose fields have these values, or None."""
        found = self._query(Query(equals, limit=1))
        return found[0].copy() if found else None

    def count(self, **equals: Json) -> int:
        return len(self._query(Query(equals)))

    def page(self, query: Query) -> list[Record]:
        """The records of one page; `query` says which."""
        return self._query(query)

    def add(self, record: Mapping[str, Json]) -> Document:
        """Create a record; id and time stamps are filled in where the schema has them.

        Raises:
            Problem: 409 when there is one with this id.
        """
        system = self._system
        body = dict(record)
        seq = system.transaction.next_seq(self._stored_as)
        if body.get(self.id_field) is None:
            body[self.id_field] = self._new_id(seq)
        id_ = str(body[self.id_field])
        if self.record(id_) is not None:
            raise Problem(
                409,
                f"{self.id_field} {id_[:80]!r} exists already",
                type="already-exists",
                errors=[{"pointer": f"/{self.id_field}", "detail": "is taken"}],
            )
        if self._spec is not None:
            for stamp, has in (("created_at", self._spec.has_created_at), ("updated_at", self._spec.has_updated_at)):
                if has and body.get(stamp) is None:
                    body[stamp] = system.timestamp
        now = system.exchange.world.clock.now()
        stored = Record(self._stored_as, id_, seq, 1, now, orjson.dumps(body))
        system.transaction.write(stored, self._indexed)
        return stored.copy()

    def _new_id(self, seq: int) -> str | int:
        """An id as the record's schema has it: a number, a UUID or a text."""
        schema = self._spec.fields.get(self.id_field, {}) if self._spec is not None else {}
        if schema.get("type") in ("integer", "number"):
            return next(number for number in itertools.count(seq) if self.record(str(number)) is None)
        if schema.get("format") == "uuid":
            return str(uuid.UUID(int=self._system.random.getrandbits(128), version=4))
        return self._system.new_id(self._name[:3])

    def save(self, record: Mapping[str, Json]) -> Document:
        """Replace the record of the same id; one that is the same already stays as it was, version and all.

        Raises:
            Problem: 404 when there is none.
        """
        body = _copy(record)
        old = self.required(str(body[self.id_field]))
        if body == old.body:
            return body
        if self._spec is not None and self._spec.has_updated_at:
            body["updated_at"] = self._system.timestamp
        now = self._system.exchange.world.clock.now()
        self._system.transaction.write(old.changed(now, body), self._indexed)
        return body

    def put(self, record: Mapping[str, Json]) -> None:
        """Keep a record just as it is, time stamps and all, in place of what has its id."""
        id_ = str(record[self.id_field])
        old = self.record(id_)
        transaction, now = self._system.transaction, self._system.exchange.world.clock.now()
        seq, version = (transaction.next_seq(self._stored_as), 1) if old is None else (old.seq, old.version + 1)
        transaction.write(Record(self._stored_as, id_, seq, version, now, orjson.dumps(record)), self._indexed)

    def remove(self, id: str) -> None:  # noqa: A002
        """Delete a record.

        Raises:
            Problem: 404 when there is none.
        """
        self._system.transaction.delete(self.required(str(id)), self._indexed)

    def shown(self, record: Document) -> Document:
        """The record without what its schema calls `writeOnly`."""
        if self._spec is None:
            return record
        hidden = [name for name, schema in self._spec.fields.items() if schema.get("writeOnly")]
        return {name: value for name, value in record.items() if name not in hidden}

    def _query(self, query: Query) -> list[Record]:
        return self._system.transaction.query(self._stored_as, query, self._indexed)


class System:
    """A mocked API. A mock's class adds one public method per operation whose rules its spec cannot say.

    A method takes the operation's path and query parameters and `body` by name, as many of them as it wants, and
    returns a body, `None` or a `Reply`; it refuses by raising `Problem`. An instance lives for one call.
    """

    def __init__(self, exchange: Exchange, transaction: Transaction) -> None:
        self.exchange = exchange
        self.transaction = transaction
        self.name = exchange.spec.name
        self.emitted: list[Emission] = []
        self._drawn = 0
        self._collections: dict[str, Collection] = {}
        address = exchange.address
        self._chance_name = (
            (self.name, "populate")
            if address is None
            else (address.system, address.operation, address.key, str(address.occurrence))
        )

    @functools.cached_property
    def random(self) -> random.Random:
        """Chance that depends on the seed and on which call this is."""
        return self.exchange.world.random(*self._chance_name)

    def populate(self) -> None:
        """Fill a fresh world; called once, before the first call."""

    def __getattr__(self, name: str) -> Collection:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.collection(name)

    def collection(self, name: str) -> Collection:
        """The collection of that name."""
        found = self._collections.get(name)
        if found is None:
            spec = self.exchange.spec
            found = Collection(self, name, spec.collections.get(name), self.exchange.indexed.get(name, frozenset()))
            self._collections[name] = found
        return found

    @property
    def now(self) -> datetime:
        """The world's time (UTC)."""
        return datetime.fromtimestamp(self.exchange.world.clock.now(), UTC)

    @property
    def timestamp(self) -> str:
        """The world's time as RFC 3339."""
        return rfc3339(self.exchange.world.clock.now())

    @property
    def faker(self) -> SeededFaker:
        """Believable data that depends on the seed and on which call this is."""
        return SeededFaker(lambda: self.random)

    def seeded(self, *parts: str) -> SeededFaker:
        """Believable data that depends on the seed and on `parts` only."""
        return self.exchange.world.faker(self.name, *parts)

    def new_id(self, prefix: str) -> str:
        """An id such as `inv_7k3m…` that depends on the seed and on which call this is."""
        self._drawn += 1
        return f"{prefix}_{self.exchange.world.identifier('id', prefix, str(self._drawn), *self._chance_name)}"

    def emit(self, type: str, data: Json, key: str | None = None) -> None:  # noqa: A002 - the payload's own name
        """Send an event to its subscribers, once this call is committed.

        Args:
            type: One of the callbacks' names in the spec.
            data: The payload's `data`.
            key: The business key; left out, the one of this call.
        """
        address = self.exchange.address
        self.emitted.append(Emission(type, key or (address.key if address is not None else "-"), _copy(data)))

    def inferred(self) -> Json | Reply:
        """Do what the operation's path and method mean.

        Raises:
            Problem: as the meaning has it, e.g. 404.
        """
        operation = self.exchange.operation
        assert operation is not None  # noqa: S101 - a method runs only for an operation
        meaning = operation.meaning
        if meaning.collection is None or meaning.action not in _ACTIONS:
            raise Problem(501, f"{operation.id} has no inferred meaning: {meaning.why}")
        collection = self.collection(meaning.collection)
        if meaning.parent is not None:
            self.collection(meaning.parent.collection).require(self.exchange.path_parameters[meaning.parent.parameter])
        if meaning.action == "list":
            return read_page(self.exchange, operation, collection)
        if meaning.action == "create":
            return collection.add(self._shaped(operation, self.exchange.spec.collections[meaning.collection]))
        id_ = self.exchange.path_parameters[meaning.id_parameter or "id"]
        stored = collection.required(id_).body
        if meaning.parent is not None and str(stored.get(meaning.parent.field)) != self.exchange.path_parameters.get(
            meaning.parent.parameter
        ):
            raise Problem(404, f"there is no {id_[:80]!r} at this path")
        if meaning.action == "delete":
            collection.remove(id_)
            return None
        if meaning.action == "read":
            return collection.shown(stored)
        place = {name: stored[name] for name in (collection.id_field, meaning.parent and meaning.parent.field) if name}
        spec = self.exchange.spec.collections[meaning.collection]
        body = self._sent(spec)
        if meaning.action == "patch":
            changed = _patched(stored, body, spec)
        else:
            changed = self._replaced(operation, stored, body, spec.required)
        return collection.shown(collection.save(changed | place))

    def _replaced(self, operation: Operation, stored: Document, body: Document, required: frozenset[str]) -> Document:
        """What was sent, with what is the server's and with what no answer may lack."""
        media = operation.body.media(JSON) if operation.body is not None else None
        sent = fields_of(media.schema if media is not None else None, self.exchange.spec.document)
        sendable = {name for name, field in sent.items() if not field.get("readOnly")}
        kept = required | (stored.keys() - sendable)
        return {**{name: value for name, value in stored.items() if name in kept}, **body}

    def _sent(self, spec: CollectionSpec) -> Document:
        """The request's body without what the record's schema leaves to the server.

        Raises:
            Problem: 400 when it is no object.
        """
        body = {} if self.exchange.body is None else self.exchange.body
        if not isinstance(body, dict):
            errors = [{"pointer": "", "detail": "must be an object"}]
            raise Problem(400, "the body must be an object", type="validation", errors=errors)
        return {name: value for name, value in body.items() if not spec.fields.get(name, {}).get("readOnly")}

    def _shaped(self, operation: Operation, spec: CollectionSpec) -> Document:
        """What was sent, with what the answer's schema requires besides."""
        shaped = self._sent(spec)
        if (parent := operation.meaning.parent) is not None:
            shaped[parent.field] = self.exchange.path_parameters[parent.parameter]
        if operation.id in self.exchange.spec.subscribe_operations:
            shaped.setdefault("secret", self.exchange.world.secret)
        skipped = {spec.id_field, "created_at", "updated_at"}
        for name in sorted(spec.required - shaped.keys() - skipped):
            schema = spec.fields.get(name, {})
            shaped[name] = sample(schema, self.exchange.spec.document, self.faker, self.timestamp, name)
        return shaped


_ACTIONS: Final = frozenset({"create", "read", "list", "replace", "patch", "delete"})


def merge_patch(target: Json, patch: Json) -> Json:
    """Apply a JSON Merge Patch (RFC 7396)."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _patched(stored: Document, patch: Document, spec: CollectionSpec) -> Document:
    """The record with a merge patch applied; a required field that may be null becomes null, and none vanishes.

    Raises:
        Problem: 400 when a required field were to vanish.
    """
    patched: Document = merge_patch(stored, patch)
    for name in sorted(spec.required & stored.keys() - patched.keys()):
        if not spec.fields.get(name, {}).get("nullable"):
            errors = [{"pointer": f"/{name}", "detail": "cannot be removed"}]
            raise Problem(400, f"{name} cannot be removed", type="validation", errors=errors)
        patched[name] = None
    return patched


def _copy(value: Mapping[str, Json]) -> Document:
    copied: Document = orjson.loads(orjson.dumps(value))
    return copied


__all__ = ["Collection", "Emission", "System", "merge_patch"]
