"""A world: everything mutable of one isolated run, and the registry of all worlds of a process."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import orjson

from sandbox.catalog import Catalog
from sandbox.clock import TimedClock, rfc3339
from sandbox.credentials import Credential, headers_of, secrets_of, webhook_secret
from sandbox.faults import Armed, Board
from sandbox.faults.registry import address
from sandbox.idempotency import Locks
from sandbox.journal import Entry, Filter
from sandbox.journal_store import JournalStore
from sandbox.limits import Limits
from sandbox.model import DEFAULT_WORLD, WORLD_NAME, WORLD_NAMES, CallAddress, Event, Problem, dump
from sandbox.outbox import Outbox, Sender, Spawn, Task
from sandbox.past import Past
from sandbox.plan import Effect, Plan
from sandbox.plan_document import read_fault
from sandbox.ratelimit import RateLimiter
from sandbox.redaction import Memories, Redact, Redactor
from sandbox.sample import SeededFaker, Tapes
from sandbox.store import Store, Transaction
from sandbox.stored import Query
from sandbox.tables import deliveries, events, tokens

# For each byte a letter or a digit.
_LETTERS: Final = bytes(b"abcdefghijkmnpqrstuvwxyz23456789"[number % 32] for number in range(256))
_NO_PROJECT: Final = Catalog()
_NO_PLAN: Final = Plan()
_USUAL: Final = Limits()


def envelope(type: str, at: float) -> dict[str, Any]:  # noqa: A002 - its name
    """What stands around the data of an event's payload (Standard Webhooks)."""
    return {"type": type, "timestamp": rfc3339(at)}


class Host(Protocol):
    """What a world needs of where it runs: time, a way to run coroutines, and a way out for webhooks."""

    rate_limits: bool
    pace: float

    def clock(self) -> TimedClock:
        """A clock for a new world."""

    def retire(self, clock: TimedClock) -> None:
        """The world that was given this clock has ended."""

    @property
    def spawn(self) -> Spawn:
        """Runs a coroutine beside the others."""

    @property
    def sender(self) -> Sender:
        """Hands webhooks over."""

    def soon(self, callback: Callable[[], None]) -> None:
        """Run something shortly, after what is running now."""

    def idle(self, callback: Callable[[], None]) -> None:
        """Run something a little later, when others have had their turn."""


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
        catalog: What its faults may name.
        limits: How much it holds.
    """

    def __init__(
        self,
        name: str,
        seed: int,
        epoch: int,
        store: Store,
        host: Host,
        access: list[Credential],
        secret: str,
        catalog: Catalog,
        limits: Limits,
        memories: Memories,
        tapes: Tapes,
    ) -> None:
        self.name = name
        self.seed = seed
        self.epoch = epoch
        self.store = store
        self.clock = host.clock()
        self.limiter = RateLimiter()
        self.locks = Locks()
        self.past = Past()
        self.populated: set[str] = set()
        self.tokens: dict[str, Token] = {}
        self.secret = secret
        self.redactor = Redactor(
            str(seed).encode(), secrets_of(access) | {self.secret: "webhook"}, headers_of(access), memories
        )
        self._tapes = tapes
        self.faults = Board(seed, self.clock.now, self.redactor)
        self.catalog = catalog
        self.limits = limits
        self.rate_limits = host.rate_limits
        self._retire = host.retire
        self.closed = False
        self.changed_at = self.clock.now()
        self.on_crash: Callable[[], None] | None = None
        self.journal = JournalStore(store, epoch, host.soon, self.clock.now, limits.journal)
        self._arrivals: Counter[tuple[str, str, str]] = Counter()
        self._facts: Counter[tuple[str, str]] = Counter()
        self.outbox = Outbox(
            store=store,
            epoch=epoch,
            clock=self.clock,
            faults=self.faults,
            redactor=self.redactor,
            append=self.journal.append,
            sender=host.sender,
            spawn=host.spawn,
            secret=secret,
            chance=self.random,
            crash=self.crash,
            personal=self._personal,
            pace=host.pace,
        )

    def _personal(self, system: str, event: str) -> Redact | None:
        spec = self.catalog.specs.get(system)
        payload = None if spec is None else spec.events.get(event)
        return None if spec is None or payload is None else spec.personal(payload.schema).redact

    def restore(self) -> None:
        """Take up what a former process left in the database."""
        self.journal.restore()
        transaction = self.transaction()
        for row in transaction.rows(tokens):
            self.tokens[row.token] = Token(row.system, row.principal, row.expires)
            self.redactor.learn(row.token, row.system)
        for row in transaction.rows(events):
            self._facts[row.type, row.key] = max(self._facts[row.type, row.key], row.occurrence)
        latest = self.clock.now()
        for entry in self.entries():
            latest = max(latest, entry["at"] or 0.0)
            address = entry.get("address") or {}
            if entry["kind"] == "call" and address:
                point = (address["system"], address["operation"], address["key"])
                self._arrivals[point] = max(self._arrivals[point], address["occurrence"])
        self.populated.update(name.partition(".")[0] for name in transaction.collections())
        transaction.rollback()
        # A clock that was advanced must not run backwards.
        self.clock.advance(max(0.0, latest - self.clock.now()))
        self.outbox.resume()

    def transaction(self) -> Transaction:
        return self.store.transaction(self.epoch)

    def _digest(self, parts: tuple[str, ...]) -> bytes:
        return hashlib.sha256("\n".join((str(self.seed), *parts)).encode("utf-8", "surrogatepass")).digest()

    def random(self, *parts: str) -> random.Random:
        """A random source that depends on the seed and a name only, so that concurrency changes nothing."""
        return random.Random(self._digest(parts))

    def identifier(self, *parts: str, length: int = 12) -> str:
        """Letters and digits that cannot be mistaken for each other; they depend on the seed and a name only.

        Args:
            length: At most 32.
        """
        return self._digest(parts)[:length].translate(_LETTERS).decode()

    def faker(self, *parts: str) -> SeededFaker:
        """A source of believable data that depends on the seed and a name only."""
        return SeededFaker(lambda: self.random("faker", *parts), self._tapes.of((self.seed, *parts)))

    def arrive(self, system: str, operation: str, key: str, label: str) -> tuple[int, CallAddress]:
        """Number an arriving call: its place in the journal, and its address.

        Args:
            label: What the journal shows of the key, which is all that a restart finds.
        """
        self._arrivals[system, operation, label] += 1
        return self.journal.begin(), CallAddress(system, operation, key, self._arrivals[system, operation, label])

    def event(self, system: str, type: str, key: str, data: bytes, ahead: int = 0) -> Event:  # noqa: A002 - its name
        """A business fact with its payload (Standard Webhooks), whose `data` are given as JSON; nothing is stored."""
        occurrence = self._facts[type, key] + 1 + ahead
        name = self.identifier("event", system, type, key, str(occurrence))
        now = self.clock.now()
        payload = envelope(type, now) | {"data": orjson.Fragment(data)}
        return Event(f"evt_{name}", type, key, occurrence, system, now, dump(payload))

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
            # It is read with its deliveries only, and is longer than all the rest.
            body=event.body if subscribers else b"",
        )
        found = []
        for subscriber in subscribers:
            task = Task(
                id=f"dlv_{self.identifier('delivery', event.id, subscriber)}",
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
        issued = sum((token.system, token.principal) == (system, principal) for token in self.tokens.values())
        token = f"{system}_at_{self.identifier('token', system, principal, str(issued), length=26)}"
        expires = self.clock.now() + lifetime
        transaction.add(tokens, token=token, system=system, principal=principal, expires=expires)
        self.redactor.learn(token, system)
        self.tokens[token] = Token(system, principal, expires)
        return token

    def crash(self) -> None:
        """Kill the program under test; without one under our control, the journal says so."""
        if self.on_crash is not None:
            self.on_crash()
        else:
            text = "nothing was killed: the sandbox did not start the program under test"
            self.append({"kind": "note", "at": self.clock.now(), "text": text})

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry of its own (a delivery, a note) to the journal."""
        self.journal.append(entry)

    def append_row(self, seq: int, row: bytes) -> None:
        """Add a row to the journal: how a call ended."""
        self.journal.append_row(seq, row)

    def entries(self, wanted: Filter | None = None, limit: int | None = None) -> list[Entry]:
        """The journal as it stands."""
        return self.journal.entries(wanted, limit)

    def state(self, system: str | None = None) -> dict[str, dict[str, list[dict[str, Any]]]]:
        """All records, by system and collection; secrets are redacted."""
        found: dict[str, dict[str, list[dict[str, Any]]]] = {}
        transaction = self.transaction()
        for collection in transaction.collections():
            owner, _, name = collection.partition(".")
            if system in (None, owner):
                all_of_it = transaction.query(collection, Query({}), frozenset())
                found.setdefault(owner, {})[name] = [
                    record.copy() | ({"secret": "[secret:webhook]"} if "secret" in record.body else {})
                    for record in all_of_it
                ]
        return found

    def inject(
        self,
        point: str,
        fault: str,
        *,
        effect: Effect | None = None,
        key: str | None = None,
        occurrence: int | str = 1,
        subscriber: str | None = None,
        match: Mapping[str, Mapping[str, Any]] | None = None,
        count: int | None = None,
        ttl: float | str | None = None,
        **parameters: Any,
    ) -> Armed:
        """Arm a fault: `world.inject("accounting.create_invoice", "timeout", effect="applied")`.

        Args:
            point: `system.operation` of a call, `system` for all its calls, or an event type such as `order.paid`.
            fault: Its name in the registry.
            effect: Whether the work is done before the caller sees the fault; left out, it is not, unless the fault
                can only be so.
            key: The business key, as it is or as the journal shows it; left out, each key.
            occurrence: The n-th arrival, a range such as `1-2`, or `any`.
            subscriber: The id of a webhook subscription; left out, each of them.
            match: `{"body": {pointer: value}, "header": {name: value}}`.
            count: It fires so many times at most.
            ttl: It lifts by itself after this span of the world's clock: seconds, or `10m`.
            parameters: What the plan file has under `with:`; `for_` is its `for`.

        Raises:
            PlanError: when the fault does not fit, with the nearest right name.
        """
        on = address(point, fault, list(self.catalog.specs))
        on |= {"occurrence": occurrence, **_given(key=key, subscriber=subscriber)}
        document = {"on": on, "inject": fault, **_given(effect=effect, match=match, count=count, ttl=ttl)}
        if parameters:
            document["with"] = {name.removesuffix("_"): value for name, value in parameters.items()}
        return self.faults.add(read_fault(document, self.catalog))

    def apply(self, plan: Plan) -> list[Armed]:
        """Arm the faults and the weather of a plan in place of all that is armed now.

        The weather follows the plan's seed, and the world's where the plan names none; the world's data stay as they
        are.

        Raises:
            PlanError: when one does not fit; then nothing has changed.
        """
        self.catalog.check_plan(plan)
        return self.faults.apply(plan)

    def close(self) -> None:
        """Stop everything that would still happen."""
        self.closed = True
        self.journal.close()
        self.outbox.close()
        self._retire(self.clock)


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


class Worlds:
    """All worlds of a process, made on first use.

    Args:
        seed: Of each world that is not given another.
        catalog: What faults may name; left out, whatever they like.
        plan: Armed in each world when it is made or reset.
        limits: How many there are, and how much each holds.
    """

    def __init__(
        self,
        store: Store,
        host: Host,
        seed: int,
        access: list[Credential],
        catalog: Catalog = _NO_PROJECT,
        plan: Plan = _NO_PLAN,
        limits: Limits = _USUAL,
    ) -> None:
        self._store = store
        self._host = host
        self._seed = seed
        self._access = access
        self._secret = webhook_secret(seed)
        self._catalog = catalog
        self._plan = plan
        self._limits = limits
        self._purging = False
        self._memories = Memories()
        self._tapes = Tapes()
        self._open: dict[str, World] = {}
        for name, epoch, kept in store.worlds():
            self._begin(name, kept, epoch).restore()
        self._tidy()

    def get(self, name: str) -> World:
        """The world of that name, made when there is none.

        Raises:
            Problem: 404 when the name cannot be one.
        """
        world = self._open.get(name)
        return world if world is not None else self.create(name)

    def learn(self, access: list[Credential]) -> None:
        """Know the secrets of these credentials, too, wherever something is shown."""
        for world in self._open.values():
            for secret, system in secrets_of(access).items():
                world.redactor.learn(secret, system)

    def find(self, name: str) -> World | None:
        return self._open.get(name)

    def create(self, name: str, seed: int | None = None) -> World:
        """A new world.

        Raises:
            Problem: 404 when the name cannot be one, 507 when there are too many worlds.
        """
        if not WORLD_NAME.fullmatch(name):
            raise Problem(404, WORLD_NAMES)
        if len(self._open) >= self._limits.worlds and name != DEFAULT_WORLD:
            detail = f"there are {len(self._open)} worlds, and that is the most; delete one, or start with --max-worlds"
            raise Problem(507, detail, type="too-many-worlds")
        kept = self._seed if seed is None else seed
        return self._begin(name, kept, self._store.begin_world(name, kept))

    def _begin(self, name: str, seed: int, epoch: int) -> World:
        world = World(
            name,
            seed,
            epoch,
            self._store,
            self._host,
            self._access,
            self._secret,
            self._catalog,
            self._limits,
            self._memories,
            self._tapes,
        )
        world.apply(self._plan)
        self._open[name] = world
        return world

    def names(self) -> list[str]:
        return list(self._open)

    def reset(self, name: str) -> World:
        """Give a world a new life with the same seed; its faults go too, and those of the sandbox's plan come back."""
        old = self.get(name)
        old.close()
        epoch = self._store.new_epoch(name, old.epoch, old.seed)
        self._tidy()
        return self._begin(name, old.seed, epoch)

    def delete(self, name: str) -> bool:
        """Forget a world; False when there is none of that name."""
        world = self._open.pop(name, None)
        if world is None:
            return False
        world.close()
        self._store.drop_world(world.epoch)
        self._tidy()
        return True

    def close(self) -> None:
        for world in self._open.values():
            world.close()

    def clear(self) -> None:
        """Forget all worlds and everything in them."""
        self.close()
        self._open.clear()
        self._store.wipe()
        self._purging = False

    def _tidy(self) -> None:
        """Purge bit by bit; only one of us does."""
        if not self._purging and self._store.untidy:
            self._purging = True
            self._host.idle(self._purge)

    def _purge(self) -> None:
        self._purging = False
        self._store.purge()
        self._tidy()
