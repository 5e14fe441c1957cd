"""Which order is to be looked at, and when. What is true of an order, the shop says; here stands when to ask it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Self

from sandbox.integrator.database import Database
from sandbox.integrator.document import digest

__all__ = ["Agenda", "Job"]


@dataclass(frozen=True)
class Job:
    """One order's place on the agenda.

    Args:
        trace_id: The trace that all requests for this order belong to.
        calls: How often somebody asked to look at the order, so that what comes in during a look is not lost.
        newest: The latest change of the order that we heard of, in unix seconds: an older document is a stale one.
        settled: Fingerprint of the document that was last dealt with, if any.
        attempts: Failures in a row without progress, when the job was taken up.
        parked: Why the order waits for a person, if it does.
        mark_attempts: Failures in a row to write that to the shop.
    """

    order_number: str
    trace_id: str
    calls: int
    newest: float
    settled: str | None
    attempts: int
    parked: str | None
    mark_attempts: int

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        return cls(**{name: row[name] for name in cls.__dataclass_fields__})


class Agenda:
    """The jobs, kept in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ask(self, order_number: str, now: float, newest: float = 0.0, trace_id: str | None = None) -> None:
        """Have an order looked at. A job that waits for its next try keeps waiting: it reads the order anew anyway.

        Args:
            newest: When the order changed, in unix seconds, as far as it was said.
            trace_id: The trace to go on with; by default each order is a trace of its own.
        """
        self._database.execute(
            "INSERT INTO jobs (order_number, trace_id, calls, newest, due_at) VALUES (?, ?, 1, ?, ?)"
            " ON CONFLICT (order_number) DO UPDATE SET calls = calls + 1, newest = max(newest, excluded.newest),"
            " due_at = coalesce(due_at, excluded.due_at)",
            order_number, trace_id or digest(order_number)[:32], newest, now,
        )  # fmt: skip

    def find(self, order_number: str) -> Job | None:
        """The job of an order, if it was ever heard of."""
        return self._job("SELECT * FROM jobs WHERE order_number = ?", order_number)

    def next_job(self, now: float) -> Job | None:
        """The job to do now. Fresh ones come first, so that one that fails again and again holds up no other."""
        return self._job("SELECT * FROM jobs WHERE due_at <= ? ORDER BY attempts, due_at, order_number LIMIT 1", now)

    def next_mark(self, now: float) -> Job | None:
        """The parked order whose mark is to be written now."""
        return self._job("SELECT * FROM jobs WHERE mark_due_at <= ? ORDER BY mark_due_at, order_number LIMIT 1", now)

    def next_due(self) -> float | None:
        """When the next job or mark is due, in unix seconds."""
        row = self._database.row(
            "SELECT min(due) AS due FROM (SELECT min(due_at) AS due FROM jobs WHERE due_at IS NOT NULL"
            " UNION ALL SELECT min(mark_due_at) FROM jobs WHERE mark_due_at IS NOT NULL)"
        )
        return None if row is None else row["due"]

    def attempts(self, order_number: str) -> int:
        """Failures in a row without progress, as of now."""
        job = self.find(order_number)
        return 0 if job is None else job.attempts

    def settle(self, job: Job, fingerprint: str, now: float) -> None:
        """The order is as it should be; it is due again only if somebody asked meanwhile."""
        self._database.execute(
            "UPDATE jobs SET settled = ?, attempts = 0, held_by = NULL, parked = NULL, unauthorized = 0,"
            " mark_due_at = NULL, mark_attempts = 0, due_at = CASE calls WHEN ? THEN NULL ELSE ? END"
            " WHERE order_number = ?",
            fingerprint, job.calls, now, job.order_number,
        )  # fmt: skip

    def progressed(self, order_number: str) -> None:
        """A step succeeded: the next one has all its attempts before it."""
        self._database.execute("UPDATE jobs SET attempts = 0 WHERE order_number = ? AND attempts > 0", order_number)

    def retry(self, job: Job, due: float) -> None:
        """A try failed; the next one is at `due`."""
        self._database.execute(
            "UPDATE jobs SET attempts = attempts + 1, held_by = NULL, due_at = ? WHERE order_number = ?",
            due, job.order_number,
        )  # fmt: skip

    def hold(self, job: Job, system: str, due: float, now: float) -> None:
        """A system is given a rest until `due`: put the job off, and all that are due and wait for the same system."""
        self._database.execute(
            "UPDATE jobs SET held_by = ?, due_at = ? WHERE order_number = ? OR (held_by = ? AND due_at <= ?)",
            system, due, job.order_number, system, now,
        )  # fmt: skip

    def park(
        self,
        job: Job,
        reason: str,
        now: float,
        *,
        due: float | None,
        fingerprint: str | None,
        unauthorized: bool = False,
    ) -> None:
        """Set an order aside for a person to see; a new reason is to be written to the shop at once.

        Args:
            due: When it is tried again all the same; None: not before somebody asks.
            fingerprint: Of the document that cannot be dealt with, if it was read at all.
            unauthorized: It waits for another credential, which comes with a restart.
        """
        self._database.execute(
            "UPDATE jobs SET attempts = attempts + 1, held_by = NULL, settled = coalesce(?, settled), unauthorized = ?,"
            " mark_due_at = CASE WHEN parked IS ? THEN mark_due_at ELSE ? END, parked = ?,"
            " due_at = CASE WHEN ? IS NOT NULL OR calls = ? THEN ? ELSE ? END WHERE order_number = ?",
            fingerprint, int(unauthorized), reason, now, reason, due, job.calls, due, now, job.order_number,
        )  # fmt: skip

    def marked(self, job: Job) -> None:
        """The shop shows the order as parked, or refuses to."""
        self._database.execute(
            "UPDATE jobs SET mark_due_at = NULL, mark_attempts = 0 WHERE order_number = ? AND parked IS ?",
            job.order_number, job.parked,
        )  # fmt: skip

    def retry_mark(self, job: Job, due: float) -> None:
        """The mark could not be written; the next try is at `due`."""
        self._database.execute(
            "UPDATE jobs SET mark_attempts = mark_attempts + 1, mark_due_at = ? WHERE order_number = ?",
            due, job.order_number,
        )  # fmt: skip

    def release_unauthorized(self, now: float) -> None:
        """Try the orders again that a wrong credential stopped: a new process may have a better one."""
        self._database.execute("UPDATE jobs SET due_at = ?, unauthorized = 0 WHERE unauthorized = 1", now)

    def count(self) -> dict[str, int]:
        """How many orders were heard of, wait for something, and are parked."""
        row = self._database.row("SELECT count(*) AS known, count(due_at) AS due, count(parked) AS parked FROM jobs")
        return {} if row is None else dict(row)

    def _job(self, query: str, *values: str | float) -> Job | None:
        row = self._database.row(query, *values)
        return None if row is None else Job.of(row)
