"""One process of a program under test, from its start to its end, and the worlds that follow each other before it."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from sandbox.access import Access
from sandbox.chaos.customer import ACTOR, keys_of
from sandbox.chaos.parking import read_parked
from sandbox.chaos.program import Running
from sandbox.chaos.subject_settings import SubjectError, SubjectSettings
from sandbox.clock import Clock
from sandbox.front import Front
from sandbox.model import Answer, dump
from sandbox.outbox import SUBSCRIPTIONS
from sandbox.server import Server
from sandbox.spec import Spec
from sandbox.stored import Record
from sandbox.world import World

CALL_LIMIT: Final = 30.0
_DOWNTIME: Final = 0.05
_MOST_LIVES: Final = 10
_TRIES: Final = 20
_REACH: Final = 2.0
_PORTS: Final = {"http": 80, "https": 443}


class Life:
    """A process that we started, or one that runs already.

    Args:
        http: For the calls of the scenario, and for the subscription.

    Attributes:
        runs: How many runs it has lived through.
        spoilt: Why no further run is to be done with it; empty as long as one is.
    """

    def __init__(self, server: Server, settings: SubjectSettings, http: httpx.Client, clock: Clock) -> None:
        self._server = server
        self._settings = settings
        self._http = http
        self._clock = clock
        self._access: Access = server.access()
        self._front: Front = server.front()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._running: Running | None = None
        self._killed = threading.Event()
        self._lock = threading.Lock()
        self._starts = 0
        self.runs = 0
        self.spoilt = ""
        if settings.command is not None:
            self._folder = tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True)
            self._running = Running(settings, Path(self._folder.name), self._access.environment(), clock.now)

    @property
    def front(self) -> Front:
        return self._front

    @property
    def webhook_url(self) -> str:
        return self._running.webhook_url if self._running is not None else self._settings.url or ""

    @property
    def started(self) -> bool:
        """Whether the next run finds it as a former one left it."""
        return self._starts > 0

    def begin(self, name: str, seed: int, given: list[str]) -> World:
        """Let a fresh world come before it."""
        self.runs += 1
        return self._server.ask(lambda _: self._front.begin(name, seed, given))

    def start(self, note: Callable[[str], None]) -> None:
        """Start it if it does not run yet, and subscribe it to all events unless it has done so itself.

        Raises:
            SubjectError: when it cannot be started or reached.
        """
        again = self._starts > 0
        if not again:
            self._starts = 1
            if self._running is None:
                self._reach()
            else:
                self._running.start()
        note("subject started, in an earlier run" if again else "subject started")
        if not again:
            self._subscribe()

    def _reach(self) -> None:
        parts = urlsplit(self.webhook_url)
        place = (parts.hostname or "", parts.port or _PORTS[parts.scheme])
        try:
            socket.create_connection(place, _REACH).close()
        except OSError as error:
            text = f"nothing listens at {self.webhook_url}: {error.strerror or error}"
            raise SubjectError(text, "start the program first; --subject takes the address of its webhooks") from None

    def crash(self, note: Callable[[str], None]) -> None:
        """Kill it. Called in the sandbox's own thread, in the middle of a call; starting again is not done there."""
        if self._running is not None:
            with self._lock:
                self._running.kill()
                note("subject killed")
                self._killed.set()

    def revive(self, note: Callable[[str], None]) -> str | None:
        """Start it again where it was killed or has died.

        Returns:
            How it died by itself, if it did.

        Raises:
            SubjectError: when it does not start again.
        """
        if self._running is None:
            return None
        with self._lock:
            killed = self._killed.is_set()
            self._killed.clear()
            died = None if killed else self._running.ended()
        if killed:
            self._clock.sleep(_DOWNTIME)
        elif died is not None:
            note(f"subject {died}")
            self._running.kill()
        else:
            return None
        self._starts += 1
        if self._starts <= _MOST_LIVES or died is None:
            self._running.start()
            note("subject restarted")
        return died

    @property
    def exhausted(self) -> bool:
        """Whether it has died so often that it is not started any more."""
        return self._starts > _MOST_LIVES and self._running is not None and self._running.ended() is not None

    @property
    def length(self) -> int:
        """How many bytes it has said."""
        return 0 if self._running is None else self._running.length

    def said(self, after: int, lines: int) -> tuple[str, ...]:
        """The last lines that it said after so many bytes, in the names of its run."""
        if self._running is None:
            return ()
        said = self._running.said(after, lines)
        return tuple(self._server.ask(lambda _: [self._front.understand(line) for line in said]))

    def parked(self, where: str) -> dict[str, str]:
        """The orders that it says it parked, each with the reason.

        Args:
            where: A path that it answers, or a file in its data folder.

        Raises:
            SubjectError: when it says nothing that can be understood.
        """
        text = self._probe(where) if where.startswith("/") else self._file(where)
        plain = self._server.ask(lambda _: self._front.understand(text))
        try:
            return read_parked(plain)
        except ValueError:
            text = f"the parking probe {where} says {plain[:80]!r}, which is neither a mapping nor a list in JSON"
            raise SubjectError(text, 'it says which orders were parked: {"2025-4471": "the reason"}') from None

    def _probe(self, path: str) -> str:
        parts = urlsplit(self.webhook_url)
        try:
            answer = self._http.get(f"{parts.scheme}://{parts.netloc}{path}")
        except httpx.HTTPError as error:
            raise SubjectError(f"the parking probe {path} did not answer: {error}", "is the path right?") from None
        if answer.status_code != httpx.codes.OK:
            text = f"the parking probe {path} was answered {answer.status_code}"
            raise SubjectError(text, "it answers 200 with JSON, orders and reasons")
        return answer.text

    def _file(self, name: str) -> str:
        folder = "" if self._folder is None else self._folder.name
        with suppress(FileNotFoundError):
            return Path(folder, name).read_text(encoding="utf-8")
        return ""

    def end(self) -> None:
        """End it, with all that it started, and forget its worlds."""
        if self._running is not None:
            self._running.stop()
        self._server.ask(lambda _: self._front.end())
        if self._folder is not None:
            self._folder.cleanup()

    def keys(self, system: str) -> dict[str, str]:
        """The headers by which a system knows the integrator."""
        return keys_of(self._access.credentials, system)

    def call(self, world: World, system: str, method: str, path: str, headers: Mapping[str, str], body: Any) -> Answer:
        """A call of the scenario's, past the names that the program knows.

        Raises:
            httpx.HTTPError: when it is not answered.
        """
        url = self._server.access(world.name).systems[system]["url"]
        content = None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", ACTOR[0]: ACTOR[1], **self.keys(system), **headers}
        answer = self._http.request(method, f"{url}{path}", headers=sent, content=content)
        return Answer(answer.status_code, tuple(answer.headers.multi_items()), answer.content)

    def _subscribe(self) -> None:
        world, mine = self._front.world, _place(self.webhook_url)
        for name, spec in self._server.project.specs.items():
            found = self._server.ask(lambda _, name=name: world.state(name))  # type: ignore[misc]  # binds the loop's name
            known = found.get(name, {}).get(SUBSCRIPTIONS, [])
            if any(_place(str(record.get("url"))) == mine for record in known):
                continue
            if not spec.subscribe_operations:
                self._enlist(world, spec)
                continue
            operation = spec.operations[spec.subscribe_operations[0]]
            body = {"url": self.webhook_url, "events": list(spec.events), "secret": self._access.webhook_secret}
            for _ in range(_TRIES):
                # A fault may sit here, too.
                with suppress(httpx.HTTPError):
                    if self.call(world, name, operation.method, operation.path, {}, body).status < 300:
                        break
                self._clock.sleep(_DOWNTIME)

    def _enlist(self, world: World, spec: Spec) -> None:
        """Let the program receive the events of a system that says nothing of how one subscribes."""
        if not spec.events:
            return
        stored_as = f"{spec.name}.{SUBSCRIPTIONS}"
        wanted = {"url": self.webhook_url, "events": list(spec.events), "secret": self._access.webhook_secret}

        def write() -> None:
            transaction, now = world.transaction(), world.clock.now()
            body = dump({"id": "sandbox", "status": "active", **wanted})
            record = Record(stored_as, "sandbox", transaction.next_seq(stored_as), 1, now, body)
            transaction.write(record, frozenset({"status"}))
            transaction.commit()

        self._server.ask(lambda _: write())


def _place(url: str) -> tuple[int | None, str]:
    """What tells one address on this machine from another, whatever the machine is called."""
    parts = urlsplit(url)
    return parts.port, parts.path
