"""`sandbox env`: URLs and credentials as dotenv lines."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from sandbox.access import access
from sandbox.cli.options import example, host_option, port_option, project_option, seed_option, world_option
from sandbox.layout import load_specs, project_root


@click.command(epilog=example("sandbox env > .env", "export $(sandbox env)", "sandbox env --port 9000 --world test-7"))
@port_option(smallest=1)
@host_option
@seed_option
@world_option
@project_option
def env(port: int, host: str, seed: int, world: str, project_path: Path | None) -> None:
    """Print the URLs and credentials of `sandbox up` with the same options, as dotenv lines.

    Nothing needs to run: they follow from seed and port.
    """
    reachable = access(load_specs(project_root(project_path)).values(), f"http://{host}:{port}", seed, world)
    for name, value in reachable.environment().items():
        click.echo(f"{name}={shlex.quote(value)}")
