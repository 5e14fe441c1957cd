"""The judged run: a typed, indexed view over its journal, its final state, and what the specs say.

Nothing is worked out before a rule asks for it, and then once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeVar

from sandbox.rules.entry import NO_KEY, TRY_AGAIN, Call, Delivery
from sandbox.rules.facts import Facts, PersonalPaths
from sandbox.rules.violation import Violation

T = TypeVar("T")
State = Mapping[str, Mapping[str, Sequence[Mapping[str, Any]]]]

# Two moments closer than this are the same: floats, and clocks that tick.
INSTANT: Final = 1e-6
# A failure so shortly before the end of a run that nobody can say what the subject would have done about it.
_LAST_MOMENTS: Final = 120.0
# Failures in a row from which on a breaker may have opened; they are usual from 3 on.
_BREAKER: Final = 3
_SHORTEST_PERSONAL: Final = 6
# A text without room for a name, a street or a phone number.
_PLAIN: Final = re.compile(r"[A-Za-z0-9._:/?&=~-]*")
# Where parked orders are seen: the shop's fulfilment, `on_hold` with a reason.
_ORDERS: Final = ("shop", "orders")
_ON_HOLD: Final = "on_hold"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run was like.

    Args:
        reconcile_every: Seconds between two of the subject's reconciling polls; None when it does not say.
        request_limit: Seconds in which it must have given up a silent call.
        virtual: Time was virtual; else it ran over sockets, in real time.
        excused: Nobody said that the subject reconciles at all, so what it was never told of it need not know.
        latency: Seconds that an answer takes to reach it.
        parked: What the project's parking probe says: order -> reason.
        ended_at: When the run ended, in unix seconds; None is the last entry of the journal.
    """

    reconcile_every: float | None = None
    request_limit: float = 60.0
    virtual: bool = True
    excused: bool = False
    latency: float = 0.005
    parked: Mapping[str, str] = field(default_factory=dict)
    ended_at: float | None = None

    @property
    def may_miss(self) -> bool:
        """Whether nobody can demand that it makes up for a lost webhook: no period is declared, nor one to wait for."""
        return self.reconcile_every is None and (self.excused or not self.virtual)

    @property
    def immediate(self) -> float:
        """What comes so soon after an answer did not wait."""
        return self.latency + 1e-4 if self.virtual else 0.003


@dataclass(frozen=True, slots=True)
class Attempt:
    """A retry: the same operation and idempotency key, or else the same method, path and body, after a try that failed.

    Attributes:
        before: The try that it repeats.
        after: The retry.
    """

    before: Call
    after: Call

    @property
    def delay(self) -> float:
        """Seconds between the end of the one and the arrival of the other."""
        return max(0.0, self.after.at - self.before.ended)

    @property
    def same_request(self) -> bool:
        return self.before.shape == self.after.shape


class Run:
    """A run to be judged.

    Args:
        journal: Its entries, in the order of `seq`.
        state: The records that were left, by system and collection.
        facts: What the specs say.

    Attributes:
        calls: What the subject sent, in the order of arrival. Calls of the harness are left out, and so is what the
            network handed over a second time: neither is the subject's behaviour.
        others: Those calls of the harness and of the network.
        deliveries: Of events to the subject, as they ended.
        kills: When the subject was killed, in unix seconds.
        broken: By business key, the errors that invariants found; None while they have not been judged.
    """

    def __init__(
        self, journal: Sequence[Mapping[str, Any]], state: State, facts: Facts, settings: Settings | None = None
    ) -> None:
        self.state = state
        self.facts = facts
        self.settings = settings or Settings()
        self.calls: list[Call] = []
        self.others: list[Call] = []
        self.deliveries: list[Delivery] = []
        self.kills: list[float] = []
        self.broken: Mapping[str, Sequence[Violation]] | None = None
        self._made: dict[Any, Any] = {}
        life, started = 0, False
        last = 0.0
        for entry in journal:
            kind = entry["kind"]
            if kind == "call":
                call = Call(entry, facts, life)
                own = not call.scenario and "repeat_of" not in entry
                (self.calls if own else self.others).append(call)
                last = max(last, call.ended)
            elif kind == "delivery":
                delivery = Delivery(entry)
                self.deliveries.append(delivery)
                last = max(last, delivery.ended)
            else:
                text = str(entry.get("text", ""))
                last = max(last, entry["at"])
                if text == "subject killed":
                    self.kills.append(entry["at"])
                elif text.startswith(("subject started", "subject restarted")):
                    life += started
                    started = True
        self.start: float = journal[0]["at"] if journal else 0.0
        self.end: float = last if self.settings.ended_at is None else self.settings.ended_at

    def once(self, make: Callable[[Run], T]) -> T:
        """What a function makes of the run, made once."""
        if make not in self._made:
            self._made[make] = make(self)
        made: T = self._made[make]
        return made

    def records(self, system: str, collection: str) -> Sequence[Mapping[str, Any]]:
        """The final records of a collection."""
        return self.state.get(system, {}).get(collection, ())

    def when(self, moment: float) -> str:
        """A moment, for sentences."""
        return f"{span(max(0.0, moment - self.start))} after the start"

    @cached_property
    def by_operation(self) -> Mapping[tuple[str, str], list[Call]]:
        """The subject's calls of each (system, operation)."""
        found: dict[tuple[str, str], list[Call]] = {}
        for call in self.calls:
            found.setdefault((call.system, call.operation), []).append(call)
        return found

    @cached_property
    def unsafe(self) -> list[Call]:
        """The subject's calls that may change something."""
        return [call for call in self.calls if not call.facts.safe]

    @cached_property
    def attempts(self) -> list[Attempt]:
        """All retries, in the order of arrival."""
        found: list[Attempt] = []
        for group in self.by_operation.values():
            if len(group) > 1:
                found += self._of_reads(group) if group[0].facts.safe else _of_writes(group)
        found.sort(key=lambda attempt: attempt.after.seq)
        return found

    @cached_property
    def retries(self) -> Mapping[int, Attempt]:
        """By the place in the journal of a try that failed, its first retry."""
        found: dict[int, Attempt] = {}
        for attempt in self.attempts:
            if not attempt.before.ok:
                found.setdefault(attempt.before.seq, attempt)
        return found

    @cached_property
    def chains(self) -> list[list[Call]]:
        """Tries that follow each other, each but the last one failed; two or more."""
        open_: dict[int, list[Call]] = {}
        found: list[list[Call]] = []
        for attempt in self.retries.values():
            chain = open_.pop(attempt.before.seq, None)
            if chain is None:
                chain = [attempt.before]
                found.append(chain)
            chain.append(attempt.after)
            open_[attempt.after.seq] = chain
        return found

    @cached_property
    def events(self) -> Mapping[str, list[tuple[float, str]]]:
        """By business key, when the subject first heard of each event: (moment, webhook-id), in order."""
        first: dict[tuple[str, str], float] = {}
        for delivery in self.deliveries:
            if not delivery.dropped and not delivery.forged:
                name = delivery.key, delivery.id
                first[name] = min(first.get(name, delivery.at), delivery.at)
        found: dict[str, list[tuple[float, str]]] = {}
        for (key, id_), at in first.items():
            found.setdefault(key, []).append((at, id_))
        for heard in found.values():
            heard.sort()
        return found

    def news(self, key: str, after: float, until: float) -> bool:
        """Whether the subject heard of a new event about a key in a span of time; about any, if it is no order's."""
        heard = self.events.get(key)
        if heard is None and key not in self.orders:
            heard = [moment for moments in self.events.values() for moment in moments]
        return any(after < at <= until for at, _ in heard or ())

    def looked_up(self, before: Call, after: Call) -> bool:
        """Whether the subject looked between two calls if the first one had its effect."""
        return any(
            before.ended - INSTANT <= call.at and call.seq < after.seq and self.looks_at(call, before)
            for call in self.calls
        )

    def looks_at(self, call: Call, tried: Call) -> bool:
        """Whether a call is an answered look-up of what another one was to create or change."""
        return (
            call.facts.safe
            and call.ok
            and call.system == tried.system
            and (
                None in (call.facts.collection, tried.facts.collection)
                or call.facts.collection == tried.facts.collection
            )
        )

    @cached_property
    def orders(self) -> Mapping[str, Mapping[str, Any]]:
        """The shop's orders as they ended, by their numbers; none in a project without a shop."""
        return {str(order["order_number"]): order for order in self.records(*_ORDERS) if "order_number" in order}

    @cached_property
    def parked(self) -> Mapping[str, str]:
        """The orders that are set aside for a person in the end, each with the reason."""
        found = dict(self.settings.parked)
        for number, order in self.orders.items():
            fulfilment = order.get("fulfilment") or {}
            if fulfilment.get("status") == _ON_HOLD and fulfilment.get("reason"):
                found[number] = fulfilment["reason"]
        return found

    @cached_property
    def cancelled(self) -> frozenset[str]:
        """The orders that are cancelled in the end."""
        return frozenset(number for number, order in self.orders.items() if order.get("status") == "cancelled")

    @cached_property
    def holds(self) -> list[Call]:
        """The calls by which the subject parked an order where people see it, or tried to."""
        return [call for call in self.unsafe if isinstance(call.body, dict) and call.body.get("status") == _ON_HOLD]

    def was_parked(self, call: Call) -> bool:
        """Whether the order that a call is about was parked afterwards."""
        if call.key in self.parked or any(
            hold.seq > call.seq and hold.key == call.key for hold in self.holds if hold.ok
        ):
            return True
        # A call about a customer belongs to some order; which one, its key does not tell.
        return call.key not in self.orders and bool(self.parked or self.holds)

    def is_obsolete(self, call: Call) -> bool:
        """Whether the order that a call is about was cancelled, so that what it was to do need not be done."""
        return call.key in self.cancelled or (call.key not in self.orders and bool(self.cancelled))

    def near_end(self, call: Call, wait: float = 0.0) -> bool:
        """Whether the run ended before one could tell what the subject does about a call."""
        return call.ended > self.end - max(_LAST_MOMENTS, wait + INSTANT)

    def followed(self, failed: Call) -> bool:
        """Whether the subject did something about a call that failed: tried or asked again, parked, or rested."""
        later = [call for call in self.calls if call.seq > failed.seq and call.at >= failed.ended - INSTANT]
        same_system = [call for call in later if call.system == failed.system]
        if any(_takes_up(call, failed) for call in same_system):
            return True
        if failed.applied and any(self.looks_at(call, failed) for call in same_system):
            return True
        if failed in self.holds or self._was_so(failed):
            # A look that finds the order in good shape leaves nothing to be said or changed.
            looks = (call for call in same_system if call.key == failed.key)
            if any(self.looks_at(call, failed) for call in looks):
                return True
        if self.was_parked(failed) or self.is_obsolete(failed):
            return True
        return not same_system and self._failures_until(failed) >= _BREAKER

    def _was_so(self, failed: Call) -> bool:
        """Whether what a call asked for had been brought about before, by one like it that nothing undid."""
        before = [
            call
            for call in self.unsafe
            if call.seq < failed.seq and call.applied and (call.operation, call.path) == (failed.operation, failed.path)
        ]
        return bool(before) and before[-1].body == failed.body

    def _failures_until(self, failed: Call) -> int:
        """How many calls in a row had failed at a system when a call failed, itself included."""
        count = 0
        for call in self.calls:
            if call.system == failed.system and call.seq <= failed.seq:
                bad = call.seen is None or call.seen in TRY_AGAIN
                count = count + 1 if bad else 0
        return count

    def quotes_somebody(self, text: str) -> bool:
        """Whether a text holds a personal value as it stands."""
        return not _PLAIN.fullmatch(text) and any(value in text for value in self.personal_values)

    @cached_property
    def personal_values(self) -> Mapping[str, frozenset[str]]:
        """Personal values in the final records, each with the purposes it serves.

        Values that stand in other places too, such as a company's name, are left out.
        """
        found: dict[str, frozenset[str]] = {}
        plain: set[str] = set()
        for system, collections in self.state.items():
            for collection, records in collections.items():
                paths = self.facts.records.get((system, collection), ())
                for record in records if paths else ():
                    _sort_out(record, paths, found, plain)
        return {value: purposes for value, purposes in found.items() if value not in plain}

    def _of_reads(self, group: list[Call]) -> Iterator[Attempt]:
        """Retries of reading. An order may be read anew for each event: only what is in excess of them is a retry."""
        states: dict[Any, tuple[list[Call], list[int]]] = {}
        for call in group:
            failed, starts = states.setdefault((call.life, call.shape), ([], [0]))
            if failed and call.at >= failed[0].ended - INSTANT and starts[0] >= self._heard(call):
                yield Attempt(failed.pop(0), call)
            else:
                starts[0] += 1
            if call.ok:
                failed.clear()
            else:
                failed.append(call)

    def _heard(self, call: Call) -> int:
        return sum(at <= call.at + INSTANT for at, _ in self.events.get(call.key, ()))


def _of_writes(group: list[Call]) -> Iterator[Attempt]:
    by_key: dict[str, Call] = {}
    by_shape: dict[Any, Call] = {}
    for call in group:
        before = None if call.idempotency_key is None else by_key.get(call.idempotency_key)
        if before is None:
            same = by_shape.get(call.shape)
            before = same if same is not None and not same.ok and not _each_its_own(same, call) else None
        if before is not None and before.ended <= call.at + INSTANT:
            yield Attempt(before, call)
        by_shape[call.shape] = call
        if call.idempotency_key is not None:
            by_key[call.idempotency_key] = call


def _each_its_own(one: Call, other: Call) -> bool:
    """Whether equal requests are two errands: two orders of one customer create that customer, each with its own key.

    Only where repeating is harmless; elsewhere a new key for the same request is taken for what it usually is.
    """
    keys = one.idempotency_key, other.idempotency_key
    return one.facts.natural and None not in keys and keys[0] != keys[1]


def _takes_up(call: Call, failed: Call) -> bool:
    """Whether a later call to the same system goes on with what failed, as it was or as it has to be by now."""
    if call.operation == failed.operation:
        return failed.facts.safe or failed.key in (NO_KEY, call.key) or call.path == failed.path
    return failed.facts.safe and call.facts.safe and call.facts.collection == failed.facts.collection


def _sort_out(
    record: Any, paths: PersonalPaths, found: dict[str, frozenset[str]], plain: set[str], here: tuple[str, ...] = ()
) -> None:
    """Collect the texts of a record: personal ones with their purposes, all others apart."""
    if isinstance(record, dict | list):
        items = record.items() if isinstance(record, dict) else (("*", item) for item in record)
        for name, item in items:
            _sort_out(item, paths, found, plain, (*here, name))
    elif isinstance(record, str) and len(record) >= _SHORTEST_PERSONAL:
        purposes = next((serves for path, serves in paths if _fits(path, here)), None)
        if purposes is None:
            plain.add(record)
        else:
            found[record] = found.get(record, frozenset()) | purposes


def _fits(path: tuple[str, ...], place: tuple[str, ...]) -> bool:
    """Whether a path, in which `*` is any index or name, leads to a place or to what it lies in."""
    return len(path) <= len(place) and all(a in ("*", b) for a, b in zip(path, place, strict=False))


def span(seconds: float) -> str:
    """A span of time, for sentences."""
    if seconds >= 600:
        return f"{seconds / 60:.0f} min"
    if seconds >= 10:
        return f"{seconds:.0f} s"
    return f"{seconds:.{2 if seconds >= 0.1 else 3}f}".rstrip("0").rstrip(".") + " s"
