"""The faults armed in one world, and which of them a call or a delivery meets.

Everything that a fault in a world remembers (how often it fired, since when it is armed, an outage that has begun) is
kept here or in the instance that was made for this world when it was armed.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import orjson

from sandbox.errors import PlanError
from sandbox.faults.base import CallFault, DeliveryFault
from sandbox.faults.registry import build, build_weather
from sandbox.model import CallAddress, DeliveryAddress, Headers
from sandbox.plan import CallPoint, Injection, Match, Plan, Point, Weather, located, share_text
from sandbox.redaction import Redactor

MOST: Final = 1000
READING: Final = frozenset({"GET", "HEAD"})
Address = TypeVar("Address", CallAddress, DeliveryAddress)


@dataclass(frozen=True, slots=True)
class Arrival:
    """What a fault's `match` may look at: a call as it was sent, before anything was redacted."""

    method: str
    headers: Headers = ()
    body: Any = None


@dataclass(slots=True, eq=False)
class Armed:
    """An injection in a world.

    Attributes:
        fault: Made for this world alone.
        point: The injection's, without its key.
        keys: The key as the plan has it and as the journal may show it; None for each key.
        shown: The key as the journal shows it, known from the first firing on.
        since: When it was armed, in unix seconds of the world's clock.
        fired: How many calls or deliveries it has met, and `last` when.
        weather: Where it came from, when it strikes by chance.
        rank: How many weather faults of the same name were armed before it.
    """

    id: str
    injection: Injection
    fault: CallFault | DeliveryFault
    point: Point
    keys: frozenset[str] | None
    since: float
    redactor: Redactor
    fired: int = 0
    last: float | None = None
    weather: Weather | None = None
    rank: int = 0
    shown: str | None = None
    _reads_only: bool = field(init=False)

    def __post_init__(self) -> None:
        self._reads_only = isinstance(self.fault, CallFault) and self.fault.reads_only

    def spent(self, now: float) -> bool:
        """Whether its count is used up or its time to live over, so that it cannot fire again."""
        count, ttl = self.injection.count, self.injection.ttl
        return (count is not None and self.fired >= count) or (ttl is not None and now >= self.since + ttl)

    def accepts(self, arrival: Callable[[], Arrival] | None) -> bool:
        """Whether what was sent is what the fault waits for; what nobody can see is not."""
        if not self._reads_only and not self.injection.match:
            return True
        if arrival is None:
            return False
        seen = arrival()
        if self._reads_only and seen.method not in READING:
            return False
        return self.injection.match.accepts(seen.headers, seen.body)

    def sits_on(self, address: CallAddress | DeliveryAddress, keys: Collection[str]) -> bool:
        """Whether its point names a call or delivery.

        Args:
            keys: The address's key, as it is and as the journal shows it.
        """
        point = self.point
        if isinstance(point, CallPoint):
            named = isinstance(address, CallAddress) and point.matches(address)
        else:
            named = isinstance(address, DeliveryAddress) and point.matches(address)
        return named and (self.keys is None or not self.keys.isdisjoint(keys))

    def fire(self, now: float, label: str | None) -> Armed:
        """Count it as met.

        Args:
            label: The key of the call or delivery that its point names, as the journal shows it.
        """
        self.fired += 1
        self.last = now
        if self.keys is not None and label is not None:
            self.shown = label
        return self

    @property
    def lifts(self) -> float:
        """When it is over as far as time says so: its last firing, the end of its time to live or of its outage."""
        found = [self.last or 0.0]
        if self.injection.ttl is not None:
            found.append(self.since + self.injection.ttl)
        if isinstance(self.fault, CallFault) and self.fault.ends is not None and math.isfinite(self.fault.ends):
            found.append(self.fault.ends)
        return max(found)

    def to_json(self) -> dict[str, Any]:
        """The fault as it was armed, but for the credentials that its `match` waits for."""
        document = self.injection.to_json() if self.weather is None else self.weather.to_json()
        if header := document.get("match", {}).get("header"):
            shown = [self.redactor.headers(((name, value),)) for name, value in header.items()]
            document["match"]["header"] = dict(
                zip(header, (value for one in shown for value in one.values()), strict=True)
            )
        return {"id": self.id, **document, "fired": self.fired}

    def entry(self) -> dict[str, Any]:
        """The fault as the journal shows it: without secrets and personal values, so without what it waited for."""
        plain = replace(self.injection, match=Match()).to_json()
        if self.shown is not None:
            plain["on"]["key"] = self.shown
        drawn = {} if self.weather is None else {"rate": share_text(self.weather.rate), "weather": True}
        shown: dict[str, Any] = self.redactor.body(plain | drawn)
        return shown


class Board:
    """Armed faults, tried in the order they were added; the first that matches is met, and after them the weather.

    Args:
        seed: Decides the weather where a plan names no seed.
        now: The world's time.
        redactor: The world's. Personal keys match as they are, and as the journal shows them.
    """

    def __init__(self, seed: int = 0, now: Callable[[], float] = lambda: 0.0, redactor: Redactor | None = None) -> None:
        self._world_seed = self.seed = seed
        self._now = now
        self._redactor = redactor or Redactor(b"", {})
        self._armed: dict[str, Armed] = {}
        self._weather: dict[str, Armed] = {}
        self._ids = itertools.count(1)

    def add(self, injection: Injection) -> Armed:
        """Arm a fault.

        Raises:
            PlanError: when the injection cannot be built, or too many are armed.
        """
        armed = self._arm(injection, build(injection))
        if len(self._armed) >= MOST:
            raise PlanError(f"{MOST} faults are armed, and that is the most", "remove some, or use weather")
        self._armed[armed.id] = armed
        return armed

    def apply(self, plan: Plan) -> list[Armed]:
        """Arm the faults of a plan in place of all that is armed now.

        Raises:
            PlanError: when one of them cannot be built; then nothing has changed.
        """
        for name, number in (("faults", len(plan.faults)), ("weather", len(plan.weather))):
            if number > MOST:
                raise PlanError(f"{name}: {number} are too many", f"a plan has at most {MOST}", f"/{name}")
        named, drawn, ranks = [], [], Counter[str]()
        for position, injection in enumerate(plan.faults):
            with located(f"/faults/{position}"):
                named.append(self._arm(injection, build(injection)))
        for position, rule in enumerate(plan.weather):
            with located(f"/weather/{position}"):
                drawn.append(self._arm(rule.injection, build_weather(rule), rule, ranks[rule.inject]))
                ranks[rule.inject] += 1
        self._armed = {armed.id: armed for armed in named}
        self._weather = {armed.id: armed for armed in drawn}
        self.seed = self._world_seed if plan.seed is None else plan.seed
        return [*named, *drawn]

    def _arm(
        self, injection: Injection, fault: CallFault | DeliveryFault, weather: Weather | None = None, rank: int = 0
    ) -> Armed:
        key, redactor = injection.on.key, self._redactor
        keys = None if key is None else frozenset({key, redactor.text(key), redactor.personal(key)})
        name = f"{'f' if weather is None else 'w'}{next(self._ids)}"
        point = replace(injection.on, key=None)
        return Armed(name, injection, fault, point, keys, self._now(), redactor, weather=weather, rank=rank)

    def remove(self, id: str) -> bool:  # noqa: A002 - the field's own name
        return self._armed.pop(id, None) is not None or self._weather.pop(id, None) is not None

    def clear(self) -> None:
        """Disarm all, weather included."""
        self.apply(Plan())

    def all(self) -> list[Armed]:
        """The faults that sit at points, in the order in which they are tried."""
        return list(self._armed.values())

    @property
    def lifted_at(self) -> float:
        """When the last of all faults is over, or will be, as far as time says so; 0 when none ever fired."""
        return max((armed.lifts for armed in (*self._armed.values(), *self._weather.values())), default=0.0)

    def weather(self) -> list[Armed]:
        """The faults that strike by chance."""
        return list(self._weather.values())

    def for_call(
        self, address: CallAddress, label: str | None = None, arrival: Callable[[], Arrival] | None = None
    ) -> Armed | None:
        """The fault that this call meets, counted as fired.

        Args:
            label: The address's key as the journal shows it, if that is known already.
            arrival: Gives the call as it was sent; asked only when a fault wants to know.
        """
        if not self._armed and not self._weather:
            return None
        now, label = self._now(), self._redactor.text(address.key) if label is None else label
        keys = (address.key, label)
        for armed in self._armed.values():
            point, fault = armed.point, armed.fault
            if isinstance(point, CallPoint) and isinstance(fault, CallFault) and point.system == address.system:
                if armed.spent(now):
                    continue
                named = armed.sits_on(address, keys) and armed.accepts(arrival)
                if fault.meets(named, now):
                    return armed.fire(now, label if named else None)
        return self._struck(address, keys, label, arrival, now)

    def for_delivery(self, address: DeliveryAddress, body: bytes = b"") -> Armed | None:
        """The fault that this delivery meets, counted as fired.

        Args:
            body: The event's payload.
        """
        if not self._armed and not self._weather:
            return None
        now, label = self._now(), self._redactor.text(address.key)
        keys = (address.key, label)

        def arrival() -> Arrival:
            return Arrival("POST", (), orjson.loads(body) if body else None)

        for armed in self._armed.values():
            if not armed.spent(now) and armed.sits_on(address, keys) and armed.accepts(arrival):
                return armed.fire(now, label)
        return self._struck(address, keys, label, arrival, now)

    def _struck(
        self, address: Address, keys: Collection[str], label: str, arrival: Callable[[], Arrival] | None, now: float
    ) -> Armed | None:
        shown = replace(address, key=label)
        for armed in self._weather.values():
            if (
                armed.weather is not None
                and armed.sits_on(address, keys)
                and armed.accepts(arrival)
                and armed.weather.strikes(self.seed, shown, armed.rank)
            ):
                return armed.fire(now, label)
        return None
