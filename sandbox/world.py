"""A world: everything mutable of one isolated run, and the registry of all worlds of a process."""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from sandbox import journal
from sandbox.clock import TimedClock
from sandbox.credentials import Credential, secrets_of, webhook_secret
from sandbox.faults import DELIVERY_FAULTS, Armed, Board, read_injection
from sandbox.idempotency import Locks
from sandbox.model import CallAddress, Event, Problem, dump
from sandbox.outbox import Outbox, Sender, Spawn, Task
from sandbox.plan import Effect
from sandbox.ratelimit import RateLimiter
from sandbox.redaction import Redactor
from sandbox.sample import SeededFaker
from sandbox.store import Query, Store, Transaction
from sandbox.tables import deliveries, events, tokens
from sandbox.tables import journal as journal_table

_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


def rfc3339(at: float) -> str:
    """Unix seconds as an RFC 3339 time in UTC with milliseconds."""
    moment = datetime.fromtimestamp(at, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def identifier(chance: random.Random, length: int = 12) -> str:
    """Letters and digits that cannot be mistaken for each other."""
    return "".join(chance.choices(_ALPHABET, k=length))


class Host(Protocol):
    """What a world needs of where it runs: time, a way to run coroutines, and a way out for webhooks."""

    rate_limits: bool

    def clock(self) -> TimedClock:
        """A clock for a new world."""

    @property
    def spawn(self) -> Spawn:
        """Runs a coroutine beside the others."""

    @property
    def sender(self) -> Sender:
        """Hands webhooks over."""

    def soon(self, callback: Callable[[], None]) -> None:
        """Run something shortly, after what is running now."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token that a system issued."""

    system: str
    principal: str
    expires: float


class World:
    """State, journal, faults, clock and chance of one isolated run.

    Args:
        name: How the URL names it (`/w/NAME/shop`).
        seed: All its data follow from this.
        secret: Signs webhooks of subscriptions that name no secret of their own.
    """

    def __init__(
        self, name: str, seed: int, epoch: int, store: Store, host: Host, access: list[Credential], secret: str
    ) -> None:
        self.name = name
        self.seed = seed
        self.epoch = epoch
        self.store = store
        self.clock = host.clock()
        self.faults = Board()
        self.limiter = RateLimiter()
        self.locks = Locks()
        self.populated: set[str] = set()
        self.tokens: dict[str, Token] = {}
        self.secret = secret
        self.redactor = Redactor(str(seed).encode(), secrets_of(access) | {self.secret: "webhook"})
        self._host = host
        self.rate_limits = host.rate_limits
        self.closed = False
        self._seq = 0
        self._arrivals: Counter[tuple[str, str, str]] = Counter()
        self._facts: Counter[tuple[str, str]] = Counter()
        self._unwritten: list[tuple[int, int, bytes]] = []
        self._watchers: list[Callable[[], None]] = []
        self.outbox = Outbox(
            store=store,
            epoch=epoch,
            clock=self.clock,
            faults=self.faults,
            redactor=self.redactor,
            append=self.append,
            sender=host.sender,
            spawn=host.spawn,
            secret=secret,
            chance=self.random,
        )
        self._restore()

    def _restore(self) -> None:
        """Take up what a former process left in the database."""
        transaction = self.transaction()
        for row in transaction.select(tokens):
            self.tokens[row.token] = Token(row.system, row.principal, row.expires)
            self.redactor.learn(row.token, row.system)
        for row in transaction.select(events):
            self._facts[row.type, row.key] = max(self._facts[row.type, row.key], row.occurrence)
        for entry in self.entries():
            self._seq = max(self._seq, entry["seq"])
            address = entry.get("address") or {}
            if entry["kind"] == "call" and address:
                point = (address["system"], address["operation"], address["key"])
                self._arrivals[point] = max(self._arrivals[point], address["occurrence"])
        self.populated.update(name.partition(".")[0] for name in transaction.collections())
        transaction.rollback()
        self.outbox.resume()

    def transaction(self) -> Transaction:
        return self.store.transaction(self.epoch)

    def random(self, *parts: str) -> random.Random:
        """A random source that depends on the seed and a name only, so that concurrency changes nothing."""
        digest = hashlib.sha256("\n".join((str(self.seed), *parts)).encode("utf-8", "surrogatepass")).digest()
        return random.Random(digest)

    def faker(self, *parts: str) -> SeededFaker:
        """A source of believable data that depends on the seed and a name only."""
        return SeededFaker(self.random("faker", *parts))

    def label(self, key: str) -> str:
        """A business key as the journal shows it."""
        return self.redactor.text(key)

    def arrive(self, system: str, operation: str, key: str) -> tuple[int, CallAddress]:
        """Number an arriving call: its place in the journal, and its address."""
        self._seq += 1
        self._arrivals[system, operation, self.label(key)] += 1
        return self._seq, CallAddress(system, operation, key, self._arrivals[system, operation, self.label(key)])

    def event(self, system: str, type: str, key: str, data: Any, ahead: int = 0) -> Event:  # noqa: A002
        """A business fact with its payload (Standard Webhooks); nothing is stored yet."""
        occurrence = self._facts[type, key] + 1 + ahead
        chance = self.random("event", system, type, key, str(occurrence))
        now = self.clock.now()
        payload = {"type": type, "timestamp": rfc3339(now), "data": data}
        return Event(f"evt_{identifier(chance)}", type, key, occurrence, system, now, dump(payload))

    def record_event(self, transaction: Transaction, event: Event, subscribers: list[str]) -> list[Task]:
        """Store an event and its deliveries with the change that caused it."""
        transaction.add(
            events,
            id=event.id,
            type=event.type,
            key=event.key,
            occurrence=event.occurrence,
            system=event.system,
            at=event.at,
            body=event.body,
        )
        found = []
        for subscriber in subscribers:
            chance = self.random("delivery", event.id, subscriber)
            task = Task(
                id=f"dlv_{identifier(chance)}",
                event=event.id,
                type=event.type,
                key=event.key,
                occurrence=event.occurrence,
                system=event.system,
                subscriber=subscriber,
                attempt=1,
                body=event.body,
            )
            transaction.add(
                deliveries, id=task.id, event=event.id, subscriber=subscriber, attempt=1, due=event.at, state="pending"
            )
            found.append(task)
        return found

    def committed(self, happened: list[Event], tasks: list[Task]) -> None:
        """After a commit: count the facts and set their deliveries on their way."""
        for event in happened:
            self._facts[event.type, event.key] = max(self._facts[event.type, event.key], event.occurrence)
        for task in tasks:
            self.outbox.schedule(task, self.clock.now())

    def issue_token(self, transaction: Transaction, system: str, principal: str, lifetime: float) -> str:
        """A new access token; it is valid once the transaction commits."""
        token = f"{system}_at_{identifier(self.random('token', system, principal, str(self._seq)), 26)}"
        expires = self.clock.now() + lifetime
        transaction.add(tokens, token=token, system=system, principal=principal, expires=expires)
        self.redactor.learn(token, system)
        self.tokens[token] = Token(system, principal, expires)
        return token

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry of its own (a delivery, a note) to the journal."""
        self._seq += 1
        self.append_row(self._seq, dump({"seq": self._seq, **entry}))

    def append_row(self, seq: int, row: bytes) -> None:
        """Add a row to the journal; it is written with others shortly, and before anybody reads."""
        if not self._unwritten:
            self._host.soon(self.flush_journal)
        self._unwritten.append((self.epoch, seq, row))

    def flush_journal(self) -> None:
        rows, self._unwritten = self._unwritten, []
        self.store.append_journal(rows)
        for watcher in self._watchers:
            watcher()

    def entries(self, wanted: journal.Filter | None = None) -> list[journal.Entry]:
        """The journal as it stands."""
        self.flush_journal()
        rows = self.transaction().select(journal_table)
        return list((wanted or journal.Filter()).apply(journal.merge(row.body for row in rows)))

    @contextmanager
    def watch(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call back whenever the journal has grown."""
        self._watchers.append(callback)
        try:
            yield
        finally:
            self._watchers.remove(callback)

    def state(self, system: str | None = None) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """All records, by system and collection; secrets are redacted."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        transaction = self.transaction()
        for collection in transaction.collections():
            owner, _, name = collection.partition(".")
            if system in (None, owner):
                all_of_it = transaction.query(collection, Query({}), frozenset())
                found.setdefault(owner, {})[name] = [
                    record.body | {"secret": "[secret:webhook]"} if "secret" in record.body else record.body
                    for record in all_of_it
                ]
        return found

    def inject(self, point: str, fault: str, *, effect: Effect = "none", key: str | None = None,
               occurrence: int | str = 1, **parameters: Any) -> Armed:  # fmt: skip
        """Arm a fault.

        Args:
            point: `system.operation` of a call, or an event type such as `order.paid`.
            fault: Its name in the registry.
            effect: Whether the work is done before the caller sees the fault.
            key: The business key; left out, each key.
            occurrence: The n-th arrival, a range such as `1-2`, or `any`.
            parameters: What the plan file has under `with:`.

        Raises:
            PlanError: when the fault does not fit.
        """
        system, _, operation = point.partition(".")
        on: dict[str, Any] = {"occurrence": occurrence} | ({"key": key} if key is not None else {})
        names = {"event": point} if fault in DELIVERY_FAULTS else {"system": system, "operation": operation}
        document = {"on": names | on, "inject": fault, "with": parameters}
        return self.faults.add(read_injection(document | ({"effect": effect} if effect != "none" else {})))

    @property
    def length(self) -> int:
        """How many entries the journal has."""
        return self._seq

    def close(self) -> None:
        """Stop everything that would still happen."""
        self.closed = True
        self.flush_journal()
        self.outbox.close()
        self.clock.clear()


class Worlds:
    """All worlds of a process, made on first use."""

    def __init__(self, store: Store, host: Host, seed: int, access: list[Credential]) -> None:
        self._store = store
        self._host = host
        self._seed = seed
        self._access = access
        self._secret = webhook_secret(seed)
        self._open: dict[str, World] = {}
        for name in store.world_names():
            self.get(name)

    def get(self, name: str) -> World:
        """The world of that name, made when there is none.

        Raises:
            Problem: 404 when the name cannot be one.
        """
        world = self._open.get(name)
        return world if world is not None else self.create(name)

    def find(self, name: str) -> World | None:
        return self._open.get(name)

    def create(self, name: str, seed: int | None = None) -> World:
        if not NAME.fullmatch(name):
            raise Problem(404, "a world's name has 1 to 63 letters, digits, dots, dashes or underscores")
        epoch, kept = self._store.open_world(name, self._seed if seed is None else seed)
        world = self._open[name] = World(name, kept, epoch, self._store, self._host, self._access, self._secret)
        return world

    def names(self) -> list[str]:
        return list(self._open)

    def reset(self, name: str) -> World:
        """Give a world a new life with the same seed; its faults go too."""
        old = self.get(name)
        old.close()
        epoch = self._store.new_epoch(name, old.epoch, old.seed)
        world = self._open[name] = World(name, old.seed, epoch, self._store, self._host, self._access, self._secret)
        self._host.soon(self._purge)
        return world

    def delete(self, name: str) -> bool:
        """Forget a world; False when there is none of that name."""
        world = self._open.pop(name, None)
        if world is None:
            return False
        world.close()
        self._store.drop_world(world.epoch)
        self._host.soon(self._purge)
        return True

    def close(self) -> None:
        for world in self._open.values():
            world.close()

    def _purge(self) -> None:
        if self._store.purge():
            self._host.soon(self._purge)
