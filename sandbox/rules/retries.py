"""Rules about what is sent again, and how: R01 to R08 and R15."""

from __future__ import annotations

from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Final

from sandbox.rules.base import rule
from sandbox.rules.entry import NO_KEY, TRY_AGAIN, Call
from sandbox.rules.run import Attempt, Run, span
from sandbox.rules.violation import NotExercised, Violation, some

DRAFT: Final = "IETF draft-ietf-httpapi-idempotency-key-header"
LONGEST_KEY: Final = 255
# What refuses a request for good: it is wrong, and sending it again cannot make it right.
_REFUSED: Final = frozenset({400, 403, 405, 415, 422})
# A timer may fire a little early, and dates have whole seconds.
_TOLERANCE: Final = 0.05


@rule("R01", source="RFC 9110, section 10.2.3")
def waits_for_retry_after(run: Run) -> Iterator[Violation]:
    """The next attempt comes not before Retry-After.

    What a process that was restarted since no longer knows is not held against it.
    """
    asked = {call.seq: wait for call in run.calls if (wait := asked_to_wait(call)) is not None}
    retries = some(attempt for attempt in run.attempts if attempt.before.seq in asked)
    for attempt in retries:
        before, after = attempt.before, attempt.after
        wait = asked[before.seq]
        if after.life == before.life and attempt.delay < wait - _TOLERANCE:
            yield Violation(
                f"{after.name} was retried ({after.place}) {span(attempt.delay)} after {before.result} "
                f"({before.place}) that asked for {span(wait)}",
                (before.seq, after.seq),
                after.key,
            )


@rule("R02", source="RFC 9110, section 15.5; RFC 9457")
def resends_no_refused_request(run: Run) -> Iterator[Violation]:
    """An unsafe request answered 400, 403, 405, 415 or 422 is not resent unchanged within one process life.

    A new event about the same order, heard of since, is a reason to try once more.
    """
    some(call for call in run.unsafe if call.seen in _REFUSED)
    for attempt in run.attempts:
        before, after = attempt.before, attempt.after
        if (
            before.seen in _REFUSED
            and not before.facts.safe
            and before.life == after.life
            and _unchanged(attempt)
            and not run.news(before.key, before.ended, after.at)
        ):
            yield Violation(
                f"{after.name} was resent unchanged ({after.place}) {span(attempt.delay)} after it was answered "
                f"{before.seen} ({before.place})",
                (before.seq, after.seq),
                after.key,
            )


def _unchanged(attempt: Attempt) -> bool:
    """Whether nothing of a refused request was mended. A missing key may be, and one that was taken by another body."""
    before, after = attempt.before, attempt.after
    if before.seen == 422 or before.problem == "invalid-idempotency-key":
        same_key = before.idempotency_key == after.idempotency_key
    else:
        same_key = (before.idempotency_key is None) == (after.idempotency_key is None)
    same_type = before.headers.get("content-type") == after.headers.get("content-type")
    return same_key and same_type and attempt.same_request


@rule("R03", source=f"RFC 9110, section 9.2.2; {DRAFT}")
def protects_what_it_repeats(run: Run) -> Iterator[Violation]:
    """An unsafe request is retried only with a key, on a naturally idempotent operation, or after a look-up."""
    for attempt in some(
        attempt
        for attempt in run.attempts
        if attempt.before.uncertain and not attempt.before.facts.natural and not attempt.before.facts.safe
    ):
        before, after = attempt.before, attempt.after
        if (before.idempotency_key is None or after.idempotency_key is None) and not run.looked_up(before, after):
            yield Violation(
                f"{after.name} was sent again ({after.place}) {span(attempt.delay)} after {before.result} "
                f"({before.place}), without an Idempotency-Key on both and without a look-up in between",
                (before.seq, after.seq),
                after.key,
            )


@rule("R04", source=f"{DRAFT}, section 2.4; Stripe")
def keeps_the_key(run: Run) -> Iterator[Violation]:
    """The retry keeps the idempotency key.

    Who has looked up that there was no effect may begin anew, with a new key.
    """
    for attempt in some(
        attempt
        for attempt in run.attempts
        if attempt.before.idempotency_key is not None and _is_retriable(attempt.before) and attempt.same_request
    ):
        before, after = attempt.before, attempt.after
        if after.idempotency_key != before.idempotency_key and not run.looked_up(before, after):
            now = "no key" if after.idempotency_key is None else f"the new key {after.idempotency_key}"
            yield Violation(
                f"{after.name} was retried ({after.place}) with {now} {span(attempt.delay)} after {before.result} "
                f"({before.place}) to key {before.idempotency_key}",
                (before.seq, after.seq),
                after.key,
            )


def _is_retriable(call: Call) -> bool:
    # A key on an operation that may be repeated anyway protects nothing, and 409 in progress is R08's.
    if call.facts.natural or call.facts.safe:
        return False
    return call.uncertain or call.seen in TRY_AGAIN or call.seen == 401


@rule("R05", source=f"{DRAFT}, section 2.5")
def same_key_same_body(run: Run) -> Iterator[Violation]:
    """The same idempotency key comes with the same request, once one with that key may have begun."""
    some(call for calls in _by_idempotency_key(run) for call in calls[1:])
    for calls in _by_idempotency_key(run):
        begun: Call | None = None
        for call in calls:
            if begun is None and call.problem == "idempotency-key-reused":
                begun = next((other for other in calls if other.seq < call.seq), None)
            if begun is not None and call.shape != begun.shape and _same_object(call, begun):
                yield Violation(
                    f"{call.name} came with key {call.idempotency_key} and another body ({call.place}), "
                    f"{span(call.at - begun.ended)} after that key had begun with the first one ({begun.place})",
                    (begun.seq, call.seq),
                    call.key,
                )
                break
            if begun is None and (call.ok or call.applied or call.uncertain):
                begun = call


def _same_object(call: Call, other: Call) -> bool:
    return call.key == other.key or NO_KEY in (call.key, other.key)


@rule("R06", source=f"{DRAFT}, section 2.2")
def one_key_one_object(run: Run) -> Iterator[Violation]:
    """Within one operation an idempotency key never serves two business objects."""
    some(call for call in run.calls if call.idempotency_key is not None)
    for calls in _by_idempotency_key(run):
        first = calls[0]
        other = next((call for call in calls[1:] if not _same_object(call, first)), None)
        if other is not None:
            yield Violation(
                f"{first.system}.{first.operation} took key {first.idempotency_key} for {first.key} (seq {first.seq}) "
                f"and for {other.key} (seq {other.seq})",
                (first.seq, other.seq),
                other.key,
            )


@rule("R07", source=f"{DRAFT}, section 2.1; Stripe; GDPR Art. 5(1)(c)")
def keys_are_short_and_impersonal(run: Run) -> Iterator[Violation]:
    """Idempotency keys have at most 255 characters and hold no personal data."""
    seen: set[str] = set()
    for call in some(call for call in run.calls if call.idempotency_key is not None):
        key = call.idempotency_key or ""
        if key in seen:
            continue
        seen.add(key)
        if len(key) > LONGEST_KEY:
            what = f"has {len(key)} characters"
        elif "[personal:" in key or run.quotes_somebody(key):
            what = "holds personal data"
        else:
            continue
        shown = key if len(key) <= 60 else f"{key[:40]}…"
        yield Violation(f"the key of {call.name} ({call.place}) {what}: {shown}", (call.seq,), call.key)


def _by_idempotency_key(run: Run) -> list[list[Call]]:
    """The calls that share a key; a key counts for one operation of one system."""
    found: dict[tuple[str, str, str], list[Call]] = {}
    for call in run.calls:
        if call.idempotency_key is not None:
            found.setdefault((call.system, call.operation, call.idempotency_key), []).append(call)
    return list(found.values())


@rule("R08", source=f"{DRAFT}, section 2.6")
def waits_while_in_progress(run: Run) -> Iterator[Violation]:
    """After a 409 that says the request is in progress: wait, then ask with the same key."""
    for call in some(call for call in run.calls if call.in_progress):
        said = f"{call.name} was told that its request is in progress (409, {call.place})"
        retry = run.retries.get(call.seq)
        if retry is None:
            if not _learns_outcome(run, call) and not run.is_obsolete(call) and not run.near_end(call):
                yield Violation(f"{said} and never asked for the outcome", (call.seq,), call.key)
            continue
        after = retry.after
        if after.idempotency_key != call.idempotency_key and not run.looked_up(call, after):
            what = f"with key {after.idempotency_key} instead of {call.idempotency_key}"
        elif retry.delay <= run.settings.immediate and call.life == after.life:
            what = "at once"
        else:
            continue
        yield Violation(f"{said} and was retried {what} ({after.place})", (call.seq, after.seq), call.key)


def _learns_outcome(run: Run, call: Call) -> bool:
    """Whether the subject asks later, or the request that was in progress gave it the answer."""
    for other in run.calls:
        if other.system == call.system and other is not call and other.ended >= call.at:
            same = other.operation == call.operation
            if same and other.idempotency_key == call.idempotency_key and other.ok:
                return True
            if other.seq > call.seq and (run.looks_at(other, call) or (same and other.key == call.key)):
                return True
    return False


@rule("R15", source="RFC 9110, sections 15.5.9 and 15.6; RFC 6585, section 4")
def leaves_no_failure_behind(run: Run) -> Iterator[Violation]:
    """408, 429, 500, 502, 503, 504 and a lost connection lead to a retry, a look-up, an open breaker or parking."""
    failed = some(
        call for call in run.calls if (call.seen is None or call.seen in TRY_AGAIN) and call.operation != NO_KEY
    )
    judged = 0
    for call in failed:
        if call.seq in run.retries or run.followed(call):
            judged += 1
        elif not run.near_end(call, asked_to_wait(call) or 0.0):
            judged += 1
            yield Violation(
                f"{call.name} got {call.result} ({call.place}) {run.when(call.ended)}, and nothing was done about it: "
                "no retry, no look-up, and the order was not parked",
                (call.seq,),
                call.key,
            )
    if not judged:
        raise NotExercised


def asked_to_wait(call: Call) -> float | None:
    """The seconds, from the end of a call, that its Retry-After asked for; None when it had none."""
    if call.seen is None or call.seen < 300:
        return None
    value = call.answer_headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    try:
        return parsedate_to_datetime(value).timestamp() - call.ended if value else None
    except ValueError:
        return None
