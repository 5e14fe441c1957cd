"""Mistakes in sending and sending again: parts of the reference integrator, each wrong in one respect (rules R)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sandbox.integrator.accounting import Accounting
from sandbox.integrator.client import Answer, Client
from sandbox.integrator.crm import Crm
from sandbox.integrator.document import Json
from sandbox.integrator.failures import Refused, Transient
from sandbox.integrator.journey import Journey
from sandbox.integrator.order import Order
from sandbox.integrator.pace import Backoff, Breaker
from sandbox.integrator.shipping import Shipping
from sandbox.integrator.steps import Find, Send, Steps


class IgnoresRetryAfter(Client):
    """Takes a 429 for any other failure."""

    def _judge(self, source: str, status: int, headers: Mapping[str, str], *rest: Any) -> Answer:
        kept = {name: value for name, value in headers.items() if name.lower() != "retry-after"}
        return super()._judge(source, status, kept, *rest)


class ReadsRetryAfterAsMilliseconds(Client):
    """Waits a thousandth of what it was asked for."""

    def _judge(self, source: str, status: int, headers: Mapping[str, str], *rest: Any) -> Answer:
        kept = {name.lower(): value for name, value in headers.items()}
        if kept.get("retry-after", "").isdecimal():
            kept["retry-after"] = str(int(kept["retry-after"]) // 1000)
        return super()._judge(source, status, kept, *rest)


class RetriesBadRequests(Client):
    """Takes a 400 for a failure that may pass."""

    def call(self, *args: Any, **options: Any) -> Answer:
        try:
            return super().call(*args, **options)
        except Refused as refusal:
            if refusal.status == 400:
                raise Transient(str(refusal)) from refusal
            raise


class ShipsWithoutKey(Shipping):
    """Leaves the key out where it is optional, and retries all the same."""

    def create_shipment(self, request: Json, key: str) -> Json:
        client = self._client
        self._client = _Keyless(client)
        try:
            return super().create_shipment(request, key)
        finally:
            self._client = client


class RecordsWithoutKey(Crm):
    """Leaves the key of activities out, and retries all the same."""

    def create_activity(self, customer_id: str, request: Json, key: str) -> Json:
        answer = self._client.call("POST", f"/customers/{customer_id}/activities", request)
        return {"id": answer.text("activity_id")}


class _Keyless:
    def __init__(self, client: Client) -> None:
        self._client = client

    def call(self, *args: Any, key: str | None = None, **options: Any) -> Answer:
        return self._client.call(*args, **options)


class NewKeyOnRetry(Client):
    """Numbers its tries, and the number is part of the key."""

    def call(self, *args: Any, key: str | None = None, **options: Any) -> Answer:
        if key is not None:
            tries = self.__dict__.setdefault("_tries", Counter())
            tries[key] += 1
            key = f"{key}-{tries[key]}"
        return super().call(*args, key=key, **options)


class KeyFromTimestamp(Client):
    """The time is part of the key."""

    def call(self, *args: Any, key: str | None = None, **options: Any) -> Answer:
        if key is not None:
            key = f"{key}-{int(self._clock.now() * 1000)}"
        return super().call(*args, key=key, **options)


class RandomKey(Client):
    """Draws a key for each request; nobody knows it after a restart, nor in the next try."""

    def call(self, *args: Any, key: str | None = None, **options: Any) -> Answer:
        if key is not None:
            key = f"{self._trace._random.getrandbits(128):032x}"
        return super().call(*args, key=key, **options)


class _RebuildingSteps(Steps):
    def take(self, name: str, request: Json, send: Send, find: Find | None = None) -> Json:
        return super().take(name, request, lambda _, key: send(request, key), find)


class RebuildsTheBody(Journey):
    """A retry sends what the order says now, under the key of what it said then."""

    def advance(self, order: Order) -> None:
        look_first = order.created_at < self._began_at
        steps = _RebuildingSteps(self._ledger, order, look_first=look_first, progressed=self._progressed)
        if order.cancelled:
            self._take_back(steps, order)
        elif order.paid:
            self._register(steps, order)
            self._invoice(steps, order)
            self._ship(steps, order)


class CountsTriesInTheBody(Shipping):
    """Notes in the body how often it has tried."""

    def create_shipment(self, request: Json, key: str) -> Json:
        tries = self.__dict__.setdefault("_tries", Counter())
        tries[key] += 1
        return super().create_shipment({**request, "delivery_note": f"try {tries[key]}"}, key)


class OneKeyPerCustomer(Crm):
    """The key of an activity names the customer, not the order."""

    def create_activity(self, customer_id: str, request: Json, key: str) -> Json:
        return super().create_activity(customer_id, request, f"activity-{customer_id}")


class OneKeyPerDay(Accounting):
    """The key of an invoice names the day, not the order."""

    def create_invoice(self, request: Json, key: str) -> Json:
        today = datetime.fromtimestamp(self._client._clock.now(), UTC)
        return super().create_invoice(request, f"invoice-{today:%Y-%m-%d}")


class EmailInTheKey(Crm):
    """The key of a customer is the customer's e-mail address."""

    def create_customer(self, request: Json, key: str) -> Json:
        return super().create_customer(request, f"customer-{request['email']}")


class EndlessKey(Shipping):
    """The key is longer than keys may be."""

    def create_shipment(self, request: Json, key: str) -> Json:
        return super().create_shipment(request, f"{key}-{'shipment-of-this-order-' * 12}")


class NewKeyAfterConflict(Client):
    """Takes "still in progress" for "this key is used up", and tries a fresh one."""

    def call(self, *args: Any, key: str | None = None, **options: Any) -> Answer:
        try:
            return super().call(*args, key=key, **options)
        except Transient as failure:
            if key is None or " 409 " not in f"{failure} ":
                raise
            return super().call(*args, key=f"{key}-again", **options)


class HammersAConflict(Client):
    """Does not wait after "still in progress"."""

    def call(self, *args: Any, key: str | None = None, **options: Any) -> Answer:
        try:
            return super().call(*args, key=key, **options)
        except Transient as failure:
            if key is None or " 409 " not in f"{failure} ":
                raise
            return super().call(*args, key=key, **options)


class TakesConflictForFailure(Client):
    """Takes "still in progress" for "will never be"."""

    def call(self, *args: Any, key: str | None = None, **options: Any) -> Answer:
        try:
            return super().call(*args, key=key, **options)
        except Transient as failure:
            if key is None or " 409 " not in f"{failure} ":
                raise
            raise Refused(str(failure), 409) from failure


class TakesConflictForSuccess(Accounting):
    """Takes "still in progress" for "done"."""

    def create_invoice(self, request: Json, key: str) -> Json:
        try:
            return super().create_invoice(request, key)
        except Transient as failure:
            if " 409 " not in f"{failure} ":
                raise
            return {"id": "", "lines": request["lines"], "credit_notes": 0}


class ConstantDelay(Backoff):
    """The tenth retry comes as soon as the first."""

    def delay(self, attempts: int) -> float:
        return self.random.uniform(7.0, 9.0)


class NoJitter(Backoff):
    """All wait equally long."""

    def delay(self, attempts: int) -> float:
        return float(min(self.cap, self.base * 2.0 ** min(attempts - 1, 32)))


class NoCap(Backoff):
    """The delays double for ever."""

    def delay(self, attempts: int) -> float:
        return self.random.uniform(0.9, 1.0) * self.base * 2.0**attempts


class NoBreaker(Breaker):
    """Believes in each order's own retries."""

    def check(self) -> None:
        pass


class SwallowsServerErrors(Accounting):
    """Logs a 5xx, and goes on as if nothing had happened."""

    def create_invoice(self, request: Json, key: str) -> Json:
        return _or_else(lambda: super(SwallowsServerErrors, self).create_invoice(request, key), request, ": 5")


class TakesTimeoutForSuccess(Accounting):
    """No news is good news."""

    def create_invoice(self, request: Json, key: str) -> Json:
        return _or_else(lambda: super(TakesTimeoutForSuccess, self).create_invoice(request, key), request, "Timeout")


def _or_else(create: Callable[[], Json], request: Json, sign: str) -> Json:
    try:
        return create()
    except Transient as failure:
        if sign not in str(failure):
            raise
        return {"id": "", "lines": request["lines"], "credit_notes": 0}


class NoTimeout(Client):
    """Waits for an answer as long as it takes."""

    def _send(self, *args: Any) -> tuple[int, Mapping[str, str], bytes]:
        self._timeout = None  # type: ignore[assignment]
        return super()._send(*args)


class NoPatienceWithDrips(Client):
    """Waits for a dripping answer as long as it drips."""

    def _send(self, *args: Any) -> tuple[int, Mapping[str, str], bytes]:
        self._answer_timeout = float("inf")
        return super()._send(*args)
