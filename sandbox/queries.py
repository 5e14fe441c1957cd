"""The store's statements."""

from __future__ import annotations

import functools
from typing import Final

import sqlalchemy as sa

from sandbox.statement import Statement, insertion
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


@functools.cache
def selection(fields: int, since: bool, limited: bool) -> Statement:
    """The query for records with so many indexed fields, which are bound as f0, v0, f1, v1, …"""
    statement = sa.select(*COLUMNS).where(*IN_COLLECTION, records.c.seq > sa.bindparam("after"))
    for number in range(fields):
        term = terms.alias()
        same = (term.c.epoch == records.c.epoch, term.c.collection == records.c.collection, term.c.id == records.c.id)
        wanted = (term.c.field == sa.bindparam(f"f{number}"), term.c.value == sa.bindparam(f"v{number}"))
        bound = (term.c.epoch == sa.bindparam("e"), term.c.collection == sa.bindparam("c"))
        statement = statement.join(term, sa.and_(*same)).where(*bound, *wanted, term.c.seq > sa.bindparam("after"))
    if since:
        statement = statement.where(records.c.updated >= sa.bindparam("since"))
    if limited:
        statement = statement.limit(sa.bindparam("limit"))
    return Statement(statement.order_by(records.c.seq))
