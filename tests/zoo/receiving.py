"""Mistakes in taking webhooks and in polling: parts of the reference, each wrong in one respect (rules H)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import Any

from sandbox.integrator.inbox import Event
from sandbox.integrator.reconcile import Reconciler
from sandbox.integrator.signature import Forged, verify
from sandbox.integrator.trace import trace_id_of
from tests.zoo.altered import AlteredProcess

StartResponse = Callable[..., Any]
_WEEK = 7 * 24 * 3600.0


class Door:
    """The reference's webhook endpoint, written once more without Flask so that its parts can be replaced."""

    def __init__(self, process: AlteredProcess) -> None:
        self.process = process

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        body = environ["wsgi.input"].read()
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        try:
            webhook_id = self.verify(headers, body)
            event = Event.parse(body)
        except Forged:
            start_response("401 Unauthorized", [])
            return []
        except ValueError:
            start_response("400 Bad Request", [])
            return []
        self.accept(webhook_id, event, headers)
        start_response("204 No Content", [])
        return []

    def verify(self, headers: dict[str, str], body: bytes) -> str:
        config = self.process.config
        return verify(
            config.webhook_secret, headers, body, now=self.process.clock.now(), tolerance=config.webhook_tolerance
        )

    def accept(self, webhook_id: str, event: Event, headers: dict[str, str]) -> None:
        trace_id = trace_id_of(headers.get("traceparent"))
        self.process.inbox.receive(webhook_id, event, self.process.clock.now(), trace_id)


class BelievesEverybody(Door):
    """Checks no signature."""

    def verify(self, headers: dict[str, str], body: bytes) -> str:
        return headers.get("webhook-id", sha256(body).hexdigest())


class BelievesOldNews(Door):
    """Checks the signature, but not the age of what it signs."""

    def verify(self, headers: dict[str, str], body: bytes) -> str:
        signed_at = float(headers.get("webhook-timestamp", "0"))
        return verify(self.process.config.webhook_secret, headers, body, now=signed_at, tolerance=_WEEK)


class ChecksWhatItParsed(Door):
    """Checks the signature over the body as its own JSON library writes it."""

    def verify(self, headers: dict[str, str], body: bytes) -> str:
        written = json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False)
        return super().verify(headers, written.encode())


class OneSignatureOnly(Door):
    """Looks at the first signature and at no other, which fails while a secret is rotated."""

    def verify(self, headers: dict[str, str], body: bytes) -> str:
        first = headers.get("webhook-signature", "").partition(" ")[0]
        return super().verify({**headers, "webhook-signature": first}, body)


class WorksBeforeItAnswers(Door):
    """Carries the order through all systems, and then answers the webhook."""

    def accept(self, webhook_id: str, event: Event, headers: dict[str, str]) -> None:
        super().accept(webhook_id, event, headers)
        self.process.step()


class NeverReconciles(Reconciler):
    """Believes that no webhook is ever lost."""

    def due(self) -> float:
        return float("inf")


class ReconcilesEverything(Reconciler):
    """Asks for all orders each time, however old."""

    def poll(self) -> None:
        self._database.execute("DELETE FROM settings WHERE name = 'polled'")
        super().poll()
