"""Rules a program while it runs: its time is the world's, its waiting lets others run, its chance is from the seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from random import Random
from threading import get_ident
from typing import Final
from weakref import WeakSet

import time_machine
from greenlet import getcurrent, greenlet

from sandbox.clock import TimedClock
from sandbox.govern.place import own_place
from sandbox.govern.watchdog import Watchdog
from sandbox.inprocess import BASE_URL, InProcess
from sandbox.model import Answer
from sandbox.tasks import Killed, Wake

_HOST, _, _PORT = BASE_URL.partition("://")[2].partition(":")
WORLD: Final = (_HOST, int(_PORT))
INSTEAD: Final = "run it as a program of its own, by its command"


class Refused(RuntimeError):
    """The program did what cannot be run faithfully in this process; the message is for its user."""


class Governor:
    """Rules the programs of one host.

    It rules while a program's code is at work, and only in the thread that runs it: whoever else asks for the time in
    this process, or draws a number, gets the machine's own.

    Attributes:
        refusals: What the program did that cannot be run faithfully, one sentence each.
        watchdog: Ends it when it does not wait.
    """

    def __init__(self, host: InProcess, watchdog: Watchdog) -> None:
        self._host = host
        self.watchdog = watchdog
        self._thread = get_ident()
        self._travel: time_machine.travel | None = None
        self._chance = Random(0)
        self._killed: WeakSet[greenlet] = WeakSet()
        self.refusals: list[str] = []

    @property
    def rules(self) -> bool:
        """Whether the caller is the program."""
        return self._travel is not None and get_ident() == self._thread

    @property
    def inside(self) -> bool:
        """Whether the caller is the program, in a task that can be suspended."""
        return self.rules and self._host.tasks.inside

    @property
    def clock(self) -> TimedClock:
        return self._host.virtual_clock

    def seed(self, chance: Random) -> None:
        """Let all chance of the program follow from this one; what the process draws else is not changed by it."""
        self._chance = chance

    @contextmanager
    def ruling(self) -> Iterator[None]:
        """The code inside is the program's; code inside that in turn is left by `resting`."""
        self._enter()
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def resting(self) -> Iterator[None]:
        """The code inside is ours, or that of whoever runs while the program waits."""
        self._leave()
        try:
            yield
        finally:
            self._enter()

    def _enter(self) -> None:
        self._travel = time_machine.travel(self._host.now, tick=False)
        self._travel.start()
        self.watchdog.begin()

    def _leave(self) -> None:
        self.watchdog.end()
        if self._travel is not None:
            self._travel.stop()
            self._travel = None

    def wait(self, arrange: Callable[[Wake], None]) -> None:
        """Suspend the program's task until it is woken."""
        with self._alive(), self.resting():
            self._host.tasks.wait(arrange)

    @contextmanager
    def _alive(self) -> Iterator[None]:
        """What is killed here does nothing more, whatever stands in its `finally`."""
        if getcurrent() in self._killed:
            raise Killed
        try:
            yield
        except Killed:
            self._killed.add(getcurrent())
            raise

    def sleep(self, seconds: float) -> None:
        """Sleep on the world's clock, as `time.sleep` does.

        Raises:
            ValueError: when the span is negative.
        """
        if seconds < 0:
            raise ValueError("sleep length must be non-negative")
        due = self.clock.now() + seconds

        def arrange(wake: Wake) -> None:
            self.clock.at(due, wake)

        self.wait(arrange)

    def now(self) -> float:
        """The world's time, in unix seconds."""
        return self.clock.now()

    def urandom(self, size: int) -> bytes:
        """Random bytes that follow from the seed."""
        return self._chance.randbytes(size)

    def carry(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes, time_limit: float | None
    ) -> Answer:
        """Carry out a request of the program to the world, as `InProcess.call`."""
        with self._alive(), self.resting():
            return self._host.call(method, f"{BASE_URL}{path}", headers, body, time_limit)

    def refuse(self, what: str) -> Refused:
        """The error for what cannot be run faithfully; its sentence is kept, whatever the program does with it."""
        place = own_place()
        sentence = f"{what} ({place})" if place else what
        self.refusals.append(sentence)
        return Refused(f"{sentence}; {INSTEAD}")

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """The functions of the module `random` draw from the program's chance; afterwards they go on as before."""
        state = random.getstate()
        try:
            yield
        finally:
            random.setstate(state)

    def begin_life(self) -> None:
        """The program starts: what it draws by the module `random` begins anew from its chance."""
        random.setstate(Random(self._chance.randbytes(16)).getstate())
