"""The files of a report: JSON for programs, Markdown for pull requests, JUnit XML for CI, and a page for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from sandbox.chaos.junit import junit
from sandbox.chaos.markdown import markdown
from sandbox.chaos.page import page
from sandbox.chaos.report import Report
from sandbox.rules import Rule


def write_report(folder: Path, report: Report, rules: Sequence[Rule]) -> list[Path]:
    """Write `report.json`, `report.md`, `report.html` and `junit.xml`.

    Args:
        folder: Made when it is missing.
        rules: All rules that were judged, for their titles.

    Returns:
        The files.
    """
    document = report.to_json() | {"rules": [rule.to_json() for rule in rules]}
    for shown, finding in zip(document["findings"], report.findings, strict=True):
        shown["journal"] = finding.reproducer.record.journal
    texts = {
        "report.json": json.dumps(document, ensure_ascii=False, indent=1),
        "report.md": markdown(report, rules),
        "report.html": page(report, rules),
        "junit.xml": junit(report, rules),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return [folder / name for name in texts]
