"""What a program calls in vain: the functions of the standard library that are led to its governor while it runs.

All of them ask who calls, and do what they always do for anybody else in the process. Not seen are functions written in
C that open sockets or wait by themselves, such as database drivers, and files.
"""

from __future__ import annotations

import _thread
import asyncio
import io
import logging
import os
import queue
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

from urllib3.util import connection

from sandbox.govern.governor import WORLD, Governor
from sandbox.govern.locks import TaskLock, TaskRLock
from sandbox.govern.memory_socket import MemorySocket

_NANO: Final = 1_000_000_000
_ENVIRONMENT_KEPT: Final = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "PYTHONPATH", "VIRTUAL_ENV"})
_MOST_KEPT: Final = 65_536
_WORLD_NAMES: Final = frozenset({WORLD, ("localhost", WORLD[1])})

Make = Callable[[Any], Any]
Patch = tuple[Any, str, Make]


@contextmanager
def installed(governor: Governor, environment: Mapping[str, str]) -> Iterator[Output]:
    """Lead what the program calls to its governor, with these variables as its environment, until the end.

    Yields:
        What it prints and logs.
    """
    output = Output()
    with ExitStack() as stack:
        for target, name, made in _Patches(governor):
            stack.enter_context(_replaced(target, name, made))
        stack.enter_context(_environment(environment))
        stack.enter_context(_logging_to(output))
        for name in ("stdout", "stderr"):
            stack.enter_context(_replaced(sys, name, lambda real: _Routed(governor, output, real)))
        stack.enter_context(governor.drawing())
        stack.enter_context(governor.watchdog.installed())
        yield output


class Output(io.StringIO):
    """What a program prints and logs; of much, the end."""

    def write(self, text: str) -> int:
        if self.tell() > _MOST_KEPT:
            kept = self.getvalue()[-_MOST_KEPT // 2 :]
            self.seek(0)
            self.truncate()
            super().write(kept)
        return super().write(text)

    def last_lines(self, number: int) -> list[str]:
        return self.getvalue().strip().splitlines()[-number:]


class _Routed:
    """A standard stream that keeps what the program writes, and passes on what anybody else does."""

    def __init__(self, governor: Governor, output: Output, real: Any) -> None:
        self._governor = governor
        self._output = output
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._output if self._governor.rules else self._real, name)


class _Patches:
    """What is replaced: each the module or class, the name, and what makes the new one of the old one."""

    def __init__(self, governor: Governor) -> None:
        self._governor = governor

    def __iter__(self) -> Iterator[Patch]:
        yield from self._time_and_chance()
        yield from self._locks()
        yield from self._network()
        yield from self._refused()

    def _lead(self, made: Callable[..., Any]) -> Make:
        """One function for the program, and the old one for everybody else."""
        governor = self._governor

        def make(real: Any) -> Any:
            def led(*args: Any, **kwargs: Any) -> Any:
                return made(*args, **kwargs) if governor.inside else real(*args, **kwargs)

            return led

        return make

    def _refuse(self, what: str) -> Make:
        def made(*_: Any, **__: Any) -> Any:
            raise self._governor.refuse(what)

        return self._lead(made)

    def _time_and_chance(self) -> Iterator[Patch]:
        governor = self._governor
        yield time, "sleep", self._lead(governor.sleep)
        for name in ("monotonic", "perf_counter"):
            yield time, name, self._lead(governor.now)
            yield time, f"{name}_ns", self._lead(lambda: round(governor.now() * _NANO))
        # Those that were imported by name, long ago.
        yield threading, "_time", self._lead(governor.now)
        yield queue, "time", self._lead(governor.now)
        yield os, "urandom", self._lead(governor.urandom)
        yield random, "_urandom", self._lead(governor.urandom)

    def _locks(self) -> Iterator[Patch]:
        for name in ("Lock", "_allocate_lock"):
            yield threading, name, self._lead(lambda: TaskLock(self._governor))
        yield threading, "RLock", self._lead(lambda: TaskRLock(self._governor))

    def _network(self) -> Iterator[Patch]:
        governor = self._governor

        def connect(address: tuple[str, int], timeout: Any = None, *_: Any, **__: Any) -> Any:
            if address not in _WORLD_NAMES:
                raise governor.refuse(f"it calls {_shown(address)}, where no system of this project is")
            return MemorySocket(governor.carry, timeout if isinstance(timeout, (int, float)) else None)

        def connect_socket(_: socket.socket, address: Any) -> None:
            raise governor.refuse(f"it opens a connection to {_shown(address)}, where no system of this project is")

        def look_up(host: Any, *_: Any, **__: Any) -> Any:
            raise governor.refuse(f"it looks up the address of {host!r}, where no system of this project is")

        for module in (socket, connection):
            yield module, "create_connection", self._lead(connect)
        yield socket, "getaddrinfo", self._lead(look_up)
        for name in ("connect", "connect_ex"):
            yield socket.socket, name, self._lead(connect_socket)

    def _refused(self) -> Iterator[Patch]:
        thread = "it starts a thread, which does not obey virtual time"
        yield threading.Thread, "start", self._refuse(thread)
        yield _thread, "start_new_thread", self._refuse(thread)
        loop = "it runs an asyncio loop, which does not obey virtual time"
        yield asyncio.BaseEventLoop, "run_forever", self._refuse(loop)
        process = "it starts a process, which does not obey virtual time"
        yield subprocess.Popen, "__init__", self._refuse(process)
        for name in ("fork", "system", "posix_spawn"):
            yield os, name, self._refuse(process)
        # The signals are those of the process that tests it; it gets none.
        yield signal, "signal", self._lead(lambda *_: signal.SIG_DFL)


def _shown(address: Any) -> str:
    return ":".join(map(str, address[:2])) if isinstance(address, tuple) else str(address)


@contextmanager
def _replaced(target: Any, name: str, made: Make) -> Iterator[None]:
    own = name in vars(target)
    real = getattr(target, name)
    setattr(target, name, made(real))
    try:
        yield
    finally:
        if own:
            setattr(target, name, real)
        else:
            delattr(target, name)


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    kept = {name: value for name, value in before.items() if name in _ENVIRONMENT_KEPT}
    _become({**kept, **variables})
    try:
        yield
    finally:
        _become(before)


def _become(variables: Mapping[str, str]) -> None:
    for name in os.environ.keys() - variables.keys():
        del os.environ[name]
    os.environ.update(variables)


@contextmanager
def _logging_to(output: Output) -> Iterator[None]:
    """What is logged goes to the output; what the program changes of the root logger lasts as long as it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [logging.StreamHandler(output)]
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
