"""`sandbox doctor`: whether the setup of a project works, step by step, and what to mend."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import click
from rich.text import Text

from sandbox.chaos.check import Judge
from sandbox.chaos.checkup import STEPS, Finding, checkup, exit_code
from sandbox.chaos.library import USUAL_SCENARIO, Library
from sandbox.chaos.runners import runner_for
from sandbox.chaos.session import silent_reference
from sandbox.chaos.subject_settings import SubjectError
from sandbox.chaos.subjects import REFERENCE, subject_from
from sandbox.cli import EXIT_USAGE, complete, output
from sandbox.cli.options import example, json_option, systems_options, verbosity_options
from sandbox.errors import SandboxError
from sandbox.layout import Sources
from sandbox.plan import Plan
from sandbox.project import Project
from sandbox.settings import ProjectSettings, read_settings

# Virtual seconds after which nothing new is learned, though a webhook that is refused would come for days.
_LONG_ENOUGH = 600.0
_SIGNS = {
    "ok": ("ok", "green"),
    "failed": ("failed", "bold red"),
    "uncertain": ("?", "yellow"),
    "skipped": ("-", "dim"),
}


@click.command(
    epilog=example("sandbox doctor", 'sandbox doctor --subject "node integrator.js"', "sandbox doctor --json")
)
@click.option("--subject", metavar="SUBJECT", help="What is looked at; else that of sandbox.yaml.")
@click.option(
    "--scenario",
    metavar="NAME",
    shell_complete=complete.scenarios,
    help="The workload that it is given; else that of sandbox.yaml.",
)
@json_option
@systems_options
@verbosity_options
def doctor(subject: str | None, scenario: str | None, as_json: bool, sources: Sources) -> int:
    """Check the setup step by step: settings, specs, start, webhooks, calls, credentials; and say what to mend.

    Runs the scenario once, without faults. Exit codes: 0 all is well, 1 a step failed, 2 the settings cannot be read,
    3 something is uncertain.
    """
    examination = _Examination(sources, subject, scenario)
    found = []
    for finding in examination.findings():
        found.append(finding)
        if not as_json:
            _show(finding)
    code = examination.code or exit_code(found)
    if as_json:
        output.print_json({"steps": [finding.to_json() for finding in found], "exit_code": code})
    return code


def _show(finding: Finding) -> None:
    sign, style = _SIGNS[finding.state]
    out = output.out()
    out.print(Text.assemble((f"{sign:<8}", style), f"{finding.step:<13} {finding.what}"))
    if finding.mend and finding.state in {"failed", "uncertain"}:
        out.print(Text(f"{'':<8}{'':<13} {finding.mend}", "cyan"))


@dataclass(slots=True)
class _Examination:
    """The steps, one after the other."""

    sources: Sources
    subject: str | None
    scenario: str | None
    code: int = 0
    settings: ProjectSettings = field(default_factory=ProjectSettings)

    def findings(self) -> Iterator[Finding]:
        """What each step came to; those that cannot be done any more are skipped."""
        done: list[str] = []
        try:
            for finding in self._steps():
                done.append(finding.step)
                yield finding
        except SandboxError as error:
            all_steps = ("settings", "systems", *STEPS)
            failed, *left = [step for step in all_steps if step not in done]
            if failed in {"settings", "systems"}:
                self.code = EXIT_USAGE
            yield Finding(failed, "failed", error.message, error.hint or "")
            for step in left:
                yield Finding(step, "skipped", "not judged, since a step before it failed")

    def _steps(self) -> Iterator[Finding]:
        root = self.sources.root
        self.settings = settings = read_settings(root)
        named = self.subject or settings.subject or REFERENCE
        said = f"{settings.file} is good" if settings.file else "there is no sandbox.yaml, so the usual is taken"
        try:
            made = subject_from(named, silent_reference, settings, root if self.subject is None else None)()
        except SubjectError as error:
            raise settings.error("/subject", error.message, error.hint) if self.subject is None else error from None
        yield Finding("settings", "ok", f"{said}; the subject is {made.name}")
        project = Project.load(self.sources)
        library, judge = Library(project), Judge(project, made)
        scenario = library.scenario(self.scenario or next(iter(settings.scenarios), USUAL_SCENARIO))
        muted = f", {len(judge.muted)} of {len(judge.rules)} rules are muted" if judge.muted else ""
        yield Finding("systems", "ok", f"{', '.join(project.specs)} can be served{muted}")
        runner = runner_for(project, made, _LONG_ENOUGH)
        try:
            record = runner.run(Plan(scenario=scenario.name, seed=0), scenario)
        finally:
            runner.close()
        yield Finding("starts", "ok", f"{made.name} started and became ready")
        yield from checkup(record, judge.check(record), list(project.specs))
