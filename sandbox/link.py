"""Messages between two processes of one program, over a socket: what is sent in one turn of the loop travels together.

A frame is its length in four bytes, and a list of messages as `marshal` writes it. That is quick, and made for both
sides being the same Python; nothing but our own other process writes to the socket.

A message is a list. It begins with the number of the call that it is about (0: the process itself) and its kind.
"""

from __future__ import annotations

import asyncio
import marshal
import socket
from collections.abc import Callable
from typing import Any, Final, cast

Message = list[Any]

# From a worker: it serves; a request has been read; the next part of its body; its caller has left; a part of its
# answer was taken.
READY: Final = 1
REQUEST: Final = 2
BODY: Final = 3
GONE: Final = 4
TAKEN: Final = 5
# To a worker: end; read the next part of the body; begin an answer; a part of it; all of it at once; let the caller
# wait, and notice when it leaves; drop what it still sends; it waits no longer; end the connection once what was sent
# has left; reset it.
STOP: Final = 16
READ: Final = 17
START: Final = 18
PART: Final = 19
ANSWER: Final = 20
HOLD: Final = 21
DEAF: Final = 22
GO_ON: Final = 23
CLOSE: Final = 24
RESET: Final = 25

_LENGTH: Final = 4


class Link(asyncio.Protocol):
    """One end.

    Args:
        received: Called with each message.
        lost: Called when the other process has ended, or let go.

    Attributes:
        turn: Grows with each frame; a message that was sent in the present turn can still be changed.
    """

    def __init__(self, received: Callable[[Message], None], lost: Callable[[], None]) -> None:
        self._received = received
        self._lost = lost
        self._loop = asyncio.get_running_loop()
        self._outgoing: list[Message] = []
        self._arrived = bytearray()
        self._transport: asyncio.Transport | None = None
        self.turn = 0

    @classmethod
    async def open(
        cls, connected: socket.socket, received: Callable[[Message], None], lost: Callable[[], None]
    ) -> Link:
        """The link over one end of a `socketpair`."""
        loop = asyncio.get_running_loop()
        _, link = await loop.create_unix_connection(lambda: cls(received, lost), sock=connected)
        return link

    def send(self, message: Message) -> None:
        """Let a message leave with the others of this turn."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(message)

    def _flush(self) -> None:
        self.turn += 1
        outgoing, self._outgoing = self._outgoing, []
        if self._transport is not None and not self._transport.is_closing():
            frame = marshal.dumps(outgoing)
            self._transport.write(len(frame).to_bytes(_LENGTH, "big") + frame)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        arrived = self._arrived
        arrived += data
        at, size = 0, len(arrived)
        while size - at >= _LENGTH:
            end = at + _LENGTH + int.from_bytes(arrived[at : at + _LENGTH], "big")
            if size < end:
                break
            for message in marshal.loads(arrived[at + _LENGTH : end]):  # noqa: S302 - our own process wrote it
                self._received(message)
            at = end
        del arrived[:at]

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the signature is given
        self._lost()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
