"""`sandbox contracts diff`: which changes between two versions of a spec break a consumer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from sandbox.cli import output
from sandbox.cli.journals import read_journals
from sandbox.cli.options import example, json_option, verbosity_options
from sandbox.consumer.breakage import ORDER, Judgement, Mark, breaking, judge
from sandbox.consumer.spec_diff import Version, wire
from sandbox.consumer.usage import Journal, Usage, usage_of
from sandbox.document import Document
from sandbox.errors import SandboxError, nearest
from sandbox.rules.base import FAILED
from sandbox.spec_check import invalid

# So many of the operations that one change is about are named; --json names all.
_MOST: Final = 6
_STYLES = {"breaks": "bold red", "may break": "bold yellow", "safe": "green"}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog=example(
        "sandbox contracts diff specs/shop.yaml shop-v2.yaml",
        "sandbox contracts diff specs/shop.yaml shop-v2.yaml --journal journal.jsonl",
        "sandbox contracts diff old.yaml new.yaml --system shop --usage usage.json --json",
    )
)
@click.argument("old", type=_FILE)
@click.argument("new", type=_FILE)
@click.option("--usage", "usage_file", type=_FILE, metavar="FILE", help="What `sandbox contracts usage --json` said.")
@click.option(
    "--journal",
    "journals",
    type=_FILE,
    multiple=True,
    metavar="FILE",
    help="A journal, a recording, or a report.json of chaos; repeatable.",
)
@click.option("--system", metavar="NAME", help="The system in the usage; else by OLD's file name or operations.")
@click.option("--certain", is_flag=True, help="Exit 1 only for what breaks for certain, not for what may break.")
@json_option
@verbosity_options
@click.pass_context
def diff(
    context: click.Context,
    old: Path,
    new: Path,
    usage_file: Path | None,
    journals: tuple[Path, ...],
    system: str | None,
    certain: bool,
    as_json: bool,
) -> None:
    """Say which changes from OLD to NEW, two OpenAPI 3.0 files, break your program.

    With its usage or its journals, changes are judged for this program alone; without, for any. What is read strictly
    cannot be seen from outside: such a change "may break", and counts as a break unless --certain. Exit codes: 0 no
    break, 1 a break, 2 usage or bad input.
    """
    if usage_file is not None and journals:
        raise click.UsageError("--usage and --journal exclude each other")
    before, after = Document.read(old), Document.read(new)
    usage: Usage | None = None
    if usage_file is not None:
        usage = _read_usage(usage_file)
        system = _system(system, _version(before), _called(usage))
    elif journals:
        read = read_journals(journals)
        system = _system(system, _version(before), _named(read))
        usage = usage_of(read, {system: _version(before, system).spec})
    one, two = _version(before, system), _version(after, system)
    found = judge(one, two, usage)
    breaks = list(breaking(found, certain=certain))
    if usage is not None:
        _warn(one, usage)
    if as_json:
        counts = {verdict.replace(" ", "_"): sum(item.verdict == verdict for item in found) for verdict in ORDER}
        who = "this consumer" if usage is not None else "any consumer"
        listed = [item.to_json() for item in found]
        document = {"old": str(old), "new": str(new), "system": one.spec.name, "judged_for": who}
        output.print_json(document | {"broken": bool(breaks), **counts, "changes": listed})
    else:
        _print(found, old, new, for_any=usage is None)
    context.exit(FAILED if breaks else 0)


def _version(document: Document, system: str | None = None) -> Version:
    """A version of a spec.

    Raises:
        SpecError: It cannot be compared; one line with file, line and pointer.
    """
    try:
        return Version.of(document, system)
    except (AttributeError, KeyError, TypeError) as error:
        # Loading trusts a document to be well formed; whether it is takes long to find out.
        raise invalid(document) from error


def _read_usage(file: Path) -> Usage:
    hint = "make one with: sandbox contracts usage --json > FILE"
    try:
        return Usage.from_json(json.loads(file.read_text(encoding="utf-8-sig")))
    except OSError as error:
        raise SandboxError(f"{file}: cannot be read ({error.strerror})", "check the path") from None
    except ValueError as error:
        what = getattr(error, "msg", str(error))
        raise SandboxError(f"{file}: no usage data: {what}", hint) from None


def _called(usage: Usage) -> dict[str, set[str]]:
    """The operations that a consumer calls, by system."""
    found: dict[str, set[str]] = {system: set() for system in usage.systems}
    for use in usage.operations:
        found[use.system].add(use.operation)
    return found


def _named(journals: list[Journal]) -> dict[str, set[str]]:
    """The operations that journals name, by system."""
    found: dict[str, set[str]] = {}
    for journal in journals:
        for entry in journal.entries:
            if entry["kind"] == "call":
                found.setdefault(entry["address"]["system"], set()).add(entry["address"]["operation"])
    return found


def _system(wanted: str | None, old: Version, called: dict[str, set[str]]) -> str:
    """What the usage calls the system whose spec is compared.

    Raises:
        SandboxError: It knows none of this name, or none or several could be meant.
    """
    if not called:
        raise SandboxError("the consumer calls no system at all, so nothing can be judged", "make a longer journal")
    if wanted is not None:
        if wanted not in called:
            raise SandboxError(f"the consumer never calls a system {wanted}", nearest(wanted, list(called)))
        return wanted
    if old.spec.name in called:
        return old.spec.name
    known = old.spec.operations.keys()
    fitting = [system for system, names in called.items() if names - {"-"} and names - {"-"} <= known]
    if len(fitting) != 1:
        what = f"{old.document.path}: which of the systems that the consumer calls is this?"
        raise SandboxError(what, f"say so with --system: {', '.join(sorted(called))}")
    return fitting[0]


def _warn(old: Version, usage: Usage) -> None:
    """Say what the usage cannot tell."""
    known = {wire(operation.method, operation.path) for operation in old.spec.operations.values()}
    strange = [
        use.operation
        for use in usage.operations
        if use.system == old.spec.name and wire(use.method, use.path) not in known
    ]
    if strange:
        output.note(f"{old.document.path} has no {', '.join(strange)}: the usage may be of another version")
    output.note("judged by what the journals show; what they never show counts as unused")


def _print(found: list[Judgement], old: Path, new: Path, *, for_any: bool) -> None:
    out = output.out()
    if not found:
        out.print(Text("nothing changed on the wire", "bold green"))
        return
    for item in found:
        out.print(Text.assemble((item.verdict, _STYLES[item.verdict]), f"  {item.what}"))
        named = [one for one in item.operations if one]
        more = f" and {len(named) - _MOST} more" if len(named) > _MOST else ""
        about = f"{', '.join(named[:_MOST])}{more}: " if named else ""
        rest = f" (safer at {len(item.others)} more)" if item.others else ""
        out.print(Text(f"  {about}{item.why}{rest}"))
        out.print(Text(f"  {_place(old, item.old)}  ->  {_place(new, item.new)}", "dim"))
    counts = [f"{verdict}: {sum(item.verdict == verdict for item in found)}" for verdict in ORDER]
    who = "any consumer" if for_any else "this consumer"
    out.print(Text(f"for {who}  {', '.join(counts)}", "bold"))


def _place(path: Path, mark: Mark) -> str:
    where = f"{path}:{mark.line}" if mark.line else str(path)
    return f"{where} {mark.pointer}".strip()
