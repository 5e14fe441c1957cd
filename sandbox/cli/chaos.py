"""`sandbox chaos`: run failures against an integrator, search for those that break it, make them small, replay them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any, Final

import click

from sandbox.chaos.baseline import Baseline, read_baseline
from sandbox.chaos.check import Verdict, muted_rules
from sandbox.chaos.explain import story
from sandbox.chaos.explore import Explorer, Trial, failing, never
from sandbox.chaos.library import Library
from sandbox.chaos.points import is_subjects
from sandbox.chaos.report import Judged, Report, card_of, counters
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.scenario import Scenario, read_scenario
from sandbox.chaos.session import Session, reference, silent_reference
from sandbox.chaos.subject import Tested
from sandbox.chaos.subject_settings import SubjectError
from sandbox.chaos.subjects import subject_from
from sandbox.cli import complete, output
from sandbox.cli.chaos_print import (
    conclude,
    counted,
    print_counters,
    print_finding,
    print_searches,
    print_verdict,
)
from sandbox.cli.chaos_progress import Watch
from sandbox.cli.live import explorer_for, live_options, session_for, with_options
from sandbox.cli.options import example, json_option, systems_options, verbosity, verbosity_options
from sandbox.clock import Clock, SystemClock
from sandbox.errors import SandboxError, nearest
from sandbox.garbage import collect_seldom
from sandbox.layout import Sources
from sandbox.plan import Plan, seconds
from sandbox.project import Project, load_invariants
from sandbox.rules import RULES
from sandbox.rules.base import FAILED, UNCERTAIN
from sandbox.settings import read_settings

INTERRUPTED = 130
_LARGEST_SEED = 4_294_967_295
# Failing plans are made small for so many seconds at least, even when the search took the whole budget.
_SHRINKING = 5.0


@click.group(
    epilog=example(
        "sandbox chaos list",
        "sandbox chaos run lost-answer",
        "sandbox chaos explore --depth 2 --budget 60s",
        "sandbox chaos replay .sandbox/reproducers/NAME.yaml",
    )
)
def chaos() -> None:
    """Reproduce, search for, shrink and replay failures that break an integrator.

    Runs are in virtual time: a ten-minute outage takes milliseconds. Exit codes: 0 passed, 1 a rule was broken,
    2 usage, 3 inconclusive.
    """


def _subject(named: str | None, root: Path) -> Callable[[], Tested]:
    """What is judged: as it is named, else as the project in a folder says, else the reference integrator.

    Raises:
        SandboxError: when there is no such thing.
    """
    usual = silent_reference if verbosity() <= 0 else reference
    settings = read_settings(root)
    if named is not None:
        return subject_from(named, usual, settings)
    if settings.subject is None:
        return usual
    try:
        return subject_from(settings.subject, usual, settings, root)
    except SubjectError as problem:
        raise settings.error("/subject", problem.message, problem.hint) from None


def _budget(context: click.Context, parameter: click.Parameter, value: str) -> float:
    try:
        return seconds(value, "budget")
    except SandboxError as problem:
        raise click.BadParameter(f"{problem.message}; {problem.hint}", context, parameter) from None


def _run_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What all commands take that run plans."""
    seed = click.option(
        "--seed",
        type=click.IntRange(0, _LARGEST_SEED),
        metavar="N",
        help="Decides all data and chance of a run; else the plan's own, else 0.",
    )
    named = click.option(
        "--subject",
        metavar="SUBJECT",
        help="What is judged: `reference`, how your program is started, e.g. 'node integrator.js', the address of its "
        "webhooks, or module:app; else that of sandbox.yaml, else the reference integrator.",
    )
    report = click.option(
        "--report",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Write report.html, report.md, report.json and junit.xml there.",
    )

    @functools.wraps(command)
    def judging(
        *arguments: Any,
        subject: str | None,
        sources: Sources,
        port: int | None,
        time_scale: float | None,
        speed: float | None,
        **options: Any,
    ) -> Any:
        collect_seldom()
        found = with_options(_subject(subject, sources.root), port, time_scale, speed, options.get("workers", 1))
        return command(*arguments, subject=found, sources=sources, **options)

    return verbosity_options(seed(named(live_options(report(json_option(systems_options(judging)))))))


_IDLE: Final = "{scenario}: the program called no system, so nothing was put to the test; see: sandbox doctor"
_baseline_option = click.option(
    "--baseline",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Failures that are known, each with a reason and a date until which it fails nothing.",
)
_annotate_option = click.option(
    "--annotate",
    type=click.Choice(["github"]),
    help="Say what was found as annotations of this CI service, on standard error, too.",
)


def _accept(baseline: Path | None, session: Session, report: Report) -> None:
    """Let the failures that a baseline knows fail nothing."""
    if baseline is None:
        return
    known = _read(baseline, session)
    accepted = known.accept(report.searches)
    if report.judged is not None and report.judged.verdict.failed:
        record, verdict = report.judged.record, report.judged.verdict
        if known.knows(record.plan, verdict.broken):
            accepted, report.exit_code = 1, 0
    covered = bool(report.searches) and not report.interrupted and all(search.covered for search in report.searches)
    report.notes += known.sentences(accepted, covered=covered)


def _read(baseline: Path, session: Session) -> Baseline:
    return read_baseline(baseline, SystemClock().now(), [rule.id for rule in session.rules])


@chaos.command(name="list", epilog=example("sandbox chaos list", "sandbox chaos list --json | jq '.[].name'"))
@json_option
@systems_options
@verbosity_options
def list_all(as_json: bool, sources: Sources) -> None:
    """List the scenarios and the named failures."""
    library = Library(Project.load(sources))
    rows = [("failure", name, _described(library.load, path)) for name, path in library.failures.items()]
    rows += [("scenario", name, _described(read_scenario, path)) for name, path in library.scenarios.items()]
    if as_json:
        output.print_json([{"kind": kind, "name": name, "description": text} for kind, name, text in rows])
    else:
        output.out().print(output.table(("KIND", "NAME", "WHAT HAPPENS"), rows))


def _described(load: Callable[[Path], Plan | Scenario], path: Path) -> str:
    try:
        return " ".join((load(path).description or "").split())
    except SandboxError as error:
        return f"does not fit this project: {error.message}"


@chaos.command(epilog=example("sandbox chaos rules", "sandbox chaos rules R01 H07", "sandbox chaos rules --json"))
@click.argument("names", nargs=-1, metavar="[RULE]...", shell_complete=complete.rules)
@json_option
@systems_options
@verbosity_options
def rules(names: tuple[str, ...], as_json: bool, sources: Sources) -> None:
    """List the rules that every run is judged by; E breaks a run, W warns, I informs."""
    root = Project.load(sources).root
    known = {rule.id: rule for rule in (*load_invariants(root), *RULES)}
    for name in names:
        if name not in known:
            raise SandboxError(f"there is no rule {name!r}", nearest(name, list(known)))
    muted = muted_rules(read_settings(root), list(known.values()))
    found = [known[name] for name in names or known]
    if as_json:
        output.print_json([rule.to_json() | ({"muted": muted[rule.id]} if rule.id in muted else {}) for rule in found])
    else:
        rows = [(rule.id, rule.severity, rule.title, rule.source) for rule in found]
        output.out().print(output.table(("RULE", "", "WHAT IT DEMANDS", "SOURCE"), rows))
        for rule in (rule for rule in found if rule.id in muted):
            click.echo(f"{rule.id} is muted: {muted[rule.id]}")


@chaos.command(epilog=example("sandbox chaos explain lost-answer", "sandbox chaos explain plan.yaml"))
@click.argument("plan", metavar="NAME|PLAN", shell_complete=complete.plans)
@json_option
@systems_options
@verbosity_options
def explain(plan: str, as_json: bool, sources: Sources) -> None:
    """Tell the story of a plan in sentences."""
    project = Project.load(sources)
    library = Library(project)
    _, found = library.find(plan)
    titles = {rule.id: rule.title for rule in (*load_invariants(project.root), *RULES)}
    told = list(story(found, library.scenario_of(found), titles))
    if as_json:
        output.print_json({"plan": found.to_json(), "story": told})
    else:
        click.echo("\n".join(told))


@chaos.command(
    epilog=example("sandbox chaos run lost-answer", "sandbox chaos run quiet-day", "sandbox chaos run plan.yaml --json")
)
@click.argument("plan", metavar="NAME|PLAN", shell_complete=complete.plans)
@_baseline_option
@_annotate_option
@_run_options
def run(
    plan: str,
    baseline: Path | None,
    annotate: str | None,
    seed: int | None,
    subject: Callable[[], Tested],
    folder: Path | None,
    as_json: bool,
    sources: Sources,
) -> int:
    """Run a named failure, a scenario, a profile or a plan file, and judge what happened.

    A failure is made as small as it gets, and saved with the command that replays it.
    """
    session = session_for(Project.load(sources), subject)
    name, found = session.library.find(plan)
    found = _seeded(found, seed)
    scenario = session.library.scenario_of(found)
    try:
        record, verdict = session.run(found, scenario)
        report = _report("run", plan, session, record, verdict)
        _accept(baseline, session, report)
        if report.exit_code == FAILED:
            report.findings.append(session.finding(found, scenario, verdict.broken[0]))
    except KeyboardInterrupt:
        output.note("interrupted: the run was not finished, so nothing was found")
        return INTERRUPTED
    conclude(report, session, folder, as_json, annotate=annotate)
    if not as_json:
        print_verdict(name, verdict, record.said)
        for sentence in report.notes:
            click.echo(f"  {sentence}")
        for finding in report.findings:
            print_finding(finding)
        print_counters(report, session, scenario)
    return report.exit_code


@chaos.command(epilog=example("sandbox chaos replay .sandbox/reproducers/NAME.yaml"))
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_run_options
def replay(
    file: Path,
    seed: int | None,
    subject: Callable[[], Tested],
    folder: Path | None,
    as_json: bool,
    sources: Sources,
) -> int:
    """Say whether a saved plan still fails: exit code 1 if it does, 0 if it passes."""
    session = session_for(Project.load(sources), subject)
    plan = _seeded(session.library.load(file), seed)
    for system in session.library.changed_specs(plan):
        output.note(f"the spec of {system} has changed since this plan was saved")
    try:
        record, verdict = session.run(plan, session.library.scenario_of(plan))
    except KeyboardInterrupt:
        output.note("interrupted: the run was not finished")
        return INTERRUPTED
    report = _report("replay", str(file), session, record, verdict)
    conclude(report, session, folder, as_json, {"broken": verdict.broken, "story": verdict.story})
    if not as_json:
        print_verdict(file.name, verdict, record.said, still=True)
        expected = plan.expect.get("rule")
        if expected and verdict.failed and expected not in verdict.broken:
            output.note(f"it was saved for breaking {expected}, which holds now")
    return report.exit_code


@chaos.command(
    epilog=example(
        "sandbox chaos explore",
        "sandbox chaos explore --scenario change-of-address --depth 2 --budget 5m --workers 2",
        "sandbox chaos explore --report out",
    )
)
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME",
    shell_complete=complete.scenarios,
    help="The workload, as `chaos list` shows it; repeatable. Else that of sandbox.yaml, else one-paid-order.",
)
@click.option("--depth", type=click.IntRange(1, 2), default=1, show_default=True, help="Faults at once.")
@click.option(
    "--budget",
    default="60s",
    show_default=True,
    callback=_budget,
    metavar="SPAN",
    help="No new plan is begun after this span of real time.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that run plans.",
)
@click.option("--exitfirst", "-x", is_flag=True, help="End the search at the first failing plan.")
@_baseline_option
@_annotate_option
@_run_options
def explore(
    scenarios: tuple[str, ...],
    depth: int,
    budget: float,
    workers: int,
    exitfirst: bool,
    baseline: Path | None,
    annotate: str | None,
    seed: int | None,
    subject: Callable[[], Tested],
    folder: Path | None,
    as_json: bool,
    sources: Sources,
) -> int:
    """Search for plans that break the subject: every fault at every point, then pairs.

    Each failure is made as small as it gets within the budget, and saved with the command that replays it. Ctrl-C ends
    the search and does so with what was found; a second one ends that, too.
    """
    project = Project.load(sources)
    session = session_for(project, subject)
    named = scenarios or read_settings(project.root).scenarios or (session.library.usual,)
    workloads = [session.library.scenario(name) for name in named]
    clock = SystemClock()
    known = None if baseline is None else _read(baseline, session)

    def new(trial: Trial) -> bool:
        return failing(trial) and not (known is not None and known.knows(trial.plan, trial.verdict.broken))

    stop = new if exitfirst else never
    made = Explorer(project, subject, clock, workers, stop=stop, laboratory=session.laboratory)
    explorer = explorer_for(made)
    report = Report("explore", session.name, seed or 0, muted=session.muted)
    deadline = clock.now() + budget
    watch = Watch(clock, deadline)
    try:
        with watch:
            for scenario in workloads:
                left = max(0.0, deadline - clock.now())
                report.searches.append(explorer.explore(scenario, seed or 0, depth, left, watch.tell))
                if report.searches[-1].stopped:
                    break
    except KeyboardInterrupt:
        report.interrupted = True
        deadline = clock.now()
        if watch.search is not None and all(search is not watch.search for search in report.searches):
            watch.search.covered = False
            report.searches.append(watch.search)
    _accept(baseline, session, report)
    try:
        _shrink(report, session, workloads, clock, max(deadline, clock.now() + _SHRINKING))
    except KeyboardInterrupt:
        report.interrupted = True
    for search in report.searches:
        report.card.update(search.card)
        report.trouble += [sentence for trial in search.uncertain for sentence in trial.verdict.trouble]
    idle = [search.scenario for search in report.searches if not any(map(is_subjects, search.journal))]
    report.trouble += [_IDLE.format(scenario=scenario) for scenario in idle]
    report.trouble = list(dict.fromkeys(report.trouble))
    failed = any(search.failures for search in report.searches)
    uncertain = bool(idle) or any(search.uncertain for search in report.searches)
    report.exit_code = INTERRUPTED if report.interrupted else FAILED if failed else UNCERTAIN if uncertain else 0
    conclude(report, session, folder, as_json, annotate=annotate)
    if not as_json:
        print_searches(report)
    return report.exit_code


def _shrink(report: Report, session: Session, workloads: list[Scenario], clock: Clock, deadline: float) -> None:
    """Make what was found small, until the deadline at most."""
    # Ctrl-C or --exitfirst may have left some workloads out.
    for search, scenario in zip(report.searches, workloads, strict=False):
        if search.failures:
            output.note(f"making {counted(len(search.failures), 'failing plan')} of {scenario.name} small")
            report.findings += session.findings(search.failures, scenario, lambda: clock.now() < deadline)


def _seeded(plan: Plan, seed: int | None) -> Plan:
    return replace(plan, seed=seed if seed is not None else plan.seed or 0)


def _report(command: str, name: str, session: Session, record: RunRecord, verdict: Verdict) -> Report:
    seed = record.plan.seed or 0
    again = " ".join(filter(None, (f"sandbox chaos {command} {quote(name)} --seed {seed}", session.options)))
    return Report(
        command,
        session.name,
        seed,
        exit_code=verdict.exit_code,
        card=card_of([verdict]),
        trouble=list(verdict.trouble),
        counters=counters(record),
        muted=session.muted,
        judged=Judged(Path(name).stem, again, record, verdict),
    )
