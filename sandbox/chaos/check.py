"""What the rules say about a run. Reads only the journal and the final state, so it can be repeated without running."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from sandbox.chaos.runner import RunRecord
from sandbox.chaos.subject import Tested
from sandbox.chaos.wsgi_subject import WsgiApp
from sandbox.errors import nearest
from sandbox.facts import facts_of
from sandbox.project import Project, load_invariants
from sandbox.rules import RULES, Facts, Judgement, Rule, Run, Settings, judge, verdict_of_run
from sandbox.rules.base import Verdict as RuleVerdict
from sandbox.settings import ProjectSettings, read_settings


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run came to.

    Attributes:
        exit_code: As STANDARDS has it: 0 pass, 1 an E rule failed, 3 inconclusive.
        trouble: Why it says less than it should, one sentence each.
        wavered: Whether an equal run failed before, and this one is to show that it need not.
    """

    judgements: tuple[Judgement, ...]
    exit_code: int
    trouble: tuple[str, ...] = ()
    wavered: bool = False

    @property
    def failed(self) -> bool:
        return self.exit_code == 1

    @property
    def broken(self) -> tuple[str, ...]:
        """The ids of the E rules that failed, those about effects first."""
        found = [judgement.rule for judgement in self.judgements if judgement.fails]
        return tuple(rule.id for rule in sorted(found, key=lambda rule: (not rule.effects, rule.id)))

    @property
    def violated(self) -> tuple[str, ...]:
        """The ids of all rules that were violated, whether that fails the run or only warns."""
        found = [judgement for judgement in self.judgements if judgement.verdict is RuleVerdict.FAIL]
        warned = [judgement.rule.id for judgement in found if not judgement.fails]
        return (*self.broken, *warned)

    @property
    def story(self) -> str:
        """The most telling violation, in one sentence; empty when there is none."""
        return next(filter(None, map(self.story_of, self.broken)), "")

    def story_of(self, rule: str) -> str:
        """The first violation of a rule, in one sentence; empty when there is none."""
        for judgement in self.judgements:
            if judgement.rule.id == rule and judgement.violations:
                return judgement.violations[0].sentence
        return ""


def muted_rules(settings: ProjectSettings, rules: Sequence[Rule]) -> Mapping[str, str]:
    """The rules that a project mutes, each with its reason.

    Raises:
        ProjectError: when there is no such rule.
    """
    known = [rule.id for rule in rules]
    for name in settings.muted:
        if name not in known:
            raise settings.error(f"/mute/{name}", f"mute: there is no rule {name!r}", nearest(name, known))
    return settings.muted


class Judge:
    """Judges the runs of one subject in one project."""

    def __init__(self, project: Project, subject: Tested) -> None:
        self._project = project
        self._subject = subject

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        return (*load_invariants(self._project.root), *RULES)

    @cached_property
    def _said(self) -> ProjectSettings:
        return read_settings(self._project.root)

    @cached_property
    def muted(self) -> Mapping[str, str]:
        """The rules that fail nothing, each with the project's reason.

        Raises:
            ProjectError: when there is no such rule.
        """
        return muted_rules(self._said, self.rules)

    @cached_property
    def _facts(self) -> Facts:
        return facts_of(self._project.specs.values())

    def check(self, record: RunRecord) -> Verdict:
        """The verdict on a run."""
        settings = Settings(
            reconcile_every=self._subject.reconcile_every,
            ended_at=record.began + record.lasted,
            virtual=record.virtual,
            excused=isinstance(self._subject, WsgiApp),
            parked=record.parked,
        )
        if self._said.request_limit is not None:
            settings = replace(settings, request_limit=self._said.request_limit)
        run = Run(record.journal, record.state, self._facts, settings)
        muted = self.muted
        judgements = tuple(
            judgement.muted(muted[judgement.rule.id]) if judgement.rule.id in muted else judgement
            for judgement in judge(run, self.rules)
        )
        unfired = [armed.injection for armed in record.armed if not armed.fired and armed.weather is None]
        trouble = list(record.trouble)
        trouble += [f"a fault never fired: {fault.inject} on {fault.on.to_json()}" for fault in unfired]
        trouble += [
            f"{judgement.rule.id} could not be checked: {judgement.error}"
            for judgement in judgements
            if judgement.verdict is RuleVerdict.INCONCLUSIVE
        ]
        if not record.complete:
            trouble.append("the run did not come to an end within the hard limit")
        if record.dropped:
            trouble.append(f"the journal dropped {record.dropped} entries, so the rules have not seen everything")
        code = verdict_of_run(
            judgements,
            unfired=len(unfired) + len(record.trouble),
            dropped=bool(record.dropped),
            limited=not record.complete,
        )
        return Verdict(judgements, code, tuple(trouble))
