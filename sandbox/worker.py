"""A process that speaks HTTP with callers for the one that holds the worlds (`sandbox.workers` starts it).

It knows nothing of systems, faults or state: each request that it has read goes over the link, and what comes back is
what it does on the caller's connection. It ends with the process that started it, however that ends.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from sandbox.connection import CONNECTION, SocketConnection
from sandbox.link import (
    ANSWER,
    BODY,
    CLOSE,
    DEAF,
    GO_ON,
    GONE,
    HOLD,
    PART,
    READ,
    READY,
    REQUEST,
    RESET,
    START,
    STOP,
    TAKEN,
    Link,
    Message,
)
from sandbox.listener import Listener
from sandbox.tls_files import Shown

Event = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

# A body that is not larger travels with its request.
_AT_ONCE: Final = 65_536


class _Call:
    """A request that was handed over, and what has come back for it."""

    def __init__(self) -> None:
        self._come: deque[Message | None] = deque()
        self._waiting: asyncio.Future[None] | None = None

    def put(self, message: Message | None) -> None:
        """Take what has come; None when the caller has left."""
        self._come.append(message)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def next(self) -> Message | None:
        while not self._come:
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._come.popleft()


class Worker:
    """The ASGI application.

    Args:
        connected: Its end of the link.
        stop: Ends the server.
    """

    def __init__(self, connected: socket.socket, stop: Callable[[], None]) -> None:
        self._connected = connected
        self._stop = stop
        self._numbers = itertools.count(1)
        self._calls: dict[int, _Call] = {}
        self._link: Link | None = None

    def ready(self) -> None:
        """Tell that requests are really answered."""
        self._say([0, READY])

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._relay(scope, receive, send)
        else:
            await receive()
            self._link = await Link.open(self._connected, self._received, _end)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})

    def _say(self, message: Message) -> None:
        assert self._link is not None  # noqa: S101 - there are no requests before it is open
        self._link.send(message)

    def _received(self, message: Message) -> None:
        if message[1] == STOP:
            self._stop()
        elif (call := self._calls.get(message[0])) is not None:
            call.put(message)

    async def _relay(self, scope: Event, receive: Receive, send: Send) -> None:
        connection: SocketConnection = scope["extensions"][CONNECTION]
        number, call = next(self._numbers), _Call()
        body, more = await _beginning(scope, receive)
        self._calls[number] = call

        def leave() -> None:
            self._say([number, GONE])
            call.put(None)

        said = [scope[name] for name in ("method", "path", "raw_path", "query_string", "http_version", "headers")]
        where = (scope["scheme"], scope["client"], scope["server"], connection.certified)
        self._say([number, REQUEST, *said, where, body, more])
        connection.on_lost = leave
        if connection.gone:
            leave()
        try:
            while (message := await call.next()) is not None:
                if await self._carry_out(message, connection, receive, send):
                    break
        except BaseException:
            # What was to be sent cannot be, or this process ends: nobody takes the rest of the answer.
            self._say([number, GONE])
            raise
        finally:
            connection.on_lost = None
            del self._calls[number]

    async def _carry_out(self, message: Message, connection: SocketConnection, receive: Receive, send: Send) -> bool:
        """Do what has come back for a call; whether that was the end of it."""
        number, kind, *values = message
        if kind in (START, ANSWER):
            await send({"type": "http.response.start", "status": values[0], "headers": values[1]})
            if kind == ANSWER:
                await self._part(number, send, *values[2:])
                return not values[3]
        elif kind == PART:
            await self._part(number, send, *values)
            return not values[1]
        elif kind == READ:
            event = await receive()
            if event["type"] == "http.request":
                self._say([number, BODY, event["body"], event["more_body"]])
        elif kind == HOLD:
            connection.hold()
        elif kind == DEAF:
            connection.deaf = True
        elif kind == GO_ON:
            connection.go_on()
        elif kind == CLOSE:
            connection.close()
        elif kind == RESET:
            connection.reset()
        return False

    async def _part(self, number: int, send: Send, body: bytes, more: bool) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": more})
        if more:
            self._say([number, TAKEN])


async def _beginning(scope: Event, receive: Receive) -> tuple[bytes, bool]:
    """The body, as far as it may be read before somebody asks for it; and whether there is more."""
    length = 0
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            length = int(value)
        elif name in (b"transfer-encoding", b"expect"):
            return b"", True
    if length > _AT_ONCE:
        return b"", True
    if not length:
        return b"", False
    event = await receive()
    if event["type"] == "http.request":
        return event["body"], event["more_body"]
    return b"", True


def _end() -> None:
    """The process that holds the worlds has ended: what is being answered is lost with it."""
    os._exit(1)


def main(listening: int, linked: int) -> None:
    """Serve until told to stop.

    Args:
        listening: The descriptor of the port.
        linked: The descriptor of this end of the link.
    """
    # It ends when it is told, or with the one that started it: until then callers are being answered.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    shown = json.load(sys.stdin)
    listener = Listener.inherited(listening)
    worker = Worker(socket.socket(fileno=linked), listener.stop)
    gc.freeze()
    listener.serve(worker, worker.ready, signals=False, tls=None if shown is None else Shown(**shown))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
