"""`sandbox specs`: the systems' OpenAPI documents."""

from __future__ import annotations

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
    broken = [path for path in files or spec_files(root) if not _is_good(path)]
    if broken:
        context.exit(BROKEN)
    if not files:
        services(Project.load(root), [])


def _is_good(path: Path) -> bool:
    """Print what is wrong with a file, or that nothing is."""
    findings = spec_check.check(path)
    for finding in findings:
        output.error(finding)
    if not findings:
        output.out().print(Text.assemble(("ok", "green"), f"  {path}"))
    return not findings
