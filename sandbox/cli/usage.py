"""`sandbox contracts usage`: what a consumer does with the systems, from its journals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
from rich.text import Text

from sandbox.cli import output
from sandbox.cli.journals import read_journals, running_journal
from sandbox.cli.options import example, json_option, systems_options, url_option, verbosity_options, world_option
from sandbox.consumer.dependence import OperationUse, Received
from sandbox.consumer.disclosure import Disclosure
from sandbox.consumer.usage import Usage, usage_of
from sandbox.layout import Sources
from sandbox.rules.base import FAILED, UNCERTAIN

_COVERED = {True: "yes", False: "NO", None: "unknown"}


@click.command(
    epilog=example(
        "sandbox contracts usage",
        "sandbox contracts usage journal.jsonl",
        "sandbox contracts usage out/report.json --json > usage.json",
    )
)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="[FILE]...")
@json_option
@systems_options
@url_option
@world_option
@verbosity_options
@click.pass_context
def usage(
    context: click.Context, files: tuple[Path, ...], as_json: bool, sources: Sources, url: str, world: str
) -> None:
    """Show what your program sent, to whom it told personal data, and what it depends on.

    FILE is a journal (`sandbox journal --json`), a recording, or the report.json of `sandbox chaos --report`; without
    one, the journal of the running sandbox is read. Exit codes: 0 every request keeps to its target's spec and no
    personal field went where no purpose covers it, 1 one does not, 2 usage, 3 there was nothing or too little to judge.
    """
    specs = sources.load()
    journals = read_journals(files) if files else [running_journal(url, world)]
    found = usage_of(journals, specs)
    if as_json:
        output.print_json(found.to_json())
    else:
        _print(found, several=len(journals) > 1)
    context.exit(FAILED if found.departures or found.needless else UNCERTAIN if found.doubts else 0)


def _print(found: Usage, *, several: bool) -> None:
    out = output.out()
    _print_conformity(found, several=several)
    out.print()
    _print_disclosures(found.disclosures)
    out.print()
    _print_dependence(found)
    for doubt in found.doubts:
        out.print(Text(f"inconclusive: {doubt}", "yellow"))


def _print_conformity(found: Usage, *, several: bool) -> None:
    out = output.out()
    if not found.departures:
        style = "bold green" if found.calls else "bold yellow"
        out.print(Text(f"conformity: each of {found.calls} requests keeps to its target's spec", style))
        return
    wrong = len({(departure.journal, departure.seq) for departure in found.departures})
    out.print(Text(f"conformity: {wrong} of {found.calls} requests depart from the target's spec", "bold red"))
    for departure in found.departures:
        out.print(Text(f"  {f'{departure.journal}: ' if several else ''}{departure.sentence}"))


def _print_disclosures(rows: tuple[Disclosure, ...]) -> None:
    out = output.out()
    if not rows:
        out.print(Text("personal data: none was sent", "bold"))
        return
    needless = sum(row.covered is False for row in rows)
    title = "personal data: what was sent, to whom, for which purposes (GDPR Art. 5(1)(b), (c))"
    cells = (
        (
            row.system,
            row.operation,
            row.field,
            ", ".join(row.purposes) or "not declared",
            "not declared" if row.serves is None else ", ".join(row.serves),
            _COVERED[row.covered],
            row.times,
            row.values,
        )
        for row in rows
    )
    columns = ("RECIPIENT", "OPERATION", "FIELD", "RECEIVES FOR", "FIELD SERVES", "COVERED", "CALLS", "VALUES")
    out.print(output.table(columns, cells, title))
    if needless:
        out.print(Text(f"{needless} of these fields serve none of the purposes for which they were sent", "bold red"))
    out.print(
        Text("VALUES counts different values, by their labels; the values themselves are not in the journal", "dim")
    )


def _print_dependence(found: Usage) -> None:
    out = output.out()
    used = ((f"{use.system}.{use.operation}", use.calls, _statuses(use), _sent(use)) for use in found.operations)
    out.print(output.table(("OPERATION", "CALLS", "ANSWERS", "SENT"), used, "dependence: what is called and sent"))
    out.print()
    out.print(
        output.table(("FROM", "FIELD", "TIMES", "GOES ON INTO"), _used(found), "dependence: what is read, inferred")
    )
    for line in _unknown(found):
        out.print(Text(line, "dim"))
    out.print(
        Text(
            "inferred: a field counts as used when its value turns up in a later request; where several answers showed "
            "the value, each is credited. 'read, unknown use' may be read or not: nobody can see that from outside",
            "dim",
        )
    )


def _statuses(use: OperationUse) -> str:
    return ", ".join(f"{'none' if status == '-' else status} {count}x" for status, count in use.statuses.items())


def _sent(use: OperationUse) -> str:
    """The leaves of what is sent; the objects that hold them go without saying."""
    pointers = {sent.pointer for sent in use.sent if sent.part == "body"}
    holders = {pointer.rpartition("/")[0] for pointer in pointers if pointer}
    fields = [
        sent.pointer if sent.part == "body" else f"{sent.part} {sent.pointer}"
        for sent in use.sent
        if sent.part != "body" or (sent.pointer and sent.pointer not in holders)
    ]
    return ", ".join(fields)


def _given(found: Usage) -> Iterator[tuple[str, Received]]:
    for use in found.operations:
        for field in use.received:
            yield f"{use.system}.{use.operation} {field.status}", field
    for told in found.events:
        for field in told.received:
            yield f"event {told.event}", field


def _used(found: Usage) -> Iterator[tuple[object, ...]]:
    for source, field in _given(found):
        if field.used:
            yield source, _title(field), field.times, ", ".join(field.used)


def _unknown(found: Usage) -> Iterator[str]:
    """The fields whose use nobody can see, by where they come from."""
    fields: dict[str, list[Received]] = {}
    for source, field in _given(found):
        fields.setdefault(source, []).append(field)
    for source, given in fields.items():
        holders = {field.pointer.rpartition("/")[0] for field in given}
        names = [_title(field) for field in given if not field.used and field.pointer and field.pointer not in holders]
        if names:
            yield f"{source}: read, unknown use: {', '.join(names)}"


def _title(field: Received) -> str:
    return field.pointer if field.part == "body" else f"{field.part} {field.pointer}"
