"""`sandbox integrator`: the reference integrator as a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

import click

from sandbox.access import access
from sandbox.cli.client import Client
from sandbox.cli.options import example, project_option, trusted, url_option, world_option
from sandbox.integrator.__main__ import main, missing
from sandbox.layout import load_specs, project_root


@click.command(epilog=example("sandbox integrator", "sandbox integrator --db integrator.db"))
@click.option(
    "--port",
    envvar="PORT",
    type=click.IntRange(0, 65535),
    default=8421,
    show_default=True,
    metavar="N",
    help="Where it takes webhooks; 0 picks a free one.",
)
@click.option(
    "--db",
    envvar="DATA_FILE",
    default=":memory:",
    metavar="FILE",
    help="Remember in this SQLite file, across restarts; else in memory.",
)
@url_option
@world_option
@project_option
@click.pass_context
def integrator(context: click.Context, port: int, db: str, url: str, world: str, project_path: Path | None) -> None:
    """Carry the orders of the running sandbox through all systems, until Ctrl-C.

    Its settings are the environment variables that `sandbox env` prints; those not set are filled in from the sandbox
    that runs. With all of them set, it need not run yet.
    """
    given: dict[str, str] = {}
    if missing(os.environ):
        with Client(url, world) as client:
            specs = load_specs(project_root(project_path)).values()
            given = access(specs, client.url, client.seed(), world, trusted(client.url)).environment()
    settings = given | os.environ | {"PORT": str(port), "DATA_FILE": db}
    files = trusted(url)
    if files is not None:
        # What else the machine trusts does not help here.
        settings["SSL_CERT_FILE"] = str(files.ca)
    os.environ.update(settings)
    context.exit(main())
