"""What a program under test needs to be run: how it is started or reached, what it is told, how long it may take."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Final
from urllib.parse import urlsplit

from sandbox.errors import SandboxError, nearest

TIME_SCALE: Final = 0.001
READY_WITHIN: Final = 30.0
RUN_WITHIN: Final = 60.0
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class SubjectError(SandboxError):
    """The program under test cannot be started or reached, or does not become ready."""


@dataclass(frozen=True, slots=True)
class SubjectSettings:
    """A program under test; exactly one of `command` and `url` is given.

    Attributes:
        command: How it is started, as in a shell: `node integrator.js`; words that name a file here are made absolute.
        url: Where one that already runs takes webhooks: `http://127.0.0.1:9000/webhooks`.
        environment: Further variables. `${SHOP_URL}` in a value is what `sandbox env` prints under that name;
            `${PORT}`, `${WEBHOOK_URL}` and `${DATA_DIR}` are there too, and `$$` is a dollar.
        folder: Where it is started; None is its own data folder, which is new for each process but kept by a crash.
        webhook_path: Where it takes webhooks, when it is started by us.
        health_path: Answers when it is ready; until something there answers, its port must listen.
        ready_within: Seconds that it may take to become ready.
        run_within: Seconds after which a run ends without a verdict.
        reconcile_every: Seconds between two of its reconciling polls; None when nobody says.
        parking: Where it tells which orders it parked: a path that it answers (`/parked`), or a file in its data folder
            (`parked.json`); JSON, a mapping of orders to reasons or a list of orders. None: in the shop's fulfilment.
        time_scale: By which spans in plans, the schedule of webhooks and the life of tokens are multiplied.
        speed: How many times faster its own clock runs, by `faketime`.
        port: Where the sandbox listens; 0 chooses.
    """

    command: str | None = None
    url: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    folder: Path | None = None
    webhook_path: str = "/webhooks"
    health_path: str = "/health"
    ready_within: float = READY_WITHIN
    run_within: float = RUN_WITHIN
    reconcile_every: float | None = None
    parking: str | None = None
    time_scale: float = TIME_SCALE
    speed: float = 1.0
    port: int = 0

    def __call__(self) -> SubjectSettings:
        """Itself: it can be started any number of times, in any process."""
        return self

    @property
    def name(self) -> str:
        """How reports call it, and what `--subject` takes."""
        return self.command or self.url or ""

    @property
    def options(self) -> str:
        """With which a command is told of it."""
        return f"--subject {shlex.quote(self.name)}"

    def arguments(self) -> list[str]:
        """The command's words.

        Raises:
            SubjectError: when it cannot be understood.
        """
        try:
            words = shlex.split(self.command or "")
        except ValueError as error:
            raise SubjectError(f"--subject {self.command!r}: {error}", "quote it as for a shell") from None
        if not words:
            raise SubjectError("--subject is empty", 'write it as --subject "node integrator.js"')
        return [str(Path(word).absolute()) if os.sep in word or Path(word).is_file() else word for word in words]

    def variables(self, given: Mapping[str, str]) -> dict[str, str]:
        """What it finds in its environment.

        Args:
            given: What `sandbox env` prints, with PORT, WEBHOOK_URL and DATA_DIR.

        Raises:
            SubjectError: when a value names something that is not there, with the nearest name.
        """
        found = dict(given)
        for name, value in self.environment:
            try:
                found[name] = Template(value).substitute(given)
            except KeyError as error:
                missing = str(error.args[0])
                text = f"the subject's environment: {name} is made of ${{{missing}}}, and there is no such variable"
                raise SubjectError(text, nearest(missing, list(given))) from None
            except ValueError:
                text = f"the subject's environment: {name} has a $ that begins no variable"
                raise SubjectError(text, "write $$ for a dollar, ${SHOP_URL} for a variable") from None
        return found


def is_url(subject: str) -> bool:
    """Whether what `--subject` was given is the address of a program that already runs."""
    return subject.startswith(("http://", "https://"))


def check_url(url: str) -> str:
    """The address of a program on this machine, for nothing else is sent to.

    Raises:
        SubjectError: when it is none.
    """
    parts = urlsplit(url)
    if parts.hostname not in _LOOPBACK or not parts.path:
        text = f"--subject {url}: not the address of webhooks on this machine"
        raise SubjectError(text, "write it as --subject http://127.0.0.1:9000/webhooks")
    return url
