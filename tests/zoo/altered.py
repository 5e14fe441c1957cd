"""The reference integrator with some of its parts replaced.

A part is replaced by a subclass of its own class, after everything was put together: so each mistake is one small
class, and all the rest is the reference as it stands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import requests

from sandbox.chaos.subject import Surroundings
from sandbox.integrator import Config, Database, Integrator
from sandbox.wsgi import Wsgi

_DISK = "database"

Door = Callable[["AlteredProcess"], Wsgi]


class AlteredProcess:
    """One life of an altered reference integrator.

    Attributes:
        config, clock, random: As the integrator got them.
        integrator: The integrator itself.
        app: Its door, or the one that stands in for it.
    """

    def __init__(self, subject: Altered, surroundings: Surroundings) -> None:
        self.config = Config.from_env({**surroundings.environment, **subject.settings})
        self.clock = surroundings.clock
        self.random = surroundings.random
        database = surroundings.disk.get(_DISK)
        if database is None:
            database = surroundings.disk[_DISK] = Database(":memory:")

        def session() -> requests.Session:
            made = surroundings.session()
            made.headers.update(subject.headers(surroundings.environment))
            return made

        self.integrator = Integrator(self.config, self.clock, self.random, session, database)
        parts = list(_parts(self.integrator))
        for kind in subject.parts:
            found = [part for part in parts if type(part) is kind.__bases__[0]]
            if not found:
                raise LookupError(f"the reference has no {kind.__bases__[0].__name__}")
            for part in found:
                object.__setattr__(part, "__class__", kind)
        self.app: Wsgi = self.integrator.app if subject.door is None else subject.door(self)
        self._webhook_url = surroundings.environment["WEBHOOK_URL"]

    @property
    def inbox(self) -> Any:
        return self.integrator.worker._reconciler._inbox

    def boot(self) -> None:
        self.integrator.subscribe(self._webhook_url)

    def step(self) -> float | None:
        return self.integrator.worker.step()


class Altered:
    """The reference integrator, altered.

    Args:
        parts: Subclasses of the parts that they replace.
        settings: Environment variables that differ from its defaults.
        door: Makes what takes the webhooks.
        headers: Further headers of every request, made from the environment.
    """

    def __init__(
        self,
        name: str,
        *parts: type,
        settings: Mapping[str, str] | None = None,
        door: Door | None = None,
        headers: Callable[[Mapping[str, str]], dict[str, str]] = lambda _: {},
    ) -> None:
        self.name = name
        self.parts = parts
        self.settings = dict(settings or {})
        self.door = door
        self.headers = headers
        self.reconcile_every: float | None = float(self.settings.get("RECONCILE_EVERY", "300"))

    def start(self, surroundings: Surroundings) -> AlteredProcess:
        return AlteredProcess(self, surroundings)


def _parts(integrator: Any) -> Iterator[Any]:
    """All that the integrator is made of."""
    worker, systems = integrator.worker, integrator._systems
    tokens = systems.crm._client._credential._fetch.__self__
    for api in (systems.shop, systems.crm, systems.accounting, systems.shipping, tokens):
        yield from (api, api._client, api._client._breaker, api._client._credential)
    yield from (worker, worker._agenda, worker._backoff, worker._trace)
    yield from (worker._journey, worker._journey._ledger)
    yield from (worker._reconciler, worker._reconciler._inbox)
