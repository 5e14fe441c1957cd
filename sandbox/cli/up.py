"""`sandbox up`: serve the systems until Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from sandbox.access import Access
from sandbox.cli import output
from sandbox.cli.options import (
    DEFAULT_URL,
    example,
    host_option,
    json_option,
    port_option,
    project_option,
    seed_option,
    verbosity_options,
)
from sandbox.project import Project
from sandbox.server import Server


@click.command(epilog=example("sandbox up", "sandbox up --port 0 --json", "sandbox up --db shop.db"))
@port_option()
@host_option
@seed_option
@click.option(
    "--db",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep everything in this SQLite file, across restarts; else in memory.",
)
@json_option
@project_option
@verbosity_options
def up(port: int, host: str, seed: int, db: Path | None, as_json: bool, project_path: Path | None) -> None:
    """Serve all systems on one port, until Ctrl-C."""
    project = Project.find(project_path)
    announce: Callable[[Access], None] = _announce_json if as_json else _announce
    server = Server(project, host=host, port=port, seed=seed, db=db)
    server.run(ready=lambda serving: announce(serving.access()))


def _announce_json(reachable: Access) -> None:
    output.print_json({"url": reachable.url, "systems": reachable.systems, "control": reachable.control})


def _announce(reachable: Access) -> None:
    rows = [
        ("" if position else system, "Swagger UI" if name == "ui" else name, value)
        for system, values in reachable.systems.items()
        for position, (name, value) in enumerate(values.items())
    ]
    rows += [("webhooks", "secret", reachable.webhook_secret), ("control", "url", reachable.control)]
    output.out().print(output.table(("SYSTEM", "", ""), rows))
    where = "" if reachable.url == DEFAULT_URL else f" --url {reachable.url}"
    output.note(
        f"next, each in a terminal: sandbox journal --follow{where}; sandbox integrator{where}; sandbox order{where}"
    )
