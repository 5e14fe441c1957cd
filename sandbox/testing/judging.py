"""What rules say about a world, as a test's failure tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sandbox.rules import Judgement, Rule, Run, Verdict, judge

_MOST_SHOWN: Final = 5


def complaint(
    run: Run,
    known: Sequence[Rule],
    named: Sequence[str],
    faults: Sequence[Mapping[str, Any]],
    dropped: int,
    muted: Mapping[str, str],
) -> str:
    """Why a world does not pass; empty when it does.

    Args:
        known: All rules.
        named: The ids of those that were asked for; empty for all.
        faults: Those that are armed, each with how often it fired.
        dropped: How many entries the journal had no room for.
        muted: The rules that fail nothing unless they are asked for by name, each with the project's reason.
    """
    # Some rules ask what the invariants found, so all are judged.
    judgements = [one for one in judge(run, known) if not named or one.rule.id in named]
    if not named:
        judgements = [one.muted(muted[one.rule.id]) if one.rule.id in muted else one for one in judgements]
    lines = [line for one in judgements if _counts(one, bool(named)) for line in _told(one)]
    lines += [
        f"{one.rule.id} could not be checked: {one.error}" for one in judgements if one.verdict is Verdict.INCONCLUSIVE
    ]
    lines += [f"a fault never struck: {_fault(fault)}" for fault in faults if not fault["fired"]]
    if dropped:
        lines.append(f"the journal dropped {dropped} entries, so the rules have not seen everything")
    if not lines and all(one.verdict is Verdict.NOT_EXERCISED for one in judgements):
        what = " and ".join(named) or "any rule"
        lines.append(f"nothing was judged: nothing happened that {what} speaks of, in {_calls(len(run.calls))}")
    return "\n".join(lines)


def _counts(judgement: Judgement, named: bool) -> bool:
    return judgement.fails or (named and judgement.verdict is Verdict.FAIL)


def _told(judgement: Judgement) -> list[str]:
    sentences = [violation.sentence for violation in judgement.violations]
    more = [f"{judgement.rule.id}: and {len(sentences) - _MOST_SHOWN} more"] if len(sentences) > _MOST_SHOWN else []
    return [*(f"{judgement.rule.id}: {sentence}" for sentence in sentences[:_MOST_SHOWN]), *more]


def _fault(fault: Mapping[str, Any]) -> str:
    effect = f", effect {fault['effect']}" if fault.get("effect") else ""
    return f"{fault['inject']}{effect}, on {fault['on']}"


def _calls(number: int) -> str:
    return "1 call of the program under test" if number == 1 else f"{number} calls of the program under test"
