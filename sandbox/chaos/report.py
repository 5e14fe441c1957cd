"""Reports of chaos: what was run and found, and the report card of the rules, as JSON and as Markdown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sandbox.chaos.check import Verdict
from sandbox.chaos.explain import fault_label
from sandbox.chaos.explore import Exploration
from sandbox.chaos.minimise import Reproducer
from sandbox.chaos.points import Weakness, is_subjects
from sandbox.chaos.runner import RunRecord
from sandbox.plan_file import dump_plan
from sandbox.rules import Rule

VERDICTS: Final = ("pass", "fail", "not_exercised", "inconclusive")
# What was never even run: known to be equal to another plan, or to say nothing new.
_UNRUN: Final = ("same behaviour", "subsumed")


@dataclass(frozen=True, slots=True)
class Finding:
    """One failure, ready to be shown.

    Attributes:
        alike: How many plans of the search broke the same rule at the same operation.
        command: What replays it.
    """

    reproducer: Reproducer
    path: Path
    command: str
    alike: int = 1

    def to_json(self) -> dict[str, Any]:
        found = self.reproducer
        return {
            "rule": found.rule,
            "story": found.story,
            "plan": found.plan.to_json(),
            "file": str(self.path),
            "replay": self.command,
            "runs": found.runs,
            "flaky": found.flaky,
            "alike": self.alike,
        }


@dataclass(slots=True)
class Report:
    """What a command of chaos came to.

    Attributes:
        command: `explore`, `run` or `replay`.
        card: By rule and verdict, in how many runs.
        trouble: Why it says less than it should.
        interrupted: Whether Ctrl-C ended it.
    """

    command: str
    subject: str
    seed: int
    exit_code: int = 0
    searches: list[Exploration] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    card: Counter[tuple[str, str]] = field(default_factory=Counter)
    trouble: list[str] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    interrupted: bool = False

    def to_json(self) -> dict[str, Any]:
        """The report without journals."""
        document: dict[str, Any] = {
            "command": self.command,
            "subject": self.subject,
            "seed": self.seed,
            "exit_code": self.exit_code,
            "interrupted": self.interrupted,
            "searches": [search_json(search) for search in self.searches],
            "findings": [finding.to_json() for finding in self.findings],
            "card": card_json(self.card),
            "trouble": self.trouble,
        }
        return document | ({"counters": self.counters} if self.counters else {})


def search_json(search: Exploration) -> dict[str, Any]:
    """What a search did."""
    return {
        "scenario": search.scenario,
        "depth": search.depth,
        "possible": possible(search),
        "run": search.trials,
        "pruned": dict(search.pruned),
        "covered": search.covered,
        "not_covered": not_covered(search),
        "failing": len(search.failures),
        "seconds": round(search.seconds, 3),
        "weaknesses": [weakness_json(weak) for weak in search.weaknesses],
    }


def possible(search: Exploration) -> int:
    """How many different plans there were, as far as they became known."""
    return search.possible + sum(search.pruned[reason] for reason in _UNRUN)


def not_covered(search: Exploration) -> int:
    """How many known plans were neither run nor pruned."""
    return search.possible - search.trials


def weakness_json(weak: Weakness) -> dict[str, str]:
    return {"system": weak.system, "operation": weak.operation, "inject": weak.inject, "reason": weak.reason}


def card_json(card: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    """The report card: by rule, in how many runs it came to which verdict."""
    rules = sorted({rule for rule, _ in card})
    return {rule: {verdict: card[rule, verdict] for verdict in VERDICTS if (rule, verdict) in card} for rule in rules}


def counters(record: RunRecord) -> dict[str, int]:
    """How often the subject called each operation, and how many webhooks came."""
    calls = Counter(
        f"{entry['address']['system']}.{entry['address']['operation']}"
        for entry in record.journal
        if is_subjects(entry)
    )
    events = {entry["event_id"] for entry in record.journal if entry["kind"] == "delivery"}
    return {**dict(calls.most_common()), "webhooks": len(events)}


def card_of(verdicts: Iterable[Verdict]) -> Counter[tuple[str, str]]:
    """The report card of some runs."""
    return Counter((judged.rule.id, judged.verdict.value) for verdict in verdicts for judged in verdict.judgements)


def write_report(folder: Path, report: Report, rules: Sequence[Rule]) -> list[Path]:
    """Write a report as `report.json` and `report.md`.

    Args:
        folder: Made when it is missing.
        rules: All rules that were judged, for their titles.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    document = report.to_json() | {"rules": [rule.to_json() for rule in rules]}
    for shown, finding in zip(document["findings"], report.findings, strict=True):
        shown["journal"] = finding.reproducer.record.journal
    as_json, as_markdown = folder / "report.json", folder / "report.md"
    as_json.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
    as_markdown.write_text(markdown(report, rules), encoding="utf-8")
    return [as_json, as_markdown]


def markdown(report: Report, rules: Sequence[Rule]) -> str:
    """A report as Markdown, for a pull request or the summary of a CI run."""
    verdict = {0: "passed", 1: "failed", 3: "inconclusive"}.get(report.exit_code, "interrupted")
    lines = [f"# Chaos: {report.subject} {verdict}", ""]
    for search in report.searches:
        lines += [f"- {sentence}" for sentence in search_sentences(search)]
    lines += [f"- {sentence}" for sentence in report.trouble]
    for finding in report.findings:
        found = finding.reproducer
        lines += ["", f"## {found.rule}: {found.story}", ""]
        lines += [f"- {fault_label(fault)}" for fault in found.plan.faults]
        lines += ["", "```yaml", dump_plan(found.plan).rstrip(), "```", "", f"Replay: `{finding.command}`"]
    titles = {rule.id: rule.title for rule in rules}
    lines += ["", "## Report card", "", "| rule | demand | pass | fail | not exercised | inconclusive |"]
    lines += ["|---|---|--:|--:|--:|--:|"]
    for rule, counted in card_json(report.card).items():
        cells = " | ".join(str(counted.get(name, 0)) for name in VERDICTS)
        lines.append(f"| {rule} | {titles.get(rule, '').replace('|', '/')} | {cells} |")
    return "\n".join(lines) + "\n"


def search_sentences(search: Exploration) -> list[str]:
    """What a search did, sentence by sentence."""
    were = f"{possible(search)} plans were possible at depth {search.depth}"
    told = [f"{search.scenario}: {were}, {search.trials} run in {search.seconds:.1f} s, {len(search.failures)} failed"]
    reasons = [f"{search.pruned[reason]} {reason}" for reason in _UNRUN if search.pruned[reason]]
    if reasons:
        told.append(f"not run, because they could show nothing new: {', '.join(reasons)}")
    if search.pruned["same pair"]:
        told.append(f"{search.pruned['same pair']} pairs were met again in the other order, and counted once")
    if search.pruned["never fired"]:
        told.append(f"in {search.pruned['never fired']} runs the second fault found its point gone")
    if not search.covered:
        pairs = ", and no pair was begun" if search.depth > 1 and not _has_pairs(search) else ""
        told.append(f"it ended early: {not_covered(search)} known plans are not covered{pairs}")
    told += [f"weakness of the provider: {_weak(weak)}" for weak in search.weaknesses]
    return told


def _weak(weak: Weakness) -> str:
    return f"{weak.inject} on {weak.system}.{weak.operation}: {weak.reason}"


def _has_pairs(search: Exploration) -> bool:
    return search.possible > 1 + len(search.baseline.follow_ups)
