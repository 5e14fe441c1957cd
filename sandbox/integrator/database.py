"""The one file that outlives the process: SQLite, every statement durable against a kill before the next line runs."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["Database"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS settings (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS inbox (webhook_id TEXT PRIMARY KEY, received_at REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS inbox_received ON inbox (received_at);
CREATE TABLE IF NOT EXISTS jobs (
    order_number TEXT PRIMARY KEY,
    trace_id TEXT NOT NULL,
    calls INTEGER NOT NULL DEFAULT 0,
    newest REAL NOT NULL DEFAULT 0,
    settled TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at REAL,
    held_by TEXT,
    parked TEXT,
    unauthorized INTEGER NOT NULL DEFAULT 0,
    mark_due_at REAL,
    mark_attempts INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS jobs_due ON jobs (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS jobs_mark_due ON jobs (mark_due_at) WHERE mark_due_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS steps (
    order_number TEXT NOT NULL,
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    digest TEXT NOT NULL,
    request TEXT,
    result TEXT,
    PRIMARY KEY (order_number, name)
) WITHOUT ROWID;
"""

_TABLES = ("settings", "inbox", "jobs", "steps")


class Database:
    """One connection, shared by the threads of the process; a second process on the same file is refused.

    No transaction lasts longer than a method of the tables' modules, so none is ever open during a request.

    Args:
        path: The file, created when missing, or `:memory:`.

    Raises:
        sqlite3.Error: when the file is no database, cannot be written or is in use.
    """

    def __init__(self, path: str) -> None:
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
        self._connection.row_factory = sqlite3.Row
        try:
            # WAL with NORMAL survives the death of the process; only a power cut may cost the last commits.
            for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = NORMAL"):
                self._connection.execute(f"PRAGMA {pragma}")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error:
            self._connection.close()
            raise

    def execute(self, statement: str, *values: Any) -> int:
        """Run one statement and return how many rows it changed; outside `transaction` it commits at once."""
        with self._lock:
            return self._connection.execute(statement, values).rowcount

    def row(self, statement: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query."""
        with self._lock:
            row: sqlite3.Row | None = self._connection.execute(statement, values).fetchone()
            return row

    def rows(self, statement: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a query."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several statements that take effect together or not at all."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def setting(self, name: str) -> float | None:
        """A number remembered by name."""
        row = self.row("SELECT value FROM settings WHERE name = ?", name)
        return None if row is None else float(row["value"])

    def remember(self, name: str, value: float) -> None:
        """Remember a number by name."""
        self.execute("INSERT OR REPLACE INTO settings VALUES (?, ?)", name, value)

    def began_at(self, now: float) -> float:
        """When this database was first used, in unix seconds; that is now, if it is new."""
        began_at = self.setting("began_at")
        if began_at is None:
            self.remember("began_at", now)
        return now if began_at is None else began_at

    def clear(self) -> None:
        """Forget everything."""
        with self.transaction():
            for table in _TABLES:
                self.execute(f"DELETE FROM {table}")  # noqa: S608 - the names stand above

    def close(self) -> None:
        with self._lock:
            self._connection.close()
