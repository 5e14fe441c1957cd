"""What must outlive a call: one SQLAlchemy Core schema, in memory or in an SQLite file.

Everything belongs to an *epoch*: one life of one world. Resetting a world gives it a new epoch, which costs the same
however much the old one held; `purge` removes the old rows afterwards, a slice at a time.

A `Transaction` collects the writes of one call and commits them together: records, idempotency record, tokens, events,
deliveries and the effect entry of the journal (DESIGN, decision 3). A transaction that is dropped has written nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from sandbox.database import Database
from sandbox.memory import Memory
from sandbox.model import Change
from sandbox.queries import (
    ALL,
    COLLECTIONS,
    DELETE,
    DELETE_TERM,
    DROP_WORLD,
    GAP,
    GET,
    INSERT,
    JOURNAL,
    JOURNAL_GAP,
    LAST,
    NEXT_EPOCH,
    PURGE,
    TRIM,
    UPDATE,
    WIPE,
    WORLDS,
    matching,
    number_of,
    place_of,
)
from sandbox.statement import Row, Statement
from sandbox.stored import Before, Made, Place, Query, Record
from sandbox.tables import OF_EPOCH, journal, records, terms, worlds

# So few rows that a call that comes in between hardly waits.
_SLICE: Final = 200


class Store(Database):
    """The database of a process.

    Args:
        path: An SQLite file, made when absent; None keeps everything in memory.

    Raises:
        ServeError: when the file cannot be opened as a database.
    """

    def __init__(self, path: Path | None = None) -> None:
        super().__init__(path)
        self._rubbish: deque[int] = deque()
        self._memories: dict[int, Memory] = {}
        # An epoch is never used twice, not even after a restart with rows of a dropped world still there: a call that
        # is late for a dropped world must not reach into another.
        self._newest = 0
        self._take_stock()

    def worlds(self) -> list[tuple[str, int, int]]:
        """Name, epoch and seed of each world, in the order they were begun."""
        return [(row.name, row.epoch, row.seed) for row in WORLDS.rows(self.connection, {})]

    def new_epoch(self, name: str, old: int, seed: int) -> int:
        """Give a world a new life; the rows of the old one are left to `purge`."""
        self.drop_world(old)
        return self.begin_world(name, seed)

    def drop_world(self, epoch: int) -> None:
        """Forget a world; its rows are left to `purge`."""
        self.write()
        self.write_journal()
        DROP_WORLD.run(self.connection, {"e": epoch})
        self.commit()
        self._rubbish.append(epoch)
        self._memories.pop(epoch, None)

    def begin_world(self, name: str, seed: int) -> int:
        """The epoch of a new world, or of a new life of one."""
        self._newest += 1
        self._memories[self._newest] = Memory(fresh=True)
        INSERT[worlds].run(self.connection, {"epoch": self._newest, "name": name, "seed": seed})
        self.commit()
        return self._newest

    def _take_stock(self) -> None:
        """Find the highest epoch, and what a former process had no time to purge."""
        alive = {row.epoch for row in WORLDS.rows(self.connection, {})}
        found = set[int]()
        for table in OF_EPOCH:
            # From one epoch to the next through the index; the rows themselves are not looked at.
            after = -1
            while (epoch := NEXT_EPOCH[table].scalar(self.connection, {"after": after})) is not None:
                found.add(epoch)
                after = epoch
        self._newest = max(alive | found, default=0)
        self._rubbish.extend(sorted(found - alive))

    @property
    def untidy(self) -> bool:
        """Whether `purge` has something to do."""
        return bool(self._rubbish)

    def purge(self, rows: int = _SLICE) -> bool:
        """Remove a slice of what dropped worlds left behind; True while something remains."""
        if not self._rubbish:
            return False
        for table in OF_EPOCH:
            if PURGE[table].run(self.connection, {"e": self._rubbish[0], "rows": rows}).rowcount:
                self.commit()
                return True
        self.commit()
        self._rubbish.popleft()
        return self.untidy

    def wipe(self) -> None:
        """Empty every table; far quicker than purging epoch by epoch."""
        for table in (*OF_EPOCH, worlds):
            WIPE[table].run(self.connection, {})
        self.commit()
        self._rubbish.clear()
        self._memories.clear()
        self.drop()

    def transaction(self, epoch: int) -> Transaction:
        memory = self._memories.get(epoch)
        if memory is None:
            memory = self._memories[epoch] = Memory(fresh=False)
        return Transaction(self, epoch, memory)

    def append_journal(self, epoch: int, seq: int, body: bytes) -> None:
        """Append a row that stands for itself, outside any transaction."""
        self.keep([], [{"epoch": epoch, "seq": seq, "body": body}])

    def journal_rows(self, epoch: int, after: int) -> Iterable[Any]:
        """The rows (`seq`, `body`) of all entries behind a place: by entry, and those of one as they were written."""
        self.write_journal()
        return JOURNAL.rows(self.connection, {"e": epoch, "after": after})

    def trim_journal(self, epoch: int, last: int, gap: bytes) -> None:
        """Remove the entries up to `last`; `gap`, which `journal_gap` returns, says what is missing."""
        self.write_journal()
        TRIM.run(self.connection, {"e": epoch, "last": last})
        INSERT[journal].run(self.connection, {"epoch": epoch, "seq": GAP, "body": gap})
        self.commit()

    def journal_gap(self, epoch: int) -> bytes | None:
        """What `trim_journal` noted last."""
        body: bytes | None = JOURNAL_GAP.scalar(self.connection, {"e": epoch})
        return body


class NotARead(Exception):
    """A call that was to see a former state has changed something; all of it is rolled back."""


class Transaction:
    """The reads and writes of one call, committed together or not at all.

    Writes wait in memory until a query needs to see them or `commit` is called, so that a refused call costs no write.
    """

    def __init__(self, store: Store, epoch: int, memory: Memory) -> None:
        self._store = store
        self._connection = store.connection
        self.epoch = epoch
        self._memory = memory
        self.changes: list[Change] = []
        self._records: dict[Place, Record | None] = {}
        self._dirty: dict[Place, tuple[Record | None, Record | None, frozenset[str]]] = {}
        self._writes: list[tuple[Statement, list[Row]]] = []
        self._journal: list[Row] = []
        self._last: dict[str, int] = {}
        self._before: dict[Place, tuple[Record | None, frozenset[str]]] = {}
        self._rewound = False
        self._flushed = False

    @property
    def before(self) -> Before:
        """What the records that were changed had been."""
        return self._before

    def made(self) -> Made:
        """What this transaction has put into a world that was empty."""
        kept = [(self._records[place], indexed) for place, (_, indexed) in self._before.items()]
        return Made(tuple((record, indexed) for record, indexed in kept if record is not None), dict(self._last))

    def make(self, made: Made) -> None:
        """Put into an empty world what another transaction had put into one."""
        for record, indexed in made.records:
            self._note(None, record, indexed)
        self._last.update(made.last)

    def rewind(self, before: Before) -> None:
        """See the records as they were; a transaction that does can be read from, but never changes anything."""
        for (collection, id_), (record, indexed) in before.items():
            self._note(self.get(collection, id_), record, indexed)
        self._rewound = True

    def get(self, collection: str, id: str) -> Record | None:  # noqa: A002 - the field's own name
        key = (collection, id)
        if key in self._records:
            return self._records[key]
        try:
            return self._memory.record(key)
        except KeyError:
            self._store.write()
            row = GET.first(self._connection, {"e": self.epoch, "c": collection, "i": id})
            record = None if row is None else _record(collection, row)
            self._memory.learn(key, record)
            return record

    def write(self, record: Record, indexed: frozenset[str]) -> None:
        """Create or replace a record; `indexed` names the fields that queries may ask for."""
        old = self.get(record.collection, record.id)
        self._note(old, record, indexed)
        self.changes.append(Change("create" if old is None else "update", record.collection, record.id))

    def delete(self, record: Record, indexed: frozenset[str]) -> None:
        self._note(record, None, indexed)
        self.changes.append(Change("delete", record.collection, record.id))

    def _note(self, old: Record | None, new: Record | None, indexed: frozenset[str]) -> None:
        subject = new or old
        if subject is None:
            return
        key = (subject.collection, subject.id)
        self._before.setdefault(key, (old, indexed))
        stored = self._dirty[key][0] if key in self._dirty else old
        self._dirty[key] = (stored, new, indexed)
        self._records[key] = new

    def next_seq(self, collection: str) -> int:
        """The place of the next record of a collection in the order of creation; that of a removed one stays taken."""
        if collection not in self._last:
            known = self._memory.taken(collection)
            if known is None:
                self.flush()
                known = LAST.scalar(self._connection, {"e": self.epoch, "c": collection}) or 0
            self._last[collection] = known
        self._last[collection] += 1
        return self._last[collection]

    def query(self, collection: str, query: Query, indexed: frozenset[str]) -> list[Record]:
        """The records that match, in the order they were created."""
        if query.skip:
            last = self._skipped(collection, query, indexed)
            if last is None:
                return []
            query = replace(query, skip=0, after=last)
        changed = self._changed(collection)
        found = self._memory.found(collection, query, indexed, changed)
        if found is None:
            found = self._query(collection, query, indexed)
            if not changed:
                self._memory.learn_found(collection, query, found)
        return found

    def count(self, collection: str, query: Query, indexed: frozenset[str]) -> int:
        """How many records match; `limit` and `skip` do not count."""
        query = replace(query, limit=None, skip=0)
        found = self._memory.found(collection, query, indexed, self._changed(collection))
        if found is not None or not query.equals.keys() <= indexed:
            return len(self.query(collection, query, indexed) if found is None else found)
        self.flush()
        return number_of(self._connection, self._bound(collection, query), query.equals)

    def _skipped(self, collection: str, query: Query, indexed: frozenset[str]) -> int | None:
        """The place of the last record that is left out; None where there are not so many."""
        skipped = replace(query, limit=query.skip, skip=0)
        found = self._memory.found(collection, skipped, indexed, self._changed(collection))
        if found is None and not query.equals.keys() <= indexed:
            found = self._query(collection, skipped, indexed)
        if found is not None:
            return found[-1].seq if len(found) == query.skip else None
        self.flush()
        return place_of(self._connection, self._bound(collection, query), query.equals, query.skip - 1)

    def _changed(self, collection: str) -> dict[str, Record | None]:
        return {place[1]: record for place, record in self._records.items() if place[0] == collection}

    def _bound(self, collection: str, query: Query) -> Row:
        since = {} if query.updated_since is None else {"since": query.updated_since}
        return {"e": self.epoch, "c": collection, "after": query.after, **since}

    def _query(self, collection: str, query: Query, indexed: frozenset[str]) -> list[Record]:
        self.flush()
        looked_up = {field: value for field, value in query.equals.items() if field in indexed}
        scanned = {field: value for field, value in query.equals.items() if field not in indexed}
        limited = query.limit is not None and not scanned
        bound = self._bound(collection, query) | ({"limit": query.limit} if limited else {})
        statement = matching(self._connection, bound, looked_up, limited)
        found: list[Record] = []
        for row in statement.rows(self._connection, bound):
            record = _record(collection, row)
            if all(record.body.get(field) == value for field, value in scanned.items()):
                found.append(record)
                if query.limit is not None and len(found) >= query.limit:
                    break
        return found

    def collections(self) -> list[str]:
        """The names of all collections that hold a record."""
        known = None if self._records else self._memory.collections()
        if known is not None:
            return known
        self.flush()
        return [row.collection for row in COLLECTIONS.rows(self._connection, {"e": self.epoch})]

    def add(self, table: sa.Table, **row: Any) -> None:
        """Insert a row of this epoch into one of the other tables at commit."""
        self._writes.append((INSERT[table], [{"epoch": self.epoch, **row}]))

    def rows(self, table: sa.Table) -> list[Any]:
        """All rows of this epoch in one of the other tables, in the order they were written."""
        return self.select(ALL[table])

    def select(self, statement: Statement, **values: Any) -> list[Any]:
        """What a query finds in this epoch, which it names `e`."""
        self.flush()
        return list(statement.rows(self._connection, {"e": self.epoch, **values}))

    def execute(self, statement: Statement, **values: Any) -> None:
        """Change something else in this epoch, which the statement names `e`."""
        self._writes.append((statement, [{"e": self.epoch, **values}]))

    def unused(self, scope: str, key: str) -> bool:
        """Whether a key was certainly never used in this epoch; if not, one has to look."""
        return self._memory.unused((scope, key))

    def use(self, scope: str, key: str) -> None:
        """Note that a key is used."""
        self._memory.use((scope, key))

    def journal(self, seq: int, body: bytes) -> None:
        """Append a journal row that commits with the rest."""
        self._journal.append({"epoch": self.epoch, "seq": seq, "body": body})

    def flush(self) -> None:
        """Hand the pending writes to the database, uncommitted."""
        self._store.write()
        writes, journal_rows = self._pending()
        if journal_rows:
            writes.append((INSERT[journal], journal_rows))
        for statement, rows in writes:
            if not self._flushed:
                self._store.begin()
                self._flushed = True
            statement.run_each(self._connection, rows)

    def _pending(self) -> tuple[list[tuple[Statement, list[Row]]], list[Row]]:
        """What is to be written, and what of the journal; it is then no longer pending."""
        dirty, self._dirty = self._dirty, {}
        writes, self._writes = self._writes, []
        rows, self._journal = self._journal, []
        return [*self._record_writes(dirty), *writes], rows

    def _record_writes(
        self, dirty: dict[Place, tuple[Record | None, Record | None, frozenset[str]]]
    ) -> list[tuple[Statement, list[Row]]]:
        inserts: list[Row] = []
        updates: list[Row] = []
        deletes: list[Row] = []
        old_terms: list[Row] = []
        new_terms: list[Row] = []
        for (collection, id_), (old, new, indexed) in dirty.items():
            place = {"epoch": self.epoch, "collection": collection, "id": id_}
            if old is None:
                if new is not None:
                    place["seq"] = new.seq
                    inserts.append(place | {"version": new.version, "updated": new.updated, "body": new.raw})
                    new_terms += [place | {"field": field, "value": value} for field, value in new.terms(indexed)]
                continue
            this = {"e": self.epoch, "c": collection, "i": id_}
            before = old.terms(indexed)
            after = set() if new is None else new.terms(indexed)
            old_terms += [
                {"old_epoch": self.epoch, "old_collection": collection}
                | {"old_field": field, "old_value": value, "old_seq": old.seq}
                for field, value in before - after
            ]
            if new is None:
                deletes.append(this)
            else:
                place["seq"] = new.seq
                new_terms += [place | {"field": field, "value": value} for field, value in after - before]
                updates.append(this | {"new_version": new.version, "new_updated": new.updated, "new_body": new.raw})
        writes = (
            (DELETE_TERM, old_terms),
            (DELETE, deletes),
            (INSERT[records], inserts),
            (UPDATE, updates),
            (INSERT[terms], new_terms),
        )
        return [(statement, rows) for statement, rows in writes if rows]

    def commit(self) -> None:
        """Keep everything; it is durable once the store has `settled`.

        Raises:
            sqlite3.Error: when the database refuses; nothing is then written.
            NotARead: when a transaction that sees a former state has changed something.
        """
        if self._rewound:
            written = bool(self.changes or self._writes or self._journal)
            self.rollback()
            if written:
                raise NotARead
            return
        if not (self._flushed or self._dirty or self._writes or self._journal):
            return
        try:
            if self._flushed:
                self.flush()
                self._store.end()
            else:
                self._store.keep(*self._pending())
        except BaseException:
            self.rollback()
            raise
        self._memory.change(self._records, self._last)
        self._flushed = False

    def rollback(self) -> None:
        """Drop everything since the transaction began."""
        self._dirty.clear()
        self._writes.clear()
        self._journal.clear()
        self._records.clear()
        self.changes.clear()
        self._last.clear()
        self._before.clear()
        if self._flushed:
            # Another transaction on this connection may have read what is now undone.
            self._memory.forget()
            self._flushed = False
            self._store.undo()


def _record(collection: str, row: Any) -> Record:
    return Record(collection, row.id, row.seq, row.version, row.updated, row.body)
