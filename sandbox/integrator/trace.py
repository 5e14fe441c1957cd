"""The correlation id that lets one order be followed through all systems (W3C Trace Context)."""

from __future__ import annotations

import re
from random import Random

__all__ = ["Trace", "trace_id_of"]

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class Trace:
    """The trace that the work in hand belongs to."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self.start()

    def start(self, trace_id: str | None = None) -> None:
        """Let all requests from now on belong to a trace, or to a new one."""
        self._id = trace_id or f"{self._random.getrandbits(128) or 1:032x}"

    def parent(self) -> str:
        """The `traceparent` header of the next request."""
        return f"00-{self._id}-{self._random.getrandbits(64) or 1:016x}-01"


def trace_id_of(traceparent: str | None) -> str | None:
    """The trace id in a `traceparent` header; None when there is none, or none that is valid."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found[1] if found else None
