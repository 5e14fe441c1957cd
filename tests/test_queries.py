"""Queries of a large collection: they find what they ask for, and a page takes no longer because there is more."""

from __future__ import annotations

import random
from dataclasses import replace

import orjson
import pytest

from sandbox.store import Store, Transaction
from sandbox.stored import Query, Record

INDEXED = frozenset({"number", "status"})
SIZE = 3000
COLLECTION = "shop.orders"
RECORDS = [
    Record(
        COLLECTION,
        f"o{seq}",
        seq,
        1,
        float(seq * 7 % SIZE),
        orjson.dumps({"number": f"n{seq}", "status": ("paid", "placed")[seq % 10 == 0], "kind": seq % 3}),
    )
    for seq in range(1, SIZE + 1)
]


@pytest.fixture(scope="module")
def transaction() -> Transaction:
    store = Store()
    epoch = store.begin_world("large", 0)
    filling = store.transaction(epoch)
    for record in RECORDS:
        filling.write(record, INDEXED)
    filling.commit()
    return store.transaction(epoch)


def test_what_is_found_is_what_matches(transaction: Transaction) -> None:
    chance = random.Random(7)
    for _ in range(200):
        equals = {
            field: value
            for field, value in (
                ("status", chance.choice(["paid", "placed", "none"])),
                ("number", f"n{chance.randint(1, SIZE)}"),
                ("kind", chance.randint(0, 3)),
            )
            if chance.random() < 0.3
        }
        query = Query(
            equals,
            chance.choice([None, 0.0, SIZE / 2, SIZE - 50.0, SIZE + 1.0]),
            chance.choice([0, 10, SIZE - 20]),
            chance.choice([None, 1, 21]),
            chance.choice([0, 0, 1, 7, SIZE, 2**62]),
        )
        found = [record.id for record in transaction.query(COLLECTION, query, INDEXED)]
        every = [record.id for record in RECORDS if query.matches(record, INDEXED)]
        assert found == every[query.skip :][: query.limit], query
        assert transaction.count(COLLECTION, query, INDEXED) == len(every), query


@pytest.mark.parametrize("after", [0, SIZE - 500])
@pytest.mark.parametrize(
    "query",
    [
        Query({}, limit=21),
        Query({"status": "paid"}, limit=21),
        Query({"status": "paid"}, 0.0, limit=21),
        Query({"status": "paid", "number": f"n{SIZE - 1}"}, limit=21),
        Query({}, 0.0, limit=21),
        Query({}, SIZE - 5.0, limit=21),
        Query({"status": "paid"}, SIZE - 5.0, limit=21),
        Query({"status": "placed"}, limit=21, skip=20),
        Query({}, limit=21, skip=400),
    ],
    ids=str,
)
def test_a_page_is_found_in_few_steps(transaction: Transaction, query: Query, after: int) -> None:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    transaction._connection.set_progress_handler(count, 1)
    try:
        transaction.query(COLLECTION, replace(query, after=after), INDEXED)
    finally:
        transaction._connection.set_progress_handler(None, 1)
    # To look at each record takes five steps at least; to look whether a thousand have changed, some of them.
    assert steps < SIZE * 5
