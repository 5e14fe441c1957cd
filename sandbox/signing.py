"""Signatures of webhooks (Standard Webhooks 1.0.0), made with the `standardwebhooks` package."""

from __future__ import annotations

from datetime import UTC, datetime

from standardwebhooks.webhooks import Webhook

PREFIX = "whsec_"


def sign(secret: str, message_id: str, at: float, body: bytes) -> tuple[tuple[str, str], ...]:
    """The three headers of a signed delivery.

    Args:
        secret: `whsec_` and base64.
        message_id: The event's id, the same over all its deliveries.
        at: Unix seconds of this attempt.
        body: The exact bytes that are sent.
    """
    moment = datetime.fromtimestamp(int(at), UTC)
    return (
        ("webhook-id", message_id),
        ("webhook-timestamp", str(int(at))),
        ("webhook-signature", Webhook(secret).sign(message_id, moment, body.decode())),
    )


def is_secret(text: str) -> bool:
    """Whether a text can be used as a webhook secret."""
    try:
        Webhook(text)
    except (ValueError, RuntimeError):
        return False
    return text.startswith(PREFIX)
