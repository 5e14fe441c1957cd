"""`sandbox contracts check`: the provider suites, against the project's mocks or real providers."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

import click

from sandbox.cli import complete, output
from sandbox.cli.options import example, json_option, systems_options, verbosity, verbosity_options
from sandbox.errors import PlanError, nearest
from sandbox.layout import Sources
from sandbox.plan import seconds
from sandbox.probe.suite import SUITES, preflight, run_suites
from sandbox.project import Project


def _base_urls(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in values:
        name, _, url = text.partition("=")
        parts = urlsplit(url)
        if not name or parts.scheme not in ("http", "https") or not parts.hostname:
            raise click.BadParameter(f"{text!r}: write it as shop=https://staging.example.com/api")
        found[name] = url
    return found


def _seconds(_context: click.Context, _parameter: click.Parameter, value: str | None) -> float | None:
    try:
        return None if value is None else seconds(value)
    except PlanError as error:
        raise click.BadParameter(error.message) from None


@click.command(
    epilog=example(
        "sandbox contracts",
        "sandbox contracts shop crm --suite idempotency --suite retry",
        "sandbox contracts --junit-xml report.xml -n 2",
        "sandbox contracts shop --base-url shop=https://staging.example.com/api --write",
        "sandbox contracts crm --suite schema --max-examples 200 --schemathesis --phases=fuzzing",
    )
)
@click.argument("systems", nargs=-1, metavar="[SYSTEM]...", shell_complete=complete.systems)
@click.option("--suite", "suites", multiple=True, type=click.Choice(SUITES), help="Only this suite; repeatable.")
@click.option(
    "--base-url",
    "base_urls",
    multiple=True,
    callback=_base_urls,
    metavar="SYSTEM=URL",
    help="A real provider instead of the mock; its credentials come from the variables that `sandbox env` prints.",
)
@click.option("--write", is_flag=True, help="Real providers may be changed; left out, they are only read.")
@click.option(
    "--max-examples",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    metavar="N",
    help="Schemathesis' examples for each operation.",
)
@click.option("--budget", callback=_seconds, metavar="SPAN", help="Begin no test after so long, e.g. 60s or 10m.")
@click.option(
    "--schemathesis",
    "schemathesis_options",
    multiple=True,
    metavar="OPTION",
    help="An option of `schemathesis run`, e.g. --phases=fuzzing; repeatable.",
)
@click.option("-k", "expression", metavar="EXPRESSION", help="Only tests that match, as in pytest.")
@click.option("-x", "--exitfirst", is_flag=True, help="Stop at the first failure.")
@click.option("-n", "--workers", metavar="N", help="Run on so many processes, or `auto`.")
@click.option("--junit-xml", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write JUnit XML.")
@json_option
@systems_options
@verbosity_options
@click.pass_context
def check(
    context: click.Context,
    systems: tuple[str, ...],
    suites: tuple[str, ...],
    base_urls: dict[str, str],
    write: bool,
    max_examples: int,
    budget: float | None,
    schemathesis_options: tuple[str, ...],
    expression: str | None,
    exitfirst: bool,
    workers: str | None,
    junit_xml: Path | None,
    as_json: bool,
    sources: Sources,
) -> None:
    """Run the provider suites against the project's mocks, or against real providers.

    SYSTEM: all of the project's when left out; only the real ones with --base-url.
    """
    project = Project.load(sources)
    for name in (*systems, *base_urls):
        if name not in project.specs:
            raise click.BadParameter(f"there is no system {name!r}; {nearest(name, list(project.specs))}")
    preflight(project, base_urls, os.environ)
    if base_urls and not write:
        output.note(f"reading only: {', '.join(base_urls)} are not written to without --write")
    options = ["--sandbox-examples", str(max_examples)]
    options += [f"--sandbox-system={name}" for name in systems or base_urls]
    options += [f"--sandbox-base-url={name}={url}" for name, url in base_urls.items()]
    options += ["--sandbox-write"] if write else []
    options += [f"--sandbox-schemathesis={option}" for option in schemathesis_options]
    options += [] if budget is None else ["--sandbox-budget", str(budget)]
    options += [] if expression is None else ["-k", expression]
    options += ["-x"] if exitfirst else []
    options += [] if workers is None else ["-p", "xdist.plugin", "-n", workers]
    options += [] if junit_xml is None else [f"--junit-xml={junit_xml.absolute()}"]
    options += ["-q"] if verbosity() < 0 else ["-v"] * verbosity()
    # Whoever reads JSON gets nothing else on standard output.
    with contextlib.redirect_stdout(sys.stderr) if as_json else contextlib.nullcontext():
        outcome = run_suites(sources, suites or SUITES, options)
    if as_json:
        output.print_json(outcome.to_json())
    context.exit(outcome.exit_code)
