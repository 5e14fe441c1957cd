"""Reports of chaos: what was run and found, and the report card of the rules."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sandbox.chaos.check import Verdict
from sandbox.chaos.explain import fault_label
from sandbox.chaos.explore import CRASH, Exploration
from sandbox.chaos.minimise import Reproducer
from sandbox.chaos.points import Weakness, is_subjects
from sandbox.chaos.runner import RunRecord

VERDICTS: Final = ("pass", "fail", "not_exercised", "inconclusive", "muted")
# What was never even run: known to be equal to another plan, or to say nothing new.
_UNRUN: Final = ("same behaviour", "subsumed")
_WORDS: Final = {0: "passed", 1: "failed", 3: "inconclusive"}
_MOST_UNSHRUNK: Final = 8


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
            "broken_in": [found.failing, found.repeated],
            "alike": self.alike,
        }


@dataclass(frozen=True, slots=True)
class Judged:
    """One run, and what the rules say about it.

    Attributes:
        name: What was asked for.
        command: What does the same again.
    """

    name: str
    command: str
    record: RunRecord
    verdict: Verdict


@dataclass(slots=True)
class Report:
    """What a command of chaos came to.

    Attributes:
        command: `explore`, `run` or `replay`.
        card: By rule and verdict, in how many runs.
        trouble: Why it says less than it should.
        interrupted: Whether Ctrl-C ended it.
        judged: The one run of `run` and `replay`.
        muted: The rules that fail nothing in this project, each with the reason.
        notes: What the baseline of known failures did, and what of it has to be looked after.
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
    judged: Judged | None = None
    muted: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    @property
    def word(self) -> str:
        """What it came to: `passed`, `failed`, `inconclusive` or `interrupted`."""
        return _WORDS.get(self.exit_code, "interrupted")

    @property
    def broken(self) -> set[str]:
        """The ids of all rules that some run broke; a rule that only warned is none of them."""
        verdicts = [self.judged.verdict] if self.judged is not None else []
        verdicts += [trial.verdict for search in self.searches for trial in search.failures]
        return {rule for verdict in verdicts for rule in verdict.broken}

    def sentences(self) -> Iterator[str]:
        """What was done, and why it says less than it should."""
        for search in self.searches:
            yield from search_sentences(search)
            if all(finding.reproducer.scenario.name != search.scenario for finding in self.findings):
                yield from _unshrunk(search)
        yield from self.trouble
        yield from self.notes
        yield from self.muted_sentences()

    def muted_sentences(self) -> Iterator[str]:
        """The muted rules, how often each was broken, and why that fails nothing."""
        for rule, reason in self.muted.items():
            count = self.card[rule, "muted"]
            broken = f"broken in {count} run{'' if count == 1 else 's'}" if count else "not broken"
            yield f"{rule} is muted ({reason}), and was {broken}"

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
            "muted": dict(self.muted),
            "notes": self.notes,
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


def search_sentences(search: Exploration) -> list[str]:
    """What a search did, sentence by sentence."""
    count = possible(search)
    were = f"{count} {'plan was' if count == 1 else 'plans were'} possible at depth {search.depth}"
    told = [f"{search.scenario}: {were}, {search.trials} run in {search.seconds:.1f} s, {len(search.failures)} failed"]
    reasons = [f"{search.pruned[reason]} {reason}" for reason in _UNRUN if search.pruned[reason]]
    if reasons:
        told.append(f"not run, because they could show nothing new: {', '.join(reasons)}")
    if search.pruned["same pair"]:
        told.append(f"{search.pruned['same pair']} pairs were met again in the other order, and counted once")
    if search.pruned["never fired"]:
        told.append(f"in {search.pruned['never fired']} runs the second fault found its point gone")
    if search.pruned[CRASH]:
        told.append(f"{search.pruned[CRASH]} crashes were left out: the program was not started by the sandbox")
    if search.wavered:
        plans = "; ".join(" and ".join(map(fault_label, plan.faults)) or "no fault" for plan in search.wavered[:3])
        told.append(f"{len(search.wavered)} plans failed once and then passed twice in fresh processes, e.g. {plans}")
    if not search.covered:
        pairs = ", and no pair was begun" if search.depth > 1 and not _has_pairs(search) else ""
        told.append(f"it ended early: {not_covered(search)} known plans are not covered{pairs}")
    told += [f"weakness of the provider: {_weak(weak)}" for weak in search.weaknesses]
    return told


def _unshrunk(search: Exploration) -> Iterator[str]:
    """The failures of a search that ended before they were made small, one of each kind."""
    told: dict[str, str] = {}
    for trial in search.failures:
        faults = "; ".join(fault_label(fault) for fault in trial.plan.faults)
        told.setdefault(trial.verdict.broken[0], f"{trial.verdict.story}: {faults}" if faults else trial.verdict.story)
    for rule, story in list(told.items())[:_MOST_UNSHRUNK]:
        yield f"{rule}: {story}"


def _weak(weak: Weakness) -> str:
    return f"{weak.inject} on {weak.system}.{weak.operation}: {weak.reason}"


def _has_pairs(search: Exploration) -> bool:
    return search.possible > 1 + len(search.baseline.follow_ups)
