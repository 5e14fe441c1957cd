"""A synchronous WSGI application as a subject: in this process, in virtual time, though it knows nothing of it.

It is imported afresh for each life, gets the world by the variables of `sandbox env`, and keeps what shall survive a
crash in the folder that DATA_DIR names. What cannot be run faithfully like this (threads, asyncio, processes,
connections elsewhere) ends the run with one sentence that says so.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sandbox.access import Access
from sandbox.chaos.customer import ACTOR, keys_of
from sandbox.chaos.parking import read_parked
from sandbox.chaos.runner import HARD_LIMIT, Runner, RunRecord
from sandbox.chaos.scenario import Scenario
from sandbox.chaos.subject import Surroundings
from sandbox.chaos.subject_settings import SubjectError, SubjectSettings
from sandbox.govern.governor import INSTEAD, Governor
from sandbox.govern.loading import Loader, LoadError, wsgi
from sandbox.govern.patches import installed
from sandbox.govern.watchdog import PATIENCE, Endless, Watchdog
from sandbox.limits import Limits
from sandbox.model import Answer
from sandbox.plan import Plan
from sandbox.project import Project
from sandbox.spec import Spec
from sandbox.wsgi import Wsgi, call_wsgi

BASE_URL: Final = "http://127.0.0.1:8421"
_PORT: Final = BASE_URL.rpartition(":")[2]
_LAST_LINES: Final = 40
# A probe has this long to answer.
_PROBE: Final = 60.0
_USUAL: Final = Limits()
_NOT_YET: Final = "503 Service Unavailable"


@dataclass(frozen=True, slots=True)
class WsgiApp:
    """An application under test.

    Attributes:
        app: `module:app`, or `module:factory()` of what makes it.
        folder: Where its modules are.
        settings: Its environment and paths.
        reconcile_path: Where a POST makes it look for what it missed, every `reconcile_every`; None when it does not.
    """

    app: str
    folder: Path
    settings: SubjectSettings = field(default_factory=SubjectSettings)
    reconcile_path: str | None = None

    def __call__(self) -> WsgiApp:
        """Itself: it can be started any number of times, in any process."""
        return self

    @property
    def name(self) -> str:
        return self.app

    @property
    def reconcile_every(self) -> float | None:
        return self.settings.reconcile_every


class WsgiRunner:
    """Runs plans against an application, one after the other.

    Args:
        hard_limit: Virtual seconds after which a run ends, whatever happens.
        patience: Seconds of real time that the application may be at work without waiting.
    """

    def __init__(
        self,
        project: Project,
        app: WsgiApp,
        limits: Limits = _USUAL,
        hard_limit: float = HARD_LIMIT,
        patience: float = PATIENCE,
    ) -> None:
        self._app = app
        self._program = _Program(app)
        self._runner = Runner(project, self._program, limits, f"{BASE_URL}{app.settings.webhook_path}", hard_limit)
        host = self._runner.host
        access = host.access()
        self._environment = access.environment()
        self._program.governor = self._governor = Governor(host, Watchdog(patience))
        self._program.subscriptions = list(_subscriptions(project.specs, access))

    def run(self, plan: Plan, scenario: Scenario) -> RunRecord:
        """Carry out a plan and keep what it left.

        Raises:
            SubjectError: when the application cannot be loaded, or did what cannot be run faithfully here.
        """
        self._program.begin()
        self._governor.refusals.clear()
        with ExitStack() as stack:
            data = stack.enter_context(tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True))
            stack.enter_context(self._program.loader.on_path())
            output = stack.enter_context(installed(self._governor, self._variables(data)))
            try:
                record = self._runner.run(plan, scenario)
                parked, trouble = self._parked(Path(data))
            except Endless as endless:
                self._runner.host.tasks.kill()
                what = f"{self._app.app} is at work without end ({endless.place}), and never waits"
                raise SubjectError(what, "time passes for it only when it sleeps or calls a system") from None
        if self._program.failure is not None:
            raise SubjectError(self._program.failure.message, self._program.failure.hint)
        if self._governor.refusals:
            raise SubjectError(f"{self._app.app} cannot be run in this process: {self._governor.refusals[0]}", INSTEAD)
        said = tuple(output.last_lines(_LAST_LINES))
        return replace(record, parked=parked, said=said, trouble=(*record.trouble, *trouble))

    def close(self) -> None:
        """Forget the world."""
        self._runner.host.close()

    def _variables(self, data: str) -> dict[str, str]:
        url = f"{BASE_URL}{self._app.settings.webhook_path}"
        given = self._environment | {"WEBHOOK_URL": url, "PORT": _PORT, "DATA_DIR": data}
        return self._app.settings.variables(given) | {"NO_PROXY": "*"}

    def _parked(self, data: Path) -> tuple[dict[str, str], tuple[str, ...]]:
        probe = self._app.settings.parking
        if probe is None:
            return {}, ()
        try:
            if not probe.startswith("/"):
                file = data / probe
                return (read_parked(file.read_text(encoding="utf-8")) if file.is_file() else {}), ()
            answers: list[Answer] = []
            host = self._runner.host
            app = self._program.app
            host.tasks.spawn(lambda: answers.append(call_wsgi(app, f"{BASE_URL}{probe}", {}, b"", "GET")))
            host.run(_PROBE)
            if not answers or answers[0].status != 200:
                what = f"answered {answers[0].status}" if answers else "did not answer"
                return {}, (f"the parking probe {probe} {what}",)
            return read_parked(answers[0].body.decode("utf-8", "replace")), ()
        except ValueError as error:
            return {}, (f"the parking probe {probe} cannot be read: {error}",)


class _Program:
    """An application that can be started again and again."""

    def __init__(self, app: WsgiApp) -> None:
        self.name = app.name
        self.reconcile_every = app.reconcile_every
        self.loader = Loader(app.app, app.folder)
        self.governor: Governor
        self.subscriptions: list[_Subscription] = []
        self.failure: LoadError | None = None
        self.app: Wsgi = _not_loaded
        self._sound = False
        self._settings = app

    def begin(self) -> None:
        """Forget the run before."""
        self.failure = None
        self.app = _not_loaded

    def start(self, surroundings: Surroundings) -> _Life:
        return _Life(self, surroundings, self._settings.reconcile_path)

    def load(self) -> Wsgi:
        """The application, ruled whenever it is called."""
        try:
            loaded = wsgi(self.loader.load(after_crash=self.app is not _not_loaded), self.name)
        except LoadError as error:
            # One that could be loaded before died of a fault; one that did what is refused is told of by that.
            if not self._sound and not self.governor.refusals:
                self.failure = self.failure or error
            raise
        self.failure, self._sound = None, True
        governor = self.governor

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            with governor.ruling():
                result = loaded(environ, start_response)
                try:
                    return [b"".join(result)]
                except SystemExit as error:
                    raise RuntimeError(f"it ended itself with {error.code!r}") from None
                finally:
                    if hasattr(result, "close"):
                        result.close()

        self.app = app
        return app


class _Life:
    """One life of an application."""

    def __init__(self, program: _Program, surroundings: Surroundings, reconcile_path: str | None) -> None:
        self._program = program
        self._surroundings = surroundings
        self._every = program.reconcile_every if reconcile_path else None
        self._url = f"{BASE_URL}{reconcile_path}"
        self._due: float | None = None
        self._loaded: Wsgi = _not_loaded

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        return self._loaded(environ, start_response)

    def boot(self) -> None:
        governor, surroundings = self._program.governor, self._surroundings
        governor.seed(surroundings.random)
        with governor.ruling():
            governor.begin_life()
            self._loaded = self._program.load()
        if "subscribed" not in surroundings.disk:
            surroundings.disk["subscribed"] = True
            for subscription in self._program.subscriptions:
                subscription.make(surroundings)
        if self._every is not None:
            self._due = surroundings.clock.now() + self._every

    def step(self) -> float | None:
        if self._every is not None and self._due is not None and self._surroundings.clock.now() >= self._due:
            call_wsgi(self._loaded, self._url, {}, b"")
            self._due = self._surroundings.clock.now() + self._every
        return self._due


@dataclass(frozen=True, slots=True)
class _Subscription:
    """What subscribes an application to all events of a system, unless it has done so itself."""

    url: str
    headers: Mapping[str, str]
    events: tuple[str, ...]
    secret: str

    def make(self, surroundings: Surroundings) -> None:
        webhooks = surroundings.environment["WEBHOOK_URL"]
        with surroundings.session() as session:
            listed = session.get(self.url, headers=self.headers)
            if listed.ok and any(webhooks in record.values() for record in _records(listed.json())):
                return
            body = {"url": webhooks, "events": list(self.events), "secret": self.secret}
            session.post(self.url, data=json.dumps(body), headers={**self.headers, "content-type": "application/json"})


def _records(document: Any) -> Iterable[dict[str, Any]]:
    lists = document.values() if isinstance(document, dict) else [document]
    return [item for found in lists if isinstance(found, list) for item in found if isinstance(item, dict)]


def _subscriptions(specs: Mapping[str, Spec], access: Access) -> Iterator[_Subscription]:
    for name, spec in specs.items():
        if spec.subscribe_operations:
            operation = spec.operations[spec.subscribe_operations[0]]
            keys = keys_of(access.credentials, name)
            url = f"{access.systems[name]['url']}{operation.path}"
            yield _Subscription(url, {ACTOR[0]: ACTOR[1], **keys}, tuple(spec.events), access.webhook_secret)


def _not_loaded(_: dict[str, Any], start_response: Callable[..., Any]) -> Any:
    start_response(_NOT_YET, [])
    return [b""]
