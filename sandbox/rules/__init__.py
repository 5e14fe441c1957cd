"""Rules about the subject's behaviour, judged on its journal and on the state it left.

`RULES` are those about behaviour (R retries, H webhooks, P privacy and protocol); those about effects (F) are a
project's own, in `contracts/invariants.py`.
"""

from __future__ import annotations

from typing import Final

from sandbox.rules import pace, privacy, retries, webhooks
from sandbox.rules.base import Judgement, Rule, Verdict, invariant, judge, rule, rules_of, verdict_of_run
from sandbox.rules.entry import Call, Delivery
from sandbox.rules.facts import Facts, OperationFacts
from sandbox.rules.run import Attempt, Run, Settings
from sandbox.rules.violation import NotExercised, Severity, Violation

__all__ = [
    "RULES",
    "Attempt",
    "Call",
    "Delivery",
    "Facts",
    "Judgement",
    "NotExercised",
    "OperationFacts",
    "Rule",
    "Run",
    "Settings",
    "Severity",
    "Verdict",
    "Violation",
    "invariant",
    "judge",
    "rule",
    "rules_of",
    "verdict_of_run",
]

RULES: Final = tuple(
    sorted(
        (rule for module in (retries, pace, webhooks, privacy) for rule in rules_of(module)), key=lambda rule: rule.id
    )
)
