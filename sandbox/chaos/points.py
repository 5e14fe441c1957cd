"""Which single faults can be placed on a run: every applicable fault at every point that the run reached.

The order is that of practice: what loses or doubles orders most often comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sandbox.chaos.runner import ACTOR
from sandbox.plan import CallPoint, DeliveryPoint, Effect, Injection, Occurrences
from sandbox.spec import Operation, Spec

_SAFE: Final = frozenset({"GET", "HEAD"})
_NATURAL: Final = frozenset({"GET", "HEAD", "PUT", "DELETE"})


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


def injection(on: CallPoint | DeliveryPoint, kind: Kind) -> Injection:
    return Injection(on, kind.inject, kind.effect, dict(kind.parameters))


def is_subjects(entry: Mapping[str, Any]) -> bool:
    """Whether the subject made this call; the scenario makes calls too."""
    request = entry.get("request") or {}
    return bool(entry["kind"] == "call" and request.get("headers", {}).get(ACTOR[0]) != ACTOR[1])


def candidates(journal: list[dict[str, Any]], specs: Mapping[str, Spec]) -> Iterator[Injection]:
    """Every applicable single fault at every point of a journal, the most telling kinds first."""
    calls = [CallPoint(a["system"], a["operation"], a["key"], _once(a)) for a in _addresses(journal, specs)]
    deliveries = [
        DeliveryPoint(a["event"], a["key"], _once(a))
        for entry in journal
        if entry["kind"] == "delivery" and entry["attempt"] == 1 and not entry.get("fault")
        for a in (entry["address"],)
    ]
    for kind in (*ON_WRITES, *ON_READS, *ON_ALL):
        for point in calls:
            if applies(kind, specs[point.system].operations[point.operation or ""]):
                yield injection(point, kind)
        if kind == ON_WRITES[0]:
            # Duplicates come right after lost answers: the two are what most incidents are made of.
            yield from (injection(point, first) for first in ON_DELIVERIES[:3] for point in deliveries)
    yield from (injection(point, kind) for kind in ON_DELIVERIES[3:] for point in deliveries)


def applies(kind: Kind, operation: Operation) -> bool:
    """Whether a kind makes sense at an operation, and can be survived there."""
    reads = operation.method in _SAFE or not _changes(operation)
    if kind in ON_WRITES and reads and kind not in ON_READS:
        return False
    if kind in ON_READS and not reads and kind not in ON_WRITES:
        return False
    if kind.inject == "conflict" and operation.idempotency == "none":
        return False
    if kind.inject == "unauthorized" and not operation.security:
        return False
    return weakness(kind, operation) is None


def weakness(kind: Kind, operation: Operation) -> Weakness | None:
    """Why no client can survive a kind at an operation, if that is so."""
    unguarded = operation.method == "POST" and operation.idempotency == "none"
    if kind.inject == "repeated_request" and unguarded and operation.meaning.action in ("create", "none"):
        reason = "the network may hand a POST over twice, and the API takes neither a key nor a natural key"
        return Weakness(operation.system, operation.id, kind.inject, reason)
    return None


def weaknesses(journal: list[dict[str, Any]], specs: Mapping[str, Spec]) -> tuple[Weakness, ...]:
    """The faults that no client can survive at the operations that a journal holds, each once."""
    found: dict[Weakness, None] = {}
    for address in _addresses(journal, specs):
        operation = specs[address["system"]].operations[address["operation"]]
        for kind in (*ON_WRITES, *ON_READS, *ON_ALL):
            if (weak := weakness(kind, operation)) is not None:
                found[weak] = None
    return tuple(found)


def _changes(operation: Operation) -> bool:
    """Whether an operation can have an effect; a POST that only searches has none."""
    return operation.method not in _SAFE and not operation.path.endswith("/search")


def _addresses(journal: list[dict[str, Any]], specs: Mapping[str, Spec]) -> Iterator[dict[str, Any]]:
    for entry in journal:
        if is_subjects(entry):
            address = entry["address"]
            if address["operation"] in specs[address["system"]].operations:
                yield address


def _once(address: Mapping[str, Any]) -> Occurrences:
    return Occurrences(address["occurrence"], address["occurrence"])
