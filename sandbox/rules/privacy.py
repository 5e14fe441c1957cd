"""Rules about credentials, personal data and the protocol: P01 to P08."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Final
from urllib.parse import unquote_plus, urlsplit

from sandbox.rules.base import rule
from sandbox.rules.entry import NO_KEY, Call
from sandbox.rules.facts import Path
from sandbox.rules.run import INSTANT, Run, span
from sandbox.rules.violation import Violation, some

_SECRET: Final = re.compile(r"\[secret:([^\]]*)\]")
_PERSONAL: Final = re.compile(r"\[personal:[0-9a-f]+\]")
_NAME: Final = re.compile(rb'"([^"\\]*)":')
# Labels that name no system: what cannot be told, and what signs webhooks.
_UNKNOWN: Final = "unknown"
_WEBHOOK: Final = "webhook"
# A token that is refused, fetched anew and refused again will not get better by a third one.
_REFUSED_TOKENS: Final = 3
_AT_ONCE: Final = 60.0
# A key from the settings that was refused: whoever asks again sooner has not set it aside.
_PAUSE: Final = 5.0
NOT_CONFORMING: Final = frozenset(
    {
        "validation",
        "malformed-body",
        "invalid-idempotency-key",
        "idempotency-key-missing",
        "precondition-required",
        "unsupported-media-type",
        "unsupported-grant-type",
        "invalid-cursor",
    }
)
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_CORRELATION: Final = ("traceparent", "x-correlation-id", "x-request-id")


@rule("P01", source="RFC 6750, section 3.1; RFC 9110, section 15.5.2")
def renews_once(run: Run) -> Iterator[Violation]:
    """A 401 on a renewable token: one refresh for each worker, one retry, no loop. On a static key: parked."""
    refused = some(call for call in run.calls if call.seen == 401 and call.operation != NO_KEY)
    looping = {chain[0].seq: chain for chain in _loops(run)}
    for chain in looping.values():
        last = chain[-1]
        yield Violation(
            f"{last.name} was answered 401 {len(chain)} times within {span(last.at - chain[0].at)} and sent again each "
            f"time (seq {chain[0].seq} to {last.seq})",
            (chain[0].seq, last.seq),
            last.key,
        )
    in_loop = {call.seq for chain in looping.values() for call in chain}
    for call in refused:
        if call.seq not in in_loop:
            renewable = call.system in run.facts.renewable and not call.facts.token
            yield from _after_refused_token(run, call) if renewable else _after_refused_key(run, call)


def _loops(run: Run) -> Iterator[list[Call]]:
    """Tries in a row that were all answered 401, each soon after the other."""
    for chain in run.chains:
        for is_refused, tries in groupby(chain, key=lambda call: call.seen == 401):
            calls = list(tries)
            if is_refused and len(calls) >= _REFUSED_TOKENS and calls[2].at - calls[0].ended <= _AT_ONCE:
                yield calls


def _after_refused_token(run: Run, call: Call) -> Iterator[Violation]:
    said = f"{call.name} was answered 401 ({call.place})"
    renewals = [
        other
        for other in run.calls
        if other.facts.token and other.system == call.system and call.at - 1.0 <= other.at <= call.ended + _AT_ONCE
    ]
    fetched = [other for other in renewals if other.ok and other.at >= call.ended - INSTANT]
    refusals = sum(
        other.seen == 401 and other.system == call.system and abs(other.ended - call.ended) <= _AT_ONCE
        for other in run.calls
    )
    if len(fetched) > refusals + 1:
        yield Violation(
            f"{said}, and {len(fetched)} new tokens were fetched for {refusals} refused calls",
            (call.seq, *(other.seq for other in fetched)),
            call.key,
        )
    retry = run.retries.get(call.seq)
    if retry is None:
        if not run.followed(call) and not run.near_end(call):
            yield Violation(f"{said}, and was neither retried with a new token nor parked", (call.seq,), call.key)
    elif (
        retry.after.life == call.life
        and retry.delay <= _AT_ONCE
        and not any(other.seq < retry.after.seq for other in renewals)
    ):
        yield Violation(
            f"{said} and was retried {span(retry.delay)} later without a new token ({retry.after.place})",
            (call.seq, retry.after.seq),
            call.key,
        )


def _after_refused_key(run: Run, call: Call) -> Iterator[Violation]:
    said = f"{call.name} was answered 401 ({call.place}), where the credential is a static one"
    retry = run.retries.get(call.seq)
    if retry is not None:
        if retry.delay < _PAUSE and retry.after.life == call.life and not _was_set_aside(run, call, retry.after):
            yield Violation(
                f"{said}, and was retried {span(retry.delay)} later ({retry.after.place})",
                (call.seq, retry.after.seq),
                call.key,
            )
    elif call.key != NO_KEY and not run.followed(call) and not run.near_end(call):
        yield Violation(f"{said}, and the order was not parked", (call.seq,), call.key)


def _was_set_aside(run: Run, call: Call, retry: Call) -> bool:
    """Whether an order was parked before it was taken up again, or a new event asked for that."""
    parked = call.key in run.settings.parked or any(
        hold.key == call.key and call.seq < hold.seq <= retry.seq for hold in run.holds
    )
    return parked or run.news(call.key, call.at, retry.at)


@rule("P02", source="RFC 9110, section 17.9; RFC 6750, section 2.3")
def keeps_secrets_out_of_urls(run: Run) -> Iterator[Violation]:
    """No token, key or personal data stands in a URL."""
    for call in some(run.calls):
        url = f"{call.path}?{call.query}" if call.query else call.path
        if "[" in url and "[secret:" in url:
            what = "a credential"
        elif "[" in url and "[personal:" in url:
            what = "personal data"
        elif ("%" in url or "+" in url) and run.quotes_somebody(unquote_plus(url)):
            what, url = "personal data", call.path.split("%", 1)[0]
        else:
            continue
        yield Violation(
            f"the URL of {call.name} holds {what}: {call.method} {url} ({call.place})", (call.seq,), call.key
        )


@rule("P03", source="RFC 9110, section 17.16.3; OWASP API Security Top 10, API8")
def keeps_credentials_apart(run: Run) -> Iterator[Violation]:
    """The credentials of one system never go to another."""
    some(call for call in run.calls if call.facts.secured)
    for call in run.calls:
        for owner in sorted(_owners(call)):
            if owner in (call.system, _UNKNOWN) or (owner == _WEBHOOK and call.system in run.facts.subscribing):
                continue
            whose = "the secret that signs webhooks" if owner == _WEBHOOK else f"a credential of {owner}"
            yield Violation(f"{call.name} carried {whose} ({call.place})", (call.seq,), call.key)


def _owners(call: Call) -> set[str]:
    """Whose secrets a call carries."""
    found: set[str] = set()
    for value in (*call.headers.values(), call.path, call.query):
        if "[secret:" in value:
            found.update(_SECRET.findall(value))
    if call.body is not None and b"[secret:" in call.content:
        found.update(_SECRET.findall(call.content.decode()))
    return found


@rule("P04", source="GDPR Art. 5(1)(c)")
def sends_no_more_than_needed(run: Run) -> Iterator[Violation]:
    """A personal field is sent only to an operation that has one of the purposes which the field serves."""
    for call in some(call for call in run.calls if call.facts.purposes and call.body is not None):
        purposes, fields = call.facts.purposes, personal_fields(run, call)
        sent = dict.fromkeys(field for field, serves in fields if serves is not None and not serves & purposes)
        if sent:
            yield Violation(
                f"{call.name} was sent {', '.join(sent)} ({call.place}), which is not needed for "
                f"{', '.join(sorted(purposes))}",
                (call.seq,),
                call.key,
            )


def personal_fields(run: Run, call: Call) -> Iterator[tuple[str, frozenset[str] | None]]:
    """The fields of a body, as pointers, that hold personal values, each with the purposes it serves; None if unknown.

    A field may be declared as personal; or it holds, though it is declared otherwise or not at all, a value that is
    personal elsewhere.
    """
    facts = call.facts
    unknown = facts.names is not None and not facts.names.issuperset(_NAME.findall(call.content))
    stack: list[tuple[str, Any, Any]] = [("", call.body, facts.tree)]
    while stack:
        here, value, mark = stack.pop()
        if isinstance(mark, frozenset):
            if value is not None:
                yield here, mark
        elif isinstance(value, dict):
            rest = mark.get("*") if mark else None
            for name, item in value.items():
                stack.append((f"{here}/{name}", item, mark.get(name, rest) if mark else None))
        elif isinstance(value, list):
            rest = mark.get("*") if mark else None
            stack.extend((f"{here}/{number}", item, rest) for number, item in enumerate(value))
        elif isinstance(value, str) and (unknown or "[personal:" in value):
            label = _PERSONAL.search(value)
            serves = run.once(labelled).get(label[0]) if label else run.personal_values.get(value)
            if label or serves is not None:
                yield here, serves


def _values(body: Any, path: Path) -> Iterator[Any]:
    """What stands at a path, nulls left out."""
    if not path:
        if body is not None:
            yield body
    elif isinstance(body, dict):
        names = body if path[0] == "*" else (path[0],) if path[0] in body else ()
        for name in names:
            yield from _values(body[name], path[1:])
    elif isinstance(body, list) and path[0] == "*":
        for item in body:
            yield from _values(item, path[1:])


def labelled(run: Run) -> dict[str, frozenset[str]]:
    """The purposes that a personal value serves, by its label, as the systems' answers show."""
    found: dict[str, frozenset[str]] = {}
    for call in (*run.others, *run.calls):
        if call.answer is not None:
            for path, serves in call.facts.answered:
                for value in _values(call.answer, path):
                    if isinstance(value, str):
                        found[value] = found.get(value, frozenset()) | serves
    return found


@rule("P05", source="OpenAPI 3.0.3; the target's spec")
def conforms_to_the_spec(run: Run) -> Iterator[Violation]:
    """Requests conform to the target's spec."""
    for call in some(run.calls):
        if call.operation == NO_KEY and call.status in (404, 405) and call.seq not in run.once(redirected):
            what = f"{call.system} has no {call.method} {call.path}"
        elif call.seen in (400, 415, 428) and call.problem in NOT_CONFORMING:
            what = f"{call.name} does not conform: {call.answer.get('detail', '')}"
        else:
            continue
        yield Violation(f"{what} (answered {call.status}, {call.place})", (call.seq,), call.key)


@rule("P06", source="RFC 9110, section 5.1; tolerant reader")
def tolerates_unknown_fields(run: Run) -> Iterator[Violation]:
    """Unknown fields in answers are tolerated."""
    drifted = some(call for call in run.calls if call.inject == "schema_drift" and call.ok and _only_adds(call))
    others = [call for call in run.calls if call.inject not in ("", "schema_drift", "none")]
    # Whoever sends everything anew for each event, with the same keys, repeats what went well, too.
    repeats = any(attempt.before.ok and not attempt.before.inject for attempt in run.attempts)
    for call in drifted:
        said = f"the answer to {call.name} had an added field ({call.place})"
        again = next((a.after for a in run.attempts if a.before is call and not call.facts.safe), None)
        if again is not None and not repeats and again.life == call.life and again.at - call.ended < _AT_ONCE:
            yield Violation(
                f"{said}, and it was sent again {span(again.at - call.ended)} later ({again.place})",
                (call.seq, again.seq),
                call.key,
            )
        elif not others and not run.kills:
            hurt = _hurt(run, call)
            if hurt:
                yield Violation(f"{said}, and in the end {hurt}", (call.seq,), call.key)


def _only_adds(call: Call) -> bool:
    parameters = call.fault.get("with") or {}
    return not ({"rename", "remove"} & parameters.keys())


def _hurt(run: Run, call: Call) -> str:
    """What became of the orders that a call was about, if it is bad."""
    broken, parked = run.broken or {}, run.parked
    about = [call.key] if call.key in run.orders else sorted({*broken, *parked})
    for key in about:
        if key in broken:
            return broken[key][0].sentence
        if key in parked and run.was_parked(call) and all(other.ok for other in run.calls if other.key == key):
            return f"order {key} was parked: {parked[key]}"
    return ""


@rule("P07", severity="I", source="W3C Trace Context")
def passes_a_correlation_id_on(run: Run) -> Iterator[Violation]:
    """A correlation id (`traceparent`) is passed on."""
    about = some(call for call in run.unsafe if call.key != NO_KEY)
    bare = [call for call in about if not any(name in call.headers for name in _CORRELATION)]
    if bare:
        yield Violation(
            f"{len(bare)} of {len(about)} calls carried no traceparent, first {bare[0].name} ({bare[0].place})",
            (bare[0].seq,),
        )


@rule("P08", severity="W", source="RFC 9110, sections 15.4.8 and 17.16.3")
def follows_no_redirect_blindly(run: Run) -> Iterator[Violation]:
    """Redirects are not followed with credentials or a body."""
    some(call for call in run.calls if call.seen in _REDIRECTS and "location" in call.answer_headers)
    for seq, source in run.once(redirected).items():
        call = next(call for call in run.calls if call.seq == seq)
        carried = [
            *(["credentials"] if any("[secret:" in value for value in call.headers.values()) else []),
            *(["the body"] if call.body is not None else []),
        ]
        if carried:
            yield Violation(
                f"{source.name} was redirected ({source.place}), and the redirect was followed with "
                f"{' and '.join(carried)} to {call.path} (seq {seq})",
                (source.seq, seq),
                source.key,
            )


def redirected(run: Run) -> dict[int, Call]:
    """The calls that followed a redirect: place in the journal -> the call that was redirected."""
    found: dict[int, Call] = {}
    for source in run.calls:
        location = source.answer_headers.get("location") if source.seen in _REDIRECTS else None
        if not location:
            continue
        target = urlsplit(location).path
        for call in run.calls:
            follows = call.seq > source.seq and source.ended - INSTANT <= call.at <= source.ended + 1.0
            if follows and len(call.path) > 1 and target.endswith(call.path) and call.path != source.path:
                found[call.seq] = source
                break
    return found
