"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header, with Stripe's storing of answers).

A record belongs to one principal, system and operation. It holds the answer to the first request with its key for 24
hours of the world's clock; the lock that a running request holds lives in memory only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import orjson
import sqlalchemy as sa

from sandbox.model import Answer, Problem
from sandbox.statement import Statement
from sandbox.store import Transaction
from sandbox.tables import idempotency

LIFETIME: Final = 24 * 3600.0
LONGEST: Final = 255
REPLAYED: Final = ("Idempotent-Replayed", "true")
_NEVER_STORED: Final = frozenset({401, 403, 404, 413, 415, 429})


@dataclass(frozen=True, slots=True)
class Claim:
    """One request's use of a key."""

    scope: str
    key: str
    fingerprint: bytes


def normal_key(raw: str) -> str:
    """The key itself: the quoted form (an RFC 8941 string) and the bare form are the same key.

    Raises:
        Problem: 400 when the key is empty or longer than 255 characters.
    """
    key = raw.strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if not 0 < len(key) <= LONGEST:
        raise Problem(
            400,
            f"Idempotency-Key has {len(key)} characters; it takes 1 to {LONGEST}",
            type="invalid-idempotency-key",
            errors=[{"pointer": "Idempotency-Key", "detail": f"1 to {LONGEST} characters"}],
        )
    return key


def missing() -> Problem:
    """The answer to a request without the key that its operation requires."""
    return Problem(
        400,
        "this operation requires an Idempotency-Key header",
        title="Idempotency-Key is missing",
        type="idempotency-key-missing",
        errors=[{"pointer": "Idempotency-Key", "detail": "is required"}],
    )


def in_progress() -> Problem:
    """The answer to a request whose key is in use by one that still runs."""
    return Problem(
        409,
        "a request with this Idempotency-Key is still in progress; wait and retry with the same key",
        title="A request is outstanding for this Idempotency-Key",
        type="idempotency-key-in-progress",
        headers={"Retry-After": "1"},
    )


def claim(principal: str, system: str, operation: str, raw_key: str, method: str, path: str, body: Any) -> Claim:
    """Name a request: who, what, and a fingerprint of the payload (method, path and *parsed* body)."""
    payload = orjson.dumps([method, path, _plain(body)], option=orjson.OPT_SORT_KEYS)
    return Claim(f"{principal}\n{system}\n{operation}", normal_key(raw_key), hashlib.sha256(payload).digest())


def _plain(value: Any) -> Any:
    """The value with whole numbers as integers: 1290 and 1290.0 are one JSON number."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def storable(status: int) -> bool:
    """Whether an answer given by the mock's method is kept for replay."""
    return status < 500 and status not in _NEVER_STORED


_OF_EPOCH: Final = idempotency.c.epoch == sa.bindparam("e")
_THIS: Final = Statement(
    idempotency.select().where(
        _OF_EPOCH, idempotency.c.scope == sa.bindparam("scope"), idempotency.c.key == sa.bindparam("key")
    )
)
_FORGET: Final = Statement(idempotency.delete().where(_OF_EPOCH, idempotency.c.expires <= sa.bindparam("now")))


def recall(transaction: Transaction, claim: Claim, now: float) -> Answer | None:
    """The stored answer to this very request, or None when the key is new or has expired.

    Raises:
        Problem: 422 when the key was used with another payload.
    """
    if transaction.unused(claim.scope, claim.key):
        return None
    rows = transaction.select(_THIS, scope=claim.scope, key=claim.key)
    if not rows:
        return None
    row = rows[0]
    if row.expires <= now:
        # Committed by itself: the key is free whatever becomes of this call.
        transaction.execute(_FORGET, now=now)
        transaction.commit()
        return None
    if row.fingerprint != claim.fingerprint:
        raise Problem(
            422,
            "this Idempotency-Key was used before with another payload; use a new key for a new request",
            title="Idempotency-Key is already used",
            type="idempotency-key-reused",
        )
    headers = tuple((name, value) for name, value in orjson.loads(row.headers))
    return Answer(row.status, (*headers, REPLAYED), row.body)


def keep(transaction: Transaction, claim: Claim, answer: Answer, now: float) -> None:
    """Store the answer with the transaction that made it."""
    transaction.use(claim.scope, claim.key)
    transaction.add(
        idempotency,
        scope=claim.scope,
        key=claim.key,
        fingerprint=claim.fingerprint,
        status=answer.status,
        headers=orjson.dumps(answer.headers),
        body=answer.body,
        expires=now + LIFETIME,
    )


class Locks:
    """Keys whose first request is still running."""

    def __init__(self) -> None:
        self._held: set[tuple[str, str]] = set()

    def acquire(self, claim: Claim) -> None:
        """Take the lock.

        Raises:
            Problem: 409 while another request with the key runs.
        """
        if (claim.scope, claim.key) in self._held:
            raise in_progress()
        self._held.add((claim.scope, claim.key))

    def release(self, claim: Claim) -> None:
        self._held.discard((claim.scope, claim.key))
