"""Deterministic concurrency on a virtual clock: tasks that switch only where they call a system or wait.

A task is a greenlet, so the program inside it is ordinary blocking code. Nothing runs in parallel: the virtual clock's
timers decide who goes on, so the same plan gives the same interleaving every time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from greenlet import getcurrent, greenlet

from sandbox.clock import Clock, VirtualClock

__all__ = ["Killed", "TaskClock", "Tasks"]

Wake = Callable[[], None]


class Killed(BaseException):
    """Raised inside a task whose program is killed; like SIGKILL it is not to be caught."""


class Tasks:
    """The tasks of one program under test.

    Args:
        clock: Decides who runs; `run_until` must be called from outside all tasks.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._alive: set[greenlet] = set()
        self.failures: list[BaseException] = []

    @property
    def inside(self) -> bool:
        """Whether the caller is one of these tasks."""
        return getcurrent() in self._alive

    def spawn(self, function: Callable[[], None], done: Callable[[], None] | None = None) -> greenlet:
        """Start a task at the present time and return it; `done` is called when it has ended, however it ended."""

        def body() -> None:
            try:
                function()
            except Killed:
                pass
            except Exception as error:  # noqa: BLE001 - see below
                # A program that falls over is a finding about the program, not about us.
                self.failures.append(error)
            finally:
                self._alive.discard(task)
                if done is not None:
                    done()

        task = greenlet(body)
        self._alive.add(task)
        self._clock.at(self._clock.now(), lambda: self._switch(task))
        return task

    def wait(self, arrange: Callable[[Wake], None]) -> None:
        """Suspend the calling task until the `wake` that `arrange` is given is called; a second call does nothing."""
        task = getcurrent()
        waiting = True

        def wake() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                self._clock.at(self._clock.now(), lambda: self._switch(task))

        arrange(wake)
        parent = task.parent
        assert parent is not None  # noqa: S101 - only the main greenlet has none, and it is no task
        parent.switch()

    def kill(self, spare: Collection[greenlet] = ()) -> None:
        """End all tasks but some at once, wherever they are."""
        for task in [task for task in self._alive if task not in spare]:
            if task:
                task.parent = getcurrent()
                task.throw(Killed)
            self._alive.discard(task)

    def _switch(self, task: greenlet) -> None:
        if not task.dead and task in self._alive:
            task.parent = getcurrent()
            task.switch()


class TaskClock(Clock):
    """The virtual clock as a program inside a task sees it: `sleep` lets the others run."""

    def __init__(self, clock: VirtualClock, tasks: Tasks) -> None:
        self._clock = clock
        self._tasks = tasks

    def now(self) -> float:
        return self._clock.now()

    def sleep(self, seconds: float) -> None:
        if not self._tasks.inside:
            self._clock.sleep(seconds)
            return
        due = self._clock.now() + max(0.0, seconds)

        def arrange(wake: Wake) -> None:
            self._clock.at(due, wake)

        self._tasks.wait(arrange)
