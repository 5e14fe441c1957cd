"""Which single faults can be placed on a run: every applicable fault at every point that the run reached.

The order is that of practice: what loses or doubles orders most often comes first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Any, Final, TypeVar

from sandbox.chaos.customer import ACTOR
from sandbox.facts import is_natural, is_safe
from sandbox.faults.board import READING
from sandbox.plan import CallPoint, DeliveryPoint, Effect, Injection, Occurrences
from sandbox.spec import Operation, Spec

T = TypeVar("T")
Collection = tuple[str, str | None]


@dataclass(frozen=True, slots=True)
class Kind:
    """A fault as a search places it."""

    inject: str
    effect: Effect = "none"
    parameters: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Weakness:
    """A fault that no client can survive at this operation: a finding about the provider, not about the subject."""

    system: str
    operation: str
    inject: str
    reason: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the subject.

    Attributes:
        keyed: Whether it carried an idempotency key that the operation honours.
        bare: Whether nothing but a look-up tells if it happened: neither such a key nor a natural one.
    """

    point: CallPoint
    operation: Operation
    keyed: bool
    bare: bool


ON_WRITES: Final = (
    Kind("timeout", "applied"),
    Kind("reset", "applied"),
    Kind("server_error", "applied"),
    Kind("truncated", "applied"),
    Kind("malformed", "applied"),
    Kind("crash", "applied"),
    Kind("repeated_request", "applied"),
)
ON_READS: Final = (Kind("stale_read", "applied"), Kind("truncated", "applied"), Kind("malformed", "applied"))
ON_ALL: Final = (
    Kind("timeout"),
    Kind("server_error", "none", (("status", 503),)),
    Kind("rate_limited", "none", (("retry_after", 30),)),
    Kind("crash"),
    Kind("reset"),
    Kind("outage", "none", (("for", "10m"),)),
    Kind("unauthorized"),
    Kind("conflict"),
    Kind("redirect"),
    Kind("slow", "applied", (("delay", "5s"),)),
    Kind("schema_drift", "applied"),
)
ON_DELIVERIES: Final = (
    Kind("duplicate", "none", (("after", "3s"),)),
    Kind("concurrent_duplicate"),
    Kind("drop"),
    Kind("crash"),
    Kind("delay", "none", (("by", "10m"),)),
    Kind("reorder"),
    Kind("forged", "none", (("how", "unsigned"),)),
    Kind("forged", "none", (("how", "wrong_signature"),)),
    Kind("forged", "none", (("how", "old_timestamp"),)),
    Kind("rotated"),
    Kind("respaced"),
)
# Of the kinds on deliveries, how many are about an event that comes more than once, or not at all.
_DUPLICATES: Final = 3


def injection(on: CallPoint | DeliveryPoint, kind: Kind) -> Injection:
    return Injection(on, kind.inject, kind.effect, dict(kind.parameters))


def is_subjects(entry: Mapping[str, Any]) -> bool:
    """Whether the subject made this call; the scenario makes calls too."""
    request = entry.get("request") or {}
    return bool(entry["kind"] == "call" and request.get("headers", {}).get(ACTOR[0]) != ACTOR[1])


def candidates(journal: list[dict[str, Any]], specs: Mapping[str, Spec]) -> Iterator[Injection]:
    """Every applicable single fault at every point of a journal, each once, the most telling first.

    Lost answers and duplicates come first, everywhere: the two are what most incidents are made of. The other kinds
    take turns, so that a search that ends early has tried each of them somewhere, not a few of them everywhere.
    """
    calls = list(_calls(journal, specs))
    bare = _created_without_key(calls)
    calls = _in_turn(calls, lambda call: call.operation, lambda call: (is_safe(call.operation), call.point.key == "-"))
    deliveries = [
        DeliveryPoint(a["event"], a["key"], _once(a))
        for entry in journal
        if entry["kind"] == "delivery" and entry["attempt"] == 1 and not entry.get("fault")
        for a in (entry["address"],)
    ]
    deliveries = _in_turn(deliveries, lambda point: point.event)
    kinds = tuple(dict.fromkeys((*ON_WRITES, *ON_READS, *ON_ALL)))
    on_calls = [
        [
            injection(call.point, kind)
            for call in calls
            if applies(kind, call.operation, call.keyed) and weakness(kind, call, bare) is None
        ]
        for kind in kinds
    ]
    on_deliveries = [[injection(point, kind) for point in deliveries] for kind in ON_DELIVERIES]
    lost, twice = on_calls[:1], on_deliveries[:_DUPLICATES]
    yield from chain(*lost, *twice)
    for turn in zip_longest(*on_calls[1:], *on_deliveries[_DUPLICATES:]):
        yield from (fault for fault in turn if fault is not None)


def _in_turn(
    points: Sequence[T], place: Callable[[T], Hashable], rank: Callable[[T], tuple[bool, ...]] = lambda _: ()
) -> list[T]:
    """The points, each place once before any place again; by rank within a turn."""
    met: Counter[Hashable] = Counter()
    turns = []
    for point in points:
        turns.append(met[place(point)])
        met[place(point)] += 1
    order = sorted(range(len(points)), key=lambda number: (turns[number], rank(points[number])))
    return [points[number] for number in order]


def applies(kind: Kind, operation: Operation, keyed: bool | None = None) -> bool:
    """Whether a kind makes sense at an operation.

    Args:
        keyed: Whether the call carried an idempotency key; None when that is not known.
    """
    reads = is_safe(operation)
    if keyed is None:
        keyed = operation.idempotency != "none"
        if kind.inject == "repeated_request" and operation.method == "POST" and not keyed:
            return False
    if kind in ON_WRITES and reads and kind not in ON_READS:
        return False
    if kind in ON_READS and not reads and kind not in ON_WRITES:
        return False
    if kind.inject == "stale_read" and operation.method not in READING:
        return False
    if kind.inject == "conflict" and not keyed:
        return False
    return kind.inject != "unauthorized" or bool(operation.security)


def weakness(kind: Kind, call: Call, bare: frozenset[Collection]) -> Weakness | None:
    """Why no client can survive a kind at a call, if that is so.

    Args:
        bare: The collections in which the subject creates without a key of any sort.
    """
    operation = call.operation
    if kind.inject == "repeated_request" and call.bare:
        reason = "the network may hand a POST over twice, and it has neither an idempotency key nor a natural one"
        return Weakness(operation.system, operation.id, kind.inject, reason)
    if kind.inject == "stale_read" and (operation.system, operation.meaning.collection) in bare:
        reason = "it may not show yet what was created, and a look-up is all that protects a POST without a key"
        return Weakness(operation.system, operation.id, kind.inject, reason)
    return None


def weaknesses(journal: list[dict[str, Any]], specs: Mapping[str, Spec]) -> tuple[Weakness, ...]:
    """The faults that no client can survive at the operations that a journal holds, each once."""
    found: dict[Weakness, None] = {}
    calls = list(_calls(journal, specs))
    bare = _created_without_key(calls)
    for call in calls:
        for kind in (*ON_WRITES, *ON_READS, *ON_ALL):
            if applies(kind, call.operation, call.keyed) and (weak := weakness(kind, call, bare)) is not None:
                found[weak] = None
    return tuple(found)


def _calls(journal: list[dict[str, Any]], specs: Mapping[str, Spec]) -> Iterator[Call]:
    for entry in journal:
        if is_subjects(entry):
            address = entry["address"]
            spec = specs[address["system"]]
            operation = spec.operations.get(address["operation"])
            if operation is not None:
                point = CallPoint(address["system"], address["operation"], address["key"], _once(address))
                keyed = "idempotency-key" in entry["request"]["headers"] and operation.idempotency != "none"
                bare = operation.method == "POST" and not keyed and not is_natural(spec, operation)
                yield Call(point, operation, keyed, bare)


def _created_without_key(calls: list[Call]) -> frozenset[Collection]:
    return frozenset((call.operation.system, call.operation.meaning.collection) for call in calls if call.bare)


def _once(address: Mapping[str, Any]) -> Occurrences:
    return Occurrences(address["occurrence"], address["occurrence"])
