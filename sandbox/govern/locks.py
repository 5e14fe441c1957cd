"""Locks for tasks: who waits for one lets the other tasks run. As `threading.Lock` and `threading.RLock` are used."""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Any, Protocol

from greenlet import getcurrent

from sandbox.clock import TimedClock
from sandbox.tasks import Wake


class Waits(Protocol):
    """Suspends a governed task until it is woken."""

    @property
    def clock(self) -> TimedClock: ...

    @property
    def inside(self) -> bool:
        """Whether the caller is one."""

    def wait(self, arrange: Any) -> None: ...


class TaskLock:
    """A lock that one task holds."""

    def __init__(self, tasks: Waits) -> None:
        self._tasks = tasks
        self._held = False
        self._waiting: deque[Wake] = deque()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; False when it was not to be had in time (seconds of the world's clock; -1 is for ever)."""
        deadline = None if timeout < 0 else self._tasks.clock.now() + timeout
        # Whoever comes when no task runs, such as the interpreter at its end, has nobody to wait for.
        while self._held and (self._tasks.inside or not blocking):
            if not blocking or (deadline is not None and self._tasks.clock.now() >= deadline):
                return False
            self._wait(deadline)
        self._held = True
        return True

    def _wait(self, deadline: float | None) -> None:
        def arrange(wake: Wake) -> None:
            self._waiting.append(wake)
            if deadline is not None:
                self._tasks.clock.at(deadline, wake)

        self._tasks.wait(arrange)

    def release(self) -> None:
        """Give it back.

        Raises:
            RuntimeError: when nobody holds it.
        """
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False
        waiting, self._waiting = self._waiting, deque()
        for wake in waiting:
            wake()

    def locked(self) -> bool:
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class TaskRLock(TaskLock):
    """A lock that its holder may take again."""

    def __init__(self, tasks: Waits) -> None:
        super().__init__(tasks)
        self._owner: Any = None
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if self._is_owned():
            self._count += 1
            return True
        if not super().acquire(blocking, timeout):
            return False
        self._owner, self._count = getcurrent(), 1
        return True

    def release(self) -> None:
        if not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        self._count -= 1
        if not self._count:
            self._owner = None
            super().release()

    # What `threading.Condition` asks of the lock that it is given.
    def _is_owned(self) -> bool:
        return self._held and self._owner is getcurrent()

    def _release_save(self) -> int:
        count, self._count = self._count, 1
        self.release()
        return count

    def _acquire_restore(self, count: int) -> None:
        self.acquire()
        self._count = count
