"""`sandbox journal`: what each side sent, what took effect, and when."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from sandbox.cli import complete, output
from sandbox.cli.client import Client
from sandbox.cli.har import write_har
from sandbox.cli.options import example, json_option, url_option, verbosity_options, world_option
from sandbox.cli.timeline import HEADING, line
from sandbox.journal import Filter
from sandbox.record.recording_file import read_entries


@click.command(
    epilog=example(
        "sandbox journal",
        "sandbox journal --follow --key 2025-4471",
        "sandbox journal --json | jq .address",
        "sandbox journal --har journal.har",
        "sandbox journal --file monday.jsonl --har -",
    )
)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new entries until Ctrl-C.")
@click.option("--system", metavar="NAME", shell_complete=complete.systems, help="Only calls to this system.")
@click.option("--operation", metavar="NAME", shell_complete=complete.operations, help="Only calls of this operation.")
@click.option("--key", metavar="KEY", help="Only what is about this business key, such as an order number.")
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read a recording instead of asking a sandbox that runs.",
)
@click.option(
    "--har",
    type=click.Path(dir_okay=False, path_type=Path, allow_dash=True),
    metavar="FILE",
    help="Write HAR 1.2, which browser developer tools open, instead; - is standard output.",
)
@json_option
@url_option
@world_option
@verbosity_options
def journal(
    follow: bool,
    system: str | None,
    operation: str | None,
    key: str | None,
    file: Path | None,
    har: Path | None,
    as_json: bool,
    url: str,
    world: str,
) -> None:
    """Print the journal: every call and every webhook delivery, in order."""
    if follow and (file is not None or har is not None):
        raise click.UsageError("--follow goes neither with --file nor with --har, which come to an end")
    criteria = {"system": system, "operation": operation, "key": key}
    if file is not None:
        _print(Filter(system, operation, key).apply(read_entries(file)), har, url, as_json=as_json)
        return
    with Client(url, world) as client:
        if system is not None:
            client.require_system(system)
        _print(_entries(client, follow=follow, criteria=criteria), har, url, as_json=as_json)


def _print(entries: Iterator[dict[str, Any]], har: Path | None, url: str, *, as_json: bool) -> None:
    if har is not None:
        write_har(har, entries, url)
        return
    for position, entry in enumerate(entries):
        if as_json:
            output.print_json(entry)
            continue
        if position == 0:
            output.out().print(Text(HEADING, style="bold"))
        output.out().print(line(entry))


def _entries(client: Client, *, follow: bool, criteria: dict[str, str | None]) -> Iterator[dict[str, Any]]:
    last = 0
    for entry in client.journal(**criteria):
        last = entry["seq"]
        yield entry
    if follow:
        yield from client.follow(last, **criteria)
        output.note("the sandbox stopped")
