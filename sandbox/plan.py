"""Plans: which fault at which point. Read from YAML, JSON or Python, with the same field names everywhere.

```yaml
scenario: one-paid-order
seed: 7
faults:
  - on: {system: accounting, operation: create_invoice, key: "2025-4471", occurrence: 1}
    inject: timeout
    effect: applied
  - on: {event: order.paid, key: "2025-4471"}
    inject: duplicate
    with: {after: 3s}
weather:
  - on: {system: accounting}
    inject: server_error
    rate: 5 %
```

Here is the data; `sandbox.plan_document` reads it from JSON values, `sandbox.plan_file` from and to files.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from sandbox.errors import PlanError
from sandbox.model import CallAddress, DeliveryAddress, Headers

Effect = Literal["none", "applied"]

LONGEST_SPAN: Final = 315_360_000.0
_SPAN: Final = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d)?")
_UNITS: Final = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%")
_CALL_FIELDS: Final = frozenset({"system", "operation", "key", "occurrence"})
_DELIVERY_FIELDS: Final = frozenset({"event", "key", "occurrence", "subscriber"})


@contextmanager
def located(pointer: str) -> Iterator[None]:
    """What is wrong inside the block stands below `pointer`."""
    try:
        yield
    except PlanError as error:
        raise PlanError(error.message, error.hint, pointer + error.pointer) from None


def seconds(span: Any, where: str = "span") -> float:
    """A span such as `3s`, `250ms`, `10m`, `2h`, `1d` or a plain number, in seconds.

    Raises:
        PlanError: when it is none of these, or longer than ten years.
    """
    value: float | None = None
    if isinstance(span, (int, float)) and not isinstance(span, bool):
        value = span
    elif isinstance(span, str) and (found := _SPAN.fullmatch(span.strip())) is not None:
        value = float(found[1]) * _UNITS[found[2]]
    if value is None or not 0 <= value <= LONGEST_SPAN:
        raise PlanError(f"{where}: {span!r} is not a span of time", "write seconds or a unit: 3s, 250ms, 10m, 2h")
    return float(value)


def span_text(value: float) -> str | float:
    """The shortest way to write a span, such that `seconds` reads the same number again."""
    for unit in ("d", "h", "m", "s", "ms"):
        text = f"{value / _UNITS[unit]:.0f}{unit}"
        if value and not text.startswith("0") and seconds(text) == value:
            return text
    return value


def share(rate: Any) -> float:
    """A rate such as `5 %` or 0.05, as a number above 0 and up to 1.

    Raises:
        PlanError: when it is neither.
    """
    value: float | None = None
    if isinstance(rate, (int, float)) and not isinstance(rate, bool):
        value = rate
    elif isinstance(rate, str) and (found := _PERCENT.fullmatch(rate.strip())) is not None:
        value = float(found[1]) / 100
    if value is None or not 0 < value <= 1:
        raise PlanError(
            f"rate: {rate!r} is no share of the calls", "write 5 % or 0.05; more than nothing, at most 100 %"
        )
    return float(value)


def share_text(rate: float) -> str | float:
    """A rate in percent, or as the number where percent would round it."""
    text = f"{rate * 100:.9g} %"
    found = _PERCENT.fullmatch(text)
    return text if found is not None and float(found[1]) / 100 == rate else rate


def draw(seed: int, *parts: str) -> float:
    """A number from 0 up to 1 that depends on its arguments only, whatever else happens and in whatever process."""
    text = "\n".join((str(seed), *parts)).encode("utf-8", "surrogatepass")
    return (int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 11) / (1 << 53)


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
            return ANY
        found = re.fullmatch(r"([0-9]{1,9})(?:-([0-9]{1,9}))?", str(value)) if not isinstance(value, bool) else None
        if found is not None:
            first, last = int(found[1]), int(found[2] or found[1])
            if 1 <= first <= last:
                return cls(first, last)
        raise PlanError(f"occurrence: {value!r} names no arrival", "write a number from 1, a range such as 1-2, or any")

    def to_json(self) -> int | str:
        if self.last is None:
            return "any"
        return self.first if self.first == self.last else f"{self.first}-{self.last}"


FIRST: Final = Occurrences()
ANY: Final = Occurrences(1, None)


@dataclass(frozen=True, slots=True)
class CallPoint:
    """The calls that a fault sits on; `operation` None is each of the system, `key` None is each key.

    Keys and occurrences are counted for each operation and key by itself.
    """

    system: str
    operation: str | None = None
    key: str | None = None
    occurrence: Occurrences = FIRST

    def matches(self, address: CallAddress) -> bool:
        return (
            self.system == address.system
            and self.operation in (None, address.operation)
            and self.key in (None, address.key)
            and address.occurrence in self.occurrence
        )

    def to_json(self) -> dict[str, Any]:
        on: dict[str, Any] = {"system": self.system}
        if self.operation is not None:
            on["operation"] = self.operation
        if self.key is not None:
            on["key"] = self.key
        return on | {"occurrence": self.occurrence.to_json()}


@dataclass(frozen=True, slots=True)
class DeliveryPoint:
    """The deliveries that a fault sits on; `subscriber` None is each of them."""

    event: str
    key: str | None = None
    occurrence: Occurrences = FIRST
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


Point = CallPoint | DeliveryPoint


@dataclass(frozen=True, slots=True)
class Match:
    """What else must be true of a call or an event.

    Args:
        body: JSON pointer (RFC 6901) into the parsed body -> the value that must stand there.
        header: Name in any case -> the value that must have been sent, as it was sent, secrets included.
    """

    body: Mapping[str, Any] = field(default_factory=dict)
    header: Mapping[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.body or self.header)

    def accepts(self, headers: Headers, body: Any) -> bool:
        return all(
            any(name.lower() == wanted.lower() and value == text for name, value in headers)
            for wanted, text in self.header.items()
        ) and all(_equal(value, _at(body, pointer)) for pointer, value in self.body.items())

    def to_json(self) -> dict[str, Any]:
        found = {"body": dict(self.body), "header": dict(self.header)}
        return {name: value for name, value in found.items() if value}


_NOTHING: Final = object()


def _at(value: Any, pointer: str) -> Any:
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping) and token in value:
            value = value[token]
        elif isinstance(value, list) and token.isdecimal() and int(token) < len(value):
            value = value[int(token)]
        else:
            return _NOTHING
    return value


def _equal(wanted: Any, found: Any) -> bool:
    # In JSON true is not 1, in Python it is.
    return isinstance(wanted, bool) == isinstance(found, bool) and wanted == found


@dataclass(frozen=True, slots=True)
class Injection:
    """One fault of a plan.

    Args:
        on: Where it sits.
        inject: Its name in the registry.
        effect: Whether the work was done before the caller saw it.
        parameters: The plan's `with:`.
        match: What else must be true of the call or event.
        count: It fires so many times at most; None is as often as its point is met.
        ttl: It lifts by itself so many seconds of the world's clock after it was armed; None is never.
    """

    on: Point
    inject: str
    effect: Effect = "none"
    parameters: Mapping[str, Any] = field(default_factory=dict)
    match: Match = field(default_factory=Match)
    count: int | None = None
    ttl: float | None = None

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"on": self.on.to_json(), "inject": self.inject}
        if self.effect != "none":
            document["effect"] = self.effect
        if self.parameters:
            document["with"] = dict(self.parameters)
        if self.match:
            document["match"] = self.match.to_json()
        if self.count is not None:
            document["count"] = self.count
        if self.ttl is not None:
            document["ttl"] = span_text(self.ttl)
        return document


@dataclass(frozen=True, slots=True)
class Weather:
    """A fault that strikes a share of the calls or deliveries at its point, drawn from seed and address alone.

    Args:
        on: Where it may strike; its occurrence left out is any.
        rate: The share, above 0 and up to 1.
    """

    on: Point
    inject: str
    rate: float
    effect: Effect = "none"
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def injection(self) -> Injection:
        """The fault, where it strikes."""
        return Injection(self.on, self.inject, self.effect, self.parameters)

    def strikes(self, seed: int, address: CallAddress | DeliveryAddress, rank: int = 0) -> bool:
        """Whether it strikes at an address; the same at any concurrency and in any process.

        Args:
            address: Where its point matches.
            rank: How many weather faults of the same name stand before it in the plan, so that two do not share luck.
        """
        parts = (str(value) for value in address.to_json().values())
        return draw(seed, self.inject, str(rank), *parts) < self.rate

    def to_json(self) -> dict[str, Any]:
        return self.injection.to_json() | {"rate": share_text(self.rate)}


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole input of a run.

    Args:
        faults: Tried in this order; the first that matches is met.
        weather: Tried in this order where no fault of the above is met.
        scenario: The workload: its name, or all of it as a document.
        seed: Decides the weather, and all data of a world made for the plan; None leaves it to the world.
        description: What it is about, in sentences.
        expect: What a reproducer breaks: `{"rule": "F01"}`.
        specs: By system, the SHA-256 of the spec that a reproducer was found with, in hexadecimal.
    """

    faults: tuple[Injection, ...] = ()
    weather: tuple[Weather, ...] = ()
    scenario: str | Mapping[str, Any] | None = None
    seed: int | None = None
    description: str | None = None
    expect: Mapping[str, str] = field(default_factory=dict)
    specs: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The plan as a document; fields that are left out of it stay out."""
        head: dict[str, Any] = {"description": self.description, "scenario": self.scenario, "seed": self.seed}
        document = {name: value for name, value in head.items() if value is not None}
        for name, value in (("expect", self.expect), ("specs", self.specs)):
            if value:
                document[name] = dict(value)
        if self.faults or not self.weather:
            document["faults"] = [fault.to_json() for fault in self.faults]
        if self.weather:
            document["weather"] = [rule.to_json() for rule in self.weather]
        return document


def parse_point(on: Mapping[str, Any], default: Occurrences = FIRST) -> Point:
    """Read the `on:` of a fault.

    Args:
        default: Which arrivals are meant where `occurrence` is left out.

    Raises:
        PlanError: when it addresses neither a call nor a delivery.
    """
    with located("/occurrence"):
        occurrence = Occurrences.parse(on["occurrence"]) if "occurrence" in on else default
    key = None if on.get("key") is None else str(on["key"])
    if "event" in on and set(on) <= _DELIVERY_FIELDS:
        return DeliveryPoint(str(on["event"]), key, occurrence, on.get("subscriber"))
    if "system" in on and set(on) <= _CALL_FIELDS:
        return CallPoint(str(on["system"]), on.get("operation"), key, occurrence)
    raise PlanError(
        f"on: {dict(on)} addresses neither a call nor a delivery",
        "a call is {system, operation, key, occurrence}, a delivery {event, key, occurrence, subscriber}",
    )
