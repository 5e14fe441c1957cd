"""The webhooks that were received, so that one that comes twice counts once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Self

from sandbox.integrator.agenda import Agenda
from sandbox.integrator.database import Database
from sandbox.integrator.document import unix_time

__all__ = ["Event", "Inbox"]

# Longer than any shop goes on redelivering; keeping ids for ever would only fill the disk.
_KEPT = 30 * 24 * 3600.0


@dataclass(frozen=True)
class Event:
    """What an event is about. What it says about the order is not kept: it may be out of date, the shop knows better.

    Args:
        order_number: The order, if the event is about one.
        changed_at: Its last change in unix seconds; 0 if the event is about something else.
    """

    order_number: str | None
    changed_at: float

    @classmethod
    def parse(cls, body: bytes) -> Self:
        """Read the payload of a webhook (Standard Webhooks 1.0.0).

        Raises:
            ValueError: when it is none.
        """
        payload = json.loads(body)
        data = payload.get("data") if isinstance(payload, dict) else None
        if not isinstance(data, dict):
            raise ValueError("the body is not an event: it has no data")
        order_number, changed_at = data.get("order_number"), data.get("updated_at")
        if not isinstance(order_number, str) or not isinstance(changed_at, str):
            return cls(None, 0.0)
        return cls(order_number, unix_time(changed_at))


class Inbox:
    """Takes in each webhook once, durably."""

    def __init__(self, database: Database, agenda: Agenda) -> None:
        self._database = database
        self._agenda = agenda

    def receive(self, webhook_id: str, event: Event, now: float, trace_id: str | None = None) -> bool:
        """Store that a webhook came and what is to be done about it, in one transaction. False: it came before."""
        with self._database.transaction():
            fresh = self._database.execute("INSERT OR IGNORE INTO inbox VALUES (?, ?)", webhook_id, now) == 1
            if fresh and event.order_number:
                self._agenda.ask(event.order_number, now, event.changed_at, trace_id)
        return fresh

    def prune(self, now: float) -> None:
        """Forget the ids of webhooks that nobody will send again."""
        self._database.execute("DELETE FROM inbox WHERE received_at < ?", now - _KEPT)
