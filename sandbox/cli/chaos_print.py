"""How `sandbox chaos` tells what it found: in the terminal, in files, and to a CI service."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from sandbox.chaos.check import Verdict
from sandbox.chaos.explain import fault_label
from sandbox.chaos.explore import Exploration
from sandbox.chaos.github import workflow_commands
from sandbox.chaos.report import Finding, Report, search_sentences
from sandbox.chaos.report_files import write_report
from sandbox.chaos.scenario import Scenario
from sandbox.chaos.session import MOST_SHOWN, Session, groups
from sandbox.cli import output
from sandbox.cli.options import verbosity
from sandbox.plan import span_text
from sandbox.plan_file import dump_plan
from sandbox.rules.base import FAILED, UNCERTAIN
from sandbox.rules.base import Verdict as RuleVerdict

_AN_HOUR = 3600.0
_VERDICTS = {0: ("passed", "bold green"), FAILED: ("failed", "bold red"), UNCERTAIN: ("inconclusive", "bold yellow")}


def conclude(
    report: Report,
    session: Session,
    folder: Path | None,
    as_json: bool,
    more: dict[str, Any] | None = None,
    annotate: str | None = None,
) -> None:
    """Write the report's files, and its JSON and annotations where they are asked for."""
    if folder is not None:
        for file in write_report(folder, report, session.rules):
            output.note(f"written: {file}")
    if annotate is not None:
        for command in workflow_commands(report):
            click.echo(command, err=True)
    if as_json:
        output.print_json(report.to_json() | (more or {}))


def print_verdict(name: str, verdict: Verdict, said: tuple[str, ...], *, still: bool = False) -> None:
    word, style = _VERDICTS[verdict.exit_code]
    if still and verdict.failed:
        word = "still fails"
    out = output.out()
    out.print(Text.assemble((word, style), f"  {name}"))
    for rule in verdict.broken:
        out.print(Text(f"  {rule}  {verdict.story_of(rule)}"))
    for judgement in verdict.judgements:
        if judgement.verdict is RuleVerdict.FAIL and not judgement.fails:
            out.print(Text(f"  {judgement.rule.id}  {judgement.severity}: {judgement.violations[0].sentence}", "dim"))
    for judgement in verdict.judgements:
        if judgement.verdict is RuleVerdict.MUTED:
            told = judgement.violations[0].sentence if judgement.violations else judgement.error
            out.print(Text(f"  {judgement.rule.id}  muted ({judgement.reason}): {told}", "dim"))
    for sentence in verdict.trouble:
        out.print(Text(f"  {sentence}"))
    if verdict.exit_code:
        for line in said:
            out.print(Text(f"  it said: {line}", "dim"))


def print_finding(finding: Finding) -> None:
    out = output.out()
    found = finding.reproducer
    out.print()
    out.print(Text.assemble((found.rule, "bold red"), f"  {found.story}"))
    if found.flaky:
        out.print(Text(f"  {found.often}", "yellow"))
    if found.exhausted:
        out.print(Text("  it may become smaller yet: the time or the number of runs for that was used up", "yellow"))
    for line in dump_plan(replace(found.plan, description=None)).splitlines():
        out.print(Text(f"    {line}", "cyan"))
    alike = f" (one of {finding.alike} plans alike)" if finding.alike > 1 else ""
    out.print(Text(f"  replay it: {finding.command}{alike}"))


def print_counters(report: Report, session: Session, scenario: Scenario) -> None:
    """How often the subject called what; beside a long scenario, what polling all through it costs."""
    if verbosity() < 0:
        return
    out = output.out()
    calls = {name: count for name, count in report.counters.items() if name != "webhooks"}
    told = ", ".join(f"{name} {count}" for name, count in calls.items())
    out.print(Text(f"  {counted(sum(calls.values()), 'call')}: {told}"))
    webhooks = counted(report.counters["webhooks"], "webhook")
    every = session.reconcile_every
    if every and scenario.ends >= _AN_HOUR:
        polls = round(scenario.ends / every)
        lasts, pace = span_text(scenario.ends), span_text(every)
        out.print(Text(f"  polling every {pace} costs {polls} requests in {lasts}; {webhooks} came in the same time"))
    else:
        out.print(Text(f"  {webhooks} came"))


def print_searches(report: Report) -> None:
    out = output.out()
    if report.interrupted:
        out.print(Text("interrupted; found so far:", "bold yellow"))
    for finding in report.findings:
        print_finding(finding)
    for search in report.searches:
        if all(finding.reproducer.scenario.name != search.scenario for finding in report.findings):
            _print_unshrunk(search)
        kinds = len(groups(search.failures))
        if kinds > MOST_SHOWN:
            out.print(Text(f"{kinds - MOST_SHOWN} more kinds of failures are not shown: mend these first", "yellow"))
        if search.baseline.verdict.failed:
            out.print(Text(f"{search.scenario} fails without any fault, so nothing was injected", "bold red"))
        sentences = search_sentences(search)
        style = "bold red" if search.failures else "bold green" if search.covered else "bold yellow"
        out.print(Text(sentences[0], style))
        for sentence in sentences[1:] if verbosity() >= 0 else ():
            out.print(Text(f"  {sentence}"))
    for sentence in (*report.notes, *report.muted_sentences()):
        out.print(Text(sentence, "yellow"))
    for sentence in report.trouble[:MOST_SHOWN]:
        out.print(Text(f"inconclusive: {sentence}", "yellow"))


def _print_unshrunk(search: Exploration) -> None:
    out = output.out()
    for group in groups(search.failures):
        verdict = group.trials[0].verdict
        out.print(Text.assemble((group.rule, "bold red"), f"  {verdict.story}"))
        for fault in group.trials[0].plan.faults:
            out.print(Text(f"    {fault_label(fault)}", "cyan"))


def counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
