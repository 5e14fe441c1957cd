"""What is known of an epoch without asking the database: all of a small collection, the last reads of a large one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.stored import Place, Query, Record

# A collection of at most so many records is kept whole and searched in memory.
_MOST_WHOLE: Final = 64
# So many records of a larger one, and answers to queries about it, are remembered.
_MOST_RECORDS: Final = 1000
_MOST_ANSWERS: Final = 100
_LONGEST_ANSWER: Final = 100
_MOST_KEYS: Final = 2_000_000


class _Shelf:
    """What is known of one collection."""

    __slots__ = ("answers", "records", "whole")

    def __init__(self, whole: bool) -> None:
        self.whole = whole
        self.records: dict[str, Record | None] = {}
        self.answers: dict[tuple[Any, ...], tuple[Record, ...]] = {}

    def put(self, id_: str, record: Record | None) -> None:
        if self.whole and record is None:
            self.records.pop(id_, None)
            return
        self.records[id_] = record
        if self.whole:
            self.whole = len(self.records) <= _MOST_WHOLE
        elif len(self.records) > _MOST_RECORDS:
            self.records.clear()


class Memory:
    """What is known of one epoch; only what is committed.

    Args:
        fresh: Whether the epoch begins with nothing.

    Attributes:
        last: The last place taken in each collection.
    """

    def __init__(self, fresh: bool) -> None:
        self.last: dict[str, int] = {}
        self._fresh = fresh
        self._shelves: dict[str, _Shelf] = {}
        self._keys: set[int] | None = set() if fresh else None

    def _shelf(self, collection: str) -> _Shelf:
        shelf = self._shelves.get(collection)
        if shelf is None:
            shelf = self._shelves[collection] = _Shelf(self._fresh)
        return shelf

    def record(self, place: Place) -> Record | None:
        """The record at a place, or None where there is none.

        Raises:
            KeyError: when that is not known.
        """
        shelf = self._shelf(place[0])
        if shelf.whole or self.unused(place):
            return shelf.records.get(place[1])
        return shelf.records[place[1]]

    def learn(self, place: Place, record: Record | None) -> None:
        """Keep what was read at a place."""
        self._shelf(place[0]).put(place[1], record)

    def taken(self, collection: str) -> int | None:
        """The last place taken in a collection, None when that is not known."""
        return self.last.get(collection, 0 if self._fresh else None)

    def found(
        self, collection: str, query: Query, indexed: frozenset[str], changed: Mapping[str, Record | None]
    ) -> list[Record] | None:
        """What a query finds, None when that is not known.

        Args:
            changed: What whoever asks has changed in the collection, by id.
        """
        shelf = self._shelf(collection)
        if not shelf.whole:
            if changed:
                return None
            try:
                answer = shelf.answers.get(_asked(query))
            except TypeError:
                # It asks for a list or an object.
                return None
            return None if answer is None else list(answer)
        present = {**shelf.records, **changed} if changed else shelf.records
        matching = [record for record in present.values() if record is not None and query.matches(record, indexed)]
        matching.sort(key=lambda record: record.seq)
        return matching[: query.limit]

    def learn_found(self, collection: str, query: Query, found: list[Record]) -> None:
        """Keep what a query found, as long as its collection stays as it is."""
        shelf = self._shelf(collection)
        if len(found) <= _LONGEST_ANSWER:
            if len(shelf.answers) >= _MOST_ANSWERS:
                shelf.answers.clear()
            try:
                shelf.answers[_asked(query)] = tuple(found)
            except TypeError:
                return

    def collections(self) -> list[str] | None:
        """The names of all collections that hold a record, None when that is not known."""
        if not self._fresh or not all(shelf.whole for shelf in self._shelves.values()):
            return None
        return sorted(name for name, shelf in self._shelves.items() if shelf.records)

    def unused(self, key: tuple[str, str]) -> bool:
        """Whether a key, or a place, was certainly never used; `use` notes that it is."""
        return self._keys is not None and hash(key) not in self._keys

    def use(self, key: tuple[str, str]) -> None:
        """Note that a key is used, or may be."""
        if self._keys is not None:
            self._keys.add(hash(key))
            if len(self._keys) > _MOST_KEYS:
                self._keys = None

    def change(self, places: Mapping[Place, Record | None], last: Mapping[str, int]) -> None:
        """Take over what a transaction has committed."""
        for place, record in places.items():
            shelf = self._shelf(place[0])
            shelf.answers.clear()
            shelf.put(place[1], record)
            self.use(place)
        self.last.update(last)

    def forget(self) -> None:
        """Forget what was read: it may never have been committed."""
        for shelf in self._shelves.values():
            shelf.answers.clear()
            if not shelf.whole:
                shelf.records.clear()


def _asked(query: Query) -> tuple[Any, ...]:
    # Equal values of different types are different terms: true is not 1.
    equals = tuple((field, type(value), value) for field, value in query.equals.items())
    return equals, query.updated_since, query.after, query.limit
