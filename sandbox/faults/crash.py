"""Crashes of the program under test: killed at a point, then started again with what it had made durable."""

from __future__ import annotations

from sandbox.faults.base import CallFault, Delivery, DeliveryFault, Exchange, Outcome, Silence


class CrashOnCall(CallFault):
    """Killed when its call arrived; with `effect: applied`, when the effect was committed but not answered."""

    name = "crash"
    effects = frozenset({"none", "applied"})

    async def apply(self, exchange: Exchange) -> Outcome:
        answer = await exchange.proceed() if self.effect == "applied" else None
        exchange.crash()
        return Silence(answer)


class CrashOnDelivery(DeliveryFault):
    """Killed right after it answered a delivery 2xx."""

    name = "crash"

    async def apply(self, delivery: Delivery) -> None:
        if await delivery.send():
            delivery.crash()
