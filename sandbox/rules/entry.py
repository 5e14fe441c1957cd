"""The entries of a journal as rules see them: what the subject sent and saw, and what really happened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from sandbox.rules.facts import Facts, OperationFacts

SCENARIO: Final = ("sandbox-actor", "scenario")
NO_KEY: Final = "-"
_NOTHING: Final[Mapping[str, Any]] = {}

# Answers that say: not now. The work may or may not have been done behind a 5xx; behind the others it was not.
TRY_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
Shape = tuple[str, str, str, str, bytes]


class Call:
    """One call.

    Attributes:
        seq: Its place in the journal.
        at: When it arrived, in unix seconds.
        ended: When its answer had left, or its caller had given up.
        hung: Its caller got no answer, and has not given up as far as the journal tells.
        key: The business key; `-` if none.
        path: Below the system's URL.
        headers: Of the request, with lower-case names.
        idempotency_key: Bare; None when it carried none.
        applied: Whether it changed something.
        inject: The name of the fault that it met; empty if none.
        status: What was, or would have been, answered.
        seen: The status that the caller saw with the whole answer; None when the connection was lost.
        ok: The caller saw a 2xx that it could use.
        life: In which life of the subject it was made; the first is 0.
        scenario: The harness made it, as the shop's customer or the carrier.
    """

    __slots__ = (
        "_content",
        "address",
        "answer",
        "answer_headers",
        "applied",
        "at",
        "body",
        "changes",
        "ended",
        "events",
        "facts",
        "fault",
        "headers",
        "hung",
        "idempotency_key",
        "inject",
        "key",
        "life",
        "method",
        "occurrence",
        "ok",
        "operation",
        "outcome",
        "path",
        "query",
        "scenario",
        "seen",
        "seq",
        "status",
        "system",
    )

    def __init__(self, entry: Mapping[str, Any], facts: Facts, life: int) -> None:
        address, request, answer = entry["address"], entry.get("request") or _NOTHING, entry["answer"]
        self.seq: int = entry["seq"]
        self.at: float = entry["at"]
        self.life = life
        self.system: str = address["system"]
        self.operation: str = address["operation"]
        self.key: str = address["key"]
        self.occurrence: int = address["occurrence"]
        self.method: str = request.get("method", "")
        self.path: str = request.get("path", "")
        self.query: str = request.get("query", "")
        self.headers: Mapping[str, str] = request.get("headers", _NOTHING)
        self.body: Any = request.get("body")
        self.applied: bool = entry.get("effect") == "applied"
        self.changes: list[dict[str, Any]] = entry.get("changes") or []
        self.events: list[str] = entry.get("events") or []
        self.fault: Mapping[str, Any] = entry.get("fault") or _NOTHING
        self.inject: str = self.fault.get("inject", "")
        self.scenario = self.headers.get(SCENARIO[0]) == SCENARIO[1]
        key = self.headers.get("idempotency-key")
        self.idempotency_key = None if key is None else _bare(key)
        self.facts: OperationFacts = facts.of(self.system, self.operation, self.method)
        self._content: bytes | None = None

        left = entry.get("left_at")
        self.status: int | None = None
        self.answer: Any = None
        self.answer_headers: Mapping[str, str] = _NOTHING
        self.outcome = "unknown"
        self.ended: float = self.at if left is None else left
        if isinstance(answer, dict):
            self.status = answer.get("status")
            self.answer = answer.get("body")
            self.answer_headers = answer.get("headers") or _NOTHING
            self.outcome = answer.get("outcome", "sent")
            self.ended = max(answer.get("at", self.at), self.ended)
        self.seen = self.status if self.outcome == "sent" else None
        self.ok = self.seen is not None and 200 <= self.seen < 300 and self.inject != "malformed"
        self.hung = self.outcome == "lost" and left is None

    @property
    def content(self) -> bytes:
        """The request's body; equal bodies give equal bytes."""
        if self._content is None:
            self._content = b"" if self.body is None else orjson.dumps(self.body, option=orjson.OPT_SORT_KEYS)
        return self._content

    @property
    def shape(self) -> Shape:
        """What makes two requests the same request: where it goes, and all that it says."""
        return self.system, self.method, self.path, self.query, self.content

    @property
    def problem(self) -> str:
        """The slug of the problem type (RFC 9457) that the caller saw: `duplicate-email`; empty if none."""
        if self.seen is None or not isinstance(self.answer, dict):
            return ""
        return str(self.answer.get("type", "")).rstrip("/").rpartition("/")[2]

    @property
    def uncertain(self) -> bool:
        """Whether its caller cannot know if the work was done: nothing usable came, or a failure of the server."""
        return not self.ok and (self.seen is None or self.seen == 408 or self.seen >= 500 or self.inject == "malformed")

    @property
    def in_progress(self) -> bool:
        """Whether it was told that a request with its idempotency key still runs."""
        return self.seen == 409 and (self.inject == "conflict" or self.problem == "idempotency-key-in-progress")

    @property
    def name(self) -> str:
        """How sentences call it."""
        about = "" if self.key == NO_KEY else f" for {self.key}"
        return f"{self.system}.{self.operation}{about}"

    @property
    def place(self) -> str:
        """Where one finds it."""
        return f"occurrence {self.occurrence}, seq {self.seq}"

    @property
    def result(self) -> str:
        """What its caller saw, in words: `a 429`, `no answer`."""
        if self.seen is not None:
            return f"a {self.seen}" + (" that cannot be read" if self.inject == "malformed" else "")
        return {
            "lost": "no answer",
            "reset": "a reset connection",
            "cut": "half an answer",
        }.get(self.outcome, "an unknown end")


class Delivery:
    """One handing-over of an event to a subscriber.

    Attributes:
        seq: Its place in the journal; it is noted when it has ended.
        at: When it left, in unix seconds.
        ended: When it was answered or given up.
        id: The webhook-id, the same over all deliveries of an event.
        status: The answer's; None when there was none.
        error: Why there was none.
        forged: The event is none of the system's.
        dropped: It never left.
    """

    __slots__ = (
        "at",
        "attempt",
        "body",
        "dropped",
        "ended",
        "error",
        "event",
        "fault",
        "forged",
        "id",
        "inject",
        "key",
        "occurrence",
        "seq",
        "status",
        "subscriber",
        "system",
    )

    def __init__(self, entry: Mapping[str, Any]) -> None:
        address, answer = entry["address"], entry.get("answer") or _NOTHING
        self.seq: int = entry["seq"]
        self.at: float = entry["at"]
        self.system: str = entry.get("system", "")
        self.event: str = address["event"]
        self.key: str = address["key"]
        self.occurrence: int = address["occurrence"]
        self.subscriber: str = address["subscriber"]
        self.id: str = entry["event_id"]
        self.attempt: int = entry.get("attempt", 1)
        self.body: Any = (entry.get("request") or _NOTHING).get("body")
        self.fault: Mapping[str, Any] = entry.get("fault") or _NOTHING
        self.inject: str = self.fault.get("inject", "")
        self.status: int | None = answer.get("status")
        self.error: str = answer.get("error", "")
        self.ended: float = answer.get("at", self.at)
        self.forged = self.inject == "forged"
        self.dropped = self.error == "dropped"

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300

    @property
    def name(self) -> str:
        """How sentences call it."""
        about = "" if self.key == NO_KEY else f" for {self.key}"
        return f"{self.event}{about} ({self.id}, seq {self.seq})"

    @property
    def result(self) -> str:
        """What became of it, in words."""
        return f"answered {self.status}" if self.status is not None else self.error or "not answered"


def _bare(key: str) -> str:
    """A key as Stripe writes it; the quotes that the IETF's draft puts around it mean nothing."""
    key = key.strip()
    return key[1:-1] if len(key) >= 2 and key[0] == key[-1] == '"' else key
