"""A report as annotations of GitHub Actions (workflow commands), which are shown beside the change that is tested."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sandbox.chaos.report import Report


def workflow_commands(report: Report) -> Iterator[str]:
    """A line for each finding, and one for each reason why nothing certain can be said."""
    for finding in report.findings:
        found = finding.reproducer
        yield _command("error", f"{found.rule}: {found.story}; replay it: {finding.command}", finding.path)
    for sentence in report.trouble:
        yield _command("warning", f"inconclusive: {sentence}")


def _command(kind: str, text: str, file: Path | None = None) -> str:
    at = f" file={_property(str(file))},line=1,title=sandbox chaos" if file is not None else " title=sandbox chaos"
    return f"::{kind}{at}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
