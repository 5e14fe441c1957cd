"""An ASGI application on one port of this machine, served by uvicorn until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any, Final

import uvicorn

from sandbox.errors import ServeError
from sandbox.protocol import Protocol
from sandbox.tls_files import Shown

_BACKLOG: Final = 2048
_GRACE: Final = 1


class Listener:
    """A port, bound at once, so that two servers never believe to have the same one.

    Args:
        port: 0 chooses a free one.

    Attributes:
        address: What it is bound to.
        port: The one that it has.

    Raises:
        ServeError: when the port is taken.
    """

    def __init__(self, host: str, port: int) -> None:
        self._take(_bind(host, port))

    @classmethod
    def inherited(cls, descriptor: int) -> Listener:
        """The port that another process has bound, by its file descriptor."""
        listener = cls.__new__(cls)
        listener._take(socket.socket(fileno=descriptor))
        return listener

    def _take(self, bound: socket.socket) -> None:
        bound.setblocking(False)  # noqa: FBT003 - the socket module's own signature
        self._socket = bound
        self.address, self.port = bound.getsockname()[:2]
        self._uvicorn: _Uvicorn | None = None

    @property
    def descriptor(self) -> int:
        """The port's file descriptor."""
        return self._socket.fileno()

    def serve(
        self,
        app: Any,
        ready: Callable[[], None],
        *,
        signals: bool,
        tls: Shown | None = None,
        dated: bool = True,
    ) -> None:
        """Serve until `stop`, or until SIGINT or SIGTERM.

        Args:
            app: An ASGI application with a lifespan.
            ready: Called when requests are really answered.
            signals: Whether to heed signals; only the main thread can.
            tls: Serve https with it.
            dated: Whether each answer gets a `Date`; those that only pass through here have one.

        Raises:
            SystemExit: when the application's start-up failed.
        """
        config = uvicorn.Config(
            app,
            http=Protocol,
            ws="none",
            interface="asgi3",
            lifespan="on",
            log_config=None,
            access_log=False,
            log_level=logging.CRITICAL,
            backlog=_BACKLOG,
            server_header=False,
            # A mock has no proxy in front, and nobody is to pass for another.
            proxy_headers=False,
            date_header=dated,
            timeout_graceful_shutdown=_GRACE,
        )
        config.load()
        if tls is not None:
            config.ssl = tls.context()
        self._uvicorn = _Uvicorn(config, ready, signals)
        try:
            self._uvicorn.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def close(self) -> None:
        """Give the port back, when it is not to be served after all."""
        self._socket.close()

    def stop(self) -> None:
        """Let `serve` return once what it answers has been answered."""
        if self._uvicorn is not None:
            self._uvicorn.should_exit = True


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The fastest event loop that there is."""
    return uvicorn.Config(None).get_loop_factory()  # type: ignore[arg-type]  # it serves nothing


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise ServeError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            "another program may have the port; choose one with --port, or let --port 0 find one",
        ) from None
    return bound


class _Uvicorn(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], signals: bool) -> None:
        super().__init__(config)
        self._ready = ready
        self._signals = signals

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self._signals:
            loop = asyncio.get_running_loop()
            for caught in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(caught, self._stop)
        if self.started:
            self._ready()

    def _stop(self) -> None:
        # Asked twice, it no longer waits for open connections.
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # Our own handlers end the server without raising the signal once more, so that the exit code is 0.
        yield
