"""Puts outcomes on the wire: answers, and the ways of ending a connection that HTTP has no words for."""

from __future__ import annotations

from sandbox.app import EXCHANGE, Scope, answer_start, send_answer
from sandbox.connection import CONNECTION
from sandbox.exchange import Connection, Exchange
from sandbox.faults.base import Cut, Drip, Outcome, Reset, Send, Silence
from sandbox.model import Answer
from sandbox.slot import Receive, SendMessage, note_left, note_outcome


async def emit(outcome: Outcome, scope: Scope, receive: Receive, send: SendMessage) -> None:  # noqa: ARG001 - the signature is given
    """Let the caller see an outcome, once what it tells of outlives the process."""
    store = _exchange(scope).world.store
    if store.due:
        await store.settled()
    match outcome:
        case Send(answer):
            await send_answer(answer, scope, send)
        case Silence():
            exchange = _exchange(scope)
            exchange.forget()
            await connection(scope).left()
            note_left(exchange)
        case Reset():
            connection(scope).reset()
            await connection(scope).left()
        case Cut(answer, at):
            await _cut(answer, at, scope, send)
        case Drip():
            await _drip(outcome, scope, send)


async def _cut(answer: Answer, at: int, scope: Scope, send: SendMessage) -> None:
    if _shows_body(answer, scope):
        await send(answer_start(answer))
        await send({"type": "http.response.body", "body": answer.body[:at], "more_body": True})
    connection(scope).close()
    await connection(scope).left()


async def _drip(outcome: Drip, scope: Scope, send: SendMessage) -> None:
    exchange, answer, clock = _exchange(scope), outcome.answer, _exchange(scope).world.clock
    length = len(answer.body) if _shows_body(answer, scope) else 0
    await send(answer_start(answer))
    for start in range(0, length, outcome.size):
        if not await connection(scope).pause(clock, outcome.every):
            note_outcome(exchange, Cut(answer, start))
            return
        piece = answer.body[start : start + outcome.size]
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    note_outcome(exchange, outcome)
    await send({"type": "http.response.body", "body": b""})


def _shows_body(answer: Answer, scope: Scope) -> bool:
    return bool(answer.body) and answer.status not in (204, 304) and scope["method"] != "HEAD"


def _exchange(scope: Scope) -> Exchange:
    found: Exchange = scope["extensions"][EXCHANGE]
    return found


def connection(scope: Scope) -> Connection:
    found: Connection = scope["extensions"][CONNECTION]
    return found
