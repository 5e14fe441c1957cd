"""A customer of the shop: takes a scenario's steps, one after the other, until each has succeeded."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from sandbox.chaos.scenario import Scenario, Step, complete_order, new_address
from sandbox.clock import Clock
from sandbox.credentials import Credential
from sandbox.model import Answer
from sandbox.sample import SeededFaker, sample
from sandbox.spec import Operation, Spec

# Marks the scenario's own calls in the journal, so that no rule takes them for the subject's.
ACTOR: Final = ("sandbox-actor", "scenario")
_MOST_TRIES: Final = 100
_NO_ANSWER: Final = Answer(504)
_MOMENT: Final = "2026-01-01T00:00:00.000Z"

Send = Callable[[str, str, str, Mapping[str, str], bytes], Answer | None]
"""Sends a request (system, method, path, headers, body); None when no answer came."""

SHOP: Final = "shop"


class Customer:
    """Takes steps.

    Args:
        specs: Of the systems that it calls.
        faker: Believable data that depend on the seed and a name.
        trouble: Told in one sentence what never succeeded: such a run says nothing about the subject.
        pause: Seconds between two tries of a step that met a fault in the subject's stead.
    """

    def __init__(
        self,
        specs: Mapping[str, Spec],
        faker: Callable[..., SeededFaker],
        send: Send,
        clock: Clock,
        trouble: Callable[[str], None],
        pause: float,
    ) -> None:
        self._specs = specs
        self._faker = faker
        self._send = send
        self._clock = clock
        self._trouble = trouble
        self._pause = pause

    def act(self, begun: float, steps: list[Step]) -> None:
        """Take steps one after the other, each not before its time."""
        for step in steps:
            self._clock.sleep(max(0.0, begun + step.at - self._clock.now()))
            self._take(step)

    def _take(self, step: Step) -> None:
        chance = self._faker("scenario", step.action, step.order)
        order = f"/orders/{step.order}"
        match step.action:
            case "place":
                self._call("POST", "/orders", complete_order(step.body, chance))
            case "pay":
                self._call("POST", f"{order}/pay")
            case "cancel":
                self._call("POST", f"{order}/cancel")
            case "change_address":
                address = dict(step.body) or new_address(chance)
                current = self._call("GET", order)
                self._call("PUT", f"{order}/delivery-address", address, {"If-Match": current[1]})
            case "cancel_line_item":
                items = self._call("GET", order)[0].get("items", [])
                active = [item["line_item_id"] for item in items if item["status"] == "active"]
                self._call("DELETE", f"{order}/line-items/{active[0] if active else 'none'}")
            case "set_stock":
                self._call("PUT", f"/products/{step.order}/stock", dict(step.body))
            case "call":
                self._perform(step, chance)

    def _perform(self, step: Step, chance: SeededFaker) -> None:
        """Call any operation of any system."""
        system, _, name = step.body["operation"].partition(".")
        spec = self._specs[system]
        operation = spec.operations[name]
        left, path = dict(step.body.get("parameters", {})), operation.path
        for parameter in operation.parameters:
            if parameter.location == "path" and parameter.name in left:
                path = path.replace(f"{{{parameter.name}}}", quote(str(left.pop(parameter.name)), safe=""))
        body = step.body.get("with")
        media = operation.body.media("application/json") if operation.body is not None else None
        if body is None and media is not None:
            body = media.example
        if body is None and media is not None and media.schema is not None:
            body = sample(media.schema, spec.document, chance, _MOMENT, hidden="readOnly")
        headers = {"idempotency-key": f"scenario-{name}-{step.order}-{step.at:g}"} if _keyed(operation) else {}
        query = f"?{urlencode(left)}" if left else ""
        self._call(operation.method, f"{path}{query}", body, headers, system)

    def _call(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        system: str = SHOP,
    ) -> tuple[dict[str, Any], str]:
        """One request, until it succeeds: its answer, and its entity tag."""
        content = b"" if body is None else json.dumps(body).encode()
        answer = _NO_ANSWER
        for _ in range(_MOST_TRIES):
            answer = self._send(system, method, path, {ACTOR[0]: ACTOR[1], **(headers or {})}, content) or answer
            if answer.status < 500 and answer.status != 429:
                break
            # A fault of the shop that met its customer instead of the subject.
            self._clock.sleep(self._pause)
        if answer.status >= 300:
            self._trouble(f"the scenario's {method} {path} was answered {answer.status}")
        document = answer.json()
        return (document if isinstance(document, dict) else {}), answer.header("etag") or ""


def by_customer(scenario: Scenario) -> list[list[Step]]:
    """The steps about each order by themselves: nobody pays what is not placed yet, however long that takes."""
    found: dict[str, list[Step]] = {}
    for step in scenario.steps:
        found.setdefault(step.order, []).append(step)
    return list(found.values())


def _keyed(operation: Operation) -> bool:
    return any(parameter.name.lower() == "idempotency-key" for parameter in operation.parameters)


def keys_of(credentials: Iterable[Credential], system: str) -> dict[str, str]:
    """The headers by which a system knows the integrator, where they need no token that is fetched first."""
    headers: dict[str, str] = {}
    for credential in credentials:
        if credential.system != system or credential.principal != "integrator":
            continue
        values = credential.values
        match credential.kind:
            case "api_key" if credential.header:
                headers[credential.header] = next(iter(values.values()))
            case "bearer":
                headers["authorization"] = f"Bearer {values['token']}"
            case "authorized":
                headers["authorization"] = f"Bearer {values['access_token']}"
            case "basic":
                pair = f"{values['username']}:{values['password']}"
                headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return headers
