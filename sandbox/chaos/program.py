"""A program under test, in any language: started, killed and started again as a process."""

from __future__ import annotations

import http.client
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from sandbox.chaos.faketime import check_reached, faked
from sandbox.chaos.subject_settings import SubjectError, SubjectSettings
from sandbox.clock import SystemClock

_KEEPER: Final = Path(__file__).with_name("keeper.py")
_OUTPUT: Final = ".subject-output"
_LOOK: Final = 0.005
_PROBE: Final = 1.0
_LAST_LINES: Final = 5
_LONGEST_LINE: Final = 300
_LARGEST_OUTPUT: Final = 8 << 20
_TAIL: Final = 4000
_CLOCK: Final = SystemClock()


class Running:
    """A started program; it ends with this process, however that ends.

    Args:
        folder: For its data; it finds it again after it was killed.
        environment: URLs and credentials under the names that `sandbox env` prints.
        its_time: What its clock shows when it starts (unix seconds), where that runs faster than ours.
    """

    def __init__(
        self,
        settings: SubjectSettings,
        folder: Path,
        environment: Mapping[str, str],
        its_time: Callable[[], float] = _CLOCK.now,
    ) -> None:
        self._settings = settings
        self._folder = folder
        self._clock = _CLOCK
        self._its_time = its_time
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        own = {"PORT": str(self.port), "WEBHOOK_URL": self.webhook_url, "DATA_DIR": str(folder)}
        self._environment = {**os.environ, **settings.variables({**environment, **own})}
        self._keeper: subprocess.Popen[bytes] | None = None
        self._status: int | None = None
        self._heard = b""
        self._date: str | None = None
        # A crash comes in the sandbox's own thread.
        self._lock = threading.RLock()

    @property
    def webhook_url(self) -> str:
        return f"{self.url}{self._settings.webhook_path}"

    def start(self) -> None:
        """Start it, and return when it is ready, or has been killed by a crash.

        Raises:
            SubjectError: when it cannot be started, ends, or is not ready in time; with what it said last.
        """
        arguments, environment = self._settings.arguments(), self._environment
        if self._settings.speed != 1:
            arguments = faked(arguments, self._settings.speed, self._its_time())
        with self._lock:
            word, _, value = self._launch(arguments, environment).partition(" ")
            if word != "started":
                self._release()
        if word != "started":
            reason = os.strerror(int(value)) if value else "it did not come up"
            text = f"the program under test cannot be started: {self._settings.command}: {reason}"
            raise SubjectError(text, "is it installed, and is the path right?")
        self._await()
        while self._settings.speed != 1 and self._keeper is not None:
            if check_reached(self._date, self._its_time(), self._clock.now()):
                break
            self._clock.sleep(_LOOK)
            self._ready()

    def _launch(self, arguments: list[str], environment: Mapping[str, str]) -> str:
        """Start the keeper, and hear what it says of the program."""
        self._status, self._heard = None, b""
        interpreter = [sys.executable, "-I", "-S", str(_KEEPER)]
        self._keeper = subprocess.Popen(
            [*interpreter, str(self._folder / _OUTPUT), str(self._folder), *arguments],
            cwd=self._settings.folder or self._folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        return self._line(self._settings.ready_within)

    def _await(self) -> None:
        deadline = self._clock.now() + self._settings.ready_within
        while self._keeper is not None and not self._ready():
            if (ended := self.ended()) is not None:
                self.kill()
                by_hand = "start it by hand with the variables of sandbox env"
                raise SubjectError(f"the program under test was not ready when it {ended}", by_hand)
            if self._clock.now() > deadline:
                said = self._said()
                self.stop()
                within = f"{self._settings.ready_within:g} s"
                text = f"the program under test was not ready within {within}: nothing listens on PORT {self.port}"
                raise SubjectError(f"{text}{said}", "it must listen on 127.0.0.1:$PORT")
            self._clock.sleep(_LOOK)

    def _ready(self) -> bool:
        """Whether its health path answers without an error of the server, or anything but a refusal comes."""
        probe = http.client.HTTPConnection("127.0.0.1", self.port, timeout=_PROBE)
        try:
            probe.request("GET", self._settings.health_path)
            answer = probe.getresponse()
            self._date = answer.getheader("date")
            return answer.status != http.client.SERVICE_UNAVAILABLE
        except ConnectionRefusedError:
            return False
        except (OSError, http.client.HTTPException):
            return True
        finally:
            probe.close()

    def ended(self) -> str | None:
        """How it ended, with what it said last; None while it runs."""
        self._shorten()
        with self._lock:
            if self._status is None:
                word, _, value = self._line(0).partition(" ")
                if word == "ended":
                    self._status = int(value)
        if self._status is None:
            return None
        by = f"was ended by {signal.Signals(-self._status).name}" if self._status < 0 else ""
        return f"{by or f'ended with exit status {self._status}'}{self._said()}"

    def kill(self) -> None:
        """End it at once (SIGKILL), with all that it started."""
        self._end(b"k")

    def stop(self) -> None:
        """Ask it to end (SIGTERM); what does not listen is killed, with all that it started."""
        self._end(b"t")

    def _end(self, word: bytes) -> None:
        with self._lock:
            if self._keeper is not None and self._keeper.stdin is not None:
                with suppress(BrokenPipeError):
                    self._keeper.stdin.write(word)
                    self._keeper.stdin.flush()
            self._release()

    def _release(self) -> None:
        if self._keeper is not None:
            self._keeper.wait()
            for pipe in (self._keeper.stdin, self._keeper.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()
            self._keeper = None

    def _line(self, wait: float) -> str:
        """The next line of the keeper; empty when none came in time."""
        if self._keeper is None or self._keeper.stdout is None:
            return ""
        descriptor = self._keeper.stdout.fileno()
        while b"\n" not in self._heard and select.select([descriptor], [], [], wait)[0]:
            more = os.read(descriptor, 4096)
            if not more:
                break
            self._heard += more
        line, _, self._heard = self._heard.partition(b"\n")
        return line.decode()

    @property
    def length(self) -> int:
        """How many bytes it has said."""
        output = self._folder / _OUTPUT
        return output.stat().st_size if output.exists() else 0

    def said(self, after: int = 0, lines: int = _LAST_LINES) -> list[str]:
        """The last lines that it said.

        Args:
            after: Only what was said after so many bytes.
        """
        try:
            with (self._folder / _OUTPUT).open("rb") as output:
                output.seek(0, os.SEEK_END)
                output.seek(max(after if after <= output.tell() else 0, output.tell() - _TAIL))
                text = output.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return []
        return [line.strip()[:_LONGEST_LINE] for line in text.strip().splitlines()[-lines:]]

    def _said(self) -> str:
        lines = self.said()
        return f"; it said: {' / '.join(lines)}" if lines else "; it said nothing"

    def _shorten(self) -> None:
        """Keep the end of what it says, when that is more than anybody reads."""
        if self.length > _LARGEST_OUTPUT:
            # The program appends meanwhile, and so do we: nothing that it says is written over.
            with (self._folder / _OUTPUT).open("a+b") as output:
                output.seek(-_TAIL, os.SEEK_END)
                tail = output.read()
                while more := output.read():
                    tail += more
                output.truncate(0)
                output.write(tail)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
