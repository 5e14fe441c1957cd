"""A caller's connection on a socket, as faults need it: held, cut, reset, or left by the caller in the middle."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

from sandbox.clock import TimedClock

CONNECTION: Final = "sandbox.connection"
"""Names, among an ASGI scope's extensions, the caller's connection."""
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class SocketConnection:
    """One connection. Waiting for its end costs nothing but the memory: the protocol says when it comes.

    Args:
        listen: Makes the transport read on, whatever is waiting to be answered; who does not read never learns that
            the caller has left.

    Attributes:
        deaf: Whether what the caller still sends is to be dropped.
        on_lost: Called when the connection has ended, whoever ended it.
    """

    def __init__(self, transport: asyncio.Transport, listen: Callable[[], None]) -> None:
        self._transport = transport
        self._listen = listen
        self._lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting = 0
        self.deaf = False
        self.on_lost: Callable[[], None] | None = None

    @property
    def certified(self) -> bool | None:
        if self._transport.get_extra_info("sslcontext") is None:
            return None
        return bool(self._transport.get_extra_info("peercert"))

    @property
    def gone(self) -> bool:
        """Whether it has ended."""
        return self._lost.done()

    def close(self) -> None:
        self.deaf = True
        self._transport.close()

    def reset(self) -> None:
        self.deaf = True
        connected = self._transport.get_extra_info("socket")
        if connected is not None:
            # A linger time of zero makes the kernel send RST instead of FIN.
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    async def left(self) -> None:
        self.deaf = True
        await self._first(self._lost)

    async def pause(self, clock: TimedClock, seconds: float) -> bool:
        passed = asyncio.ensure_future(clock.pause(seconds))
        try:
            await self._first(passed, self._lost)
        finally:
            passed.cancel()
        return not self._lost.done()

    async def _first(self, *futures: asyncio.Future[None]) -> None:
        self.hold()
        try:
            await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.go_on()

    def hold(self) -> None:
        """Let the caller wait: it is not being answered, and that it leaves is to be noticed."""
        self._listen()
        self._waiting += 1

    def go_on(self) -> None:
        """End what `hold` began."""
        self._waiting -= 1

    def lost(self) -> None:
        """The connection has ended, whoever ended it."""
        if not self._lost.done():
            self._lost.set_result(None)
            if self.on_lost is not None:
                self.on_lost()

    def release(self) -> None:
        """End it, if nobody is being answered, so that the server need not wait for it: neither for a fault to let go
        of its caller, nor for an idle caller to agree to the end of TLS."""
        idle = self._transport.is_closing() and self._transport.get_write_buffer_size() == 0
        if self._waiting or idle:
            self._transport.abort()
