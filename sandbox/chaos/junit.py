"""A report as JUnit XML: a suite for each run or search, in it a test case for each rule, so that names stay the same.

A rule that was not exercised is skipped, one that could not be checked is an error, and so is a run that says less than
it should (the last case of each suite). Warnings fail nothing; they stand in the output of a case that passes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from sandbox.chaos.check import Verdict
from sandbox.chaos.explain import fault_label
from sandbox.chaos.explore import Exploration
from sandbox.chaos.report import Finding, Judged, Report, card_of, search_sentences
from sandbox.plan import Plan
from sandbox.plan_file import dump_plan
from sandbox.rules import Rule

CONCLUSIVE: Final = "the run is conclusive"
# Characters that XML 1.0 cannot hold, not even escaped.
_UNFIT: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_MOST_STORIES: Final = 10


@dataclass(slots=True)
class _Suite:
    """What one run or search came to.

    Attributes:
        stories: By the rule that is broken, how: one text for each kind of failure, the first line a sentence.
        trouble: Why it says less than it should.
    """

    name: str
    card: Counter[tuple[str, str]]
    stories: dict[str, list[str]] = field(default_factory=dict)
    warnings: dict[str, str] = field(default_factory=dict)
    trouble: list[str] = field(default_factory=list)
    output: list[str] = field(default_factory=list)
    seconds: float | None = None


def junit(report: Report, rules: Sequence[Rule]) -> str:
    """A report as JUnit XML."""
    suites = [_of_search(search, report) for search in report.searches]
    if report.judged is not None:
        suites.insert(0, _of_run(report.judged, report))
    root = Element("testsuites", name="sandbox chaos")
    for suite in suites:
        _write(SubElement(root, "testsuite", name=_fit(suite.name)), suite, report, rules)
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(int(element.get(name, "0")) for element in root)))
    indent(root)
    text: str = tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'


def _of_run(judged: Judged, report: Report) -> _Suite:
    verdict = judged.verdict
    suite = _Suite(judged.name, card_of([verdict]), trouble=list(verdict.trouble))
    for rule in verdict.broken:
        suite.stories[rule] = list(_found(report.findings, rule)) or [
            _story(verdict.story_of(rule), judged.record.plan, judged.command)
        ]
    suite.warnings = _warnings(verdict)
    return suite


def _of_search(search: Exploration, report: Report) -> _Suite:
    suite = _Suite(search.scenario, search.card, seconds=search.seconds, output=search_sentences(search))
    mine = [finding for finding in report.findings if finding.reproducer.scenario.name == search.scenario]
    for trial in search.failures:
        for rule in trial.verdict.broken:
            if rule not in suite.stories:
                found = list(_found(mine, rule))
                suite.stories[rule] = found or [_story(trial.verdict.story_of(rule), trial.plan, "")]
    suite.trouble = list(dict.fromkeys(text for trial in search.uncertain for text in trial.verdict.trouble))
    suite.warnings = _warnings(search.baseline.verdict)
    if report.interrupted and not search.covered:
        suite.trouble.append("the search was interrupted")
    return suite


def _found(findings: Sequence[Finding], rule: str) -> Iterator[str]:
    """The stories of findings that break a rule; those that were made small for it come first."""
    for finding in sorted(findings, key=lambda finding: finding.reproducer.rule != rule)[:_MOST_STORIES]:
        found = finding.reproducer
        if rule in found.verdict.broken:
            yield _story(found.verdict.story_of(rule), found.plan, finding.command)


def _story(sentence: str, plan: Plan, command: str) -> str:
    faults = [f"- {fault_label(fault)}" for fault in plan.faults]
    replay = f"replay it: {command}" if command else "to replay it, save this plan and give it to: sandbox chaos run"
    return "\n".join([sentence, *faults, replay, "", dump_plan(replace(plan, description=None)).rstrip()])


def _warnings(verdict: Verdict) -> dict[str, str]:
    return {
        judgement.rule.id: f"{judgement.severity}: {judgement.violations[0].sentence}"
        for judgement in verdict.judgements
        if judgement.violations and not judgement.fails
    }


def _write(element: Element, suite: _Suite, report: Report, rules: Sequence[Rule]) -> None:
    properties = SubElement(element, "properties")
    for name, value in (("subject", report.subject), ("command", report.command), ("seed", str(report.seed))):
        SubElement(properties, "property", name=name, value=_fit(value))
    counted = Counter(_case(element, suite, rule, report) for rule in rules)
    whole = SubElement(element, "testcase", classname=_fit(suite.name), name=CONCLUSIVE)
    if suite.trouble:
        _outcome(whole, "error", "inconclusive", "\n".join(suite.trouble))
        counted["errors"] += 1
    if suite.output:
        SubElement(element, "system-out").text = _fit("\n".join(suite.output))
    element.set("tests", str(len(rules) + 1))
    for name in ("failures", "errors", "skipped"):
        element.set(name, str(counted[name]))
    if suite.seconds is not None:
        element.set("time", f"{suite.seconds:.3f}")


def _case(parent: Element, suite: _Suite, rule: Rule, report: Report) -> str:
    """Write what a rule came to; says as what it is counted."""
    case = SubElement(parent, "testcase", classname=_fit(suite.name), name=_fit(f"{rule.id} {rule.title}"))
    if rule.id in suite.stories:
        _outcome(case, "failure", rule.id, "\n\n".join(suite.stories[rule.id]))
        return "failures"
    verdicts = _verdicts(suite.card, rule.id)
    if verdicts.get("muted"):
        reason = report.muted.get(rule.id, "")
        SubElement(case, "skipped", message=_fit(f"muted, and broken in {verdicts['muted']} runs: {reason}"))
        return "skipped"
    if verdicts.get("inconclusive"):
        _outcome(case, "error", "inconclusive", f"{rule.id} could not be checked")
        return "errors"
    if not verdicts.get("pass") and not verdicts.get("fail"):
        SubElement(case, "skipped", message="not exercised")
        return "skipped"
    warning = suite.warnings.get(rule.id) or (f"warned in {verdicts['fail']} runs" if verdicts.get("fail") else "")
    if warning:
        SubElement(case, "system-out").text = _fit(warning)
    return "passed"


def _verdicts(card: Mapping[tuple[str, str], int], rule: str) -> dict[str, int]:
    return {verdict: count for (counted, verdict), count in card.items() if counted == rule}


def _outcome(case: Element, tag: str, kind: str, text: str) -> None:
    SubElement(case, tag, type=kind, message=_fit(text.partition("\n")[0])).text = _fit(text)


def _fit(text: str) -> str:
    """Text without what XML cannot hold."""
    return _UNFIT.sub("\ufffd", text)
