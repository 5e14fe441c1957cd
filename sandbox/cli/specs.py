"""`sandbox specs`: the systems' OpenAPI documents."""

from __future__ import annotations

import itertools
from pathlib import Path

import click
from rich.text import Text

from sandbox import spec_check
from sandbox.cli import output
from sandbox.cli.options import example, project_option, verbosity_options
from sandbox.gateway import services
from sandbox.layout import project_root, spec_files
from sandbox.project import Project

BROKEN = 2


@click.group(epilog=example("sandbox specs check"))
def specs() -> None:
    """Look after the systems' OpenAPI documents."""


@specs.command(
    epilog=example(
        "sandbox specs check", "sandbox specs check specs/shop.yaml", "sandbox specs check --project ../mine"
    )
)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@project_option
@verbosity_options
@click.pass_context
def check(context: click.Context, files: tuple[Path, ...], project_path: Path | None) -> None:
    """Check that each spec is good OpenAPI and can be served; without FILES, the whole project with its mocks."""
    root = project_root(project_path)
    findings = {path: spec_check.check(path) for path in files or spec_files(root)}
    for finding in itertools.chain.from_iterable(findings.values()):
        output.error(finding)
    if not any(findings.values()) and not files:
        services(Project.load(root), [])
    for path in (path for path, found in findings.items() if not found):
        output.out().print(Text.assemble(("ok", "green"), f"  {path}"))
    if any(findings.values()):
        context.exit(BROKEN)
