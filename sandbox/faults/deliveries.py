"""Faults on deliveries of webhooks."""

from __future__ import annotations

from typing import Any

from sandbox.faults.base import Delivery, DeliveryFault
from sandbox.plan import seconds


class Duplicate(DeliveryFault):
    """The same event is handed over again, a span after the first time."""

    name = "duplicate"

    def configure(self, after: Any = 0.0) -> None:
        self.after = seconds(after, "after")

    async def apply(self, delivery: Delivery) -> None:
        await delivery.send()
        delivery.send_again(self.after)
