"""Options that several commands take, each spelled once."""

from __future__ import annotations

import functools
import importlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from sandbox.model import DEFAULT_WORLD, WORLD_NAME, WORLD_NAMES
from sandbox.tls_files import TlsFiles

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8420
DEFAULT_URL = f"http://{DEFAULT_HOST}:{DEFAULT_PORT}"

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


def systems_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--project`, `--spec` and `--allow-remote-refs`; the command takes what they come to as `sources`."""

    @functools.wraps(command)
    def found(
        *arguments: Any, project_path: Path | None, specs: tuple[str, ...], allow_remote_refs: bool, **options: Any
    ) -> Any:
        remote = importlib.import_module("sandbox.remote").fetch if allow_remote_refs else None
        # The command itself needs the specs; whoever only asks for help need not wait for what reads them.
        sources = importlib.import_module("sandbox.layout").Sources.find(project_path, specs, remote)
        return command(*arguments, sources=sources, **options)

    given = click.option(
        "--spec",
        "specs",
        multiple=True,
        metavar="[NAME=]FILE|DIR",
        help="Serve this OpenAPI file, or those of a folder, without a project; with --project beside it; repeatable.",
    )
    remote = click.option(
        "--allow-remote-refs", is_flag=True, help="Follow references in the specs to other machines; else refused."
    )
    return project_option(given(remote(found)))


seed_option = click.option(
    "--seed", type=int, default=0, show_default=True, metavar="N", help="Decides every id, credential and name."
)

host_option = click.option(
    "--host", default=DEFAULT_HOST, show_default=True, metavar="ADDRESS", help="Address to listen on."
)


def _remember(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    context.meta[f"sandbox.{parameter.name}"] = value


def url_option(command: Command) -> Command:
    """`--url`, and what it takes to be let in there."""
    url = click.option(
        "--url",
        callback=_base_url,
        envvar="SANDBOX_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="Where the sandbox runs.",
    )
    token = click.option(
        "--control-token",
        envvar="SANDBOX_CONTROL_TOKEN",
        show_envvar=True,
        expose_value=False,
        callback=_remember,
        metavar="TOKEN",
        help="The one that `sandbox up` printed, if it did.",
    )
    authority = click.option(
        "--ca-file",
        envvar="SANDBOX_CA_FILE",
        show_envvar=True,
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        expose_value=False,
        callback=_remember,
        metavar="FILE",
        help="The authority to trust at an https URL; else that of `sandbox up --tls` of this machine.",
    )
    return url(token(authority(command)))


def control_token() -> str | None:
    """The control token that the running command was given."""
    token: str | None = _remembered("control_token")
    return token


def trusted(url: str) -> TlsFiles | None:
    """What the running command trusts at an https URL; None at any other."""
    if not url.startswith("https:"):
        return None
    file: Path | None = _remembered("ca_file")
    if file is not None:
        return TlsFiles(file.absolute().parent, file.name)
    folder = os.environ.get("SANDBOX_TLS_DIR")
    return TlsFiles.at(Path(folder) if folder else None)


def _remembered(name: str) -> Any:
    context = click.get_current_context(silent=True)
    return context.meta.get(f"sandbox.{name}") if context else None


token_option = click.option(
    "--control-token",
    envvar="SANDBOX_CONTROL_TOKEN",
    show_envvar=True,
    metavar="TOKEN",
    help="Asked for by the control API; by default none is, on loopback.",
)


def tls_options(command: Command) -> Command:
    """`--tls` serves https; `--tls-dir` says where its certificates lie."""
    flag = click.option("--tls", is_flag=True, help="Over https, with certificates of a local authority.")
    folder = click.option(
        "--tls-dir",
        envvar="SANDBOX_TLS_DIR",
        show_envvar=True,
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Where the certificates are made and kept; else in your cache folder.",
    )
    return flag(folder(command))


def _world_name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    if not WORLD_NAME.fullmatch(value):
        raise click.BadParameter(f"{value!r} cannot be one; {WORLD_NAMES}", context, parameter)
    return value


world_option = click.option(
    "--world",
    callback=_world_name,
    default=DEFAULT_WORLD,
    show_default=True,
    metavar="NAME",
    help="Which isolated world.",
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
