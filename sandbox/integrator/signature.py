"""Who sent a webhook: Standard Webhooks 1.0.0, checked on the raw bytes."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from datetime import UTC, datetime

from standardwebhooks import Webhook

__all__ = ["Forged", "verify"]


class Forged(Exception):
    """A delivery that does not prove to come from the shop, or that is too old to be believed."""


def verify(secret: str, headers: Mapping[str, str], body: bytes, *, now: float, tolerance: float) -> str:
    """Check a delivery and return its `webhook-id`, which is the same over redeliveries.

    Any one of several signatures may match, so that secrets can be rotated.

    Args:
        secret: The subscription's secret, `whsec_` and base64.
        headers: The request's headers, by any case.
        body: The body as it came over the wire; parsed and written again it would be another one.
        now: The current time in unix seconds. The package's own `verify` reads the wall clock, so it only signs here.
        tolerance: How far the timestamp may be from `now`, in seconds.

    Raises:
        Forged: when a header is missing or malformed, the timestamp is too far off, or no signature matches.
    """
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp, signatures = (given.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature"))
    if not message_id or not signatures:
        raise Forged("webhook-id or webhook-signature is missing")
    if not (timestamp.isascii() and timestamp.isdecimal()) or abs(now - float(timestamp)) > tolerance:
        raise Forged("webhook-timestamp is missing or too far from the present")
    try:
        expected = Webhook(secret).sign(message_id, datetime.fromtimestamp(int(timestamp), tz=UTC), body.decode())
    except UnicodeDecodeError:
        raise Forged("the body is not UTF-8") from None
    if not any(hmac.compare_digest(expected.encode(), given.encode()) for given in signatures.split()):
        raise Forged("no signature matches")
    return message_id
