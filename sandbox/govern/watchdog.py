"""Ends a program that is at work for too long without waiting: virtual time stands still, so it may never end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

from sandbox.govern.place import own_place

PATIENCE: Final = 30.0
_OFF: Final = 0.0
# As they are before anybody replaces them.
_signal, _arm = signal.signal, getattr(signal, "setitimer", None)


class Endless(BaseException):
    """Raised in a program that does not wait; like a kill it is not to be caught.

    Attributes:
        place: `file:line` where it was at work.
    """

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


class Watchdog:
    """Watches the code between `begin` and `end`.

    It needs the interval timer of the process, and so the main thread; elsewhere, or where another has set the timer,
    nothing is watched.

    Args:
        patience: Seconds of real time that the program may be at work without waiting.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._on = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """It can watch until the end."""
        main = threading.current_thread() is threading.main_thread()
        if _arm is None or not main or signal.getitimer(signal.ITIMER_REAL)[0]:
            yield
            return
        before = _signal(signal.SIGALRM, self._bite)
        self._on = True
        try:
            yield
        finally:
            self.end()
            self._on = False
            _signal(signal.SIGALRM, before)

    def begin(self) -> None:
        """The program is at work from now on."""
        if self._on and _arm is not None:
            _arm(signal.ITIMER_REAL, self._patience)

    def end(self) -> None:
        """It waits, or has ended."""
        if self._on and _arm is not None:
            _arm(signal.ITIMER_REAL, _OFF)

    def _bite(self, _number: int, frame: FrameType | None) -> None:
        raise Endless(own_place(frame) or "in a library")
