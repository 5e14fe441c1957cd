"""Group commit: all that the calls of one turn of the event loop have committed goes into the file together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sandbox.database import Database
from sandbox.errors import ServeError


class Turn:
    """Writes a database once in each turn of the running loop in which something was committed.

    The call that commits first asks for it, behind all that is ready to run then; whoever else commits until it comes
    to that is taken along. So a lone call hardly waits, and of many at once each pays a part.

    Args:
        failed: Told when the file cannot be written. Nothing is kept any more then, so the server has to end.
    """

    def __init__(self, database: Database, failed: Callable[[ServeError], None]) -> None:
        self._database = database
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._waiting: list[asyncio.Future[None]] = []
        database.group = self

    def due(self) -> None:
        self._loop.call_soon(self._settle)

    async def settled(self) -> None:
        # Each has a future of its own: one that is cancelled does not end the waiting of the others.
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(future)
        await future

    def _settle(self) -> None:
        waiting, self._waiting = self._waiting, []
        failure: ServeError | None = None
        try:
            self._database.settle()
        except ServeError as error:
            failure = error
            self._failed(error)
        for future in waiting:
            if future.done():
                continue
            if failure is None:
                future.set_result(None)
            else:
                future.set_exception(failure)
