"""What a report shows at length: each finding; without any, the run that was judged, or the baseline of each search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from sandbox.chaos.check import Verdict
from sandbox.chaos.diagram import Diagram, draw
from sandbox.chaos.explain import fault_label
from sandbox.chaos.explore import Exploration
from sandbox.chaos.report import Finding, Judged, Report
from sandbox.journal import Entry
from sandbox.plan import Plan
from sandbox.plan_file import dump_plan


@dataclass(frozen=True, slots=True)
class Scene:
    """One run, as it is told.

    Attributes:
        title: A few words.
        rule: The rule that it breaks; empty if none.
        story: What happened, in one sentence.
        plan: As YAML.
        faults: The plan's, one line each.
        command: What replays it; empty where nothing does.
        remarks: What else one should know of it.
        evidence: The `seq` of the entries that the violation names.
    """

    title: str
    rule: str
    story: str
    plan: str
    faults: tuple[str, ...]
    command: str
    subject: str
    journal: list[Entry] = field(repr=False)
    remarks: tuple[str, ...] = ()
    evidence: frozenset[int] = frozenset()

    def diagram(self) -> Diagram:
        return draw(self.journal, self.subject, self.evidence)


def scenes(report: Report) -> list[Scene]:
    """What a report shows at length."""
    if report.findings:
        return [_finding(finding, report.subject) for finding in report.findings]
    shown = [_judged(report.judged, report.subject)] if report.judged is not None else []
    return shown + [_baseline(search, report.subject) for search in report.searches]


def _finding(finding: Finding, subject: str) -> Scene:
    found = finding.reproducer
    remarks = [f"one of {finding.alike} plans alike"] if finding.alike > 1 else []
    remarks += [found.often] if found.flaky else []
    remarks += ["there was more to try: it may become smaller yet"] if found.exhausted else []
    return Scene(
        title=found.rule,
        rule=found.rule,
        story=found.story,
        plan=_yaml(found.plan),
        faults=_faults(found.plan),
        command=finding.command,
        subject=subject,
        journal=found.record.journal,
        remarks=tuple(remarks),
        evidence=_evidence(found.verdict, [found.rule]),
    )


def _judged(judged: Judged, subject: str) -> Scene:
    verdict, plan = judged.verdict, judged.record.plan
    return Scene(
        title=judged.name,
        rule=verdict.broken[0] if verdict.broken else "",
        story=verdict.story or next(iter(verdict.trouble), "Every rule that was exercised holds."),
        plan=_yaml(plan),
        faults=_faults(plan),
        command=judged.command,
        subject=subject,
        journal=judged.record.journal,
        evidence=_evidence(verdict, verdict.broken),
    )


def _baseline(search: Exploration, subject: str) -> Scene:
    verdict = search.baseline.verdict
    return Scene(
        title=search.scenario,
        rule=verdict.broken[0] if verdict.broken else "",
        story=verdict.story or f"{search.scenario} without any fault, from which the search set out.",
        plan=_yaml(search.baseline.plan),
        faults=_faults(search.baseline.plan),
        command="",
        subject=subject,
        journal=search.journal,
        remarks=("the baseline",),
        evidence=_evidence(verdict, verdict.broken),
    )


def _yaml(plan: Plan) -> str:
    return dump_plan(replace(plan, description=None)).rstrip()


def _faults(plan: Plan) -> tuple[str, ...]:
    return tuple(fault_label(fault) for fault in plan.faults)


def _evidence(verdict: Verdict, rules: Iterable[str]) -> frozenset[int]:
    wanted = set(rules)
    return frozenset(
        seq
        for judgement in verdict.judgements
        if judgement.rule.id in wanted
        for violation in judgement.violations
        for seq in violation.seqs
    )
