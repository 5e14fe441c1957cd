"""Signatures of webhooks (Standard Webhooks 1.0.0), made with the `standardwebhooks` package.

`sign` is how a delivery is sealed. The other seals are for faults: what a forger can do, and what a rotated secret
looks like. All have the form of `Seal`, so that one can stand in for another.
"""

from __future__ import annotations

import base64
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from standardwebhooks.webhooks import EmptyWebhookSecretError, Webhook

from sandbox.model import Headers

PREFIX: Final = "whsec_"
SIGNATURE: Final = "webhook-signature"

Seal = Callable[[str, str, float, bytes], Headers]
"""Makes the headers of a delivery from the subscription's secret, the event's id, the time and the exact bytes."""


def sign(secret: str, message_id: str, at: float, body: bytes) -> Headers:
    """The three headers of a signed delivery.

    Args:
        secret: `whsec_` and base64.
        message_id: The event's id, the same over all its deliveries.
        at: Unix seconds of this attempt.
        body: The exact bytes that are sent.

    Raises:
        ValueError: when the secret is none.
    """
    return (*unsigned(secret, message_id, at, body), (SIGNATURE, _signature(secret, message_id, at, body)))


def unsigned(secret: str, message_id: str, at: float, body: bytes) -> Headers:  # noqa: ARG001 - the form of a seal
    """The headers without a signature."""
    return (("webhook-id", message_id), ("webhook-timestamp", str(int(at))))


def signed_by(other: str) -> Seal:
    """Signs with another secret than the subscription's."""

    def seal(_secret: str, message_id: str, at: float, body: bytes) -> Headers:
        return sign(other, message_id, at, body)

    return seal


def backdated(age: float) -> Seal:
    """Signs rightly, but with a timestamp that is `age` seconds old."""

    def seal(secret: str, message_id: str, at: float, body: bytes) -> Headers:
        return sign(secret, message_id, at - age, body)

    return seal


def rotated(other: str) -> Seal:
    """Signs twice, as while a secret is rotated: first with another secret, then with the subscription's."""

    def seal(secret: str, message_id: str, at: float, body: bytes) -> Headers:
        both = f"{_signature(other, message_id, at, body)} {_signature(secret, message_id, at, body)}"
        return (*unsigned(secret, message_id, at, body), (SIGNATURE, both))

    return seal


def new_secret(chance: random.Random) -> str:
    """A secret of 24 bytes."""
    return PREFIX + base64.b64encode(chance.randbytes(24)).decode()


def _signature(secret: str, message_id: str, at: float, body: bytes) -> str:
    return _webhook(secret).sign(message_id, datetime.fromtimestamp(int(at), UTC), body.decode())


def _webhook(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except (ValueError, EmptyWebhookSecretError):
        raise ValueError("a webhook secret is whsec_ and base64") from None
