"""`sandbox journal`: what each side sent, what took effect, and when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
from rich.text import Text

from sandbox.cli import output
from sandbox.cli.client import Client
from sandbox.cli.options import example, json_option, url_option, verbosity_options, world_option
from sandbox.cli.timeline import HEADING, line


@click.command(
    epilog=example(
        "sandbox journal", "sandbox journal --follow --key 2025-4471", "sandbox journal --json | jq .address"
    )
)
@click.option("-f", "--follow", is_flag=True, help="Keep printing new entries until Ctrl-C.")
@click.option("--system", metavar="NAME", help="Only calls to this system.")
@click.option("--operation", metavar="NAME", help="Only calls of this operation.")
@click.option("--key", metavar="KEY", help="Only what is about this business key, such as an order number.")
@json_option
@url_option
@world_option
@verbosity_options
def journal(
    follow: bool, system: str | None, operation: str | None, key: str | None, as_json: bool, url: str, world: str
) -> None:
    """Print the journal: every call and every webhook delivery, in order."""
    criteria = {"system": system, "operation": operation, "key": key}
    with Client(url, world) as client:
        entries = _entries(client, follow=follow, criteria=criteria)
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
