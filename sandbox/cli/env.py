"""`sandbox env`: URLs and credentials as dotenv lines."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from sandbox.access import access, base_url
from sandbox.cli.options import (
    example,
    host_option,
    port_option,
    seed_option,
    systems_options,
    tls_options,
    world_option,
)
from sandbox.layout import Sources
from sandbox.tls_files import TlsFiles


@click.command(epilog=example("sandbox env > .env", "export $(sandbox env)", "sandbox env --port 9000 --world test-7"))
@port_option(smallest=1)
@host_option
@seed_option
@world_option
@tls_options
@systems_options
def env(port: int, host: str, seed: int, world: str, tls: bool, tls_dir: Path | None, sources: Sources) -> None:
    """Print the URLs and credentials of `sandbox up` with the same options, as dotenv lines.

    Nothing needs to run: they follow from seed and port. With --tls they include where the certificates are kept.
    """
    files = TlsFiles.at(tls_dir) if tls else None
    specs = sources.load().values()
    reachable = access(specs, base_url(host, port, tls=tls), seed, world, files)
    for name, value in reachable.environment().items():
        click.echo(f"{name}={shlex.quote(value)}")
