"""The fault slot: between routing and security it numbers each call, lets the fault that sits there do its work, and
writes the journal when the answer leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

import orjson

from sandbox.annotations import PersonalMap
from sandbox.call import CallInProgress, Proceed
from sandbox.exchange import UNREAD, Exchange
from sandbox.faults import Arrival, CallFault
from sandbox.faults.base import Drip, Outcome, Send, Silence
from sandbox.inference import business_key
from sandbox.journal import left_row, outcome_row
from sandbox.model import NO_KEY, Answer, CallAddress, Json, Problem
from sandbox.redaction import Redactor, Shown, as_shown
from sandbox.request import parse
from sandbox.spec import Operation

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
SendMessage = Callable[[Message], Awaitable[None]]

_LONGEST_TEXT: Final = 2000
NOTHING: Final = Shown(None, orjson.Fragment(b"null"))


async def read_body(receive: Receive, declared: str | None, largest: int) -> bytes:
    """The whole body of a request.

    Raises:
        Problem: 413 when it has more than `largest` bytes, 400 when the caller leaves in the middle of it.
    """
    if declared is not None and declared.isdecimal() and int(declared) > largest:
        raise _too_large(largest)
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "the connection ended before the whole body had arrived", type="incomplete-body")
        part = message.get("body", b"")
        size += len(part)
        if size > largest:
            raise _too_large(largest)
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_large(largest: int) -> Problem:
    return Problem(
        413,
        f"the body is larger than {largest} bytes",
        type="content-too-large",
        headers={"Connection": "close"},
    )


async def pass_through(exchange: Exchange, operation: Operation, proceed: Proceed) -> Outcome:
    """Number a call, meet its fault, and note in the journal how it ended.

    An answer that drips has not left yet: whoever lets it drip notes the end (`note_outcome`).
    """
    address = _arrive(exchange, operation)
    armed = exchange.world.faults.for_call(address, exchange.label, lambda: _arrival(exchange))
    if armed is None or not isinstance(armed.fault, CallFault):
        outcome: Outcome = Send(await proceed())
    else:
        exchange.fault = armed.entry()

        async def repeat() -> Answer:
            again = exchange.again()
            _arrive(again, operation, repeat_of=exchange.seq)
            answer = await proceed(again)
            note_outcome(again, Silence(answer))
            return answer

        outcome = await CallInProgress(exchange, operation, proceed, repeat).meet(armed.fault)
    if not isinstance(outcome, Drip):
        note_outcome(exchange, outcome)
    return outcome


def _arrive(exchange: Exchange, operation: Operation, **noted: Json) -> CallAddress:
    """Give a call its address and its place in the journal.

    Args:
        noted: Further fields of its entry.
    """
    world = exchange.world
    exchange.operation = operation
    exchange.arrived = world.clock.now()
    _parse_leniently(exchange)
    shown = _shown_body(exchange, operation)
    key, label = _key(exchange, operation, shown.value)
    exchange.seq, exchange.address = world.arrive(exchange.spec.name, operation.id, key, label)
    exchange.label = label
    exchange.request_entry = _request_entry(exchange, label, shown.json) | noted
    return exchange.address


def _arrival(exchange: Exchange) -> Arrival:
    return Arrival(exchange.method, exchange.headers, None if exchange.body is UNREAD else exchange.body)


def note_unrouted(exchange: Exchange, answer: Answer) -> Answer:
    """Note a request that is no operation's; its address has no operation and no key."""
    world = exchange.world
    exchange.arrived = world.clock.now()
    exchange.seq, exchange.address = world.arrive(exchange.spec.name, NO_KEY, NO_KEY, NO_KEY)
    exchange.request_entry = _request_entry(exchange, NO_KEY, None)
    note_outcome(exchange, Send(answer))
    return answer


def _parse_leniently(exchange: Exchange) -> None:
    """Read the body for the address and the journal; what is wrong with it is said later, by validation."""
    if exchange.raw:
        try:
            parsed = parse(exchange.raw, exchange.header("content-type") or "", exchange.operation)
        except Problem:
            return
        if not isinstance(parsed, bytes):
            exchange.body = parsed


def _key(exchange: Exchange, operation: Operation, shown_body: Json) -> tuple[str, str]:
    """The business key, and what the journal shows of it: a personal field stays hidden there, too."""
    redactor = exchange.world.redactor
    body = None if exchange.body is UNREAD else exchange.body
    stored = kept = None
    if operation.meaning.addressed is not None:
        collection, parameter = operation.meaning.addressed
        id_ = exchange.path_parameters.get(parameter, "")
        stored = exchange.world.transaction().get(f"{exchange.spec.name}.{collection}", id_)
        kept = exchange.spec.collections.get(collection)

    def find(body: Json, record: Json) -> str:
        path, query = exchange.path_parameters, exchange.query_parameters
        return business_key(operation, path=path, query=query, body=body, record=record) or NO_KEY

    record = None if stored is None else stored.body
    key = find(body, record)
    if key in exchange.path_parameters.values() or (record is None and shown_body == body):
        # The path, or the body as it is shown, says it anyway.
        return key, redactor.text(key)
    if stored is not None and kept is not None:
        personal = exchange.spec.personal(kept.schema)
        shown = redactor.document(kept, stored.raw, lambda: as_shown(personal.redact(stored.body, redactor.personal)))
        record = shown.value
    return key, redactor.text(find(shown_body, record))


def _shown_body(exchange: Exchange, operation: Operation) -> Shown:
    """The request's body as the journal shows it; of one that cannot be read nobody knows what is personal in it."""
    redactor, personal, raw = exchange.world.redactor, operation.personal("request"), exchange.raw
    if not raw:
        return NOTHING

    def show() -> Shown:
        if exchange.body is not UNREAD:
            return redactor.shown(exchange.body, personal.redact)
        if personal:
            return as_shown(f"[unreadable: {len(raw)} bytes]")
        return as_shown(redactor.text(raw[:_LONGEST_TEXT].decode("utf-8", "replace")))

    # The same bytes say another thing in another media type.
    return redactor.document((operation, exchange.header("content-type")), raw, show)


def _request_entry(exchange: Exchange, label: str, body: orjson.Fragment | None) -> dict[str, Any]:
    redactor = exchange.world.redactor
    address = exchange.address
    assert address is not None  # noqa: S101 - set by the caller one line before
    return {
        "kind": "call",
        "at": exchange.arrived,
        "address": address.to_json() | {"key": label},
        "request": {
            "method": exchange.method,
            "path": redactor.text(exchange.path),
            "query": redactor.text(exchange.query),
            "headers": redactor.headers(exchange.headers),
            # As it was: a mock's method may change the body that it is given.
            "body": body,
        },
    }


def note_outcome(exchange: Exchange, outcome: Outcome) -> None:
    """Append to the journal how a call ended."""
    entry: dict[str, Json] = {"status": None, "headers": {}, "body": None}
    redactor, answer = exchange.world.redactor, outcome.answer
    if answer is not None:
        headers = redactor.headers(answer.headers)
        entry = {"status": answer.status, "headers": headers, "body": _shown_answer(exchange, answer)}
    entry |= {"at": exchange.world.clock.now(), "outcome": outcome.seen}
    if exchange.error is not None:
        entry["error"] = redactor.text(exchange.error)
    request = None if exchange.effective else exchange.request_entry
    exchange.world.append_row(exchange.seq, outcome_row(exchange.seq, request, exchange.fault, entry))


def note_left(exchange: Exchange) -> None:
    """Append to the journal when the caller of a call without an answer gave up."""
    exchange.world.append_row(exchange.seq, left_row(exchange.seq, exchange.world.clock.now()))


def _shown_answer(exchange: Exchange, answer: Answer) -> Any:
    """The answer's body as the journal shows it; what is personal in it stays hidden when a fault moves it about."""
    redactor, operation, good = exchange.world.redactor, exchange.operation, exchange.answer
    if not answer.body:
        return None

    def show() -> Shown:
        try:
            body = answer.json()
        except ValueError:
            return as_shown(redactor.text(answer.body[:_LONGEST_TEXT].decode("utf-8", "replace")))
        return redactor.shown(body, None if operation is None else operation.personal("response").redact)

    # The same bytes say another thing in another media type.
    shown = redactor.document((operation, answer.content_type), answer.body, show)
    if operation is None or good is None or good is answer:
        return shown.json
    return _hide(shown.value, _personal_values(good, operation.personal("response"), redactor))


def _personal_values(answer: Answer, personal: PersonalMap, redactor: Redactor) -> dict[str, str]:
    found: dict[str, str] = {}

    def hide(value: str) -> str:
        return found.setdefault(value, redactor.personal(value))

    personal.redact(answer.json(), hide)
    return found


def _hide(value: Json, labels: dict[str, str]) -> Json:
    if isinstance(value, dict):
        return {name: _hide(item, labels) for name, item in value.items()}
    if isinstance(value, list):
        return [_hide(item, labels) for item in value]
    return labels.get(value, value) if isinstance(value, str) else value
