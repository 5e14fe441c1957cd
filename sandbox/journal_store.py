"""The journal of one world in the database: written in batches, read a part at a time, and bounded."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from sandbox import journal
from sandbox.model import dump
from sandbox.store import Store

_STEPS: Final = 1000


class JournalStore:
    """The entries of one life of a world.

    Args:
        epoch: Of that life.
        soon: Runs a callback shortly, after what is running now.
        now: The world's time.
        most: So many entries are kept; what is older is dropped, and a note in its place says so.

    Attributes:
        dropped: How many entries are no longer there; they are those up to this `seq`.
        closed: Whether it takes no more rows.
    """

    def __init__(
        self, store: Store, epoch: int, soon: Callable[[Callable[[], None]], None], now: Callable[[], float], most: int
    ) -> None:
        self._store = store
        self._epoch = epoch
        self._soon = soon
        self._now = now
        self._most = most
        self._seq = 0
        self._grown = False
        self._watchers: list[Callable[[], None]] = []
        self._running: set[int] = set()
        self._gap: journal.Entry = {}
        self.closed = False

    def restore(self) -> None:
        """Take up what a former process left."""
        if (row := self._store.journal_gap(self._epoch)) is not None:
            self._gap = journal.loads(row)
            self._seq = self.dropped
        for entry in self.entries():
            self._seq = max(self._seq, entry["seq"])

    @property
    def dropped(self) -> int:
        dropped: int = self._gap.get("dropped", 0)
        return dropped

    @property
    def length(self) -> int:
        """How many entries there are."""
        return self._seq - self.dropped

    def begin(self) -> int:
        """The place of a call that has arrived; its rows come later."""
        self._seq += 1
        self._running.add(self._seq)
        return self._seq

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry of its own (a delivery, a note)."""
        self._seq += 1
        self.append_row(self._seq, dump({"seq": self._seq, **entry}))

    def append_row(self, seq: int, row: bytes) -> None:
        """Add a row; whoever watches is told shortly.

        What is left of a call when its world has ended is nowhere noted.
        """
        if self.closed:
            return
        if not self._grown:
            self._grown = True
            self._soon(self.flush)
        self._store.append_journal(self._epoch, seq, row)
        self._running.discard(seq)

    def flush(self) -> None:
        """See to what follows from its having grown: it is bounded, and whoever watches is told."""
        if not self._grown:
            return
        self._grown = False
        if self.length > self._most:
            self._drop()
        self._tell_watchers()

    def _drop(self) -> None:
        # A little more than needed, so that a full journal is not trimmed at each call.
        last = self._seq - self._most + self._most // _STEPS
        self._gap = {"dropped": last, "at": self._now()}
        self._store.trim_journal(self._epoch, last, dump(self._gap))

    def close(self) -> None:
        """Take nothing more; whoever watches is told."""
        self.closed = True
        self.flush()
        self._tell_watchers()

    def entries(self, wanted: journal.Filter | None = None, limit: int | None = None) -> list[journal.Entry]:
        """What there is, oldest first; a note stands for what was dropped."""
        self.flush()
        if wanted is None and limit is None:
            rows = self._store.journal_rows(self._epoch, self.dropped)
            return [*self._note(), *journal.merge(row.body for row in rows)]
        wanted = wanted or journal.Filter()
        rows = self._store.journal_rows(self._epoch, max(wanted.after, self.dropped))
        whole = (journal.merge(row.body for row in same)[0] for _, same in itertools.groupby(rows, lambda row: row.seq))
        return list(itertools.islice(wanted.apply(itertools.chain(self._note(), whole)), limit))

    def _note(self) -> Iterator[journal.Entry]:
        if self.dropped:
            text = f"{self.dropped} entries dropped: the journal keeps the last {self._most}; more with --max-journal"
            note = {"seq": self.dropped, "kind": "note", "at": self._gap["at"], "address": None}
            yield note | {"text": text, "dropped": self.dropped}

    def running(self, seq: int) -> bool:
        """Whether the call with this place has not ended yet."""
        return seq in self._running

    @property
    def complete_up_to(self) -> int:
        """No entry up to this place will grow or be added any more."""
        return min(self._running, default=self._seq + 1) - 1

    @contextmanager
    def watch(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call back whenever it has grown, and when it ends."""
        self._watchers.append(callback)
        try:
            yield
        finally:
            self._watchers.remove(callback)

    def _tell_watchers(self) -> None:
        for watcher in self._watchers:
            watcher()
