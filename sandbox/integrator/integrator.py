"""All parts put together."""

from __future__ import annotations

import logging
from random import Random

from sandbox.clock import Clock
from sandbox.integrator.agenda import Agenda
from sandbox.integrator.app import Application
from sandbox.integrator.client import SessionFactory, new_session
from sandbox.integrator.config import Config
from sandbox.integrator.database import Database
from sandbox.integrator.failures import Postponed, Transient
from sandbox.integrator.inbox import Inbox
from sandbox.integrator.journey import Journey
from sandbox.integrator.ledger import Ledger
from sandbox.integrator.pace import Backoff
from sandbox.integrator.reconcile import Reconciler
from sandbox.integrator.systems import Systems
from sandbox.integrator.trace import Trace
from sandbox.integrator.worker import Worker

__all__ = ["Integrator"]

log = logging.getLogger(__name__)


class Integrator:
    """Carries each paid order through CRM, accounting and shipping.

    Built again on the same database it goes on where the last one stopped, whatever stopped it.

    Args:
        clock: Where all time comes from.
        random: Where all chance comes from.
        sessions: Makes the HTTP session, which holds the connections to all systems.
        database: Where everything lies that must outlive the process; by default the file that `config` names.

    Attributes:
        app: The WSGI application.
        worker: Does the work, in a thread of its own (`run`) or when it is told (`step`).

    Raises:
        sqlite3.Error: when the database cannot be opened.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock,
        random: Random,
        sessions: SessionFactory = new_session,
        database: Database | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._database = database or Database(config.data_file)
        self._backoff = Backoff(random, config.backoff_base, config.backoff_cap)
        trace = Trace(random)
        self._systems = Systems.connect(config, clock, sessions, self._backoff, trace)

        agenda = Agenda(self._database)
        agenda.release_unauthorized(clock.now())
        inbox = Inbox(self._database, agenda)
        journey = Journey(
            self._systems, Ledger(self._database), self._database.began_at(clock.now()), agenda.progressed
        )
        reconciler = Reconciler(
            self._systems.shop, agenda, inbox, self._database, clock, self._backoff, config.reconcile_every
        )
        self.worker = Worker(
            self._systems.shop,
            agenda,
            journey,
            reconciler,
            clock,
            self._backoff,
            trace,
            max_attempts=config.max_attempts,
            patience=config.reconcile_every,
        )
        self.app = Application(
            inbox,
            agenda,
            clock,
            secret=config.webhook_secret,
            tolerance=config.webhook_tolerance,
            received=self.worker.wake,
        )

    def subscribe(self, url: str) -> None:
        """Have the shop deliver its events to a URL; waits for a shop that does not answer.

        Raises:
            Failure: when the shop refuses.
        """
        attempts = 0
        while True:
            try:
                self._systems.shop.subscribe(url, self._config.webhook_secret)
            except Postponed as failure:
                due = failure.until
            except Transient as failure:
                attempts += 1
                log.warning("cannot subscribe yet: %s", failure)
                due = self._backoff.next_try(self._clock.now(), attempts, failure.not_before)
            else:
                return
            self._clock.sleep(due - self._clock.now())

    def close(self) -> None:
        """Let go of the database; the worker must have stopped."""
        self._database.close()
