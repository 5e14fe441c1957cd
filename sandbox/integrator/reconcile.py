"""Makes up for webhooks that never came: a poll that asks the shop now and then what has changed."""

from __future__ import annotations

import logging

from sandbox.clock import Clock
from sandbox.integrator.agenda import Agenda
from sandbox.integrator.database import Database
from sandbox.integrator.document import Json
from sandbox.integrator.failures import Failure, Postponed, Transient
from sandbox.integrator.inbox import Inbox
from sandbox.integrator.order import Order
from sandbox.integrator.pace import Backoff
from sandbox.integrator.shop import Shop

__all__ = ["Reconciler"]

log = logging.getLogger(__name__)


class Reconciler:
    """Polls the shop for changed orders and puts those on the agenda that were not dealt with as they are now.

    Each poll begins one period before the last one. So every change is listed twice, and neither a stale answer nor two
    clocks that disagree by less than a period lose one.

    Args:
        every: The period in seconds.
    """

    def __init__(
        self, shop: Shop, agenda: Agenda, inbox: Inbox, database: Database, clock: Clock, backoff: Backoff, every: float
    ) -> None:
        self._shop = shop
        self._agenda = agenda
        self._inbox = inbox
        self._database = database
        self._clock = clock
        self._backoff = backoff
        self._every = every
        self._attempts = 0
        self._due = database.setting("poll_due") or 0.0

    def due(self) -> float:
        """When the next poll is due, in unix seconds; the first one at once."""
        return self._due

    def poll(self) -> None:
        """Ask what has changed, and say when to ask again."""
        now = self._clock.now()
        polled = self._database.setting("polled")
        try:
            for document in self._shop.orders_changed_since(None if polled is None else polled - self._every):
                self._notice(document)
        except Failure as failure:
            log.warning("the poll failed: %s", failure)
            self._wait_until(self._after(failure))
            return
        self._attempts = 0
        self._database.remember("polled", now)
        self._wait_until(now + self._every)
        self._inbox.prune(now)

    def _notice(self, document: Json) -> None:
        now = self._clock.now()
        try:
            order = Order.parse(document)
        except Transient:
            number = document.get("order_number")
            if not isinstance(number, str):
                raise
            # One order that cannot be read must not hide the others; looking at it parks it if need be.
            self._agenda.ask(number, now)
            return
        job = self._agenda.find(order.number)
        if job is None or job.settled != order.fingerprint:
            self._agenda.ask(order.number, now, order.updated_at)

    def _wait_until(self, due: float) -> None:
        """Poll no earlier, not even after a restart."""
        self._due = due
        self._database.remember("poll_due", due)

    def _after(self, failure: Failure) -> float:
        now = self._clock.now()
        if isinstance(failure, Postponed):
            return failure.until
        if isinstance(failure, Transient):
            self._attempts += 1
            return self._backoff.next_try(now, self._attempts, failure.not_before)
        return now + self._every
