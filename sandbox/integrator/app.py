"""The web application: takes webhooks in, and says how things stand."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, json, request

from sandbox.clock import Clock
from sandbox.integrator.agenda import Agenda
from sandbox.integrator.inbox import Event, Inbox
from sandbox.integrator.signature import Forged, verify
from sandbox.integrator.trace import trace_id_of

__all__ = ["Application"]

log = logging.getLogger(__name__)

_LARGEST_BODY = 1024 * 1024
_PARTS = "sandbox.integrator.parts"


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the views work with."""

    inbox: Inbox
    agenda: Agenda
    clock: Clock
    secret: str
    tolerance: float
    received: Callable[[], None]


class Application:
    """The WSGI application of one integrator.

    Args:
        secret: What webhooks are signed with.
        tolerance: How old a webhook may be, in seconds.
        received: Called after a new webhook is stored.
    """

    def __init__(
        self, inbox: Inbox, agenda: Agenda, clock: Clock, *, secret: str, tolerance: float, received: Callable[[], None]
    ) -> None:
        self._parts = _Parts(inbox, agenda, clock, secret, tolerance, received)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[_PARTS] = self._parts
        return _flask()(environ, start_response)


@functools.cache
def _flask() -> Flask:
    """The routes, built once: whoever starts many integrators in a process, as tests do, pays for them once."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = _LARGEST_BODY
    app.add_url_rule("/webhooks", view_func=receive_webhook, methods=["POST"])
    app.add_url_rule("/health", view_func=health)
    return app


def receive_webhook() -> Response:
    """Store a webhook and answer at once; the work is the worker's. The shop may forget it after this 2xx."""
    parts: _Parts = request.environ[_PARTS]
    now, body = parts.clock.now(), request.get_data()
    try:
        webhook_id = verify(parts.secret, dict(request.headers.items()), body, now=now, tolerance=parts.tolerance)
        event = Event.parse(body)
    except Forged as error:
        log.warning("refused a webhook: %s", error)
        return _problem(HTTPStatus.UNAUTHORIZED, str(error))
    except ValueError as error:
        log.warning("refused a webhook: %s", error)
        return _problem(HTTPStatus.BAD_REQUEST, str(error))
    if parts.inbox.receive(webhook_id, event, now, trace_id_of(request.headers.get("traceparent"))):
        parts.received()
    return Response(status=HTTPStatus.NO_CONTENT)


def health() -> dict[str, Any]:
    """That we are alive, and how many orders are known, due and parked."""
    parts: _Parts = request.environ[_PARTS]
    return {"status": "ok", "orders": parts.agenda.count()}


def _problem(status: HTTPStatus, detail: str) -> Response:
    """A refusal as RFC 9457 has it."""
    problem = {"type": "about:blank", "title": status.phrase, "status": status, "detail": detail}
    return Response(json.dumps(problem), status, content_type="application/problem+json")
