"""A subject that is a program of its own, in any language: started, killed and started again as a process."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import httpx

from sandbox.clock import Clock, SystemClock
from sandbox.errors import SandboxError

_DIE_WITH_PARENT: Final = 1  # PR_SET_PDEATHSIG, prctl(2)
_TERMINATION: Final = 2.0
_LOOK: Final = 0.02
_LAST_LINES: Final = 5
_CLOCK: Final = SystemClock()


class SubjectError(SandboxError):
    """The program under test cannot be started, or does not become ready."""


@dataclass(frozen=True, slots=True)
class Program:
    """How a program under test is started.

    Attributes:
        command: As in a shell, e.g. `node integrator.js`; relative to the present folder.
        webhook_path: Where it takes webhooks.
        health_path: Answers when it is ready; until something there answers, its port must listen.
        ready_within: Seconds that it may take to become ready.
        environment: Further variables.
    """

    command: str
    webhook_path: str = "/webhooks"
    health_path: str = "/health"
    ready_within: float = 30.0
    environment: tuple[tuple[str, str], ...] = ()

    def __call__(self) -> Program:
        """Itself: it can be started any number of times, in any process."""
        return self

    @property
    def name(self) -> str:
        return self.command

    @property
    def reconcile_every(self) -> float | None:
        """Nobody knows from outside."""
        return None

    def arguments(self) -> list[str]:
        """The command's words; those that name a file here are made absolute, since it is started in another folder.

        Raises:
            SubjectError: when it cannot be understood.
        """
        try:
            words = shlex.split(self.command)
        except ValueError as error:
            raise SubjectError(f"--subject {self.command!r}: {error}", "quote it as for a shell") from None
        if not words:
            raise SubjectError("--subject is empty", 'write it as --subject "node integrator.js"')
        return [str(Path(word).absolute()) if os.sep in word or Path(word).is_file() else word for word in words]


class Running:
    """A started program.

    Args:
        folder: Its own; it is started there, and finds it again after it was killed.
        environment: URLs and credentials under the names that `sandbox env` prints.
    """

    def __init__(self, program: Program, folder: Path, environment: Mapping[str, str], clock: Clock = _CLOCK) -> None:
        self._program = program
        self._folder = folder
        self._clock = clock
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            **os.environ,
            **environment,
            "PORT": str(self.port),
            "WEBHOOK_URL": self.webhook_url,
            "DATA_DIR": str(folder),
            **dict(program.environment),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def webhook_url(self) -> str:
        return f"{self.url}{self._program.webhook_path}"

    def start(self) -> None:
        """Start it, and return when it is ready.

        Raises:
            SubjectError: when it cannot be started, ends, or is not ready in time; with what it said last.
        """
        with self._output("ab") as output:
            try:
                self._process = subprocess.Popen(
                    self._program.arguments(),
                    cwd=self._folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=_die_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - one thread
                )
            except OSError as error:
                text = f"the program under test cannot be started: {self._program.command}: {error.strerror}"
                raise SubjectError(text, "is it installed, and is the path right?") from None
        deadline = self._clock.now() + self._program.ready_within
        while not self._ready():
            if (ended := self.ended()) is not None:
                raise SubjectError(
                    f"the program under test {ended}", "start it by hand with the variables of sandbox env"
                )
            if self._clock.now() > deadline:
                self.stop()
                text = f"the program under test was not ready within {self._program.ready_within:g} s: nothing listens"
                raise SubjectError(f"{text} on PORT {self.port}{self._said()}", "it must listen on 127.0.0.1:$PORT")
            self._clock.sleep(_LOOK)

    def _ready(self) -> bool:
        try:
            httpx.get(f"{self.url}{self._program.health_path}", timeout=1.0, trust_env=False)
        except httpx.ConnectError:
            return False
        except httpx.HTTPError:
            return True
        return True

    def ended(self) -> str | None:
        """How it ended, with what it said last; None while it runs."""
        code = None if self._process is None else self._process.poll()
        if code is None:
            return None
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        return f"{how}{self._said()}"

    def kill(self) -> None:
        """End it at once (SIGKILL), with all that it started."""
        self._signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """Ask it to end (SIGTERM); what does not listen is killed."""
        self._signal(signal.SIGTERM)
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_TERMINATION)
        self.kill()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _output(self, mode: str) -> IO[bytes]:
        opened: IO[bytes] = (self._folder / ".subject-output").open(mode)
        return opened

    def _said(self) -> str:
        with self._output("rb") as output:
            output.seek(0, os.SEEK_END)
            output.seek(max(0, output.tell() - 4000))
            lines = output.read().decode("utf-8", "replace").strip().splitlines()[-_LAST_LINES:]
        return f"; it said: {' / '.join(line.strip() for line in lines)}" if lines else "; it said nothing"


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
