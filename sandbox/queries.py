"""The store's statements."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from sandbox.statement import Row, Statement, insertion
from sandbox.stored import term
from sandbox.tables import OF_EPOCH, journal, records, terms, worlds

COLUMNS: Final = (records.c.id, records.c.seq, records.c.version, records.c.updated, records.c.body)
IN_COLLECTION: Final = (records.c.epoch == sa.bindparam("e"), records.c.collection == sa.bindparam("c"))
THIS: Final = (*IN_COLLECTION, records.c.id == sa.bindparam("i"))
GET: Final = Statement(sa.select(*COLUMNS).where(*THIS))
LAST: Final = Statement(sa.select(sa.func.max(records.c.seq)).where(*IN_COLLECTION))
COLLECTIONS: Final = Statement(
    sa.select(records.c.collection)
    .where(records.c.epoch == sa.bindparam("e"))
    .distinct()
    .order_by(records.c.collection)
)
INSERT: Final = {table: insertion(table) for table in (*OF_EPOCH, worlds)}
DELETE: Final = Statement(records.delete().where(*THIS))
UPDATE: Final = Statement(
    records.update().where(*THIS).values({name: sa.bindparam(f"new_{name}") for name in ("version", "updated", "body")})
)
DELETE_TERM: Final = Statement(
    terms.delete().where(
        *(
            terms.c[column] == sa.bindparam(f"old_{column}")
            for column in ("epoch", "collection", "field", "value", "seq")
        )
    )
)
WORLDS: Final = Statement(sa.select(worlds.c.name, worlds.c.epoch, worlds.c.seed).order_by(worlds.c.epoch))
DROP_WORLD: Final = Statement(worlds.delete().where(worlds.c.epoch == sa.bindparam("e")))
ALL: Final = {
    table: Statement(
        table.select().where(table.c.epoch == sa.bindparam("e")).order_by(sa.literal_column(f"{table.name}.rowid"))
    )
    for table in OF_EPOCH
}
WIPE: Final = {table: Statement(table.delete()) for table in (*OF_EPOCH, worlds)}
NEXT_EPOCH: Final = {
    table: Statement(sa.select(sa.func.min(table.c.epoch)).where(table.c.epoch > sa.bindparam("after")))
    for table in OF_EPOCH
}
PURGE: Final = {
    table: Statement(
        table.delete().where(
            sa.literal_column("rowid").in_(
                sa.select(sa.literal_column("rowid"))
                .select_from(table)
                .where(table.c.epoch == sa.bindparam("e"))
                .limit(sa.bindparam("rows"))
            )
        )
    )
    for table in OF_EPOCH
}
# No entry has this place; what is no longer there is noted here.
GAP: Final = 0
OF_JOURNAL: Final = journal.c.epoch == sa.bindparam("e")
JOURNAL: Final = Statement(
    sa.select(journal.c.seq, journal.c.body)
    .where(OF_JOURNAL, journal.c.seq > sa.bindparam("after"))
    .order_by(journal.c.seq, journal.c.row)
)
JOURNAL_GAP: Final = Statement(sa.select(journal.c.body).where(OF_JOURNAL, journal.c.seq == GAP))
TRIM: Final = Statement(journal.delete().where(OF_JOURNAL, journal.c.seq <= sa.bindparam("last")))


# How many records have changed since, and how many have a value; from so many on it does not matter.
ENOUGH: Final = 1000
CHANGED: Final = Statement(
    sa.select(sa.func.count()).select_from(
        sa.select(records.c.seq)
        .where(*IN_COLLECTION, records.c.updated >= sa.bindparam("since"))
        .limit(ENOUGH)
        .subquery()
    )
)
SPREAD: Final = Statement(
    sa.select(sa.func.count()).select_from(
        sa.select(terms.c.seq)
        .where(terms.c.epoch == sa.bindparam("e"), terms.c.collection == sa.bindparam("c"))
        .where(
            terms.c.field == sa.bindparam("f"), terms.c.value == sa.bindparam("v"), terms.c.seq > sa.bindparam("after")
        )
        .limit(ENOUGH)
        .subquery()
    )
)


def _found(fields: int, since: bool, lately: bool, *, bare: bool = False) -> tuple[sa.Select[Any], Any]:
    """What finds records with so many indexed fields, which are bound as f0, v0, f1, v1, …, and their places.

    It looks from the first value to the records, in the order of both, so that a page ends the search.

    Args:
        lately: Whether to begin with what has changed since, because that is little.
        bare: Whether the places are enough; where values tell them, the records are then not looked at.
    """
    alone = bare and fields > 0 and not since
    statement, placed = sa.select(*COLUMNS).where(*IN_COLLECTION), records.c.seq
    for number in range(fields):
        having = terms.alias().c
        bound = (having.epoch == sa.bindparam("e"), having.collection == sa.bindparam("c"))
        wanted = (having.field == sa.bindparam(f"f{number}"), having.value == sa.bindparam(f"v{number}"))
        if alone:
            statement = sa.select(having.seq) if number == 0 else statement.join(having.seq.table, having.seq == placed)
        else:
            # SQLite takes no index for what is computed, which leaves it but one way.
            same = records.c.seq == (having.seq if number or lately else having.seq + 0)
            statement = statement.join(having.seq.table, same)
        statement = statement.where(*bound, *wanted)
        placed = having.seq if number == 0 else placed
    if since:
        changed = records.c.updated if lately else records.c.updated + 0
        statement = statement.where(changed >= sa.bindparam("since"))
    order = placed + 0 if lately else placed
    return statement.where(order > sa.bindparam("after")), order


@functools.cache
def selection(fields: int, since: bool, limited: bool, lately: bool = False) -> Statement:
    """The query for records, in their order."""
    statement, order = _found(fields, since, lately)
    if limited:
        statement = statement.limit(sa.bindparam("limit"))
    return Statement(statement.order_by(order))


@functools.cache
def _place(fields: int, since: bool, lately: bool) -> Statement:
    statement, order = _found(fields, since, lately, bare=True)
    return Statement(statement.with_only_columns(order).order_by(order).limit(1).offset(sa.bindparam("skip")))


@functools.cache
def _number(fields: int, since: bool, lately: bool) -> Statement:
    statement, _ = _found(fields, since, lately, bare=True)
    return Statement(statement.with_only_columns(sa.func.count()))


def matching(connection: sqlite3.Connection, bound: Row, values: Mapping[str, Any], limited: bool) -> Statement:
    """The query for records whose indexed fields have these values, as it is quickest here and now.

    Args:
        bound: What is bound so far: `e`, `c`, `after` and, if it is asked for, `since`; the values are added.
    """
    fields, since, lately = _way(connection, bound, values)
    return selection(fields, since, limited, lately)


def place_of(connection: sqlite3.Connection, bound: Row, values: Mapping[str, Any], skip: int) -> int | None:
    """The place of the record that has so many before it, of those that match; None where there are not so many."""
    found = _place(*_way(connection, bound, values)).scalar(connection, {**bound, "skip": skip})
    return None if found is None else int(found)


def number_of(connection: sqlite3.Connection, bound: Row, values: Mapping[str, Any]) -> int:
    """How many records match."""
    return int(_number(*_way(connection, bound, values)).scalar(connection, bound))


def _way(connection: sqlite3.Connection, bound: Row, values: Mapping[str, Any]) -> tuple[int, bool, bool]:
    """Bind the values in the best order; how many there are, whether changes are asked for, whether those are few."""
    looked_up = [(field, term(value)) for field, value in values.items()]
    if len(looked_up) > 1:
        # What few records have comes first.
        looked_up.sort(key=lambda one: int(SPREAD.scalar(connection, {**bound, "f": one[0], "v": one[1]})))
    for number, (field, value) in enumerate(looked_up):
        bound |= {f"f{number}": field, f"v{number}": value}
    since = "since" in bound
    return len(looked_up), since, since and CHANGED.scalar(connection, bound) < ENOUGH
