"""Exploring: every applicable single fault at every point of a scenario, then pairs, until done or out of time.

What is left out is left out for a reason that is counted:

- *same pair*: {a, b} was run as {b, a};
- *same behaviour*: the fault left the same request trace and final state as another one that was extended already;
- *subsumed*: one of its faults fails by itself, so the pair says nothing new;
- *crash*: the program under test is not ours to kill;
- *never fired*: the second fault's point no longer exists when the first one is there.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from sandbox.chaos.attempt import attempt_with
from sandbox.chaos.check import Judge, Verdict
from sandbox.chaos.habits import Habits
from sandbox.chaos.live import LiveRunner
from sandbox.chaos.points import Weakness, candidates, weaknesses
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.runners import AnyRunner, can_crash, runner_for
from sandbox.chaos.scenario import Scenario
from sandbox.chaos.subject import Tested
from sandbox.clock import Clock
from sandbox.garbage import collect_seldom
from sandbox.layout import Sources
from sandbox.plan import Injection, Plan
from sandbox.project import Project
from sandbox.rules.base import UNCERTAIN, Judgement, Rule
from sandbox.rules.base import Verdict as RuleVerdict
from sandbox.rules.violation import Violation

CRASH = "crash"
Factory = Callable[[], Tested]


@dataclass(frozen=True, slots=True)
class Trial:
    """What one plan came to.

    Attributes:
        fingerprint: Equal for runs with the same request trace and final state.
        follow_ups: The faults that could be added to the plan, at the points its run reached.
    """

    plan: Plan
    verdict: Verdict
    fingerprint: bytes
    follow_ups: tuple[Injection, ...]
    fired: bool


@dataclass(slots=True)
class Exploration:
    """What a search did and found.

    Attributes:
        possible: How many plans there were at the depth asked for, as far as they became known.
        pruned: Plans left out, by reason.
        covered: False when the budget, or what was found, ended the search first.
        stopped: Whether what was found ended the search.
        card: By rule and verdict, in how many runs.
        uncertain: Runs that said less than they should, though all their faults fired.
        wavered: Plans that failed once, and then passed in fresh processes.
        journal: The baseline's.
    """

    scenario: str
    depth: int
    baseline: Trial
    trials: int = 1
    possible: int = 1
    pruned: Counter[str] = field(default_factory=Counter)
    failures: list[Trial] = field(default_factory=list)
    weaknesses: tuple[Weakness, ...] = ()
    covered: bool = True
    seconds: float = 0.0
    card: Counter[tuple[str, str]] = field(default_factory=Counter)
    uncertain: list[Trial] = field(default_factory=list)
    journal: list[dict[str, Any]] = field(default_factory=list, repr=False)
    stopped: bool = False
    wavered: list[Plan] = field(default_factory=list)

    def count(self, trial: Trial) -> None:
        """Enter the verdict on one more run into the report card."""
        self.card.update((judgement.rule.id, judgement.verdict.value) for judgement in trial.verdict.judgements)
        if trial.fired and trial.verdict.exit_code == UNCERTAIN:
            self.uncertain.append(trial)
        if trial.verdict.wavered:
            self.wavered.append(trial.plan)


Progress = Callable[[Exploration], None]


def never(_: Trial) -> bool:
    """Search to the end."""
    return False


def failing(trial: Trial) -> bool:
    """Search until something fails."""
    return trial.verdict.failed


class Explorer:
    """Searches one scenario for failing plans.

    Args:
        subject: Makes the subject, once in each worker.
        clock: For the budget.
        workers: Processes that run plans; 1 runs them here.
        stop: Whether a trial ends the search: no new plan is begun after it.
        laboratory: What runs the plans that are run here; else one is made, which compiles the project.
    """

    def __init__(
        self,
        project: Project,
        subject: Factory,
        clock: Clock,
        workers: int = 1,
        *,
        stop: Callable[[Trial], bool] = never,
        laboratory: Laboratory | None = None,
    ) -> None:
        self._project = project
        self._subject = subject
        self._clock = clock
        self._workers = workers
        self._stop = stop
        self._here = laboratory or Laboratory(project, subject)
        self._own = laboratory is None

    def explore(
        self,
        scenario: Scenario,
        seed: int,
        depth: int = 1,
        budget: float | None = None,
        progress: Progress | None = None,
    ) -> Exploration:
        """Run the fault-free baseline, then single faults, then pairs.

        Args:
            budget: Seconds after which no new plan is begun; None for no limit.
            progress: Told after each batch.
        """
        began = self._clock.now()
        bare = Plan(scenario=scenario.name, seed=seed)
        baseline = self._here.trial(bare, scenario)
        found = Exploration(scenario.name, depth, baseline, journal=self._here.last_journal)
        found.weaknesses = weaknesses(found.journal, self._project.specs)
        tell = progress or (lambda _: None)
        self._enter(baseline, found)
        found.seconds = self._clock.now() - began
        tell(found)
        if baseline.verdict.failed:
            return found
        deadline = None if budget is None else began + budget
        faults = self._possible(baseline.follow_ups, found)
        singles = [Plan(faults=(fault,), scenario=scenario.name, seed=seed) for fault in faults]
        found.possible += len(singles)
        tried = self._try_all(singles, scenario, found, deadline, began, tell, extend=depth > 1)
        if depth > 1 and found.stopped:
            found.covered = False
        elif depth > 1 and found.covered:
            pairs = list(self._pairs(tried, found))
            found.possible += len(pairs)
            self._try_all(pairs, scenario, found, deadline, began, tell)
        found.seconds = self._clock.now() - began
        return found

    def _possible(self, faults: Sequence[Injection], found: Exploration) -> list[Injection]:
        """Without crashes of a program that is not ours to kill."""
        if can_crash(self._here.runner):
            return list(faults)
        possible = [fault for fault in faults if fault.inject != CRASH]
        found.pruned[CRASH] += len(faults) - len(possible)
        return possible

    def close(self) -> None:
        """End what it has started: programs that would outlive the search."""
        if self._own:
            self._here.runner.close()
        if self._workers > 1 and isinstance(self._here.runner, LiveRunner):
            get_reusable_executor().shutdown(wait=True, kill_workers=True)

    def _pairs(self, singles: Sequence[Trial], found: Exploration) -> Iterator[Plan]:
        extended: set[bytes] = {found.baseline.fingerprint}
        failing = {_name(trial.plan.faults[0]) for trial in singles if trial.verdict.failed}
        seen: set[frozenset[bytes]] = set()
        for trial in singles:
            (first,) = trial.plan.faults
            if trial.verdict.failed:
                continue
            behaviour = trial.fingerprint
            for second in self._possible(trial.follow_ups, found):
                pair = frozenset((_name(first), _name(second)))
                if len(pair) < 2 or pair in seen:
                    found.pruned["same pair"] += 1
                    continue
                seen.add(pair)
                if _name(second) in failing:
                    found.pruned["subsumed"] += 1
                elif behaviour in extended:
                    found.pruned["same behaviour"] += 1
                else:
                    yield Plan(faults=(first, second), scenario=trial.plan.scenario, seed=trial.plan.seed)
            extended.add(behaviour)

    def _try_all(
        self,
        plans: Sequence[Plan],
        scenario: Scenario,
        found: Exploration,
        deadline: float | None,
        began: float,
        tell: Progress,
        *,
        extend: bool = False,
    ) -> list[Trial]:
        tried: list[Trial] = []

        def goes_on(_: object) -> bool:
            return not found.stopped and (deadline is None or self._clock.now() < deadline)

        for trial in self._run(plans, scenario, goes_on, extend):
            tried.append(trial)
            found.trials += 1
            self._enter(trial, found)
            found.seconds = self._clock.now() - began
            if not trial.fired:
                found.pruned["never fired"] += 1
            tell(found)
        found.covered = len(tried) == len(plans)
        return tried

    def _enter(self, trial: Trial, found: Exploration) -> None:
        found.count(trial)
        if trial.verdict.failed:
            found.failures.append(trial)
        if self._stop(trial):
            found.stopped = True

    def _run(
        self, plans: Sequence[Plan], scenario: Scenario, goes_on: Callable[[object], bool], extend: bool
    ) -> Iterator[Trial]:
        """Run plans as long as the search goes on; what the workers have in hand by then is finished."""
        if self._workers == 1:
            yield from (self._here.trial(plan, scenario, extend) for plan in itertools.takewhile(goes_on, plans))
            return
        began, done = self._clock.now(), 0
        here = self._here.runner

        def size(left: int) -> int:
            # In real time each plan takes long, and what is in hand when the time is up is waited for.
            if isinstance(here, LiveRunner):
                return 1
            pace = done / max(self._clock.now() - began, _INSTANT) / self._workers
            # The last batches are small, so that all workers come to an end together.
            return max(1, min(max(_FEWEST, int(pace * _BATCH)), left // (2 * self._workers)))

        def batches() -> Iterator[Sequence[Plan]]:
            start = 0
            while start < len(plans) and goes_on(None):
                end = start + size(len(plans) - start)
                yield plans[start:end]
                start = end

        parallel = Parallel(n_jobs=self._workers, return_as="generator", batch_size=1, pre_dispatch=2 * self._workers)
        habits = here.habits if isinstance(here, LiveRunner) else None
        results = parallel(
            delayed(_trials)(self._project.sources, self._subject, batch, scenario, extend, habits)
            for batch in batches()
        )
        rules = {rule.id: rule for rule in self._here.rules}
        for plan, sent in zip(plans, itertools.chain.from_iterable(results), strict=False):
            done += 1
            yield sent.trial(plan, rules)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A trial on its way back from a worker: rules stay behind, because functions of a project travel slowly."""

    judged: tuple[tuple[str, RuleVerdict, tuple[Violation, ...], str], ...]
    exit_code: int
    trouble: tuple[str, ...]
    fingerprint: bytes
    follow_ups: tuple[Injection, ...]
    fired: bool

    @classmethod
    def of(cls, trial: Trial) -> _Sent:
        judged = tuple((j.rule.id, j.verdict, j.violations, j.error) for j in trial.verdict.judgements)
        verdict = trial.verdict
        return cls(judged, verdict.exit_code, verdict.trouble, trial.fingerprint, trial.follow_ups, trial.fired)

    def trial(self, plan: Plan, rules: Mapping[str, Rule]) -> Trial:
        judgements = tuple(
            Judgement(rules[id_], verdict, violations, error) for id_, verdict, violations, error in self.judged
        )
        verdict = Verdict(judgements, self.exit_code, self.trouble)
        return Trial(plan, verdict, self.fingerprint, self.follow_ups, self.fired)


# A worker is given plans for so many seconds; at the least, and as long as nothing is known of their pace, so many.
_BATCH = 0.4
_FEWEST = 4
_INSTANT = 1e-3
_SERVER_ERROR = 500
_SPOILT = frozenset({"truncated", "malformed"})
_LABORATORIES: dict[tuple[Sources, int], Laboratory] = {}


class Laboratory:
    """A runner and what it takes to turn runs into trials.

    Args:
        runner: One for this subject; else one is made, which compiles the project.

    Attributes:
        runner: What runs plans.
        last_journal: Of the last run.
    """

    def __init__(self, project: Project, subject: Factory, runner: AnyRunner | None = None) -> None:
        self._project = project
        made = subject()
        self.runner = runner or runner_for(project, made)
        self._judge = Judge(project, made)
        self._attempt = attempt_with(self.runner, self._judge)
        self.last_journal: list[dict[str, Any]] = []

    @property
    def rules(self) -> tuple[Rule, ...]:
        """All rules that are judged."""
        return self._judge.rules

    def trial(self, plan: Plan, scenario: Scenario, extend: bool = True) -> Trial:
        """Run and judge a plan.

        Args:
            extend: Whether the faults that could be added are wanted: there are hundreds, which processes would send.
        """
        record, verdict = self._attempt(plan, scenario)
        self.last_journal = record.journal
        return Trial(
            plan,
            verdict,
            fingerprint(record),
            tuple(candidates(record.journal, self._project.specs)) if extend else (),
            all(armed.fired for armed in record.armed),
        )


def _trials(
    sources: Sources,
    subject: Factory,
    plans: Sequence[Plan],
    scenario: Scenario,
    extend: bool,
    habits: Habits | None,
) -> list[_Sent]:
    """Run a batch in a worker process, which keeps its laboratory for the next one.

    Args:
        habits: What is known already of a program in real time.
    """
    name = (sources, hash(subject))
    if name not in _LABORATORIES:
        _LABORATORIES[name] = Laboratory(Project.load(sources), subject)
        collect_seldom()
        runner = _LABORATORIES[name].runner
        if habits is not None and isinstance(runner, LiveRunner):
            runner.habits = habits
    return [_Sent.of(_LABORATORIES[name].trial(plan, scenario, extend)) for plan in plans]


def fingerprint(record: RunRecord) -> bytes:
    """What the subject did, whether it was answered, and what came of it: equal fingerprints, equal behaviour.

    Without the answers, a subject that takes silence for consent could not be told from one that was never disturbed;
    yet what it owes afterwards, by the rules, is not the same.
    """
    trace = []
    for entry in record.journal:
        request = entry.get("request") or {}
        headers = request.get("headers") or {}
        done = [entry["kind"], entry.get("at"), entry.get("address"), entry.get("text"), _heard(entry)]
        trace.append([*done, request.get("body"), *(headers.get(name) for name in _TELLING)])
    return hashlib.sha256(orjson.dumps([trace, record.state], option=orjson.OPT_SORT_KEYS)).digest()


# Headers that tell one request from another; respaced and rotated webhooks differ in nothing but their signatures.
_TELLING = ("idempotency-key", "webhook-signature")


def _heard(entry: Mapping[str, Any]) -> int | None:
    """The status of an answer that the caller could make use of; None for all the ways in which it had none."""
    status: int | None = (entry.get("answer") or {}).get("status")
    spoilt = (entry.get("fault") or {}).get("inject") in _SPOILT
    return None if status is None or status >= _SERVER_ERROR or spoilt else status


def _name(fault: Injection) -> bytes:
    return orjson.dumps(fault.to_json(), option=orjson.OPT_SORT_KEYS)
