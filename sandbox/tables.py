"""The database's tables. Every row belongs to an epoch: one life of one world."""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

metadata: Final = sa.MetaData()


def _table(name: str, *columns: sa.Column[Any] | sa.Index) -> sa.Table:
    return sa.Table(name, metadata, sa.Column("epoch", sa.Integer, primary_key=True), *columns)


worlds: Final = sa.Table(
    "worlds",
    metadata,
    sa.Column("epoch", sa.Integer, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("seed", sa.Integer, nullable=False),
)
records: Final = _table(
    "records",
    sa.Column("collection", sa.String, primary_key=True),
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("updated", sa.Float, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("records_in_order", "epoch", "collection", "seq"),
    sa.Index("records_by_change", "epoch", "collection", "updated"),
)
terms: Final = _table(
    "terms",
    sa.Column("collection", sa.String, primary_key=True),
    sa.Column("field", sa.String, primary_key=True),
    sa.Column("value", sa.String, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True),
    sa.Column("id", sa.String, nullable=False),
)
idempotency: Final = _table(
    "idempotency",
    sa.Column("scope", sa.String, primary_key=True),
    sa.Column("key", sa.String, primary_key=True),
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("headers", sa.LargeBinary, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
)
tokens: Final = _table(
    "tokens",
    sa.Column("token", sa.String, primary_key=True),
    sa.Column("system", sa.String, nullable=False),
    sa.Column("principal", sa.String, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
)
events: Final = _table(
    "events",
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("type", sa.String, nullable=False),
    sa.Column("key", sa.String, nullable=False),
    sa.Column("occurrence", sa.Integer, nullable=False),
    sa.Column("system", sa.String, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
)
deliveries: Final = _table(
    "deliveries",
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("event", sa.String, nullable=False),
    sa.Column("subscriber", sa.String, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("due", sa.Float),
    sa.Column("state", sa.String, nullable=False),
)
journal: Final = sa.Table(
    "journal",
    metadata,
    sa.Column("row", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Index("journal_in_order", "epoch", "seq"),
)


def _creation(table: sa.Table) -> list[sa.schema.ExecutableDDLElement]:
    indexes = sorted(table.indexes, key=lambda index: str(index.name))
    return [CreateTable(table, if_not_exists=True), *(CreateIndex(index, if_not_exists=True) for index in indexes)]


SCHEMA: Final = tuple(
    str(made.compile(dialect=sqlite.dialect())) for table in metadata.sorted_tables for made in _creation(table)
)
"""What makes the tables where they are missing."""
OF_EPOCH: Final = (records, terms, idempotency, tokens, events, deliveries, journal)
