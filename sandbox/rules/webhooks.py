"""Rules about webhooks and polls: H01 to H08."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final
from urllib.parse import parse_qs

from sandbox.rules.base import rule
from sandbox.rules.entry import NO_KEY, TRY_AGAIN, Call, Delivery
from sandbox.rules.run import INSTANT, Run, span
from sandbox.rules.violation import NotExercised, Violation, some

STANDARD: Final = "Standard Webhooks 1.0.0"
TIME_LIMIT: Final = 15.0
SOON: Final = 2.0
_TOLERANCE: Final = 0.05
# A crash so soon after a 2xx hits a subject that has only just promised.
_RIGHT_AFTER: Final = 1.0
# Answers that put a delivery off, which is right while the same one is being worked on.
_NOT_NOW: Final = frozenset({408, 409, 425, 429})
# What reconciliation may be late: the poll itself takes its time, and clocks drift.
_LATE: Final = 60.0
_LATE_SHARE: Final = 0.1
_POLLS: Final = 3


@rule("H01", source=STANDARD)
def answers_soon(run: Run) -> Iterator[Violation]:
    """A webhook is answered within 15 s; W over 2 s."""
    for delivery in some(
        d for d in run.deliveries if not d.dropped and (d.status is not None or "no answer" in d.error)
    ):
        took = delivery.ended - delivery.at
        if any(delivery.at - INSTANT <= kill <= delivery.ended + INSTANT for kill in run.kills):
            continue
        late = took > TIME_LIMIT + _TOLERANCE if delivery.status is not None else took >= TIME_LIMIT - _TOLERANCE
        if late or took > SOON + _TOLERANCE:
            said = f"was answered {delivery.status} only" if delivery.status is not None else "got no answer"
            yield Violation(
                f"{delivery.name} {said} {'within' if delivery.status is None else 'after'} {span(took)}",
                (delivery.seq,),
                delivery.key,
                None if late else "W",
            )


@rule("H02", source=f"{STANDARD}, Idempotency")
def counts_each_event_once(run: Run) -> Iterator[Violation]:
    """The same webhook-id twice has one effect, and in the end gets a 2xx; 409 or 503 to a concurrent one is right."""
    groups: dict[tuple[str, str], list[Delivery]] = {}
    for delivery in run.deliveries:
        if delivery.status is not None and not delivery.forged:
            groups.setdefault((delivery.subscriber, delivery.id), []).append(delivery)
    for group in some(group for group in groups.values() if len(group) > 1):
        group.sort(key=lambda delivery: (delivery.at, delivery.seq))
        seqs = tuple(delivery.seq for delivery in group)
        last = group[-1]
        if not last.accepted and not _may_be_put_off(run, last, group):
            yield Violation(
                f"{last.name} was handed over {len(group)} times and in the end answered {last.status}", seqs, last.key
            )
        for first, second in _doubled(run, group):
            yield Violation(
                f"{group[0].name} was handed over {len(group)} times, and {second.name} took effect twice "
                f"(seq {first.seq} and {second.seq})",
                (*seqs, first.seq, second.seq),
                last.key,
            )


def _may_be_put_off(run: Run, last: Delivery, group: list[Delivery]) -> bool:
    """Whether the last answer is right although it is no 2xx."""
    status = last.status or 0
    not_now = status in _NOT_NOW or status >= 500
    if status == 410 or (not run.settings.virtual and not_now and not any(other.accepted for other in group)):
        # Unsubscribed; or, over sockets, the run ended before the next redelivery.
        return True
    if not_now and any(
        other.accepted and other.at <= last.ended + INSTANT and last.at <= other.ended + INSTANT for other in group
    ):
        return True
    failing = (call for call in run.calls if call.seen is None or call.seen in TRY_AGAIN)
    return status >= 500 and any(last.at - INSTANT <= call.ended <= last.ended + INSTANT for call in failing)


def _doubled(run: Run, group: list[Delivery]) -> Iterator[tuple[Call, Call]]:
    """Pairs of equal creations about the event's key, the second one for no other reason than the repeated event."""
    by_request: dict[tuple[str, str, bytes], list[Call]] = {}
    for call in run.unsafe:
        if call.applied and call.facts.creates and call.key == group[0].key and call.at >= group[0].at - INSTANT:
            by_request.setdefault((call.system, call.operation, call.content), []).append(call)
    others = [at for at, id_ in run.events.get(group[0].key, ()) if id_ != group[0].id]
    for calls in by_request.values():
        for first, second in pairwise(calls):
            if first.ok and second.at >= group[1].at - INSTANT and not any(first.at < at <= second.at for at in others):
                yield first, second


@rule("H03", source=f"{STANDARD}, Signature scheme")
def refuses_forged_events(run: Run) -> Iterator[Violation]:
    """A forged event (unsigned, wrongly signed, or signed long ago) is refused and has no effect."""
    for delivery in some(d for d in run.deliveries if d.forged and d.status is not None):
        how = str((delivery.fault.get("with") or {}).get("how", "wrong_signature")).replace("_", " ")
        effect = next(
            (
                call
                for call in run.unsafe
                if call.applied and call.key == delivery.key != NO_KEY and call.at >= delivery.at - INSTANT
            ),
            None,
        )
        if effect is not None:
            yield Violation(
                f"the forged {delivery.name} ({how}) had an effect: {effect.name} ({effect.place})",
                (delivery.seq, effect.seq),
                delivery.key,
            )
        elif delivery.accepted:
            yield Violation(
                f"the forged {delivery.name} ({how}) was answered {delivery.status}", (delivery.seq,), delivery.key
            )


@rule("H04", source=f"{STANDARD}, Verifying webhooks")
def verifies_raw_bytes(run: Run) -> Iterator[Violation]:
    """The signature is verified over the raw bytes, and any of several signatures is accepted."""
    for delivery in some(d for d in run.deliveries if d.inject in ("rotated", "respaced") and d.status is not None):
        status = delivery.status or 0
        if 400 <= status < 500 and status not in _NOT_NOW and status != 410:
            what = (
                "bore two signatures, the second one valid" if delivery.inject == "rotated" else "had other white space"
            )
            yield Violation(f"{delivery.name} {what}, and was refused with {status}", (delivery.seq,), delivery.key)


@rule("H05", source=f"{STANDARD}, Ordering")
def survives_disorder(run: Run) -> Iterator[Violation]:
    """Events out of order do not turn state back."""
    broken = _broken(run, excess=True)
    happened = {
        event: number
        for number, event in enumerate(
            event for call in sorted([*run.calls, *run.others], key=lambda call: call.seq) for event in call.events
        )
    }
    newest: dict[tuple[str, str], Delivery] = {}
    late: list[tuple[Delivery, Delivery]] = []
    seen: set[tuple[str, str]] = set()
    for delivery in sorted((d for d in run.deliveries if d.accepted and d.id in happened), key=lambda d: d.ended):
        if (delivery.subscriber, delivery.id) in seen:
            continue
        seen.add((delivery.subscriber, delivery.id))
        before = newest.get((delivery.subscriber, delivery.key))
        if before is not None and happened[before.id] > happened[delivery.id]:
            late.append((delivery, before))
        else:
            newest[delivery.subscriber, delivery.key] = delivery
    for old, new in some(late):
        if old.key in broken:
            yield Violation(
                f"{old.name} came after the newer {new.name}, and in the end {broken[old.key]}",
                (new.seq, old.seq),
                old.key,
            )


@rule("H06", source=f"{STANDARD}, Success and failure")
def keeps_what_it_acknowledged(run: Run) -> Iterator[Violation]:
    """An acknowledged event survives a crash right after the 2xx."""
    broken = _broken(run, excess=False)
    acknowledged = [d for d in run.deliveries if d.accepted and not d.forged]
    for delivery, kill in some(
        (delivery, kill)
        for kill in run.kills
        for delivery in acknowledged
        if delivery.ended - INSTANT <= kill <= delivery.ended + _RIGHT_AFTER
    ):
        if delivery.key in broken:
            yield Violation(
                f"{delivery.name} was answered {delivery.status}, the subject was killed {span(kill - delivery.ended)} "
                f"later, and in the end {broken[delivery.key]}",
                (delivery.seq,),
                delivery.key,
            )


@rule("H07", source=f"{STANDARD}, Reconciliation")
def makes_up_for_lost_events(run: Run) -> Iterator[Violation]:
    """A lost webhook is made up for by reconciliation, within the declared period.

    Over sockets, where nobody waits for a period that was not declared, nothing can be said without one.
    """
    broken = _broken(run, excess=False)
    every = run.settings.reconcile_every
    if run.settings.may_miss:
        raise NotExercised
    for delivery in some(d for d in run.deliveries if d.dropped):
        key = delivery.key
        if key in broken:
            yield Violation(f"{delivery.name} never arrived, and in the end {broken[key]}", (delivery.seq,), key)
        elif every is not None and (healed := _healed(run, delivery)) is not None:
            took = healed.at - delivery.at
            if took > every * (1 + _LATE_SHARE) + _LATE:
                yield Violation(
                    f"{delivery.name} never arrived and was made up for {span(took)} later ({healed.name}, "
                    f"{healed.place}); {span(every)} are declared",
                    (delivery.seq, healed.seq),
                    key,
                )


def _healed(run: Run, lost: Delivery) -> Call | None:
    """The effect that made up for a lost event; None when there was none, or more was in its way."""
    disturbed = any(call.at >= lost.at and not call.ok for call in run.calls) or run.kills
    effects = [call for call in run.unsafe if call.applied and call.key == lost.key and call.at >= lost.at]
    heard = any(at >= lost.at - INSTANT for at, _ in run.events.get(lost.key, ()))
    return effects[0] if effects and not disturbed and not heard else None


@rule("H08", severity="W", source="RFC 9110, section 9.3.1; polling practice")
def polls_for_changes_only(run: Run) -> Iterator[Violation]:
    """Polling asks for what has changed since last time."""
    polled: dict[str, list[Call]] = {}
    for call in run.calls:
        if call.facts.lists and call.facts.since and call.key == NO_KEY and call.ok and "cursor=" not in call.query:
            polled.setdefault(call.name, []).append(call)
    for name, polls in some(found for found in polled.items() if len(found[1]) >= _POLLS):
        since = [parse_qs(poll.query).get(poll.facts.since or "", [""])[0] for poll in polls[1:]]
        if len(set(since)) == 1:
            asks = (
                f"always with {polls[0].facts.since}={since[0]}" if since[0] else f"never with {polls[0].facts.since}"
            )
            yield Violation(
                f"{name} was polled {len(polls)} times, {asks} (seq {polls[0].seq} to {polls[-1].seq})",
                (polls[0].seq, polls[-1].seq),
            )


def _broken(run: Run, *, excess: bool) -> dict[str, str]:
    """What the invariants found first about each key, in words.

    Args:
        excess: Whether what was done too often counts, too.

    Raises:
        NotExercised: when they were not judged, so that nobody knows if an event had its effect.
    """
    if run.broken is None:
        raise NotExercised
    found: dict[str, str] = {}
    for key, violations in run.broken.items():
        for violation in violations:
            if excess or not violation.excess:
                found.setdefault(key, violation.sentence)
    return found
