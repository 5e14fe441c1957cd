"""`sandbox specs`: the systems' OpenAPI documents."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from sandbox.cli import output
from sandbox.cli.options import example, json_option, systems_options, verbosity_options
from sandbox.errors import ProjectError, SpecError, nearest
from sandbox.explanation import explain as explanations
from sandbox.gateway import services
from sandbox.layout import Sources, system_name
from sandbox.project import Project
from sandbox.spec_check import Finding, Report
from sandbox.spec_check import check as check_spec

DOWN = 1
UNREADABLE = 2


@click.group(epilog=example("sandbox specs check"))
def specs() -> None:
    """Look after the systems' OpenAPI documents."""


@specs.command(
    epilog=example(
        "sandbox specs check", "sandbox specs check specs/shop.yaml", "sandbox specs check --json --project ../mine"
    )
)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@systems_options
@verbosity_options
@click.pass_context
def check(context: click.Context, files: tuple[Path, ...], as_json: bool, sources: Sources) -> None:
    """List what is wrong with each spec; without FILES, of the whole project, with its mocks.

    What is harmless is put right or left out when the spec is served, and listed as a warning. What cannot be served
    takes down its operation alone, which then answers 501. Exit codes: 0 each spec is served whole, 1 an operation is
    down, 2 a file cannot be read.
    """
    named = [(system_name(file.stem), file) for file in files] or list(sources.files().items())
    reports: list[tuple[Path, Report | SpecError]] = []
    for name, file in named:
        try:
            reports.append((file, check_spec(sources.spec(name, file))))
        except SpecError as error:
            reports.append((file, error))
    if not files and not any(isinstance(report, SpecError) for _, report in reports):
        services(Project.load(sources), [])
    code = 0
    for file, report in reports:
        if isinstance(report, SpecError):
            code = UNREADABLE
            _print_error(file, report, as_json=as_json)
        else:
            code = max(code, DOWN if report.down else 0)
            _print_json(file, report) if as_json else _print(file, report)
    context.exit(code)


def _print_error(file: Path, error: SpecError, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"file": str(file), "readable": False, "error": error.message, "findings": []})
    else:
        output.error(error.message, error.hint)


def _print_json(file: Path, report: Report) -> None:
    output.print_json(
        {
            "file": str(file),
            "readable": True,
            "version": report.spec.source.version,
            "operations": report.operations,
            "down": report.down,
            "findings": [finding.to_json() for finding in report.findings],
        }
    )


def _print(file: Path, report: Report) -> None:
    out = output.out()
    for finding in report.together:
        out.print(Text.assemble(_mark(finding), f" {finding.message}"), soft_wrap=True)
        if finding.hint:
            out.print(Text(f"        {finding.hint}", "dim"), soft_wrap=True)
    warnings = sum(not finding.operation for finding in report.findings)
    served = report.operations - report.down
    state = ("ok", "green") if not report.down else ("down", "bold red")
    told = f"  {file}: OpenAPI {report.spec.source.version}, {served} of {report.operations} operations are served"
    told += f", {warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else ""
    out.print(Text.assemble(state, told), soft_wrap=True)


def _mark(finding: Finding) -> tuple[str, str]:
    return (f"down    {finding.operation}:", "bold red") if finding.operation else ("warning", "yellow")


@specs.command(epilog=example("sandbox specs explain shop", "sandbox specs explain shop --json"))
@click.argument("name")
@systems_options
@json_option
@verbosity_options
def explain(name: str, sources: Sources, as_json: bool) -> None:
    """Say how each operation of a system is read, and why; put right what is wrong in mocks/NAME.yaml or NAME.py."""
    project = Project.load(sources)
    if name not in project.specs:
        raise ProjectError(f"there is no system {name!r}", nearest(name, list(project.specs)))
    found = list(explanations(project.specs[name], project.mocks[name], project.root))
    if as_json:
        for one in found:
            output.print_json(one.to_json())
        return
    columns = ("OPERATION", "", "PATH", "DOES", "RECORDS", "IN", "BUSINESS KEY", "AGAIN", "EVENTS", "WHY")
    rows = [
        (
            *(one.operation, one.method, one.path, one.action, one.collection, one.envelope, one.key, one.attempt),
            *(", ".join(one.events), one.why),
        )
        for one in found
    ]
    output.out().print(output.table(columns, rows))
