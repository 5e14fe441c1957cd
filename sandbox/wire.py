"""Puts outcomes on the wire: answers, and the ways of ending a connection that HTTP has no words for."""

from __future__ import annotations

from typing import Any, Protocol

from sandbox.app import Scope, send_answer
from sandbox.faults import Outcome, Send, Silence
from sandbox.slot import Receive, SendMessage

CONNECTION = "sandbox.connection"


class Connection(Protocol):
    """The caller's connection; each transport has its own."""

    def close(self) -> None:
        """End it without another byte."""

    def reset(self) -> None:
        """End it with a TCP RST."""


async def emit(outcome: Outcome, scope: Scope, receive: Receive, send: SendMessage) -> None:
    """Let the caller see an outcome."""
    match outcome:
        case Send(answer):
            await send_answer(answer, scope, send)
        case Silence():
            await _until_gone(receive)
            connection(scope).close()


async def _until_gone(receive: Receive) -> None:
    message: Any = await receive()
    while message["type"] != "http.disconnect":
        message = await receive()


def connection(scope: Scope) -> Connection:
    found: Connection = scope["extensions"][CONNECTION]
    return found
