"""Rate limits as APIs have them: so many requests per window and principal (draft-ietf-httpapi-ratelimit-headers)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from sandbox.model import Problem

QUOTA_EXCEEDED: Final = "https://iana.org/assignments/http-problem-types#quota-exceeded"


@dataclass(frozen=True, slots=True)
class Quota:
    """What is left to a caller after a request; `remaining` is -1 when this request was too many.

    Attributes:
        reset: Seconds until the window ends.
    """

    limit: int
    per: float
    remaining: int
    reset: float

    def headers(self) -> tuple[tuple[str, str], ...]:
        """`RateLimit-Policy` and `RateLimit`."""
        return (
            ("RateLimit-Policy", f'"default";q={self.limit};w={math.ceil(self.per)}'),
            ("RateLimit", f'"default";r={max(0, self.remaining)};t={math.ceil(self.reset)}'),
        )

    def problem(self) -> Problem:
        """The 429, with a Retry-After that is true: a call after it succeeds."""
        wait = max(1, math.ceil(self.reset))
        return Problem(
            429,
            f"{self.limit} requests per {self.per:g} s are allowed; retry after {wait} s",
            title="Request cannot be satisfied as assigned quota has been exceeded",
            type=QUOTA_EXCEEDED,
            headers={"Retry-After": str(wait), **dict(self.headers())},
        )


class RateLimiter:
    """Fixed windows, one per (principal, scope), each beginning with its first request."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], tuple[float, int]] = {}

    def take(self, principal: str, scope: str, limit: int, per: float, now: float) -> Quota:
        """Count a request and say what is left."""
        start, used = self._windows.get((principal, scope), (now, 0))
        if now >= start + per:
            start, used = now, 0
        if used < limit:
            used += 1
            self._windows[principal, scope] = (start, used)
            return Quota(limit, per, limit - used, start + per - now)
        return Quota(limit, per, -1, start + per - now)
