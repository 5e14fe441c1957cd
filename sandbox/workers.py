"""Several processes that speak HTTP on one port, and this one, which answers for all of them.

State, faults, clock and journal stay in one process, so what happens is what happens without workers: they read
requests, and carry out on the callers' connections what they are told (`sandbox.worker`).
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any, Final

from sandbox.clock import TimedClock
from sandbox.connection import CONNECTION
from sandbox.errors import ServeError
from sandbox.link import (
    ANSWER,
    BODY,
    CLOSE,
    DEAF,
    GO_ON,
    GONE,
    HOLD,
    PART,
    READ,
    READY,
    REQUEST,
    RESET,
    START,
    STOP,
    Link,
    Message,
)
from sandbox.listener import Listener, loop_factory
from sandbox.tls_files import Shown

log = logging.getLogger("sandbox")

Event = MutableMapping[str, Any]
App = Callable[[Any, Any, Any], Awaitable[None]]

MOST_WORKERS: Final = 65
_ALONE: Final = "--workers 1 needs none"
_GRACE: Final = 3.0
# Whoever ends so often within so many seconds would end again.
_MOST_ENDS: Final = 5
_WITHIN: Final = 10.0


class _Caller:
    """A request that a worker has read, and its connection, as seen from here."""

    def __init__(self, link: Link, message: Message) -> None:
        self._number, _, *line, headers, where, body, self._more = message
        method, path, raw_path, query, version = line
        scheme, client, server, self.certified = where
        # What has come of the body and was not read yet.
        self._unread = deque([body] if body or not self._more else [])
        self._link = link
        self._start: tuple[Message, int] | None = None
        self._moved: asyncio.Future[None] | None = None
        self.gone = asyncio.get_running_loop().create_future()
        self.complete = False
        self.scope: Event = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": version,
            "scheme": scheme,
            "client": client,
            "server": server,
            "method": method,
            "root_path": "",
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": headers,
            "state": {},
            "extensions": {CONNECTION: self},
        }

    def hear(self, message: Message) -> None:
        """Take what the worker says of it."""
        if message[1] == GONE:
            self.leave()
        elif message[1] == BODY:
            self._unread.append(message[2])
            self._more = message[3]
        self._move()

    def leave(self) -> None:
        """The connection has ended."""
        if not self.gone.done():
            self.gone.set_result(None)
        self._move()

    def _move(self) -> None:
        if self._moved is not None and not self._moved.done():
            self._moved.set_result(None)

    async def _hear(self) -> None:
        self._moved = asyncio.get_running_loop().create_future()
        await self._moved

    async def receive(self) -> Event:
        if not self._unread and self._more:
            self._say(READ)
            while not self._unread and not self.gone.done():
                await self._hear()
        if self._unread:
            return {"type": "http.request", "body": self._unread.popleft(), "more_body": self._more}
        if not self.complete:
            await asyncio.wait((self.gone,))
        return {"type": "http.disconnect"}

    async def send(self, message: Event) -> None:
        if self.gone.done():
            return
        if message["type"] == "http.response.start":
            headers = [(bytes(name), bytes(value)) for name, value in message["headers"]]
            self._start = [self._number, START, int(message["status"]), headers], self._link.turn
            self._link.send(self._start[0])
            return
        body, more = bytes(message.get("body", b"")), bool(message.get("more_body", False))
        self.complete = not more
        if self._start is not None and self._start[1] == self._link.turn:
            # It has not left yet, so that the two can travel as one.
            begun = self._start[0]
            begun[1] = ANSWER
            begun += body, more
        else:
            self._say(PART, body, more)
        self._start = None
        if more:
            await self._hear()

    def _say(self, kind: int, *values: Any) -> None:
        self._start = None
        self._link.send([self._number, kind, *values])

    # The connection, as faults need it.
    def close(self) -> None:
        self._say(CLOSE)

    def reset(self) -> None:
        self._say(RESET)

    async def left(self) -> None:
        self._say(DEAF)
        self._say(HOLD)
        await asyncio.wait((self.gone,))

    async def pause(self, clock: TimedClock, seconds: float) -> bool:
        passed = asyncio.ensure_future(clock.pause(seconds))
        self._say(HOLD)
        try:
            await asyncio.wait((passed, self.gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            passed.cancel()
            self._say(GO_ON)
        return not self.gone.done()


class _Worker:
    """One of the processes, from its start to its end."""

    def __init__(self, listener: Listener, shown: Shown | None, app: App, tasks: set[asyncio.Task[None]]) -> None:
        self._app = app
        self._tasks = tasks
        self._loop = asyncio.get_running_loop()
        self._callers: dict[int, _Caller] = {}
        self._link: Link | None = None
        self.ready = asyncio.Event()
        self.ended = asyncio.Event()
        self._near, far = socket.socketpair()
        with far:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sandbox.worker", str(listener.descriptor), str(far.fileno())],
                stdin=subprocess.PIPE,
                pass_fds=(listener.descriptor, far.fileno()),
                env=os.environ | {"PYTHONPATH": os.pathsep.join(_path())},
                text=True,
                # Ctrl-C in a terminal goes to the process that was started there, and not to them.
                process_group=0,
            )
        assert self.process.stdin is not None  # noqa: S101 - it was asked for
        with contextlib.suppress(BrokenPipeError), self.process.stdin as stdin:
            json.dump(None if shown is None else dataclasses.asdict(shown), stdin)

    async def listen(self) -> None:
        """Answer what it reads from now on."""
        self._link = await Link.open(self._near, self._received, self._lost)

    def stop(self) -> None:
        if self._link is not None:
            self._link.send([0, STOP])

    def kill(self) -> None:
        self.process.kill()

    def _received(self, message: Message) -> None:
        number = message[0]
        if message[1] == REQUEST:
            assert self._link is not None  # noqa: S101 - it came over it
            caller = self._callers[number] = _Caller(self._link, message)
            task = self._loop.create_task(self._answer(number, caller))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        elif message[1] == READY:
            self.ready.set()
        elif (known := self._callers.get(number)) is not None:
            known.hear(message)

    async def _answer(self, number: int, caller: _Caller) -> None:
        try:
            await self._app(caller.scope, caller.receive, caller.send)
        finally:
            del self._callers[number]
            if not caller.complete and not caller.gone.done():
                caller.close()

    def _lost(self) -> None:
        for caller in self._callers.values():
            caller.leave()
        # It closes its end only by ending.
        self.process.wait()
        self.ended.set()


class Workers:
    """Serves a port with several processes.

    Args:
        listener: The port.
        number: How many.
    """

    def __init__(self, listener: Listener, number: int) -> None:
        self._listener = listener
        self._number = number
        self._workers: set[_Worker] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: deque[float] = deque(maxlen=_MOST_ENDS)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._failure: ServeError | None = None

    def serve(self, app: App, ready: Callable[[], None], *, signals: bool, tls: Shown | None = None) -> None:
        """Serve until `stop`, or until SIGINT or SIGTERM.

        Args:
            app: An ASGI application with a lifespan.
            ready: Called when requests are really answered.
            signals: Whether to heed signals; only the main thread can.
            tls: Serve https with it.

        Raises:
            SystemExit: when the application's start-up failed.
            ServeError: when workers cannot be started, or end again and again.
        """
        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(self._serve(app, ready, signals, tls))
        finally:
            self._listener.close()
            for worker in self._workers:
                worker.kill()
                worker.process.wait()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Let `serve` return once what it answers has been answered."""
        if self._loop is not None and self._stopping is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def _serve(self, app: App, ready: Callable[[], None], signals: bool, tls: Shown | None) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        if signals:
            for caught in (signal.SIGINT, signal.SIGTERM):
                self._loop.add_signal_handler(caught, self._signalled)
        # They import what they need while this process opens its worlds.
        workers = [self._start(app, tls) for _ in range(self._number)]
        lifespan = _Lifespan(app)
        await lifespan.begin()
        watching = [asyncio.ensure_future(self._watch(worker, app, tls)) for worker in workers]
        stopping = asyncio.ensure_future(self._stopping.wait())
        starting = asyncio.ensure_future(_all_ready(workers))
        await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            ready()
        await stopping
        starting.cancel()
        self._listener.close()
        for worker in self._workers:
            worker.stop()
        _, late = await asyncio.wait(watching, timeout=_GRACE)
        for worker in self._workers if late else ():
            worker.kill()
        await asyncio.gather(*watching)
        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=_GRACE)
            for task in unfinished:
                task.cancel()
        await lifespan.end()

    def _start(self, app: App, tls: Shown | None) -> _Worker:
        try:
            worker = _Worker(self._listener, tls, app, self._tasks)
        except OSError as error:
            raise ServeError(f"a worker process cannot be started: {error.strerror}", _ALONE) from error
        self._workers.add(worker)
        return worker

    async def _watch(self, worker: _Worker, app: App, tls: Shown | None) -> None:
        """Let another follow a worker that ends before its time."""
        assert self._stopping is not None  # noqa: S101 - set before anything is started
        while True:
            await worker.listen()
            if self._stopping.is_set():
                worker.stop()
            await worker.ended.wait()
            self._workers.discard(worker)
            if self._stopping.is_set():
                return
            how = _how(worker.process.returncode)
            self._ends.append(time.monotonic())
            often = len(self._ends) == _MOST_ENDS and self._ends[-1] - self._ends[0] < _WITHIN
            try:
                if often or not worker.ready.is_set():
                    raise ServeError(f"a worker process ended: {how}", _ALONE)
                log.warning("worker %d ended (%s); another takes its place", worker.process.pid, how)
                worker = self._start(app, tls)
            except ServeError as error:
                self._failure = error
                self._stopping.set()
                return

    def _signalled(self) -> None:
        assert self._stopping is not None  # noqa: S101 - set before anything is heeded
        if self._stopping.is_set():
            # Asked twice, it no longer waits for open connections.
            for worker in self._workers:
                worker.kill()
        self._stopping.set()


class _Lifespan:
    """The beginning and the end of an ASGI application."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._told: asyncio.Queue[Event] = asyncio.Queue()
        self._heard: asyncio.Queue[Event] = asyncio.Queue()
        self._running: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        """Let it start.

        Raises:
            SystemExit: when it cannot.
        """
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self._running = asyncio.ensure_future(_run(self._app(scope, self._told.get, self._heard.put)))
        await self._told.put({"type": "lifespan.startup"})
        if (await self._heard.get())["type"] != "lifespan.startup.complete":
            raise SystemExit(1)

    async def end(self) -> None:
        await self._told.put({"type": "lifespan.shutdown"})
        await self._heard.get()


async def _run(pending: Awaitable[None]) -> None:
    await pending


async def _all_ready(workers: list[_Worker]) -> None:
    for worker in workers:
        await worker.ready.wait()


def _path() -> list[str]:
    """Where a process of ours finds this package, wherever it was found here."""
    before = os.environ.get("PYTHONPATH")
    return [str(Path(__file__).resolve().parents[1]), *([before] if before else [])]


def _how(status: int | None) -> str:
    if status is not None and status < 0:
        return signal.Signals(-status).name
    return f"exit code {status}"
