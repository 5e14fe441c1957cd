"""`sandbox state`: what the systems hold."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import click

from sandbox.cli import complete, output
from sandbox.cli.client import Client
from sandbox.cli.options import example, json_option, url_option, verbosity_options, world_option

GAP = 2
Records = list[dict[str, Any]]


@click.command(
    epilog=example("sandbox state", "sandbox state accounting", "sandbox state shop --json | jq .shop.orders")
)
@click.argument("system", required=False, shell_complete=complete.systems)
@json_option
@url_option
@world_option
@verbosity_options
def state(system: str | None, as_json: bool, url: str, world: str) -> None:
    """Show the collections of all systems, or the records of one SYSTEM."""
    with Client(url, world) as client:
        if system is not None:
            client.require_system(system)
        collections = client.state(system)
    if as_json:
        output.print_json(collections)
    elif system is None:
        rows = [(name, kind, len(records)) for name, kinds in collections.items() for kind, records in kinds.items()]
        output.out().print(output.table(("SYSTEM", "COLLECTION", "RECORDS"), rows))
    else:
        for kind, records in collections.get(system, {}).items():
            _show(kind, records)


def _show(kind: str, records: Records) -> None:
    """A collection as a table of its plain fields, as many as fit; the rest is left to `--json`."""
    names = list(dict.fromkeys(name for record in records for name, value in record.items() if _plain(value)))
    console = output.out()
    columns = _fitting(names, records, console.width)
    left_out = f"; {len(names) - len(columns)} more fields with --json" if len(columns) < len(names) else ""
    rows = [[record.get(name) if _plain(record.get(name)) else "…" for name in columns] for record in records]
    console.print(output.table(columns, rows, title=f"{kind} ({len(records)}{left_out})"))


def _fitting(names: list[str], records: Records, width: int) -> list[str]:
    """The first columns that fit side by side, at least one."""
    widths = [max(len(name), *(len(output.cell(record.get(name))) for record in records)) + GAP for name in names]
    fitting = [name for name, end in zip(names, accumulate(widths), strict=True) if end <= width]
    return fitting or names[:1]


def _plain(value: Any) -> bool:
    return not isinstance(value, dict | list)
