"""Does what is due: looks at orders, shows parked ones in the shop, polls."""

from __future__ import annotations

import logging
import threading

from sandbox.clock import Clock
from sandbox.integrator.agenda import Agenda, Job
from sandbox.integrator.failures import Failure, Postponed, Refused, Transient, Unauthorized
from sandbox.integrator.journey import Journey
from sandbox.integrator.order import Order
from sandbox.integrator.pace import Backoff
from sandbox.integrator.reconcile import Reconciler
from sandbox.integrator.shop import Shop
from sandbox.integrator.trace import Trace

__all__ = ["Worker"]

log = logging.getLogger(__name__)


class Worker:
    """Works on one thing at a time, so no two of its steps ever race; all that waits, waits in the database.

    Args:
        max_attempts: Failures in a row without progress until an order is parked.
        patience: Seconds; a parked order is tried again after them, and one that would have to wait longer is parked.
    """

    def __init__(
        self,
        shop: Shop,
        agenda: Agenda,
        journey: Journey,
        reconciler: Reconciler,
        clock: Clock,
        backoff: Backoff,
        trace: Trace,
        *,
        max_attempts: int,
        patience: float,
    ) -> None:
        self._shop = shop
        self._agenda = agenda
        self._journey = journey
        self._reconciler = reconciler
        self._clock = clock
        self._backoff = backoff
        self._trace = trace
        self._max_attempts = max_attempts
        self._patience = patience
        self._busy = threading.Lock()
        self._wake = threading.Event()

    def step(self) -> float | None:
        """Do everything that is due now; returns the time at which the next thing is due, in unix seconds.

        None: another thread is at it already.
        """
        if not self._busy.acquire(blocking=False):
            return None
        try:
            while self._do_one_thing():
                pass
            return self._next_due()
        finally:
            self._busy.release()

    def run(self, stop: threading.Event) -> None:
        """Work in real time until told to stop; `wake` makes it look at once, and so notice `stop`."""
        while True:
            self._wake.clear()
            # Asked after `clear`, so that the wake which came with `stop` cannot get lost.
            if stop.is_set():
                return
            with self._busy:
                worked = self._do_one_thing()
            if not worked:
                self._wake.wait(max(0.0, self._next_due() - self._clock.now()))

    def wake(self) -> None:
        """Something new is due, or it is time to stop."""
        self._wake.set()

    def _next_due(self) -> float:
        due = self._agenda.next_due()
        return self._reconciler.due() if due is None else min(due, self._reconciler.due())

    def _do_one_thing(self) -> bool:
        now = self._clock.now()
        if self._reconciler.due() <= now:
            self._trace.start()
            self._reconciler.poll()
        elif (parked := self._agenda.next_mark(now)) is not None:
            self._trace.start(parked.trace_id)
            self._show_parked(parked)
        elif (job := self._agenda.next_job(now)) is not None:
            self._trace.start(job.trace_id)
            self._look_at(job)
        else:
            return False
        return True

    def _look_at(self, job: Job) -> None:
        """Carry an order as far as it goes now."""
        order: Order | None = None
        try:
            order = self._shop.order(job.order_number)
            if order.updated_at < job.newest:
                raise Transient("shop: an order that is older than the change it announced")
            self._journey.advance(order)
        except Failure as failure:
            self._set_aside(job, failure, order)
        except Exception as error:
            # A mistake of ours in one order must not stop the others; the order ends up parked, where it is seen.
            log.exception("order %s: a mistake in the integrator", job.order_number)
            self._set_aside(job, Transient(f"integrator: {type(error).__name__}"), order)
        else:
            self._agenda.settle(job, order.fingerprint, self._clock.now())

    def _set_aside(self, job: Job, failure: Failure, order: Order | None) -> None:
        """Say when to look at the order again, if at all, and park it if that takes too long."""
        now = self._clock.now()
        attempts = self._agenda.attempts(job.order_number) + 1
        due: float | None = None
        if isinstance(failure, Postponed):
            due = failure.until
            if due <= now + self._patience:
                self._agenda.hold(job, failure.system, due, now)
                return
        elif isinstance(failure, Transient):
            due = self._backoff.next_try(now, attempts, failure.not_before)
            if attempts < self._max_attempts and due <= now + self._patience:
                log.info("order %s: %s; next try in %.1f s", job.order_number, failure, due - now)
                self._agenda.retry(job, due)
                return
            due = max(due, now + self._patience)
        log.warning("order %s is parked: %s", job.order_number, failure)
        self._agenda.park(
            job,
            str(failure),
            now,
            due=due,
            fingerprint=order.fingerprint if order else None,
            unauthorized=isinstance(failure, Unauthorized),
        )

    def _show_parked(self, job: Job) -> None:
        """Write to the shop why an order is parked. Nobody would see it otherwise, so there is no last attempt."""
        try:
            self._shop.put_on_hold(job.order_number, job.parked or "")
        except Postponed as failure:
            self._agenda.retry_mark(job, failure.until)
        except Transient as failure:
            due = self._backoff.next_try(self._clock.now(), job.mark_attempts + 1, failure.not_before)
            self._agenda.retry_mark(job, due)
        except Unauthorized as failure:
            # A person will mend the credential; without another try, the order would stay out of sight even then.
            log.error("order %s is parked, but the shop does not know us: %s", job.order_number, failure)
            self._agenda.retry_mark(job, self._clock.now() + self._patience)
        except Refused as failure:
            log.error("order %s is parked, but the shop will not show it: %s", job.order_number, failure)
            self._agenda.marked(job)
        else:
            self._agenda.marked(job)
