"""The journal: what each side sent, what really took effect, and when.

A call leaves up to two rows. The *effect row* commits together with the change it tells of; the *outcome row* is
appended when the answer leaves. `merge` joins them into one entry; an effect row that never got its outcome (the
process was killed in between) reads `"answer": "unknown"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson

Entry = dict[str, Any]
UNKNOWN = "unknown"


def effect_row(seq: int, request: Entry, changes: list[Entry], events: list[str]) -> bytes:
    """What a call changed, with the request that did it (`at`, `address`, `request`)."""
    return orjson.dumps({"seq": seq, **request, "effect": "applied", "changes": changes, "events": events})


def outcome_row(seq: int, request: Entry | None, fault: Entry | None, answer: Entry) -> bytes:
    """How a call ended; `request` is given when no effect row carries it."""
    row: Entry = {"seq": seq, "fault": fault, "answer": answer}
    if request is not None:
        row |= request
    return orjson.dumps(row)


def left_row(seq: int, at: float) -> bytes:
    """When the caller of a call that got no answer gave up."""
    return orjson.dumps({"seq": seq, "left_at": at})


def loads(row: bytes) -> Entry:
    """What a row says."""
    entry: Entry = orjson.loads(row)
    return entry


def merge(rows: Iterable[bytes]) -> list[Entry]:
    """One entry for each `seq`, in the order of `seq`."""
    entries: dict[int, Entry] = {}
    for row in rows:
        part = orjson.loads(row)
        entries.setdefault(part["seq"], {}).update(part)
    return [_complete(entries[seq]) for seq in sorted(entries)]


def _complete(entry: Entry) -> Entry:
    kind = entry.get("kind", "call")
    whole: Entry = {"seq": entry["seq"], "kind": kind, "at": entry.get("at"), "address": entry.get("address")}
    if kind == "call":
        defaults: Entry = {"request": None, "effect": "none", "changes": [], "events": [], "fault": None}
        whole |= defaults | {"answer": UNKNOWN}
    return whole | entry


@dataclass(frozen=True, slots=True)
class Filter:
    """Which entries of a journal are wanted; a field left out matches all."""

    system: str | None = None
    operation: str | None = None
    key: str | None = None
    kind: Literal["call", "delivery", "note"] | None = None
    after: int = 0

    def apply(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        for entry in entries:
            address = entry.get("address") or {}
            if (
                entry["seq"] > self.after
                and self.kind in (None, entry["kind"])
                and self.system in (None, address.get("system"), entry.get("system"))
                and self.operation in (None, address.get("operation"), address.get("event"))
                and self.key in (None, address.get("key"))
            ):
                yield entry


def without_times(entry: Entry) -> Entry:
    """The entry without what differs between two runs that did the same: times and what is made of them."""
    timeless: Entry = _timeless(entry)
    return timeless


# Unix seconds, and headers that follow from the moment of a call.
_TIMES: Final = frozenset({"at", "due", "webhook-timestamp", "webhook-signature", "ratelimit", "retry-after"})
_DATE: Final = re.compile(
    r"\b\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
    r"(?:[T ]\d{2}(?::|%3A)\d{2}(?::|%3A)\d{2}(?:\.\d+)?(?:Z|(?:[+-]|%2B)\d{2}(?::|%3A)\d{2})?)?(?!\w)",
    re.IGNORECASE,
)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _timeless(item) for key, item in value.items() if key not in _TIMES and not key.endswith("_at")}
    if isinstance(value, list):
        return [_timeless(item) for item in value]
    return _DATE.sub("[time]", value) if isinstance(value, str) else value
