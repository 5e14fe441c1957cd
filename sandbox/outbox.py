"""The outbox: events wait here, committed with the change that caused them, until each subscriber has them.

Deliveries follow Standard Webhooks 1.0.0: signed anew at each attempt, 2xx is done, 410 unsubscribes, anything else
comes back with backoff. Each subscriber has its own queue, so one that hangs or dies holds up nobody else.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol

import orjson
import sqlalchemy as sa

from sandbox.clock import TimedClock
from sandbox.faults import Board, DeliveryFault
from sandbox.model import JSON, Answer, DeliveryAddress, Headers
from sandbox.redaction import Redactor
from sandbox.signing import sign
from sandbox.store import Query, Store
from sandbox.tables import deliveries, events

SUBSCRIPTIONS: Final = "webhook_subscriptions"
SCHEDULE: Final = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0, 50400.0, 72000.0, 86400.0)
JITTER: Final = 0.1
TIME_LIMIT: Final = 15.0
_SLOW_DOWN: Final = frozenset({429, 502, 504})


class DeliveryError(Exception):
    """A delivery that got no answer; says why in a few words."""


class Sender(Protocol):
    """Hands one signed event over."""

    def __call__(self, url: str, headers: Headers, body: bytes, time_limit: float) -> Awaitable[Answer]:
        """POST the event; redirects are not followed.

        Raises:
            DeliveryError: when no answer came.
        """


Spawn = Callable[[Coroutine[Any, Any, None]], object]
Append = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Task:
    """One delivery on its way to one subscriber.

    Attributes:
        fault: The injection that shaped this delivery.
        copy: An extra handing-over made by a fault: sent once, and its failure is not retried.
    """

    id: str
    event: str
    type: str
    key: str
    occurrence: int
    system: str
    subscriber: str
    attempt: int
    body: bytes
    fault: dict[str, Any] | None = None
    copy: bool = False

    @property
    def address(self) -> DeliveryAddress:
        return DeliveryAddress(self.type, self.key, self.occurrence, self.subscriber)


class Outbox:
    """The deliveries of one world.

    Args:
        append: Takes a finished journal entry.
        secret: Signs for subscriptions that name no secret of their own.
        chance: A random source made from a name, for the jitter.
    """

    def __init__(
        self,
        *,
        store: Store,
        epoch: int,
        clock: TimedClock,
        faults: Board,
        redactor: Redactor,
        append: Append,
        sender: Sender,
        spawn: Spawn,
        secret: str,
        chance: Callable[..., random.Random],
    ) -> None:
        self._store = store
        self._epoch = epoch
        self._clock = clock
        self._faults = faults
        self._redactor = redactor
        self._append = append
        self._sender = sender
        self._spawn = spawn
        self._secret = secret
        self._chance = chance
        self._queues: dict[str, deque[Task]] = {}
        self._closed = False
        self.in_flight = 0

    def now(self) -> float:
        return self._clock.now()

    def schedule(self, task: Task, due: float) -> None:
        """Send a delivery when it is due; its row is already stored."""
        self._clock.at(due, lambda: self._enqueue(task))

    def resume(self) -> None:
        """Take up what was pending when the process ended."""
        event = (events.c.id.label("event"), events.c.type, events.c.key, events.c.occurrence, events.c.system)
        delivery = (deliveries.c.id, deliveries.c.subscriber, deliveries.c.attempt, deliveries.c.due)
        pending = sa.select(*delivery, *event, events.c.body).where(
            deliveries.c.epoch == self._epoch,
            events.c.epoch == self._epoch,
            deliveries.c.event == events.c.id,
            deliveries.c.state == "pending",
        )
        for row in self._store.connection.execute(pending.order_by(deliveries.c.due, deliveries.c.id)).all():
            task = Task(
                row.id, row.event, row.type, row.key, row.occurrence, row.system, row.subscriber, row.attempt, row.body
            )
            self.schedule(task, row.due)

    def redeliver(self, id: str) -> bool:  # noqa: A002 - the field's own name
        """Send a delivery again now, whatever became of it; False when there is none of that id."""
        with_event = deliveries.join(
            events, sa.and_(events.c.epoch == deliveries.c.epoch, events.c.id == deliveries.c.event)
        )
        row = self._store.connection.execute(
            sa.select(deliveries, events.c.type, events.c.key, events.c.occurrence, events.c.system, events.c.body)
            .select_from(with_event)
            .where(deliveries.c.epoch == self._epoch, deliveries.c.id == id)
        ).first()
        if row is None:
            return False
        self._update(id, "pending", row.attempt + 1, self._clock.now())
        task = Task(
            id, row.event, row.type, row.key, row.occurrence, row.system, row.subscriber, row.attempt + 1, row.body
        )
        self.schedule(task, self._clock.now())
        return True

    def close(self) -> None:
        """Send nothing any more."""
        self._closed = True
        self._queues.clear()

    def _enqueue(self, task: Task) -> None:
        if self._closed:
            return
        queue = self._queues.get(task.subscriber)
        if queue is not None:
            queue.append(task)
            return
        self._queues[task.subscriber] = deque([task])
        self._spawn(self._drain(task.subscriber))

    async def _drain(self, subscriber: str) -> None:
        queue = self._queues[subscriber]
        while queue and not self._closed:
            await self._deliver(queue.popleft())
        self._queues.pop(subscriber, None)

    async def _deliver(self, task: Task) -> None:
        armed = self._faults.for_delivery(task.address) if task.attempt == 1 and not task.copy else None
        self.in_flight += 1
        try:
            if armed is not None and isinstance(armed.fault, DeliveryFault):
                await armed.fault.apply(Handover(self, replace(task, fault=armed.injection.to_json())))
            else:
                await self.attempt(task)
        finally:
            self.in_flight -= 1

    async def attempt(self, task: Task) -> None:
        """Hand a delivery over once, note the result, and plan the next try when it failed."""
        subscription = self._subscription(task)
        if subscription is None or subscription["status"] != "active":
            self._update(task.id, "cancelled", task.attempt, None)
            return
        started = self._clock.now()
        url = subscription["url"]
        headers = (
            ("content-type", JSON),
            *sign(subscription.get("secret") or self._secret, task.event, started, task.body),
        )
        answer: Answer | None = None
        error = ""
        try:
            answer = await self._sender(url, headers, task.body, TIME_LIMIT)
        except DeliveryError as failure:
            error = str(failure)
        if self._closed:
            return
        now = self._clock.now()
        self._append(
            {
                "kind": "delivery",
                "at": started,
                "system": task.system,
                "address": task.address.to_json(),
                "event_id": task.event,
                "attempt": task.attempt,
                "request": {
                    "url": self._redactor.text(url),
                    "headers": dict(headers),
                    "body": self._redactor.body(orjson.loads(task.body)),
                },
                "fault": task.fault,
                "answer": {"status": answer.status, "at": now} if answer is not None else {"error": error, "at": now},
            }
        )
        if not task.copy:
            self._settle(task, answer)

    def _settle(self, task: Task, answer: Answer | None) -> None:
        if answer is not None and 200 <= answer.status < 300:
            self._update(task.id, "delivered", task.attempt, None)
        elif answer is not None and answer.status == 410:
            self._disable(task)
            self._update(task.id, "unsubscribed", task.attempt, None)
        elif task.attempt > len(SCHEDULE):
            self._update(task.id, "failed", task.attempt, None)
        else:
            due = self._clock.now() + self._backoff(task, answer)
            again = replace(task, attempt=task.attempt + 1, fault=None)
            self._update(task.id, "pending", again.attempt, due)
            self.schedule(again, due)

    def _backoff(self, task: Task, answer: Answer | None) -> float:
        wait = SCHEDULE[task.attempt - 1]
        wait *= 1 + JITTER * self._chance("delivery", task.id, str(task.attempt)).random()
        if answer is not None and answer.status in _SLOW_DOWN:
            wait = max(2 * wait, self._retry_after(answer))
        return wait

    def _retry_after(self, answer: Answer) -> float:
        value = answer.header("retry-after") or ""
        if value.isdecimal():
            return float(value)
        try:
            return max(0.0, parsedate_to_datetime(value).timestamp() - self._clock.now())
        except ValueError:
            return 0.0

    def _subscription(self, task: Task) -> dict[str, Any] | None:
        record = self._store.transaction(self._epoch).get(f"{task.system}.{SUBSCRIPTIONS}", task.subscriber)
        return None if record is None else record.body

    def _disable(self, task: Task) -> None:
        transaction = self._store.transaction(self._epoch)
        collection = f"{task.system}.{SUBSCRIPTIONS}"
        for record in transaction.query(collection, Query({"id": task.subscriber}), frozenset()):
            body = record.body | {"status": "disabled"}
            transaction.write(
                type(record)(collection, record.id, record.seq, record.version + 1, self._clock.now(), body),
                frozenset(),
            )
        transaction.commit()

    def _update(self, id: str, state: str, attempt: int, due: float | None) -> None:  # noqa: A002
        statement = deliveries.update().where(deliveries.c.epoch == self._epoch, deliveries.c.id == id)
        self._store.connection.execute(statement.values(state=state, attempt=attempt, due=due))
        self._store.connection.commit()


class Handover:
    """What a delivery fault may do with a delivery."""

    def __init__(self, outbox: Outbox, task: Task) -> None:
        self._outbox = outbox
        self._task = task

    async def send(self) -> None:
        await self._outbox.attempt(self._task)

    def send_again(self, after: float) -> None:
        self._outbox.schedule(replace(self._task, copy=True), self._outbox.now() + after)
