"""A project of two systems and an integrator of two calls, small enough to be searched by brute force.

The integrator looks whether an order is booked, and books it if not. Its mistake: a look-up that fails counts as one
that found nothing. No single fault shows it, because the first look-up rightly finds nothing.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from sandbox.chaos.subject import Surroundings

LEDGER = """
openapi: 3.0.3
info: {title: Ledger, version: "1"}
paths:
  /entries:
    post:
      operationId: book
      x-business-key: $request.body#/order_number
      requestBody:
        required: true
        content: {application/json: {schema: {$ref: "#/components/schemas/Entry"}}}
      responses:
        "201":
          description: Booked.
          content: {application/json: {schema: {$ref: "#/components/schemas/Entry"}}}
        default: {description: Anything else.}
    get:
      operationId: look_up
      x-business-key: $request.query.order_number
      parameters: [{name: order_number, in: query, schema: {type: string}}]
      responses:
        "200":
          description: What was booked.
          content:
            application/json:
              schema:
                type: object
                properties: {entries: {type: array, items: {$ref: "#/components/schemas/Entry"}}}
        default: {description: Anything else.}
components:
  schemas:
    Entry:
      type: object
      required: [order_number]
      properties: {id: {type: string}, order_number: {type: string}}
"""

INVARIANTS = '''
from sandbox import Violation, invariant


@invariant("X01")
def booked_once(run):
    """Each order is booked exactly once."""
    booked = [entry["order_number"] for entry in run.records("ledger", "entries")]
    for order in run.records("shop", "orders"):
        number = order["order_number"]
        if booked.count(number) != 1:
            yield Violation(f"order {number} was booked {booked.count(number)} times", key=number)
'''

PERIOD = 60.0


def make_project(checkout: Path, folder: Path) -> Path:
    """Write the project."""
    for name in ("specs/shop.yaml", "mocks/shop.py"):
        (folder / name).parent.mkdir(parents=True)
        shutil.copy(checkout / name, folder / name)
    (folder / "specs" / "ledger.yaml").write_text(LEDGER)
    (folder / "contracts").mkdir()
    (folder / "contracts" / "invariants.py").write_text(INVARIANTS)
    return folder


class TinyProcess:
    """One life of the integrator."""

    def __init__(self, surroundings: Surroundings, careful: bool) -> None:
        self._clock = surroundings.clock
        self._session = surroundings.session()
        self._shop, self._ledger = surroundings.environment["SHOP_URL"], surroundings.environment["LEDGER_URL"]
        self._key = surroundings.environment["SHOP_API_KEY"]
        self._booked: set[str] = surroundings.disk.setdefault("booked", set())
        self._careful = careful

    def app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        start_response("404 Not Found", [])
        return []

    def boot(self) -> None:
        pass

    def step(self) -> float:
        try:
            found = self._get(f"{self._shop}/orders", {"X-Shop-Api-Key": self._key})
        except (requests.RequestException, ValueError):
            found = {"orders": []}
        for order in found["orders"]:
            if order["order_number"] not in self._booked:
                self._book(order["order_number"])
        return self._clock.now() + PERIOD

    def _book(self, number: str) -> None:
        try:
            known = self._get(f"{self._ledger}/entries?order_number={number}", {})["entries"]
        except (requests.RequestException, ValueError):
            if self._careful:
                return
            known = []
        if not known:
            try:
                self._session.post(
                    f"{self._ledger}/entries", json={"order_number": number}, timeout=5
                ).raise_for_status()
            except requests.RequestException:
                return
        self._booked.add(number)

    def _get(self, url: str, headers: dict[str, str]) -> Any:
        answer = self._session.get(url, headers=headers, timeout=5)
        answer.raise_for_status()
        return answer.json()


class Tiny:
    """The integrator with its mistake."""

    name = "tiny"
    reconcile_every: float | None = PERIOD
    careful = False

    def start(self, surroundings: Surroundings) -> TinyProcess:
        return TinyProcess(surroundings, self.careful)


class Careful(Tiny):
    """The same without the mistake."""

    name = "careful"
    careful = True


class Blind(Tiny):
    """One that books again when it did not hear that it had: a single lost answer shows it."""

    name = "blind"

    def start(self, surroundings: Surroundings) -> TinyProcess:
        process = TinyProcess(surroundings, careful=False)
        process._get = _nothing_booked(process._get)  # type: ignore[method-assign]
        return process


class Idle(Tiny):
    """One that sees no orders."""

    name = "idle"

    def start(self, surroundings: Surroundings) -> TinyProcess:
        process = TinyProcess(surroundings, careful=False)
        process._get = lambda url, headers: {"orders": []}  # type: ignore[method-assign]
        return process


def _nothing_booked(get: Callable[..., Any]) -> Callable[..., Any]:
    return lambda url, headers: {"entries": []} if "/entries" in url else get(url, headers)
