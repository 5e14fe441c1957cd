"""What was done for an order in the other systems: each step, its idempotency key, its request and its result.

A step's request and key are written down before it is sent, so that a process that died in between sends the very same
again. Requests hold personal data; they are forgotten as soon as their step is done.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Self

from sandbox.integrator.database import Database
from sandbox.integrator.document import Json, digest

__all__ = ["Ledger", "State", "Step"]


class State(StrEnum):
    """How far a step has come."""

    BEGUN = "begun"  # sent or about to be; its outcome is unknown
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True)
class Step:
    """One step of an order's journey.

    Args:
        generation: Counts the different requests made for the step; each has a key of its own.
        digest: Of the request, so that it can be compared with another one after it is forgotten.
        request: The body; empty once the step is done.
        result: What later steps need to know; the reason if the step was refused.
    """

    order_number: str
    name: str
    generation: int
    state: State
    digest: str
    request: Json = field(default_factory=dict)
    result: Json = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The idempotency key: the same for the same request, whatever happens to this process or its database."""
        return f"order-{self.order_number}-{self.name}-{self.generation}"

    @classmethod
    def of(cls, row: sqlite3.Row) -> Self:
        values = dict(row)
        values |= {name: json.loads(values[name] or "{}") for name in ("request", "result")}
        return cls(**values | {"state": State(values["state"])})


class Ledger:
    """The steps, kept in the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def steps(self, order_number: str) -> dict[str, Step]:
        """All steps of an order that were ever begun, by name."""
        rows = self._database.rows("SELECT * FROM steps WHERE order_number = ?", order_number)
        return {row["name"]: Step.of(row) for row in rows}

    def begin(self, order_number: str, name: str, request: Json, before: Step | None) -> Step:
        """Write down a request that is about to be sent.

        Args:
            before: The step as it stood, if it was begun before with another request.
        """
        generation = before.generation + 1 if before else 1
        return self._write(Step(order_number, name, generation, State.BEGUN, digest(request), request))

    def finish(self, step: Step, result: Json) -> Step:
        """Write down that a step is done, and forget what was sent."""
        return self._write(Step(step.order_number, step.name, step.generation, State.DONE, step.digest, result=result))

    def refuse(self, step: Step, reason: str) -> Step:
        """Write down that a step's request will never be accepted."""
        refusal = {"reason": reason}
        return self._write(
            Step(step.order_number, step.name, step.generation, State.REFUSED, step.digest, result=refusal)
        )

    def adopt(self, order_number: str, name: str, result: Json, request_digest: str = "") -> Step:
        """Write down what somebody else did, as if we had."""
        return self._write(Step(order_number, name, 0, State.DONE, request_digest, result=result))

    def _write(self, step: Step) -> Step:
        self._database.execute(
            "INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?, ?, ?)",
            step.order_number, step.name, step.generation, step.state, step.digest,
            json.dumps(step.request) if step.request else None, json.dumps(step.result) if step.result else None,
        )  # fmt: skip
        return step
