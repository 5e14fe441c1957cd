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

from sandbox.behaviour import Behaviour
from sandbox.clock import rfc3339
from sandbox.deeds import merge_patch
from sandbox.exchange import Exchange
from sandbox.inference.words import singulars
from sandbox.model import Json, Problem, Reply
from sandbox.seeded import SeededFaker
from sandbox.spec import Collection as CollectionSpec
from sandbox.store import Transaction
from sandbox.stored import Query, Record
from sandbox.supplies import supply
from sandbox.values import Muse, fits, scalar

Document = dict[str, Json]
_TRIES: Final = 20


@dataclass(frozen=True, slots=True)
class Emission:
    """An event that a method wants sent.

    Args:
        data: The payload's data as JSON.
    """

    type: str
    key: str
    data: bytes


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

    def get(self, id: str) -> Document | None:  # noqa: A002 - the field's own name
        """The record of that id, or None."""
        record = self.record(str(id))
        return None if record is None else record.copy()

    def require(self, id: str) -> Document:  # noqa: A002 - the field's own name
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
            raise Problem(404, f"there is no {' '.join(singulars(self._name))} {id_[:80]!r}")
        return record

    def find(self, **equals: Json) -> list[Document]:
        """The records whose fields have these values, in the order they were created."""
        return [record.copy() for record in self._query(Query(equals))]

    def ids(self, **equals: Json) -> list[str]:
        """The ids of the records whose fields have these values, in the order they were created."""
        return [record.id for record in self._query(Query(equals))]

    def first(self, **equals: Json) -> Document | None:
        """The oldest record whose fields have these values, or None."""
        found = self._query(Query(equals, limit=1))
        return found[0].copy() if found else None

    def count(self, **equals: Json) -> int:
        return self.total(Query(equals))

    def page(self, query: Query) -> list[Record]:
        """The records of one page; `query` says which."""
        return self._query(query)

    def total(self, query: Query) -> int:
        """How many records match, on all pages."""
        return self._system.transaction.count(self._stored_as, query, self._indexed)

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
        for stamp in self._spec.stamps if self._spec is not None else ():
            if body.get(stamp) is None:
                body[stamp] = self._stamp(stamp)
        now = system.exchange.world.clock.now()
        stored = Record(self._stored_as, id_, seq, 1, now, orjson.dumps(body))
        system.transaction.write(stored, self._indexed)
        return stored.copy()

    def _new_id(self, seq: int) -> str | int:
        """An id as the record's schema has it: a number, a UUID or a text."""
        schema = self._spec.id_schema if self._spec is not None else {}
        muse = Muse(self._system.faker, self._system.timestamp)
        kind = schema.get("type")
        if kind in ("integer", "number"):
            # Counted up from the least that the schema allows.
            least = int(scalar(schema, "integer", "", muse))
            numbers = itertools.count(max(seq, least))
            return next(number for number in numbers if self.record(str(number)) is None)
        if schema.get("format") == "uuid":
            return str(uuid.UUID(int=self._system.random.getrandbits(128), version=4))
        if schema.get("format") == "digits":
            return str(next(number for number in itertools.count(seq) if self.record(str(number)) is None))
        made = self._system.new_id(self._name[:3])
        if fits(schema, "string", made):
            return made
        # It has a form of its own.
        tries = (str(scalar(schema, "string", "", muse)) for _ in range(_TRIES))
        return next((one for one in tries if self.record(one) is None), made)

    def _stamp(self, name: str) -> Json:
        """The world's time as the schema of a field has it: RFC 3339, or seconds since 1970."""
        schema = self._spec.fields.get(name, {}) if self._spec is not None else {}
        muse = Muse(self._system.faker, self._system.timestamp)
        if schema.get("type") in ("integer", "number"):
            thousand = muse.unix * 1000
            return thousand if schema.get("minimum", 0) > muse.unix else muse.unix
        return muse.timestamp[:10] if schema.get("format") == "date" else muse.timestamp

    def save(self, record: Mapping[str, Json]) -> Document:
        """Replace the record of the same id; one that is the same already stays as it was, version and all.

        Raises:
            Problem: 404 when there is none.
        """
        body = _copy(record)
        old = self.required(str(body[self.id_field]))
        if body == old.body:
            return body
        for stamp, kind in self._spec.stamps.items() if self._spec is not None else ():
            if kind == "updated":
                body[stamp] = self._stamp(stamp)
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

    def remove(self, id: str) -> None:  # noqa: A002 - the field's own name
        """Delete a record.

        Raises:
            Problem: 404 when there is none.
        """
        self._system.transaction.delete(self.required(str(id)), self._indexed)

    def shown(self, record: Document) -> Document:
        """The record without what its schema calls `writeOnly`, and without what only the sandbox keeps of it."""
        if self._spec is None:
            return record
        hidden = self._spec.hidden
        return {name: value for name, value in record.items() if name not in hidden and name[:1] != "@"}

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
        """Fill a fresh world; called once, before the first call. Here with some of what no operation creates."""
        for spec in self.exchange.spec.collections.values():
            if spec.supplied and spec.fields and spec.parent is None:
                supply(self, spec.name)

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
        self.emitted.append(Emission(type, key or (address.key if address is not None else "-"), orjson.dumps(data)))

    def inferred(self) -> Json | Reply:
        """Do what the operation's path and method mean.

        Raises:
            Problem: as the meaning has it, e.g. 404.
        """
        operation = self.exchange.operation
        assert operation is not None  # noqa: S101 - a method runs only for an operation
        return Behaviour(self, operation).perform()


def _copy(value: Mapping[str, Json]) -> Document:
    copied: Document = orjson.loads(orjson.dumps(value))
    return copied


__all__ = ["Collection", "Emission", "System", "merge_patch"]
