"""The faults armed in one world, and which of them a call or a delivery meets."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from sandbox.faults.base import CallFault, DeliveryFault
from sandbox.faults.registry import build
from sandbox.model import CallAddress, DeliveryAddress
from sandbox.plan import CallPoint, DeliveryPoint, Injection


@dataclass(slots=True)
class Armed:
    """An injection in a world.

    Attributes:
        fired: How many calls or deliveries it has met.
    """

    id: str
    injection: Injection
    fault: CallFault | DeliveryFault
    fired: int = 0

    def to_json(self) -> dict[str, Any]:
        return {"id": self.id, **self.injection.to_json(), "fired": self.fired}


class Board:
    """Armed faults, tried in the order they were added; the first that matches is met."""

    def __init__(self) -> None:
        self._armed: dict[str, Armed] = {}
        self._ids = itertools.count(1)

    def add(self, injection: Injection) -> Armed:
        """Arm a fault.

        Raises:
            PlanError: when the injection cannot be built.
        """
        armed = Armed(f"f{next(self._ids)}", injection, build(injection))
        self._armed[armed.id] = armed
        return armed

    def remove(self, id: str) -> bool:  # noqa: A002 - the field's own name
        return self._armed.pop(id, None) is not None

    def clear(self) -> None:
        self._armed.clear()

    def all(self) -> list[Armed]:
        return list(self._armed.values())

    def for_call(self, address: CallAddress, label: str | None = None) -> Armed | None:
        """The fault that this call meets, counted as fired."""
        for armed in self._armed.values():
            point = armed.injection.on
            if isinstance(point, CallPoint) and point.matches(address, label):
                armed.fired += 1
                return armed
        return None

    def for_delivery(self, address: DeliveryAddress) -> Armed | None:
        """The fault that this delivery meets, counted as fired."""
        for armed in self._armed.values():
            point = armed.injection.on
            if isinstance(point, DeliveryPoint) and point.matches(address):
                armed.fired += 1
                return armed
        return None
