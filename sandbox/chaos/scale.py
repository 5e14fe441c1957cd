"""Plans for programs in real time: their spans are made shorter, since nobody can make the program's own shorter."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from sandbox.errors import PlanError
from sandbox.plan import Plan, seconds

# The parameters of faults that are spans; a Retry-After has whole seconds.
_SPANS: Final = frozenset({"after", "by", "for", "delay", "longest"})
_WHOLE: Final = frozenset({"retry_after"})
# The spans of faults that name none.
_USUAL: Final[Mapping[str, tuple[str, str]]] = {
    "reorder": ("longest", "60s"),
    "delay": ("by", "60s"),
    "rate_limited": ("retry_after", "5s"),
}
# What is to come later is still to come later.
_SHORTEST: Final = 0.1


def scaled(plan: Plan, scale: float) -> Plan:
    """The plan with its spans of time made shorter."""
    return replace(
        plan,
        faults=tuple(
            replace(
                fault,
                parameters=_shorter(fault.inject, fault.parameters, scale),
                ttl=None if fault.ttl is None else fault.ttl * scale,
            )
            for fault in plan.faults
        ),
        weather=tuple(replace(one, parameters=_shorter(one.inject, one.parameters, scale)) for one in plan.weather),
    )


def _shorter(inject: str, parameters: Mapping[str, Any], scale: float) -> dict[str, Any]:
    usual = dict([_USUAL[inject]]) if inject in _USUAL else {}
    if inject == "outage" and "calls" not in parameters:
        usual = {"for": "60s"}
    short = {**usual, **parameters}
    for name in short.keys() & _SPANS:
        with suppress(PlanError):
            span = seconds(short[name])
            short[name] = max(span * scale, min(span, _SHORTEST))
    for name in short.keys() & _WHOLE:
        short[name] = max(1, round(seconds(short[name]) * scale))
    return short
