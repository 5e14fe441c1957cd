"""The outbox: events wait here, committed with the change that caused them, until each subscriber has them.

Deliveries follow Standard Webhooks 1.0.0: signed anew at each attempt, 2xx is done, 410 unsubscribes, anything else
comes back with backoff. Each subscriber has its own queue, so one that hangs or dies holds up nobody else.

A fault meets the first attempt of a delivery and shapes that one handing-over; later attempts are plain. Its entry in
the journal names the fault; where a fault only adds handings-over, the added ones name it and the event's own does not.
"""

from __future__ import annotations

import itertools
import random
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Any, Final, Protocol

import orjson
import sqlalchemy as sa

from sandbox.clock import TimedClock, Timer
from sandbox.faults import Board, DeliveryFault
from sandbox.faults.base import Message
from sandbox.model import JSON, Answer, DeliveryAddress, Headers
from sandbox.redaction import Redact, Redactor
from sandbox.signing import Seal, sign
from sandbox.statement import Statement
from sandbox.store import Store
from sandbox.tables import deliveries, events

SUBSCRIPTIONS: Final = "webhook_subscriptions"
_INDEXED: Final = frozenset({"status"})
SCHEDULE: Final = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 36000.0, 50400.0, 72000.0, 86400.0)
JITTER: Final = 0.1
TIME_LIMIT: Final = 15.0
_SOON: Final = 1000.0
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


_WITH_EVENT: Final = (
    *(deliveries.c.id, deliveries.c.subscriber, deliveries.c.attempt, deliveries.c.due, events.c.id.label("event")),
    *(events.c.type, events.c.key, events.c.occurrence, events.c.system, events.c.body),
)
_OF_EPOCH: Final = deliveries.c.epoch == sa.bindparam("e")
_JOINED: Final = sa.select(*_WITH_EVENT).where(
    _OF_EPOCH, events.c.epoch == deliveries.c.epoch, events.c.id == deliveries.c.event
)
_PENDING: Final = Statement(
    _JOINED.where(deliveries.c.state == "pending").order_by(deliveries.c.due, sa.literal_column("deliveries.rowid"))
)
_THIS: Final = Statement(_JOINED.where(deliveries.c.id == sa.bindparam("id")))
_ABOUT: Final = Statement(
    sa.select(events.c.id).where(events.c.epoch == sa.bindparam("e"), events.c.key == sa.bindparam("key")).limit(1)
)
_UPDATE: Final = Statement(
    deliveries.update()
    .where(_OF_EPOCH, deliveries.c.id == sa.bindparam("this"))
    .values({name: sa.bindparam(f"new_{name}") for name in ("state", "attempt", "due")})
)

Spawn = Callable[[Coroutine[Any, Any, None]], object]
Append = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Task:
    """One delivery on its way to one subscriber.

    Attributes:
        seal: Makes the headers at departure.
        number: Its place in the order of all events' deliveries; 0 is older than any.
        fault: The injection that shapes this handing-over; it meets no other.
        extra: Added by a fault: sent once, and its failure is not retried.
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
    seal: Seal = sign
    number: int = 0
    fault: dict[str, Any] | None = None
    extra: bool = False

    @property
    def address(self) -> DeliveryAddress:
        return DeliveryAddress(self.type, self.key, self.occurrence, self.subscriber)


def _task(row: Any, attempt: int) -> Task:
    """A stored delivery, as the given attempt."""
    return Task(row.id, row.event, row.type, row.key, row.occurrence, row.system, row.subscriber, attempt, row.body)


class Outbox:
    """The deliveries of one world.

    Args:
        append: Takes a finished journal entry.
        secret: Signs for subscriptions that name no secret of their own.
        chance: A random source made from a name, for the jitter and for faults.
        pace: By which the schedule of retries is multiplied.
        personal: By system and type, what hides the personal fields of an event's payload from the journal.

    Attributes:
        in_flight: How many deliveries are being handed over.
        settled_at: When a delivery last came to its end, whatever the end.
        tell: What subscribers hear in place of a body or an id, where they know things by other names.
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
        crash: Callable[[], None] = lambda: None,
        personal: Callable[[str, str], Redact | None] = lambda _system, _type: None,
        pace: float = 1.0,
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
        self._personal = personal
        self._pace = pace
        self.crash = crash
        self.tell: Callable[[bytes], bytes] = _as_it_is
        self._queues: dict[str, deque[Task]] = {}
        self._timers: dict[str, Timer] = {}
        self._held: dict[str, list[Task]] = {}
        self._numbers = itertools.count(1)
        self._closed = False
        self.in_flight = 0
        self.settled_at = clock.now()

    def now(self) -> float:
        return self._clock.now()

    def next_due(self) -> float | None:
        """When the next delivery leaves, the present time while one is under way; None when all have settled."""
        if self.in_flight or self._queues:
            return self._clock.now()
        return min((timer.due for timer in self._timers.values()), default=None)

    def schedule(self, task: Task, due: float) -> None:
        """Send a delivery when it is due; its row is already stored."""
        if task.attempt == 1 and not task.number:
            task = replace(task, number=next(self._numbers))
        self.later(task, due)

    def later(self, task: Task, due: float) -> None:
        """Put a delivery into its subscriber's queue when it is due."""
        slot = f"{task.id}+{next(self._numbers)}" if task.extra else task.id

        def leave() -> None:
            self._forget(slot)
            self._enqueue(task)

        self._forget(slot)
        self._timers[slot] = self._clock.at(due, leave)

    def _forget(self, slot: str) -> None:
        """Undo what was planned for a delivery."""
        timer = self._timers.pop(slot, None)
        if timer is not None:
            timer.cancel()
        for subscriber, held in list(self._held.items()):
            rest = [task for task in held if task.id != slot]
            if rest:
                self._held[subscriber] = rest
            else:
                del self._held[subscriber]

    def resume(self) -> None:
        """Take up what was pending when the process ended."""
        for row in self._store.transaction(self._epoch).select(_PENDING):
            self.schedule(_task(row, row.attempt), row.due)

    def redeliver(self, id: str) -> bool:  # noqa: A002 - the field's own name
        """Send a delivery again now, whatever became of it; False when there is none of that id."""
        for row in self._store.transaction(self._epoch).select(_THIS, id=id):
            self._update(id, "pending", row.attempt + 1, self._clock.now())
            self.schedule(_task(row, row.attempt + 1), self._clock.now())
            return True
        return False

    def postpone(self, task: Task, by: float) -> None:
        """Let a delivery leave a span from now."""
        due = self._clock.now() + by
        self._update(task.id, "pending", task.attempt, due)
        self.later(task, due)

    def hold(self, task: Task, longest: float) -> None:
        """Let a delivery leave once its subscriber has accepted a newer event, or after the longest wait."""
        self.postpone(task, longest)
        self._held.setdefault(task.subscriber, []).append(task)

    def beside(self, task: Task) -> None:
        """Let a delivery leave now, past its subscriber's queue."""

        def leave() -> None:
            if not self._closed:
                self._spawn(self._deliver(task))

        self._clock.at(self._clock.now(), leave)

    def drop(self, task: Task) -> None:
        """Let a delivery never leave; the journal says so."""
        subscription = self._subscription(task)
        url = "" if subscription is None else subscription["url"]
        self._note(task, url, (), self._clock.now(), {"error": "dropped"})
        self._end(task, "dropped")

    def knows(self, key: str) -> bool:
        """Whether there is an event about a business key."""
        return bool(self._store.transaction(self._epoch).select(_ABOUT, key=key))

    def close(self) -> None:
        """Send nothing any more."""
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._held.clear()
        self._queues.clear()

    def _enqueue(self, task: Task, *, first: bool = False) -> None:
        if self._closed:
            return
        queue = self._queues.get(task.subscriber)
        if queue is None:
            self._queues[task.subscriber] = deque([task])
            self._spawn(self._drain(task.subscriber))
        elif first:
            queue.appendleft(task)
        else:
            queue.append(task)

    async def _drain(self, subscriber: str) -> None:
        queue = self._queues[subscriber]
        try:
            while queue and not self._closed:
                await self._deliver(queue.popleft())
        except Exception:
            # What went wrong inside the sandbox with one delivery must not keep the others.
            for task in queue:
                self.later(task, self._clock.now())
            raise
        finally:
            self._queues.pop(subscriber, None)

    async def _deliver(self, task: Task) -> None:
        self.in_flight += 1
        try:
            if self._subscription(task) is None:
                self._end(task, "cancelled")
                return
            plain = task.attempt > 1 or task.extra or task.fault is not None
            armed = None if plain else self._faults.for_delivery(task.address, task.body)
            if armed is not None and isinstance(armed.fault, DeliveryFault):
                chance = self._chance("fault", task.id)
                await armed.fault.apply(Handover(self, task, armed.entry(), chance))
            else:
                await self.attempt(task)
        finally:
            self.in_flight -= 1

    async def attempt(self, task: Task, plain: Task | None = None) -> bool:
        """Hand a delivery over once, note the result, and plan the next try when it failed.

        Args:
            plain: What the next try is made of, where it is not this very task.

        Returns:
            Whether it was accepted.
        """
        subscription = self._subscription(task)
        if subscription is None:
            self._end(task, "cancelled")
            return False
        started, url = self._clock.now(), subscription["url"]
        headers: Headers = (("content-type", JSON),)
        answer: Answer | None
        error = ""
        try:
            name, body = self.tell(task.event.encode()).decode(), self.tell(task.body)
            headers += task.seal(subscription.get("secret") or self._secret, name, started, body)
            answer = await self._sender(url, headers, body, TIME_LIMIT)
        except (DeliveryError, ValueError) as failure:
            answer, error = None, str(failure)
        if self._closed:
            return False
        self._note(task, url, headers, started, {"error": error} if answer is None else _shown(answer))
        accepted = answer is not None and 200 <= answer.status < 300
        if accepted:
            self._release(task)
        if task.extra:
            self._end(task, "delivered")
        else:
            self._settle(task, plain or task, answer)
        return accepted

    def _note(self, task: Task, url: str, headers: Headers, started: float, result: dict[str, Any]) -> None:
        shown = replace(task.address, key=self._redactor.text(task.key))
        self._append(
            {
                "kind": "delivery",
                "at": started,
                "system": task.system,
                "address": shown.to_json(),
                "event_id": task.event,
                "attempt": task.attempt,
                "request": {
                    "url": self._redactor.text(url),
                    "headers": self._redactor.headers(headers),
                    "body": self._redactor.body(orjson.loads(task.body), self._personal(task.system, task.type)),
                },
                "fault": task.fault,
                "answer": result | {"at": self._clock.now()},
            }
        )

    def _settle(self, task: Task, plain: Task, answer: Answer | None) -> None:
        if answer is not None and 200 <= answer.status < 300:
            self._end(task, "delivered")
        elif answer is not None and answer.status == 410:
            self._disable(task)
            self._end(task, "unsubscribed")
        elif task.attempt > len(SCHEDULE):
            self._end(task, "failed")
        else:
            again = replace(plain, attempt=task.attempt + 1, fault=None)
            self.postpone(again, self._backoff(task, answer))

    def _end(self, task: Task, state: str) -> None:
        self.settled_at = self._clock.now()
        if not task.extra:
            self._forget(task.id)
            self._update(task.id, state, task.attempt, None)

    def _release(self, newer: Task) -> None:
        """Let those go that a fault holds until something newer has been accepted."""
        held = self._held.get(newer.subscriber, ())
        for task in reversed([task for task in held if task.number < newer.number and task.event != newer.event]):
            self._forget(task.id)
            self._enqueue(task, first=True)

    def _backoff(self, task: Task, answer: Answer | None) -> float:
        wait = SCHEDULE[task.attempt - 1]
        if self._pace < 1:
            # Whoever waits in real time waits for what is soon, not for days made short.
            wait = min(wait, _SOON) * self._pace
        wait *= 1 + JITTER * self._chance("delivery", task.id, str(task.attempt)).random()
        if answer is not None and answer.status in _SLOW_DOWN:
            wait = max(2 * wait, self._retry_after(answer))
        return wait

    def _retry_after(self, answer: Answer) -> float:
        value = answer.header("retry-after") or ""
        try:
            wait = float(value) if value.isdecimal() else parsedate_to_datetime(value).timestamp() - self._clock.now()
        except ValueError:
            return 0.0
        return min(wait, SCHEDULE[-1])

    def _subscription(self, task: Task) -> dict[str, Any] | None:
        record = self._store.transaction(self._epoch).get(f"{task.system}.{SUBSCRIPTIONS}", task.subscriber)
        return None if record is None or record.body["status"] != "active" else record.body

    def _disable(self, task: Task) -> None:
        transaction = self._store.transaction(self._epoch)
        record = transaction.get(f"{task.system}.{SUBSCRIPTIONS}", task.subscriber)
        if record is not None:
            changed = record.changed(self._clock.now(), record.body | {"status": "disabled"})
            transaction.write(changed, _INDEXED)
            transaction.commit()

    def _update(self, id: str, state: str, attempt: int, due: float | None) -> None:  # noqa: A002 - the field's own name
        transaction = self._store.transaction(self._epoch)
        transaction.execute(_UPDATE, this=id, new_state=state, new_attempt=attempt, new_due=due)
        transaction.commit()


def _shown(answer: Answer) -> dict[str, Any]:
    """An answer as the journal shows it; a page for people says that no program was meant to ask."""
    shown = {"status": answer.status}
    return shown | {"content_type": answer.content_type} if "html" in answer.content_type else shown


def _as_it_is(body: bytes) -> bytes:
    return body


class Handover:
    """What a delivery fault may do with a delivery (`sandbox.faults.base.Delivery`)."""

    def __init__(self, outbox: Outbox, task: Task, fault: dict[str, Any], chance: random.Random) -> None:
        self._outbox = outbox
        self._task = task
        self._faulty = replace(task, fault=fault)
        self._chance = chance

    @property
    def message(self) -> Message:
        return Message(self._task.event, self._task.key, self._task.body, self._task.seal)

    @property
    def chance(self) -> random.Random:
        return self._chance

    async def send(self, message: Message | None = None) -> bool:
        return await self._outbox.attempt(self._task if message is None else self._shaped(message), plain=self._task)

    def send_extra(self, after: float = 0.0, message: Message | None = None) -> None:
        self._outbox.later(self._extra(message), self._outbox.now() + after)

    def send_beside(self) -> None:
        self._outbox.beside(self._extra())

    def postpone(self, by: float) -> None:
        self._outbox.postpone(self._faulty, by)

    def hold(self, longest: float) -> None:
        self._outbox.hold(self._faulty, longest)

    def drop(self) -> None:
        self._outbox.drop(self._faulty)

    def crash(self) -> None:
        self._outbox.crash()

    def knows(self, key: str) -> bool:
        return self._outbox.knows(key)

    def _extra(self, message: Message | None = None) -> Task:
        return replace(self._faulty if message is None else self._shaped(message), extra=True)

    def _shaped(self, message: Message) -> Task:
        # Another event than the real one overtakes nothing.
        number = self._task.number if message.id == self._task.event else 0
        return replace(
            self._faulty, event=message.id, key=message.key, body=message.body, seal=message.seal, number=number
        )
