"""A report as Markdown, for a pull request or the summary of a CI run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sandbox.chaos.mermaid import mermaid
from sandbox.chaos.report import VERDICTS, Report, card_json
from sandbox.chaos.scene import Scene, scenes
from sandbox.rules import Rule

_MARKUP: Final = re.compile(r"([\\`*\[\]<>&|~])")
_TICKS: Final = re.compile(r"`+")


def markdown(report: Report, rules: Sequence[Rule]) -> str:
    """A report as Markdown."""
    lines = [f"# Chaos: {escape(report.subject)} {report.word}", ""]
    lines += [f"- {escape(sentence)}" for sentence in report.sentences()]
    for scene in scenes(report):
        if scene.rule:
            lines += ["", *_scene(scene)]
    titles = {rule.id: rule.title for rule in rules}
    lines += ["", "## Report card", "", "| rule | demand | pass | fail | not exercised | inconclusive | muted |"]
    lines += ["|---|---|--:|--:|--:|--:|--:|"]
    for rule, counted in card_json(report.card).items():
        cells = " | ".join(str(counted.get(name, 0)) for name in VERDICTS)
        lines.append(f"| {rule} | {_cell(titles.get(rule, ''))} | {cells} |")
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Text that Markdown takes as text."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def code(text: str) -> str:
    """Text as a code span, in which nothing means anything."""
    fence = _fence(text, 1)
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{' '.join(text.split())}{pad}{fence}"


def _scene(scene: Scene) -> Iterator[str]:
    yield f"## {scene.rule}: {escape(scene.story)}"
    yield ""
    yield from (f"- {escape(remark)}" for remark in scene.remarks)
    # As code: a number behind a hash would else become the link to an issue.
    yield from (f"- {code(fault)}" for fault in scene.faults)
    if scene.command:
        yield from ("", f"Replay: {code(scene.command)}")
    yield from _block("mermaid", mermaid(scene.diagram()))
    yield from _block("yaml", scene.plan)


def _block(language: str, text: str) -> Iterator[str]:
    fence = _fence(text, 3)
    yield from ("", f"{fence}{language}", text, fence)


def _fence(text: str, shortest: int) -> str:
    """A row of backticks that does not occur in the text."""
    longest = max((len(found) for found in _TICKS.findall(text)), default=0)
    return "`" * max(shortest, longest + 1)


def _cell(text: str) -> str:
    """A rule's own title, which may have code in it; only what would end the cell is taken from it."""
    return " ".join(text.split()).replace("|", "\\|")
