"""What the commands of chaos take for a program of its own, which runs over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import click

from sandbox.chaos.explore import Explorer
from sandbox.chaos.faketime import LIMITS
from sandbox.chaos.session import Session
from sandbox.chaos.subject import Tested
from sandbox.chaos.subject_settings import TIME_SCALE, SubjectSettings
from sandbox.cli import output
from sandbox.project import Project

T = TypeVar("T", Session, Explorer)

_LARGEST_PORT = 65535
_FASTEST = 1000.0


def live_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Port, time scale and speed."""
    port = click.option(
        "--port",
        type=click.IntRange(1, _LARGEST_PORT),
        metavar="N",
        help="Where the sandbox listens for a program of its own; else any free port.",
    )
    scale = click.option(
        "--time-scale",
        type=click.FloatRange(0, 1, min_open=True),
        metavar="FACTOR",
        help=f"By which spans in plans and of webhooks are multiplied for a program of its own [{TIME_SCALE}].",
    )
    speed = click.option(
        "--speed",
        type=click.FloatRange(1, _FASTEST),
        metavar="N",
        help="Let the program's own clock, and the sandbox's, run N times faster; needs `faketime`.",
    )
    return port(scale(speed(command)))


def with_options(
    subject: Callable[[], Tested], port: int | None, time_scale: float | None, speed: float | None, workers: int = 1
) -> Callable[[], Tested]:
    """A subject that is run with these options.

    Raises:
        click.UsageError: when they do not fit it.
    """
    if not isinstance(subject, SubjectSettings):
        given = {"port": port, "time-scale": time_scale, "speed": speed}
        for option in (name for name, value in given.items() if value is not None):
            raise click.UsageError(f"--{option} is for a program of its own, and this subject runs in virtual time")
        return subject
    if workers > 1 and subject.url is not None:
        raise click.UsageError(f"--workers {workers}: there is one program at {subject.url}; leave it at 1")
    if workers > 1 and port is not None:
        raise click.UsageError(f"--workers {workers}: each has a port of its own; leave --port out")
    if speed is not None and subject.url is not None:
        raise click.UsageError("--speed: the clock of a program that runs already cannot be changed")
    if speed is not None:
        output.note(LIMITS)
    return replace(
        subject,
        port=subject.port if port is None else port,
        time_scale=subject.time_scale if time_scale is None else time_scale,
        speed=subject.speed if speed is None else speed,
    )


def session_for(project: Project, subject: Callable[[], Tested]) -> Session:
    """A session that ends with the command, and the program under test with it."""
    return _ended_with_the_command(Session(project, subject))


def explorer_for(explorer: Explorer) -> Explorer:
    """A search whose workers end with the command."""
    return _ended_with_the_command(explorer)


def _ended_with_the_command(one: T) -> T:
    click.get_current_context().call_on_close(one.close)
    return one
