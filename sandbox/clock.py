"""Time as an argument: everything that waits or dates takes a clock.

Two sides use a clock. The *integrator* blocks: `now` and `sleep`. The *engine* must not block: it sets timers with `at`
and suspends coroutines with `pause`. Times are unix seconds (UTC) as float, spans are seconds.
"""

from __future__ import annotations

import asyncio
import functools
import heapq
import itertools
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Generator
from datetime import UTC, datetime
from types import coroutine
from typing import Any, Final

# 2026-01-01T00:00:00Z, when virtual time begins unless told otherwise.
START: Final = 1_767_225_600.0

__all__ = ["START", "Clock", "Suspended", "SystemClock", "Timer", "VirtualClock", "WorldClock", "suspend"]


class Clock(ABC):
    """What an integrator needs of time."""

    @abstractmethod
    def now(self) -> float:
        """The current time in unix seconds."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Block the caller for a span; a negative span returns at once."""


class SystemClock(Clock):
    """The machine's own clock."""

    def now(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


class Timer:
    """A callback that is due at a time; `cancel` makes it never happen."""

    __slots__ = ("callback", "due")

    def __init__(self, due: float, callback: Callable[[], None]) -> None:
        self.due = due
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class TimedClock(Clock):
    """A clock that keeps timers; what drives them differs below."""

    def __init__(self) -> None:
        self._timers: list[tuple[float, int, Timer]] = []
        self._order = itertools.count()

    def at(self, due: float, callback: Callable[[], None]) -> Timer:
        """Call `callback` once when the clock reaches `due`; timers due at one time fire in the order they were set."""
        timer = Timer(due, callback)
        heapq.heappush(self._timers, (due, next(self._order), timer))
        self._rearm()
        return timer

    def next_due(self) -> float | None:
        """When the next timer fires, or None when none is set."""
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def clear(self) -> None:
        """Forget every timer."""
        self._timers.clear()
        self._rearm()

    @abstractmethod
    def pause(self, seconds: float) -> Awaitable[None]:
        """Suspend an engine coroutine for a span."""

    @abstractmethod
    def advance(self, seconds: float) -> None:
        """Move time forward by a span, firing what comes due.

        Raises:
            ValueError: when `seconds` is negative; time does not run backwards.
        """

    def _fire_due(self, now: float) -> None:
        while (due := self.next_due()) is not None and due <= now:
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()

    def _rearm(self) -> None:
        """Tell whatever drives the timers that the earliest one may have changed."""


class WorldClock(TimedClock):
    """Real time that can be frozen and advanced; timers run on the asyncio loop that first sets one.

    Args:
        speed: How many times faster than the machine's it runs, from `since` on.
        since: Unix seconds at which it shows the machine's time; the present when left out.
    """

    def __init__(self, speed: float = 1.0, since: float | None = None) -> None:
        super().__init__()
        self._speed = speed
        self._since = time.time() if since is None else since
        self._offset = 0.0
        self._frozen_at: float | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handle: asyncio.TimerHandle | None = None
        self._pauses: set[asyncio.Future[None]] = set()

    @property
    def frozen(self) -> bool:
        return self._frozen_at is not None

    def now(self) -> float:
        return self._frozen_at if self._frozen_at is not None else self._running() + self._offset

    def _running(self) -> float:
        return self._since + (time.time() - self._since) * self._speed if self._speed != 1 else time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds / self._speed))

    def pause(self, seconds: float) -> Awaitable[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        timer = self.at(self.now() + seconds, wake)
        future.add_done_callback(lambda _: timer.cancel())
        future.add_done_callback(self._pauses.discard)
        self._pauses.add(future)
        return future

    def clear(self) -> None:
        """Forget every timer; whoever pauses goes on at once, since no time will pass any more."""
        super().clear()
        for future in list(self._pauses):
            if not future.done():
                future.set_result(None)

    def freeze(self) -> None:
        """Stop time; timers wait until it is advanced or resumed."""
        self._frozen_at = self.now()
        self._rearm()

    def resume(self) -> None:
        """Let time go on from where it was frozen."""
        if self._frozen_at is not None:
            self._offset = self._frozen_at - self._running()
            self._frozen_at = None
            self._rearm()

    def advance(self, seconds: float) -> None:
        """Move time forward and fire what has come due, in order.

        Raises:
            ValueError: when `seconds` is negative; time does not run backwards.
        """
        if seconds < 0:
            raise ValueError("time does not run backwards")
        if self._frozen_at is not None:
            self._frozen_at += seconds
        else:
            self._offset += seconds
        self._rearm()

    def _rearm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        due = self.next_due()
        if due is None:
            return
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        if not self.frozen or due <= self.now():
            self._handle = self._loop.call_later(max(0.0, due - self.now()) / self._speed, self._fire)

    def _fire(self) -> None:
        self._handle = None
        self._fire_due(self.now())
        self._rearm()


class Suspended:
    """What a coroutine on the virtual clock yields while it waits.

    Attributes:
        until: It waits for this time at the longest; None when it waits for something else.
        arrange: Told what to call when it may go on; None when only time is waited for.
    """

    __slots__ = ("arrange", "until")

    def __init__(self, until: float | None, arrange: Callable[[Callable[[], None]], None] | None = None) -> None:
        self.until = until
        self.arrange = arrange


class VirtualClock(TimedClock):
    """Time that passes only when told: runs without sleeping, the same every time.

    `sleep` by a subject and `run_until` by a host fire what comes due on the way, each at its own time.
    """

    def __init__(self, start: float = START) -> None:
        super().__init__()
        self._now = start

    def now(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self.run_until(self._now + max(0.0, seconds))

    def restart(self, start: float) -> None:
        """Begin anew at a time, with no timers."""
        self.clear()
        self._now = start

    def pause(self, seconds: float) -> Awaitable[None]:
        return suspend(Suspended(self._now + max(0.0, seconds)))

    def run_until(self, moment: float) -> None:
        """Pass time up to `moment`, firing timers on the way."""
        timers = self._timers
        while timers and timers[0][0] <= moment:
            due, _, timer = heapq.heappop(timers)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                self._now = max(self._now, due)
                callback()
        self._now = max(self._now, moment)

    def advance(self, seconds: float) -> None:
        """Move time forward by a span.

        Raises:
            ValueError: when `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self.run_until(self._now + seconds)


@coroutine
def suspend(suspended: Suspended) -> Generator[Suspended, Any, None]:
    """Hand what a coroutine waits for to whoever steps it."""
    yield suspended


@functools.lru_cache(maxsize=256)
def _second(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%S}"


def rfc3339(at: float) -> str:
    """Unix seconds as an RFC 3339 time in UTC with milliseconds."""
    second, microseconds = divmod(round(at * 1_000_000), 1_000_000)
    return f"{_second(second)}.{microseconds // 1000:03d}Z"
