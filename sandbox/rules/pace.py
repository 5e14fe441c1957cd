"""Rules about how often and how long: R10 to R14 and R16."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Final

from sandbox.rules.base import rule
from sandbox.rules.entry import NO_KEY, Call
from sandbox.rules.retries import asked_to_wait
from sandbox.rules.run import Run, span
from sandbox.rules.violation import Violation, some

_MINUTE: Final = 60.0
# Early retries come fast, but no backoff needs more of one request in a minute.
MOST_PER_MINUTE: Final = 30
# Retries beyond these many are not counted as a burst any more: they go on for as long as the failure does, so
# they must have found a slower pace.
BURST: Final = 20
SLOWEST: Final = 5.0
# What the pattern of delays can be read from.
DELAYS: Final = 5
ORDERS: Final = 20
MANY_ORDERS: Final = 10
LONG_OUTAGE: Final = 300.0
# An envelope that grows does so by more than this, from the first two delays to the last two.
_GROWTH: Final = 1.3
# Who begins as slowly as this, as behind a breaker, need not grow slower.
_SLOW: Final = 30.0
# Delays that still double beyond this have no cap; and nobody waits longer than an hour on purpose.
_DOUBLING: Final = 1.7
_STILL_DOUBLING: Final = 400.0
_LONGEST: Final = 3600.0
_FALLEN: Final = 0.7
_FEW: Final = 10
_TOLERANCE: Final = 0.5

BACKOFF: Final = "AWS Architecture Blog, Exponential Backoff and Jitter; Google SRE book, chapter 22"


@rule("R10", source="Google SRE book, chapter 22")
def bounds_its_attempts(run: Run) -> Iterator[Violation]:
    """The attempts at one request are bounded per minute, and finite or capped in pace."""
    for chain in some(run.chains):
        first = chain[0]
        crowded = _most_crowded(chain)
        if len(crowded) > MOST_PER_MINUTE:
            yield Violation(
                f"{first.name} was tried {len(crowded)} times within {span(crowded[-1].at - crowded[0].at)} "
                f"(seq {crowded[0].seq} to {crowded[-1].seq})",
                (crowded[0].seq, crowded[-1].seq),
                first.key,
            )
        elif len(chain) > 2 * BURST:
            tail = chain[BURST:]
            pace = (tail[-1].at - tail[0].at) / (len(tail) - 1)
            if pace < SLOWEST:
                yield Violation(
                    f"{first.name} was tried {len(chain)} times, in the end still every {span(pace)} "
                    f"(seq {first.seq} to {chain[-1].seq})",
                    (first.seq, chain[-1].seq),
                    first.key,
                )


def _most_crowded(chain: list[Call]) -> list[Call]:
    """The most tries that lie within one minute."""
    window: deque[Call] = deque()
    most: list[Call] = []
    for call in chain:
        window.append(call)
        while call.at - window[0].at > _MINUTE:
            window.popleft()
        if len(window) > len(most):
            most = list(window)
    return most


def _delays(run: Run) -> list[tuple[list[Call], list[float]]]:
    """Each chain of tries with the delays that the subject chose itself.

    Not its choice are those that a Retry-After asked for, a restart came into, or a redelivered webhook ended; and
    while an order is parked, nobody retries.
    """
    interrupted = [(delivery.key, delivery.at) for delivery in run.deliveries if delivery.attempt > 1]
    interrupted += [(hold.key, hold.at) for hold in run.holds]
    found = []
    for chain in run.chains:
        own = [
            max(0.0, after.at - before.ended)
            for before, after in pairwise(chain)
            if before.life == after.life
            and asked_to_wait(before) is None
            and not any(key in (after.key, NO_KEY) and before.ended < at <= after.at for key, at in interrupted)
        ]
        found.append((chain, own))
    return found


def _long_delays(run: Run) -> list[tuple[list[Call], list[float]]]:
    delays = run.once(_delays)
    return some((chain, own) for chain, own in delays if len(own) >= DELAYS)


@rule("R11", severity="W", source=BACKOFF)
def backs_off(run: Run) -> Iterator[Violation]:
    """The delays between attempts grow."""
    chains = some((chain, own) for chain, own in _long_delays(run) if sum(own[:2]) < 2 * _SLOW)
    flat = [(chain, own) for chain, own in chains if sum(own[-2:]) <= _GROWTH * sum(own[:2])]
    # Full jitter may draw a long delay first and a short one last; it does not do so again and again.
    if 2 * len(flat) > len(chains):
        chain, own = max(flat, key=lambda found: len(found[1]))
        yield Violation(
            f"{chain[0].name} was retried {len(own)} times; the first two delays took {span(sum(own[:2]))}, the "
            f"last two {span(sum(own[-2:]))} (seq {chain[0].seq} to {chain[-1].seq})",
            (chain[0].seq, chain[-1].seq),
            chain[0].key,
        )


@rule("R12", severity="W", source=BACKOFF)
def spreads_its_retries(run: Run) -> Iterator[Violation]:
    """The delays carry jitter, lest many orders come back at the same moment."""
    by_operation: dict[tuple[str, str], dict[str, float]] = {}
    for chain, own in run.once(_delays):
        if own:
            by_operation.setdefault((chain[0].system, chain[0].operation), {}).setdefault(chain[0].key, own[0])
    for (system, operation), delays in some(found for found in by_operation.items() if len(found[1]) >= ORDERS):
        usual, spread = median(delays.values()), max(delays.values()) - min(delays.values())
        if spread <= max(0.02 * usual, run.settings.immediate):
            yield Violation(
                f"{system}.{operation} was first retried after {span(usual)} for each of {len(delays)} orders; the "
                f"delays differ by {span(spread)} at most"
            )


@rule("R13", severity="W", source=BACKOFF)
def caps_its_delays(run: Run) -> Iterator[Violation]:
    """The delays between attempts are capped."""
    for chain, own in _long_delays(run):
        before, middle, last = own[-3:]
        doubling = last > _STILL_DOUBLING and last >= _DOUBLING * middle and middle >= _DOUBLING * before
        # While others probe the system, a breaker decides, and nobody's delay is his own.
        probed = any(call.system == chain[0].system and chain[-2].seq < call.seq < chain[-1].seq for call in run.calls)
        if not probed and (doubling or last > _LONGEST):
            yield Violation(
                f"{chain[0].name} was retried {len(own)} times, the last time after {span(last)} and each delay longer "
                f"than the one before ({chain[-1].place})",
                (chain[-1].seq,),
                chain[0].key,
            )


@rule("R14", severity="W", source="Google SRE book, chapter 22; Nygard, Release It!")
def calms_down_in_an_outage(run: Run) -> Iterator[Violation]:
    """In a long outage over many orders the total rate of calls falls."""
    failing: dict[str, list[Call]] = {}
    for call in run.calls:
        if call.inject == "outage":
            failing.setdefault(call.system, []).append(call)
    orders = {delivery.key for delivery in run.deliveries} | {call.key for call in run.calls}
    for system, calls in some(
        (system, calls)
        for system, calls in failing.items()
        if calls[-1].at - calls[0].at >= LONG_OUTAGE and len(orders - {NO_KEY}) >= MANY_ORDERS
    ):
        third = (calls[-1].at - calls[0].at) / 3
        early = sum(call.at < calls[0].at + third for call in calls)
        late = sum(call.at > calls[-1].at - third for call in calls)
        if late >= _FEW and late > _FALLEN * early:
            yield Violation(
                f"{system} was down for {span(3 * third)} and got {early} calls in the first third of it, {late} in "
                f"the last (seq {calls[0].seq} to {calls[-1].seq})",
                (calls[0].seq, calls[-1].seq),
            )


@rule("R16", source="Nygard, Release It!; requests, Timeouts")
def gives_up_on_silence(run: Run) -> Iterator[Violation]:
    """A call that gets no answer is given up in bounded time (60 s unless configured); W for one that drips."""
    limit = run.settings.request_limit
    for call in some(call for call in run.calls if call.outcome == "lost" or call.ended - call.at > 1.0):
        until = max(call.ended, run.end) if call.hung else call.ended
        if until - call.at > limit + _TOLERANCE:
            drips = "drip" in (call.fault.get("with") or {})
            yield Violation(
                f"{call.name} {'dripped' if drips else 'was silent'} for {span(until - call.at)} before it was given "
                f"up ({call.place}); the limit is {span(limit)}",
                (call.seq,),
                call.key,
                "W" if drips else None,
            )
