"""Options that several commands take, each spelled once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8420
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"
DEFAULT_WORLD = "default"

Command = TypeVar("Command", bound=Callable[..., Any])

VERBOSITY = "sandbox.verbosity"


def example(*lines: str) -> str:
    """The epilog of a command's help: what to type, kept line by line."""
    return "\n".join(["\b", "Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])


def _base_url(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """An absolute http or https URL; a trailing slash is dropped."""
    try:
        parts = urlsplit(value)
        complete = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and not parts.query
    except ValueError:
        complete = False
    if not complete:
        raise click.BadParameter(
            f"{value!r} is no address of a sandbox; expected something like {DEFAULT_URL}", context, parameter
        )
    return value.rstrip("/")


project_option = click.option(
    "--project",
    "project_path",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Project folder; else the nearest sandbox.yaml upwards, else the reference project.",
)

seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="Decides every id, credential and name."
)

host_option = click.option(
    "--host", default=DEFAULT_HOST, show_default=True, metavar="ADDRESS", help="Address to listen on."
)

url_option = click.option(
    "--url",
    callback=_base_url,
    envvar="SANDBOX_URL",
    default=DEFAULT_URL,
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="Where the sandbox runs.",
)

world_option = click.option(
    "--world", default=DEFAULT_WORLD, show_default=True, metavar="NAME", help="Which isolated world."
)

json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable: one JSON document per line.")


def port_option(*, smallest: int = 0) -> Callable[[Command], Command]:
    """`--port`; 0, where allowed, lets the system pick a free one."""
    free = "; 0 picks a free one" if smallest == 0 else ""
    return click.option(
        "--port",
        type=click.IntRange(smallest, 65535),
        default=DEFAULT_PORT,
        show_default=True,
        metavar="N",
        help=f"The one port of all systems{free}.",
    )


def _verbosity(context: click.Context, parameter: click.Parameter, value: int) -> None:
    level = context.meta.get(VERBOSITY, 0) + (-int(value) if parameter.name == "quiet" else int(value))
    context.meta[VERBOSITY] = level
    logging.basicConfig(format="%(asctime)s %(name)s %(levelname)s: %(message)s", level=logging.WARNING)
    logging.getLogger("sandbox").setLevel({-1: logging.ERROR, 0: logging.WARNING}.get(level, logging.INFO))
    if level > 1:
        logging.getLogger().setLevel(logging.DEBUG)


def verbosity_options(command: Command) -> Command:
    """`-q` leaves only results and errors; `-v` logs what happens, `-vv` in detail, all on standard error."""
    quiet = click.option(
        "-q", "--quiet", is_flag=True, expose_value=False, callback=_verbosity, help="Results and errors only."
    )
    verbose = click.option(
        "-v", "--verbose", count=True, expose_value=False, callback=_verbosity, help="Log more; -vv in detail."
    )
    return quiet(verbose(command))


def verbosity() -> int:
    """-1 quiet, 0 normal, 1 and more verbose, for the command that is running."""
    context = click.get_current_context(silent=True)
    return int(context.meta.get(VERBOSITY, 0)) if context else 0
