"""The sandbox without sockets: requests step straight through the engine, time is virtual, nothing ever sleeps.

`InProcess.session()` is a `requests.Session` whose calls end up here; `InProcess.mount` puts a WSGI program (the
integrator under test) where webhooks reach it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import requests

from sandbox.access import Access, access, all_credentials
from sandbox.adapter import Adapter
from sandbox.caller import Caller, once
from sandbox.catalog import Catalog
from sandbox.clock import START, Suspended, TimedClock, VirtualClock, suspend
from sandbox.connection import CONNECTION
from sandbox.control import control_app
from sandbox.engine import Beginning
from sandbox.gateway import Gateway, services
from sandbox.limits import Limits
from sandbox.model import DEFAULT_WORLD, Answer, Headers
from sandbox.outbox import DeliveryError, Sender
from sandbox.project import Project
from sandbox.store import Store
from sandbox.tasks import Killed, Tasks, Wake
from sandbox.world import World, Worlds
from sandbox.wsgi import Wsgi, call_wsgi

BASE_URL: Final = "http://127.0.0.1:8420"
_PATIENCE: Final = 3600.0
_USUAL: Final = Limits()

Pending = Coroutine[Any, Any, None]

log = logging.getLogger("sandbox")


class InProcess:
    """A project served in memory, on one virtual clock.

    Args:
        seed: All data, ids and credentials follow from it.
        start: The virtual time at which it begins, in unix seconds.
        limits: How much it holds.
        beginning: What each world begins with besides what the mocks say, e.g. a `Recording`.

    Attributes:
        latency: Seconds that an answer takes to reach a task; a caller outside all tasks has it at once.
    """

    rate_limits = True
    pace = 1.0
    latency = 0.0

    def __init__(
        self,
        project: Project,
        seed: int = 0,
        start: float | None = None,
        limits: Limits = _USUAL,
        beginning: Beginning | None = None,
    ) -> None:
        self.project = project
        self.seed = seed
        self._clock = VirtualClock() if start is None else VirtualClock(start)
        self._mounted: dict[str, Wsgi] = {}
        self._later: list[Callable[[], None]] = []
        self.tasks = Tasks(self._clock)
        credentials = all_credentials(project.specs.values(), seed)
        self._catalog = Catalog(project.specs)
        self.store = Store()
        self.worlds = Worlds(self.store, self, seed, credentials, self._catalog, limits=limits)
        systems = services(project, credentials, beginning)
        self.gateway = Gateway(self.worlds, systems, control_app(self.worlds, project.specs))

    # What a world needs of its host.
    def clock(self) -> VirtualClock:
        return self._clock

    def retire(self, clock: TimedClock) -> None:
        """Nothing: all worlds share one clock, and the timers of one that has ended do nothing."""

    def spawn(self, task: Coroutine[Any, Any, None]) -> None:
        self._step(task)

    @property
    def sender(self) -> Sender:
        return self._send

    def soon(self, callback: Callable[[], None]) -> None:
        # Nothing runs beside the caller here; what is due "soon" happens when somebody looks or time passes.
        self._later.append(callback)

    idle = soon

    @property
    def virtual_clock(self) -> VirtualClock:
        return self._clock

    @property
    def now(self) -> float:
        return self._clock.now()

    def world(self, name: str = DEFAULT_WORLD) -> World:
        return self.worlds.get(name)

    def access(self, world: str = DEFAULT_WORLD) -> Access:
        return access(self.project.specs.values(), BASE_URL, self.seed, world)

    def mount(self, url: str, app: Wsgi) -> None:
        """Let webhooks for `url` and below reach a WSGI application."""
        self._mounted[url.rstrip("/")] = app

    def session(self) -> requests.Session:
        """A session whose requests are carried out in memory."""
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", Adapter(self.call))
        session.mount("https://", Adapter(self.call))
        return session

    def unmount(self, url: str) -> None:
        """Let webhooks for `url` find nobody."""
        self._mounted.pop(url.rstrip("/"), None)

    def at(self, due: float, callback: Callable[[], None]) -> None:
        """Do something at a virtual time."""
        self._clock.at(due, callback)

    def run_until(self, moment: float) -> None:
        """Let time pass; what comes due on the way happens at its own time."""
        self._clock.run_until(moment)
        self._tidy()

    def run(self, seconds: float) -> None:
        self.run_until(self.now + seconds)

    def restart(self, seed: int, start: float = START) -> World:
        """Throw everything away and begin anew with the world `default`; what was compiled stays."""
        self.tasks.kill()
        self.worlds.clear()
        self._mounted.clear()
        self._later.clear()
        self._clock.restart(start)
        return self.worlds.create(DEFAULT_WORLD, seed)

    def close(self) -> None:
        self.worlds.close()
        self.store.close()

    def call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"", time_limit: float | None = None
    ) -> Answer:
        """Carry out one request.

        Raises:
            CallerTimedOut: after `time_limit` virtual seconds in which nothing came.
            ConnectionLost: when the connection ended first.
        """
        parts = urlsplit(url)
        caller = Caller(body, self._clock, _PATIENCE if time_limit is None else time_limit)
        sent = {"host": parts.netloc, **{name.lower(): value for name, value in headers.items()}}
        if body:
            sent.setdefault("content-length", str(len(body)))
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(parts.path) or "/",
            "raw_path": parts.path.encode(),
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in sent.items()],
            "extensions": {CONNECTION: caller},
        }
        pending = self.gateway(scope, caller.receive, caller.send)
        if self.tasks.inside:
            self._carry_out_in_task(pending, caller)
        else:
            self._carry_out(pending, caller)
        return caller.outcome()

    def _carry_out(self, pending: Pending, caller: Caller) -> None:
        """Let time pass until the call has ended or its caller gives up."""
        waiting = _advance(pending)
        while waiting is not None:
            if waiting.until is None or waiting.until > caller.deadline:
                self._clock.run_until(caller.deadline)
                self._resume(pending, waiting)
                caller.leave()
                return
            self._clock.run_until(waiting.until)
            waiting = _advance(pending)

    def _carry_out_in_task(self, pending: Pending, caller: Caller) -> None:
        """Let the other tasks run until the call has ended or its caller gives up."""
        first = _advance(pending)
        if first is None and caller.answered:
            # As most calls are, at once: nobody can give up any more.
            self.tasks.wait(self._after_latency)
            return

        def arrange(wake: Wake) -> None:
            def step() -> None:
                go_on(_advance(pending))

            def go_on(waiting: Suspended | None) -> None:
                if waiting is None:
                    self._after_latency(wake)
                elif waiting.arrange is not None:
                    waiting.arrange(step)
                elif waiting.until is not None:
                    self._clock.at(waiting.until, step)

            def give_up() -> None:
                if caller.answered:
                    return
                if self.now < caller.deadline:
                    self._clock.at(caller.deadline, give_up)
                    return
                caller.leave()
                wake()

            self._clock.at(caller.deadline, give_up)
            go_on(first)

        try:
            self.tasks.wait(arrange)
        except Killed:
            caller.leave()
            raise

    def _after_latency(self, wake: Wake) -> None:
        self._clock.at(self.now + self.latency, wake)

    def _step(self, pending: Pending) -> None:
        waiting = _advance(pending)
        if waiting is not None:
            self._resume(pending, waiting)

    def _resume(self, pending: Pending, waiting: Suspended) -> None:
        """Go on with a coroutine when what it waits for has come."""
        if waiting.arrange is not None:
            waiting.arrange(lambda: self._step(pending))
        elif waiting.until is not None:
            self._clock.at(waiting.until, lambda: self._step(pending))

    def _tidy(self) -> None:
        while self._later:
            later, self._later = self._later, []
            for callback in later:
                callback()

    async def _send(self, url: str, headers: Headers, body: bytes, time_limit: float) -> Answer:
        found = next((prefix for prefix in self._mounted if url == prefix or url.startswith(f"{prefix}/")), None)
        if found is None:
            raise DeliveryError("connection refused")
        app, answers, started = self._mounted[found], list[Answer](), self.now

        def handle() -> None:
            try:
                answers.append(call_wsgi(app, url, dict(headers), body))
            except Exception:
                # What a WSGI server does with a program's mistake.
                log.exception("the program under test failed while it handled a webhook")
                answers.append(Answer(500))

        def arrange(go_on: Callable[[], None]) -> None:
            self._clock.at(self.now + time_limit, go_on)
            self.tasks.spawn(handle, done=go_on)

        await suspend(Suspended(None, once(arrange)))
        if not answers:
            raise DeliveryError(
                "no answer" if self.now < started + time_limit else f"no answer within {time_limit:g} s"
            )
        return answers[0]


def _advance(task: Pending) -> Suspended | None:
    """Step a coroutine until it waits for something; None when it has ended."""
    try:
        waiting: Suspended = task.send(None)
    except StopIteration:
        return None
    return waiting
