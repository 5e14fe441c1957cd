"""The fault slot: between routing and security it numbers each call, lets the fault that sits there do its work, and
writes the journal when the answer leaves."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from sandbox.exchange import UNREAD, Exchange
from sandbox.faults import CallFault, Outcome, Send, Silence
from sandbox.inference import business_key
from sandbox.journal import outcome_row
from sandbox.model import NO_KEY, Answer, CallAddress, Json, Problem
from sandbox.request import parse
from sandbox.spec import Operation

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
SendMessage = Callable[[Message], Awaitable[None]]
Proceed = Callable[[], Awaitable[Answer]]

LARGEST_BODY: Final = 1_048_576
_LONGEST_TEXT: Final = 2000


async def read_body(receive: Receive, declared: str | None) -> bytes:
    """The whole body of a request.

    Raises:
        Problem: 413 when it is larger than 1 MiB.
    """
    if declared is not None and declared.isdecimal() and int(declared) > LARGEST_BODY:
        raise _too_large()
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        part = message.get("body", b"")
        size += len(part)
        if size > LARGEST_BODY:
            raise _too_large()
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


def _too_large() -> Problem:
    return Problem(
        413,
        f"the body is larger than {LARGEST_BODY} bytes",
        type="content-too-large",
        headers={"Connection": "close"},
    )


class CallInProgress:
    """What a fault may use of a call (`sandbox.faults.base.Exchange`)."""

    def __init__(self, exchange: Exchange, proceed: Proceed) -> None:
        self._exchange = exchange
        self._proceed = proceed

    async def proceed(self) -> Answer:
        return await self._proceed()

    def refuse(self, problem: Problem) -> Answer:
        return problem.answer(self._exchange.path)

    def pause(self, seconds: float) -> Awaitable[None]:
        return self._exchange.world.clock.pause(seconds)


async def pass_through(exchange: Exchange, operation: Operation, proceed: Proceed) -> Outcome:
    """Number a call, meet its fault, and note in the journal how it ended."""
    world = exchange.world
    exchange.operation = operation
    exchange.arrived = world.clock.now()
    _parse_leniently(exchange)
    key = _key(exchange, operation) or NO_KEY
    exchange.seq, exchange.address = world.arrive(exchange.spec.name, operation.id, key)
    exchange.request_entry = _request_entry(exchange, operation)
    label = world.label(key)
    armed = world.faults.for_call(exchange.address, label)
    outcome: Outcome
    if armed is None or not isinstance(armed.fault, CallFault):
        outcome = Send(await proceed())
    else:
        outcome = await armed.fault.apply(CallInProgress(exchange, proceed))
    fault = None if armed is None else armed.injection.to_json()
    _note_outcome(exchange, operation, outcome, fault, None if exchange.effective else exchange.request_entry)
    return outcome


def note_unrouted(exchange: Exchange, answer: Answer) -> Answer:
    """Note a request that is no operation's; its address has no operation and no key."""
    world = exchange.world
    exchange.arrived = world.clock.now()
    exchange.seq, exchange.address = world.arrive(exchange.spec.name, NO_KEY, NO_KEY)
    request = _request_entry(exchange, None)
    _note_outcome(exchange, None, Send(answer), None, request)
    return answer


def _parse_leniently(exchange: Exchange) -> None:
    """Read the body for the address and the journal; what is wrong with it is said later, by validation."""
    media_type = (exchange.header("content-type") or "").partition(";")[0].strip().lower()
    if exchange.raw:
        try:
            parsed = parse(exchange.raw, media_type)
        except Problem:
            return
        if not isinstance(parsed, bytes):
            exchange.body = parsed


def _key(exchange: Exchange, operation: Operation) -> str | None:
    body = None if exchange.body is UNREAD else exchange.body
    record = None
    if operation.meaning.addressed is not None:
        collection, parameter = operation.meaning.addressed
        stored = exchange.world.transaction().get(
            f"{exchange.spec.name}.{collection}", exchange.path_parameters.get(parameter, "")
        )
        record = None if stored is None else stored.body
    return business_key(
        operation, path=exchange.path_parameters, query=exchange.query_parameters, body=body, record=record
    )


def _request_entry(exchange: Exchange, operation: Operation | None) -> dict[str, Json]:
    redactor = exchange.world.redactor
    address = exchange.address
    assert address is not None  # noqa: S101 - set by the caller one line before
    body: Any
    if exchange.body is UNREAD:
        body = redactor.text(exchange.raw[:_LONGEST_TEXT].decode("utf-8", "replace")) if exchange.raw else None
    else:
        body = redactor.body(exchange.body, None if operation is None else operation.personal("request").redact)
    shown = CallAddress(address.system, address.operation, redactor.text(address.key), address.occurrence)
    return {
        "kind": "call",
        "at": exchange.arrived,
        "address": shown.to_json(),
        "request": {
            "method": exchange.method,
            "path": redactor.text(exchange.path),
            "query": redactor.text(exchange.query),
            "headers": redactor.headers(exchange.headers),
            "body": body,
        },
    }


def _note_outcome(
    exchange: Exchange,
    operation: Operation | None,
    outcome: Outcome,
    fault: dict[str, Json] | None,
    request: dict[str, Json] | None,
) -> None:
    redactor = exchange.world.redactor
    answer = outcome.answer
    entry: dict[str, Json] = {"status": None, "headers": {}, "body": None}
    if answer is not None:
        body = answer.json()
        entry = {
            "status": answer.status,
            "headers": redactor.headers(answer.headers),
            "body": redactor.body(body, None if operation is None else operation.personal("response").redact),
        }
    entry |= {"at": exchange.world.clock.now(), "outcome": "lost" if isinstance(outcome, Silence) else "sent"}
    if exchange.error is not None:
        entry["error"] = redactor.text(exchange.error)
    exchange.world.append_row(exchange.seq, outcome_row(exchange.seq, request, fault, entry))
