"""Faults on calls."""

from __future__ import annotations

from sandbox.faults.base import CallFault, Exchange, Outcome, Send, Silence


class NoFault(CallFault):
    """The call takes its normal course."""

    name = "none"

    async def apply(self, exchange: Exchange) -> Outcome:
        return Send(await exchange.proceed())


class Timeout(CallFault):
    """Nothing comes until the caller gives up; with `effect: applied` the work was done all the same."""

    name = "timeout"
    effects = frozenset({"none", "applied"})

    async def apply(self, exchange: Exchange) -> Outcome:
        return Silence(await exchange.proceed() if self.effect == "applied" else None)
