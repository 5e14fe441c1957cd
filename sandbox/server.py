"""The sandbox on real sockets: uvicorn serves the gateway, webhooks leave over HTTP, time is real."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from sandbox.access import Access, access, all_credentials, base_url
from sandbox.app import Scope, send_answer
from sandbox.catalog import Catalog
from sandbox.clock import SystemClock, TimedClock, WorldClock
from sandbox.control import control_app
from sandbox.control_access import ControlAccess, is_loopback, new_token
from sandbox.engine import TOKEN_LIFETIME, Beginning
from sandbox.errors import ServeError
from sandbox.front import Front
from sandbox.gateway import Gateway, services
from sandbox.limits import Limits
from sandbox.listener import Listener
from sandbox.model import DEFAULT_WORLD, Answer, Headers, Problem
from sandbox.outbox import Sender
from sandbox.plan import Plan
from sandbox.project import Project
from sandbox.sender import AllowList, WebhookSender
from sandbox.slot import Receive, SendMessage
from sandbox.store import Store
from sandbox.tls_files import Shown, TlsFiles
from sandbox.turn import Turn
from sandbox.workers import Workers
from sandbox.world import Worlds

log = logging.getLogger("sandbox")

_NO_PLAN: Final = Plan()
_USUAL: Final = Limits()
_BREATH: Final = 0.002
# Clients fetch a token anew when it is about to expire; one that is always about to would be fetched for each call.
_SHORTEST_TOKEN: Final = 60.0


class Tls(Protocol):
    """What https needs; apart from here because making certificates takes long to import."""

    files: TlsFiles

    def shown(self, names: Iterable[str]) -> Shown:
        """What a server that is called by these names shows."""


T = TypeVar("T")


class Server:
    """A project served on one port.

    The port is bound at once, so that two servers never believe to have the same one; `run` serves it.

    Args:
        port: 0 chooses a free one.
        seed: All data, ids and credentials follow from it.
        db: An SQLite file that survives a restart; None keeps everything in memory.
        rate_limits: Whether the limits of the specs apply.
        plan: Armed in each world when it is made or reset.
        tls: Serve https with it (`sandbox.tls.Authority`).
        control_token: Asked for below `/_sandbox`; left out, one is made unless `host` is loopback.
        allow_hosts: Names besides loopback's own under which this machine may be called.
        allow_webhooks: Hosts, addresses or networks besides loopback that webhooks may go to.
        limits: How much it holds.
        pace: By which the schedule of webhook retries and the life of tokens are multiplied.
        speed: How many times faster than the machine's the worlds' clocks run.
        beginning: What each world begins with besides what the mocks say, e.g. a `Recording`.
        workers: Processes in all: this one holds the state, and the others speak HTTP with callers; alone it does both.

    Attributes:
        store: Where everything lies.
        control_token: None when none is asked for.

    Raises:
        ServeError: when the port is taken, or the database or the certificates cannot be used.
        SpecError, ProjectError: when the project cannot be served.
        PlanError: when the plan does not fit the project.
    """

    def __init__(
        self,
        project: Project,
        host: str = "127.0.0.1",
        port: int = 8420,
        seed: int = 0,
        db: Path | None = None,
        rate_limits: bool = True,
        plan: Plan = _NO_PLAN,
        tls: Tls | None = None,
        control_token: str | None = None,
        allow_hosts: Collection[str] = (),
        allow_webhooks: Collection[str] = (),
        limits: Limits = _USUAL,
        beginning: Beginning | None = None,
        pace: float = 1.0,
        speed: float = 1.0,
        workers: int = 1,
    ) -> None:
        self.project = project
        self.seed = seed
        self.rate_limits, self.pace = rate_limits, pace
        self._speed, self._since = speed, SystemClock().now()
        self._tls, self._limits = tls, limits
        self._files = None if tls is None else tls.files
        self._allow_hosts, self._allow_webhooks = allow_hosts, AllowList.of(allow_webhooks)
        self._catalog, self._plan = Catalog(project.specs), plan
        self._catalog.check_plan(plan)
        self._credentials = all_credentials(project.specs.values(), seed)
        self._beginning, self._lifetime = beginning, max(_SHORTEST_TOKEN, TOKEN_LIFETIME * pace)
        self._services = services(project, self._credentials, beginning, self._lifetime)
        self.store = Store(db)
        self._listener = Listener(host, port)
        self._serving = self._listener if workers == 1 else Workers(self._listener, workers - 1)
        self.host, self.port = host, self._listener.port
        self.control_token = control_token or (None if is_loopback(self._listener.address) else new_token())
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sender: WebhookSender | None = None
        self._gateway: Gateway | None = None
        self._failure: Exception | None = None

    @property
    def url(self) -> str:
        return base_url(self.host, self.port, tls=self._tls is not None)

    def access(self, world: str = DEFAULT_WORLD) -> Access:
        return access(self.project.specs.values(), self.url, self.seed, world, self._files)

    def ask(self, question: Callable[[Worlds], T]) -> T:
        """Ask something about the worlds, in the thread that serves them; only while it is `running`."""
        loop, gateway = self._loop, self._gateway
        assert loop is not None and gateway is not None  # noqa: S101, PT018 - whoever asks has seen it running

        async def answer() -> T:
            return question(gateway.worlds)

        return asyncio.run_coroutine_threadsafe(answer(), loop).result()

    def front(self, world: str = DEFAULT_WORLD) -> Front:
        """Let fresh worlds follow each other behind the address of a world; ends the row that did so before."""
        gateway = self._gateway
        assert gateway is not None  # noqa: S101 - whoever asks has seen it running
        indexed = {name: service.engine.indexed for name, service in self._services.items()}

        def make(worlds: Worlds) -> Front:
            before = gateway.fronts.pop(world, None)
            if before is not None:
                before.end()
            return gateway.fronts.setdefault(world, Front(worlds, indexed, worlds.get(world)))

        return self.ask(make)

    def replace(self, project: Project) -> None:
        """Serve other specs and mocks from now on, in the same worlds; only while it is `running`.

        Raises:
            ProjectError: when a mock does not fit its spec; what was served stays.
        """
        credentials = all_credentials(project.specs.values(), self.seed)
        made = services(project, credentials, self._beginning, self._lifetime)

        def swap(worlds: Worlds) -> None:
            # Whoever knows the specs, the mocks or the credentials knows these very objects.
            for old, new in ((self.project.specs, project.specs), (self.project.mocks, project.mocks)):
                old.clear()
                old.update(new)  # type: ignore[arg-type]  # each pair is of one kind
            self._credentials[:] = credentials
            self._services.clear()
            self._services.update(made)
            worlds.learn(credentials)

        self.ask(swap)

    def run(self, ready: Callable[[Server], None] = lambda _: None) -> None:
        """Serve until SIGINT or SIGTERM; `ready` is called when requests are really answered."""
        self._serve(lambda: ready(self), signals=True)

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        """Serve in a background thread for the length of a `with` block."""
        up = threading.Event()
        failed: list[BaseException] = []

        def target() -> None:
            try:
                self._serve(up.set, signals=False)
            except BaseException as error:
                failed.append(error)
                up.set()
                raise

        thread = threading.Thread(target=target, name="sandbox", daemon=True)
        thread.start()
        up.wait()
        if failed:
            raise failed[0]
        try:
            yield self
        finally:
            self._serving.stop()
            thread.join()

    def _serve(self, ready: Callable[[], None], *, signals: bool) -> None:
        tls = None if self._tls is None else self._tls.shown([self.host, *self._allow_hosts])
        try:
            self._serving.serve(self._app, ready, signals=signals, tls=tls)
        except SystemExit:
            if self._failure is None:
                raise
        finally:
            self.store.close()
        if self._failure is not None:
            raise self._failure

    async def _app(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        if scope["type"] == "http" and self._gateway is not None:
            try:
                await self._gateway(scope, receive, send)
            except ServeError as error:
                await send_answer(Problem(500, error.message, type="internal-error").answer(), scope, send)
            except Exception:
                path = scope["path"][:200]
                log.exception("%s %s failed inside the sandbox", scope["method"], path)
                problem = Problem(500, "something failed inside the sandbox; its log says what", type="internal-error")
                await send_answer(problem.answer(path), scope, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def _lifespan(self, receive: Receive, send: SendMessage) -> None:
        await receive()
        try:
            worlds = self._open()
        except Exception as error:  # noqa: BLE001 - see below
            # uvicorn would only log it; whoever called `run` is to see it.
            self._failure = error
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        worlds.close()
        for task in self._tasks:
            task.cancel()
        if self._sender is not None:
            await self._sender.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    def _open(self) -> Worlds:
        self._loop = asyncio.get_running_loop()
        if self.store.path is not None:
            Turn(self.store, self._fail)
        self._sender = WebhookSender(self._allow_webhooks, None if self._files is None else self._files.ca)
        worlds = Worlds(self.store, self, self.seed, self._credentials, self._catalog, self._plan, self._limits)
        world = worlds.get(DEFAULT_WORLD)
        if self._beginning is not None:
            # Whoever gave it wants to see it there, not only after a first call.
            for service in self._services.values():
                service.engine.begin(world)
        access = ControlAccess(self.control_token, self._allow_hosts)
        self._gateway = Gateway(worlds, self._services, control_app(worlds, self.project.specs), access)
        return worlds

    def _fail(self, error: ServeError) -> None:
        """End, since what is answered from now on could not be kept."""
        self._failure = error
        self._serving.stop()

    # What a world needs of its host.
    def clock(self) -> TimedClock:
        return WorldClock(self._speed, self._since)

    def retire(self, clock: TimedClock) -> None:
        clock.clear()

    def spawn(self, task: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None  # noqa: S101 - worlds exist only while the loop runs
        running = self._loop.create_task(task)
        self._tasks.add(running)
        running.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a delivery failed inside the sandbox", exc_info=error)

    @property
    def sender(self) -> Sender:
        return self._send

    async def _send(self, url: str, headers: Headers, body: bytes, time_limit: float) -> Answer:
        assert self._sender is not None  # noqa: S101 - worlds exist only while the loop runs
        # Nobody hears of what a restart would not know.
        await self.store.settled()
        return await self._sender(url, headers, body, time_limit)

    def soon(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None  # noqa: S101 - worlds exist only while the loop runs
        self._loop.call_soon(callback)

    def idle(self, callback: Callable[[], None]) -> None:
        assert self._loop is not None  # noqa: S101 - worlds exist only while the loop runs
        self._loop.call_later(_BREATH, callback)
