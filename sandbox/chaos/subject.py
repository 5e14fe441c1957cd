"""The subject: the integrator under test, behind one small interface.

A subject is started with its surroundings and gives a process. The process is ordinary blocking code; its tasks switch
where it calls a system or waits. It may be killed at any moment; what it keeps must lie on its `disk`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, Protocol

import requests

from sandbox.clock import Clock
from sandbox.wsgi import Wsgi


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a process finds when it starts; the same again after a crash, but for what is on the disk.

    Attributes:
        environment: URLs and credentials under the names that `sandbox env` prints, and WEBHOOK_URL.
        clock: Where its time comes from.
        random: Where its chance comes from.
        session: Makes its HTTP sessions.
        disk: What survives a crash; an object put here must itself lose what was not yet durable.
        on_crash: Called when the process is killed, e.g. to roll a database back.
    """

    environment: Mapping[str, str]
    clock: Clock
    random: Random
    session: Callable[[], requests.Session]
    disk: dict[str, Any]
    on_crash: list[Callable[[], None]] = field(default_factory=list)


class Process(Protocol):
    """A started subject."""

    @property
    def app(self) -> Wsgi:
        """Takes webhooks at WEBHOOK_URL."""

    def boot(self) -> None:
        """What it does before it is ready, e.g. subscribing; runs as a task and may call and wait."""

    def step(self) -> float | None:
        """Do everything that is due now; returns when it wants to be called again (unix seconds), or None for not
        before the next webhook. Runs as a task."""


class Tested(Protocol):
    """An integrator under test, in this process or in one of its own.

    Attributes:
        name: How reports call it.
        reconcile_every: Seconds between two reconciling polls; None when it does not say.
    """

    @property
    def name(self) -> str: ...

    @property
    def reconcile_every(self) -> float | None: ...


class Subject(Tested, Protocol):
    """An integrator in this process that can be started again and again."""

    def start(self, surroundings: Surroundings) -> Process:
        """Start a process."""
