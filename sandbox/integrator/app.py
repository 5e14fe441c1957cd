"""The web application: takes webhooks in, and says how things stand."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, json, request

from sandbox.clock import Clock
from sandbox.integrator.agenda import Agenda
from sandbox.integrator.inbox import Event, Inbox
from sandbox.integrator.signature import Forged, verify
from sandbox.integrator.trace import trace_id_of

__all__ = ["create_app"]

log = logging.getLogger(__name__)

_LARGEST_BODY = 1024 * 1024


def create_app(
    inbox: Inbox, agenda: Agenda, clock: Clock, *, secret: str, tolerance: float, received: Callable[[], None]
) -> Flask:
    """Build the application.

    Args:
        secret: What webhooks are signed with.
        tolerance: How old a webhook may be, in seconds.
        received: Called after a new webhook is stored.
    """
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY

    @app.post("/webhooks")
    def receive_webhook() -> Response:
        """Store a webhook and answer at once; the work is the worker's. The shop may forget it after this 2xx."""
        body = request.get_data()
        try:
            webhook_id = verify(secret, dict(request.headers), body, now=clock.now(), tolerance=tolerance)
            event = Event.parse(body)
        except Forged as error:
            log.warning("refused a webhook: %s", error)
            return _problem(HTTPStatus.UNAUTHORIZED, str(error))
        except ValueError as error:
            log.warning("refused a webhook: %s", error)
            return _problem(HTTPStatus.BAD_REQUEST, str(error))
        if inbox.receive(webhook_id, event, clock.now(), trace_id_of(request.headers.get("traceparent"))):
            received()
        return Response(status=HTTPStatus.NO_CONTENT)

    @app.get("/health")
    def health() -> dict[str, Any]:
        """That we are alive, and how many orders are known, due and parked."""
        return {"status": "ok", "orders": agenda.count()}

    return app


def _problem(status: HTTPStatus, detail: str) -> Response:
    """A refusal as RFC 9457 has it."""
    problem = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
    return Response(json.dumps(problem), status, content_type="application/problem+json")
