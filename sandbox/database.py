"""The connection to the database, and when what is committed goes into its file.

What is committed waits to be written together, until somebody asks for what it holds. In memory that is all, since
nothing outlives the process anyway. For a file a `Group` says when it is written; whoever wants to tell somebody of a
change waits until then (`settled`).
"""

from __future__ import annotations

import itertools
import sqlite3
from pathlib import Path
from typing import Final, Protocol

from sandbox.errors import ServeError
from sandbox.queries import INSERT
from sandbox.statement import Row, Statement
from sandbox.tables import SCHEMA, journal

# In memory, so many rows wait at most until they are written together, or until somebody asks.
_MOST_WAITING: Final = 256
# Seconds to wait for a file that another process is about to let go.
_PATIENCE: Final = 1.0
# Rows of a kilobyte or two leave a third of a page of 4 KiB unused.
_IN_MEMORY: Final = ("page_size=16384",)
_OF_A_FILE: Final = (
    # Counters and locks of a world live in memory, so a file has one process.
    "locking_mode=EXCLUSIVE",
    # A commit is an append to a second file, so a process may be killed at any moment: what was committed is there.
    "journal_mode=WAL",
    # The disk is waited for only when the log goes into the file. A machine that loses its power may lose the last
    # commits, but leaves a file that is sound.
    "synchronous=NORMAL",
    # That is every 32 MiB, not every four, since pages that many commits touch are then written once; keys are spread
    # all over the file, so the pages that are touched again and again are kept at hand (16 MiB).
    "wal_autocheckpoint=8192",
    "cache_size=-16384",
)


class Group(Protocol):
    """Lets several commits go into a file together."""

    def due(self) -> None:
        """Something waits to be written, which had not been so: `settle` is to be called before long."""

    async def settled(self) -> None:
        """Return once it has been.

        Raises:
            ServeError: when the file cannot be written.
        """


class Database:
    """One connection.

    Args:
        path: An SQLite file, made when absent; None keeps everything in memory.

    Attributes:
        group: Lets commits to the file wait for each other; without one each is written at once.
        due: Whether something that was committed is not yet in the file.

    Raises:
        ServeError: when the file cannot be opened as a database.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        try:
            self.connection = sqlite3.connect(
                ":memory:" if path is None else path, timeout=_PATIENCE, check_same_thread=False
            )
            for pragma in _IN_MEMORY if path is None else _OF_A_FILE:
                self.connection.execute(f"PRAGMA {pragma}")
            for statement in SCHEMA:
                self.connection.execute(statement)
            self.connection.commit()
        except sqlite3.Error as error:
            if "locked" in str(error):
                raise ServeError(
                    f"{path}: another process uses this database", "end it, or name another file"
                ) from error
            raise ServeError(
                f"{path}: cannot be used as a database: {error}", "name a new file, or one that the sandbox made"
            ) from error
        self.group: Group | None = None
        self.due = False
        self._failure: sqlite3.Error | None = None
        self._waiting: list[tuple[Statement, list[Row]]] = []
        self._journal: list[Row] = []

    def close(self) -> None:
        """Close it, once all is written.

        Raises:
            ServeError: when the file cannot be written.
        """
        try:
            if self.due and self._failure is None:
                self.settle()
        finally:
            self.connection.close()

    def keep(self, writes: list[tuple[Statement, list[Row]]], journal_rows: list[Row]) -> None:
        """Take over what is committed, to be written later."""
        self._waiting += writes
        self._journal += journal_rows
        if self.path is not None:
            self.commit()
            return
        if len(self._waiting) > _MOST_WAITING:
            self.write()
        if len(self._journal) > _MOST_WAITING:
            self.write_journal()

    def write(self) -> None:
        """Hand what waits to the database, but for the journal."""
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            # No row refers to another table, so it is enough that those of one table keep their order.
            waiting.sort(key=lambda write: write[0].table)
            for statement, same in itertools.groupby(waiting, lambda write: write[0]):
                self._run(statement, [row for _, rows in same for row in rows])
            if self.path is None:
                self.connection.commit()

    def write_journal(self) -> None:
        """Hand what waits of the journal to the database."""
        if self._journal:
            rows, self._journal = self._journal, []
            self._run(INSERT[journal], rows)
            if self.path is None:
                self.connection.commit()

    def _run(self, statement: Statement, rows: list[Row]) -> None:
        try:
            statement.run_each(self.connection, rows)
        except sqlite3.Error as error:
            # Whoever asked for it may go on; but what others had committed is not whole any more.
            self._failure = error
            raise

    def commit(self) -> None:
        """See to it that what was handed to the database is committed, too."""
        if self.path is None:
            self.connection.commit()
        elif self.group is None:
            self.settle()
        elif not self.due:
            self.due = True
            self.group.due()

    def settle(self) -> None:
        """Put all that was committed into the file, or nothing of it.

        Raises:
            ServeError: when the file cannot be written; then nothing that comes can be kept either.
        """
        self.due = False
        try:
            self.write()
            self.write_journal()
            if self._failure is not None:
                raise self._failure
            self.connection.commit()
        except sqlite3.Error as error:
            # It never will be; who asks has to hear that.
            self.due, self._failure = True, error
            self.connection.rollback()
            raise self._unwritten(error) from error

    def _unwritten(self, error: sqlite3.Error) -> ServeError:
        return ServeError(f"{self.path}: cannot be written: {error}", "what was answered until then is in it")

    async def settled(self) -> None:
        """Return once all that was committed so far outlives the process, if anything does.

        Raises:
            ServeError: when the file cannot be written.
        """
        if self.due and self._failure is not None:
            raise self._unwritten(self._failure)
        if self.due and self.group is not None:
            await self.group.settled()

    def begin(self) -> None:
        """Begin what `end` keeps or `undo` takes back, while commits of others still wait for the file."""
        if self.path is not None:
            if not self.connection.in_transaction:
                self.connection.execute("BEGIN")
            self.connection.execute("SAVEPOINT one")

    def end(self) -> None:
        if self.path is not None:
            self.connection.execute("RELEASE one")
        self.commit()

    def undo(self) -> None:
        if self.path is None:
            self.connection.rollback()
        elif self.connection.in_transaction:
            self.connection.execute("ROLLBACK TO one")
            self.connection.execute("RELEASE one")
        else:
            # SQLite takes everything back when the disk is full, what others had committed, too.
            self._failure = sqlite3.OperationalError("everything was rolled back")

    def drop(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._journal.clear()
