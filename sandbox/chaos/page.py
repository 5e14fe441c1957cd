"""A report as one HTML page that needs nothing else: no network, no server, no other file."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from sandbox.chaos.report import VERDICTS, Report, card_json
from sandbox.chaos.scene import Scene, scenes
from sandbox.rules import Rule

_ASSETS: Final = Path(__file__).parent / "assets"
_SCRIPTS: Final = ("rows.js", "details.js", "report.js")
_SLOT: Final = re.compile(r"\{\{(\w+)\}\}")
# Inside <script> these could end the element, or begin a comment.
_UNSAFE: Final = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}
_RANKS: Final = ("fail", "inconclusive", "warning", "note", "muted", "pass", "not_exercised")
_MILD: Final = {"W": "warning", "I": "note"}


def page(report: Report, rules: Sequence[Rule]) -> str:
    """A report as an HTML page."""
    style = _asset("report.css")
    script = "\n".join(_asset(name) for name in _SCRIPTS)
    title = f"{report.subject} {report.word}"
    # Whatever the journal holds, the page can run nothing but its own script, and load nothing at all.
    policy = f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; script-src '{_digest(script)}'"
    return fill(
        _asset("report.html"),
        {
            "title": html.escape(title),
            "policy": html.escape(policy, quote=False),
            "style": style,
            "data": embedded(_document(report, rules)),
            "script": script,
        },
    )


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its slots filled, in one pass: a slot's name inside a value stays as it is."""
    return _SLOT.sub(lambda slot: values[slot[1]], template)


def embedded(document: Any) -> str:
    """JSON that can stand inside a `<script>` element."""
    text = json.dumps(document, separators=(",", ":"))
    for char, code in _UNSAFE.items():
        text = text.replace(char, code)
    return text


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _document(report: Report, rules: Sequence[Rule]) -> dict[str, Any]:
    return {
        "subject": report.subject,
        "word": report.word,
        "command": report.command,
        "seed": report.seed,
        "sentences": list(report.sentences()),
        "card": sorted(_card(report, rules), key=lambda row: (_RANKS.index(row["status"]), row["rule"])),
        "scenes": [_scene(scene) for scene in scenes(report)],
    }


def _card(report: Report, rules: Sequence[Rule]) -> Iterator[dict[str, Any]]:
    known = {rule.id: rule for rule in rules}
    broken = report.broken
    for name, counted in card_json(report.card).items():
        rule = known.get(name)
        severity = rule.severity if rule else "E"
        if name in broken:
            status = "fail"
        elif counted.get("fail"):
            status = _MILD.get(severity, "warning")
        else:
            status = next(
                verdict for verdict in ("inconclusive", "muted", "pass", "not_exercised") if counted.get(verdict)
            )
        yield {
            "rule": name,
            "status": status,
            "title": rule.title if rule else "",
            "source": rule.source if rule else "",
            **{verdict: counted.get(verdict, 0) for verdict in VERDICTS},
        }


def _scene(scene: Scene) -> dict[str, Any]:
    diagram = scene.diagram()
    return {
        "title": scene.title,
        "rule": scene.rule,
        "story": scene.story,
        "plan": scene.plan,
        "faults": scene.faults,
        "command": scene.command,
        "remarks": scene.remarks,
        "participants": [{"name": who.name, "role": who.role} for who in diagram.participants],
        "steps": [step.to_json() for step in diagram.steps],
        "journal": scene.journal,
    }
