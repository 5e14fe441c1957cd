"""The reference integrator as a subject."""

from __future__ import annotations

from collections.abc import Mapping

from sandbox.chaos.subject import Surroundings
from sandbox.integrator import Config, Database, Integrator
from sandbox.wsgi import Wsgi

SYSTEMS = ("shop", "crm", "accounting", "shipping")
_DISK = "database"


class ReferenceProcess:
    """One life of the reference integrator."""

    def __init__(self, integrator: Integrator, webhook_url: str) -> None:
        self._integrator = integrator
        self._webhook_url = webhook_url

    @property
    def app(self) -> Wsgi:
        return self._integrator.app

    def boot(self) -> None:
        self._integrator.subscribe(self._webhook_url)

    def step(self) -> float | None:
        return self._integrator.worker.step()


class ReferenceSubject:
    """The reference integrator; of one subject, one run at a time.

    Args:
        settings: Environment variables that differ from its defaults, e.g. `{"MAX_ATTEMPTS": "3"}`.
    """

    name = "reference"

    def __init__(self, settings: Mapping[str, str] | None = None) -> None:
        self._settings = dict(settings or {})
        self.reconcile_every: float | None = float(self._settings.get("RECONCILE_EVERY", "300"))
        self._environment: Mapping[str, str] = {}
        self._config: Config | None = None
        self._database: Database | None = None

    def start(self, surroundings: Surroundings) -> ReferenceProcess:
        config = self._configured(surroundings.environment)
        database = surroundings.disk.get(_DISK)
        if database is None:
            database = surroundings.disk[_DISK] = self._empty()
        integrator = Integrator(config, surroundings.clock, surroundings.random, surroundings.session, database)
        return ReferenceProcess(integrator, surroundings.environment["WEBHOOK_URL"])

    def _configured(self, environment: Mapping[str, str]) -> Config:
        """The settings; read anew only where the environment is another one."""
        if self._config is None or environment != self._environment:
            self._environment, self._config = environment, Config.from_env({**environment, **self._settings})
        return self._config

    def _empty(self) -> Database:
        """A database as a new file has it. One serves all runs: what SQLite has compiled for it is used again."""
        if self._database is None:
            self._database = Database(":memory:")
        else:
            self._database.clear()
        return self._database
