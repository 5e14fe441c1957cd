"""What several calls commit in one turn of the loop goes into the file together, and each sees what the others did."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sandbox.errors import ServeError
from sandbox.store import Store
from sandbox.stored import Query, Record
from sandbox.turn import Turn

COLLECTION = "shop.orders"
INDEXED = frozenset({"status"})


class Kept:
    """A store on a file, and what it has committed to it."""

    def __init__(self, file: Path) -> None:
        self.store = Store(file)
        self.epoch = self.store.begin_world("default", 0)
        self.commits = 0
        self.failures: list[ServeError] = []
        self.store.connection.set_trace_callback(self._count)

    def _count(self, statement: str) -> None:
        self.commits += statement == "COMMIT"

    def turn(self) -> Turn:
        return Turn(self.store, self.failures.append)

    def put(self, number: int, status: str = "open") -> None:
        """Place a record and its journal row, in one transaction."""
        transaction = self.store.transaction(self.epoch)
        body = orjson.dumps({"status": status})
        transaction.write(Record(COLLECTION, f"ord_{number}", number, 1, 0.0, body), INDEXED)
        transaction.journal(number, b"{}")
        transaction.commit()

    def place_and_undo(self, number: int) -> None:
        """A call that looks what is there besides what it did, and is then refused."""
        transaction = self.store.transaction(self.epoch)
        transaction.write(Record(COLLECTION, f"ord_{number}", number, 1, 0.0, b'{"status": "open"}'), INDEXED)
        transaction.flush()
        transaction.rollback()

    def found(self) -> list[str]:
        records = self.store.transaction(self.epoch)._query(COLLECTION, Query({"status": "open"}), INDEXED)
        return [record.id for record in records]

    def killed(self) -> list[str]:
        """What a process finds that starts after this one was killed now: the file and its log as they are."""
        assert self.store.path is not None
        left = self.store.path.with_name("left.db")
        for end in ("", "-wal"):
            shutil.copy(f"{self.store.path}{end}", f"{left}{end}")
        other = Kept.__new__(Kept)
        other.store, other.epoch = Store(left), self.epoch
        found = other.found()
        assert [f"ord_{row.seq}" for row in other.store.journal_rows(self.epoch, 0)] == found
        other.store.close()
        return found


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    made = Kept(tmp_path / "kept.db")
    yield made
    made.store.close()


def run(body: Callable[[], Any]) -> None:
    asyncio.run(body())


def test_calls_of_a_turn_share_a_commit(kept: Kept) -> None:
    async def body() -> None:
        kept.turn()

        async def call(number: int) -> None:
            kept.put(number)
            await kept.store.settled()
            assert (kept.commits, kept.store.connection.in_transaction) == (1, False)

        await asyncio.gather(*(call(number) for number in range(1, 17)))
        assert kept.killed() == [f"ord_{number}" for number in range(1, 17)]

    run(body)


def test_what_has_not_settled_is_not_promised(kept: Kept) -> None:
    async def body() -> None:
        kept.turn()
        kept.put(1)
        await kept.store.settled()
        kept.put(2)
        # A look hands it to the database, but that is no commit.
        assert kept.found() == ["ord_1", "ord_2"]
        assert kept.killed() == ["ord_1"]

    run(body)


def test_one_that_is_refused_takes_nothing_of_others_with_it(kept: Kept) -> None:
    async def body() -> None:
        kept.turn()
        kept.put(1)
        kept.place_and_undo(2)
        kept.put(3)
        kept.place_and_undo(4)
        assert kept.found() == ["ord_1", "ord_3"]
        await kept.store.settled()
        assert (kept.commits, kept.killed()) == (1, ["ord_1", "ord_3"])

    run(body)


def test_who_gives_up_ends_nobody_elses_waiting(kept: Kept) -> None:
    async def body() -> None:
        kept.turn()
        kept.put(1)
        first, second = (asyncio.ensure_future(kept.store.settled()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        await second

    run(body)
    assert kept.commits == 1


def test_nobody_is_told_of_what_cannot_be_written(kept: Kept) -> None:
    async def body() -> None:
        kept.turn()
        kept.put(1)
        # The same row again breaks the whole turn, whoever it was that wrote it.
        kept.store.keep([(write, rows * 2) for write, rows in twice(kept)], [])
        told = await asyncio.gather(kept.store.settled(), kept.store.settled(), return_exceptions=True)
        assert [type(error) for error in told] == [ServeError, ServeError]
        # Whoever comes to it later, for whatever reason, is not told either.
        assert kept.store.due
        with pytest.raises(ServeError, match="cannot be written"):
            await kept.store.settled()
        kept.put(5)
        with pytest.raises(ServeError, match="cannot be written"):
            await kept.store.settled()

    run(body)
    assert ["UNIQUE" in failure.message for failure in kept.failures] == [True]
    assert kept.killed() == []


def twice(kept: Kept) -> list[Any]:
    """What a transaction would write, that has placed a record."""
    transaction = kept.store.transaction(kept.epoch)
    transaction.write(Record(COLLECTION, "ord_9", 9, 1, 0.0, b"{}"), INDEXED)
    return transaction._pending()[0]


def test_without_a_loop_each_is_written_at_once(kept: Kept) -> None:
    kept.put(1)
    kept.place_and_undo(2)
    assert (kept.commits, kept.killed()) == (1, ["ord_1"])
