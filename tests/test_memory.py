"""What is known without asking the database is what the database would say."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.store import Store, Transaction
from sandbox.stored import Query, Record

COLLECTION = "shop.orders"
INDEXED = frozenset({"status", "paid"})
VALUES = st.sampled_from([None, True, False, 1, 0, 1.0, "1", "true", "open", ["open"], {"a": 1}])
BODIES = st.fixed_dictionaries({"status": VALUES, "paid": VALUES, "note": VALUES})
CHANGES = st.lists(st.tuples(st.integers(0, 90), st.one_of(st.none(), BODIES), st.booleans()), min_size=1, max_size=160)
QUERIES = st.builds(
    Query,
    st.dictionaries(st.sampled_from(["status", "paid", "note"]), VALUES, max_size=2),
    updated_since=st.one_of(st.none(), st.integers(0, 100).map(float)),
    after=st.integers(0, 80),
    limit=st.one_of(st.none(), st.integers(1, 10)),
)


def change(transaction: Transaction, number: int, body: dict[str, Any] | None, now: float) -> None:
    old = transaction.get(COLLECTION, f"ord_{number}")
    if body is not None:
        seq = transaction.next_seq(COLLECTION) if old is None else old.seq
        version = 1 if old is None else old.version + 1
        transaction.write(Record(COLLECTION, f"ord_{number}", seq, version, now, orjson.dumps(body)), INDEXED)
    elif old is not None:
        transaction.delete(old, INDEXED)


def seen(found: list[Record]) -> list[tuple[Any, ...]]:
    return [(record.id, record.seq, record.version, record.updated, record.raw) for record in found]


@settings(max_examples=60, deadline=None)
@given(changes=CHANGES, queries=st.lists(QUERIES, min_size=1, max_size=4), pending=st.booleans())
@pytest.mark.parametrize("whole", [2, 64])
def test_a_query_finds_what_the_database_finds(
    whole: int, changes: list[Any], queries: list[Query], pending: bool
) -> None:
    with patch("sandbox.memory._MOST_WHOLE", whole):
        compare(changes, queries, pending)


def compare(changes: list[Any], queries: list[Query], pending: bool) -> None:
    store = Store()
    epoch = store.begin_world("default", 0)
    transaction = store.transaction(epoch)
    for now, (number, body, ends) in enumerate(changes):
        change(transaction, number, body, float(now))
        if ends:
            transaction.commit()
            transaction = store.transaction(epoch)
    if not pending:
        transaction.commit()
        transaction = store.transaction(epoch)
    for query in queries * 2:
        known = seen(transaction.query(COLLECTION, query, INDEXED))
        assert known == seen(transaction._query(COLLECTION, query, INDEXED))
    names = transaction.collections()
    transaction.flush()
    with_rows = store.connection.execute("SELECT DISTINCT collection FROM records").fetchall()
    assert names == [name for (name,) in with_rows]
    transaction.rollback()
    store.close()


def test_what_was_rolled_back_is_not_known() -> None:
    store = Store()
    epoch = store.begin_world("default", 0)
    transaction = store.transaction(epoch)
    change(transaction, 1, {"status": "open"}, 0.0)
    transaction.rollback()
    assert store.transaction(epoch).get(COLLECTION, "ord_1") is None
    assert store.transaction(epoch).query(COLLECTION, Query({}), INDEXED) == []
    store.close()


def test_what_waits_is_in_the_database_when_somebody_asks() -> None:
    store = Store()
    epoch = store.begin_world("default", 0)
    transaction = store.transaction(epoch)
    change(transaction, 1, {"status": "open"}, 0.0)
    transaction.journal(1, b"{}")
    transaction.commit()
    assert [row.body for row in store.journal_rows(epoch, 0)] == [b"{}"]
    store.write()
    assert store.connection.execute("SELECT id FROM records").fetchall() == [("ord_1",)]
    store.drop_world(epoch)
    while store.purge():
        pass
    assert store.connection.execute("SELECT count(*) FROM records").fetchone() == (0,)
    store.close()
