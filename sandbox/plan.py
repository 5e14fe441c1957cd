"""Plans: which fault at which point. Read from YAML, JSON or Python, with the same field names everywhere.

```yaml
- on: {system: accounting, operation: create_invoice, key: "2025-4471", occurrence: 1}
  inject: timeout
  effect: applied
- on: {event: order.paid, key: "2025-4471"}
  inject: duplicate
  with: {after: 3s}
```
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sandbox.errors import PlanError
from sandbox.model import CallAddress, DeliveryAddress

Effect = Literal["none", "applied"]

_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(span: Any, where: str = "span") -> float:
    """A span such as `3s`, `250ms`, `10m` or a plain number, in seconds.

    Raises:
        PlanError: when it is none of these.
    """
    if isinstance(span, (int, float)) and not isinstance(span, bool) and span >= 0:
        return float(span)
    found = _SPAN.fullmatch(span.strip()) if isinstance(span, str) else None
    if found is None:
        raise PlanError(f"{where}: {span!r} is not a span of time", "write seconds or a unit: 3s, 250ms, 10m, 2h")
    return float(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True, slots=True)
class Occurrences:
    """Which arrivals: `first` to `last`, both included; `last` None is any from `first` on."""

    first: int = 1
    last: int | None = 1

    def __contains__(self, occurrence: int) -> bool:
        return self.first <= occurrence and (self.last is None or occurrence <= self.last)

    @classmethod
    def parse(cls, value: Any) -> Occurrences:
        """Read `2`, `"1-3"` or `"any"`.

        Raises:
            PlanError: when it is none of these.
        """
        if value == "any":
            return cls(1, None)
        found = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", str(value)) if not isinstance(value, bool) else None
        if found is not None:
            first, last = int(found[1]), int(found[2] or found[1])
            if 1 <= first <= last:
                return cls(first, last)
        raise PlanError(f"occurrence: {value!r} names no arrival", "write a number from 1, a range such as 1-2, or any")

    def to_json(self) -> int | str:
        if self.last is None:
            return "any"
        return self.first if self.first == self.last else f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class CallPoint:
    """The calls that a fault sits on; `key` None is each key, counted per key."""

    system: str
    operation: str
    key: str | None = None
    occurrence: Occurrences = Occurrences()

    def matches(self, address: CallAddress, label: str | None = None) -> bool:
        """Whether the fault sits on this call; `label` is what the journal shows for a personal key."""
        return (
            self.operation == address.operation
            and self.system == address.system
            and (self.key is None or self.key in (address.key, label))
            and address.occurrence in self.occurrence
        )

    def to_json(self) -> dict[str, Any]:
        on: dict[str, Any] = {"system": self.system, "operation": self.operation}
        if self.key is not None:
            on["key"] = self.key
        return on | {"occurrence": self.occurrence.to_json()}


@dataclass(frozen=True, slots=True)
class DeliveryPoint:
    """The deliveries that a fault sits on; `subscriber` None is each of them."""

    event: str
    key: str | None = None
    occurrence: Occurrences = Occurrences()
    subscriber: str | None = None

    def matches(self, address: DeliveryAddress) -> bool:
        return (
            self.event == address.event
            and self.key in (None, address.key)
            and self.subscriber in (None, address.subscriber)
            and address.occurrence in self.occurrence
        )

    def to_json(self) -> dict[str, Any]:
        on: dict[str, Any] = {"event": self.event}
        if self.key is not None:
            on["key"] = self.key
        on["occurrence"] = self.occurrence.to_json()
        if self.subscriber is not None:
            on["subscriber"] = self.subscriber
        return on


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault of a plan: where it sits, what it is, whether the work was done before the caller saw it."""

    on: CallPoint | DeliveryPoint
    inject: str
    effect: Effect = "none"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"on": self.on.to_json(), "inject": self.inject}
        if self.effect != "none":
            document["effect"] = self.effect
        if self.parameters:
            document["with"] = dict(self.parameters)
        return document


def parse_point(on: Mapping[str, Any]) -> CallPoint | DeliveryPoint:
    """Read the `on:` of a fault.

    Raises:
        PlanError: when it addresses neither a call nor a delivery.
    """
    occurrence = Occurrences.parse(on.get("occurrence", 1))
    key = None if on.get("key") is None else str(on["key"])
    call, delivery = {"system", "operation", "key", "occurrence"}, {"event", "key", "occurrence", "subscriber"}
    if "event" in on and set(on) <= delivery:
        return DeliveryPoint(str(on["event"]), key, occurrence, on.get("subscriber"))
    if {"system", "operation"} <= set(on) <= call:
        return CallPoint(str(on["system"]), str(on["operation"]), key, occurrence)
    raise PlanError(
        f"on: {dict(on)} addresses neither a call nor a delivery",
        "a call is {system, operation, key, occurrence}, a delivery {event, key, occurrence, subscriber}",
    )
