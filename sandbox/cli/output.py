"""How the commands speak: results on standard output, everything else on standard error.

Colours appear on a terminal only, and never with `NO_COLOR`; both are rich's own rules.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sandbox.cli.options import verbosity

UNLIMITED = 10_000


def out() -> Console:
    """Standard output as it is now, so that a redirection counts; as wide as the terminal, in a file without limit."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = UNLIMITED
    return console


def note(message: str) -> None:
    """Something helpful beside the result; silent with `-q`."""
    if verbosity() >= 0:
        Console(stderr=True, highlight=False, soft_wrap=True).print(Text(message, style="dim"))


def error(message: str, hint: str | None = None) -> None:
    """What went wrong, in one line, and what to do next, in another."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(Text.assemble(("error: ", "bold red"), message))
    if hint:
        console.print(Text(f"  {hint}"))


def print_json(document: Any) -> None:
    """One JSON document on one line; where standard output is not UTF-8, whatever reads it can take ASCII."""
    utf8 = (sys.stdout.encoding or "").replace("-", "").lower() == "utf8"
    click.echo(json.dumps(document, ensure_ascii=not utf8, separators=(",", ":")))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str | None = None) -> Table:
    """A plain table; cells that are None stay blank."""
    made = Table(*columns, title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for row in rows:
        made.add_row(*(Text(cell(value), overflow="fold") for value in row))
    return made


def cell(value: object) -> str:
    """A value as a table shows it."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, bool) else str(value)
