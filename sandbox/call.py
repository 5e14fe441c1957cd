"""What a fault may use of the call that met it (`sandbox.faults.base.Exchange`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from random import Random
from typing import Final, Protocol
from urllib.parse import quote

from sandbox.exchange import Exchange
from sandbox.faults.base import CallerLeft, CallFault, Cut, Outcome, Silence
from sandbox.guard import unauthorized
from sandbox.idempotency import in_progress
from sandbox.model import Answer, Problem
from sandbox.ratelimit import Quota
from sandbox.refusal import refuse
from sandbox.spec import Operation
from sandbox.store import NotARead

MARK: Final = "Sandbox-Fault"


class Proceed(Protocol):
    """Carries a call out: the one in hand, or another arrival of the same request."""

    def __call__(self, again: Exchange | None = None) -> Awaitable[Answer]: ...


class CallInProgress:
    """A call that has met a fault.

    Args:
        repeat: Lets the same request arrive once more, past all faults.
    """

    def __init__(
        self, exchange: Exchange, operation: Operation, proceed: Proceed, repeat: Callable[[], Awaitable[Answer]]
    ) -> None:
        self._exchange = exchange
        self._operation = operation
        self._proceed = proceed
        self._repeat = repeat
        self._good: list[Answer] = []

    async def meet(self, fault: CallFault) -> Outcome:
        """Let the fault do its work; what it made up or spoilt of an answer is marked as such."""
        try:
            outcome = await fault.apply(self)
        except CallerLeft:
            return Silence(self._good[-1] if self._good else None)
        answer = outcome.answer
        if answer is None or (not isinstance(outcome, Cut) and any(answer is good for good in self._good)):
            return outcome
        return replace(outcome, answer=answer.with_headers((MARK, fault.name)))

    @property
    def now(self) -> float:
        return self._exchange.world.clock.now()

    @property
    def chance(self) -> Random:
        address = self._exchange.address
        assert address is not None  # noqa: S101 - a call is numbered before it meets a fault
        return self._exchange.world.random("fault", *map(str, address.to_json().values()))

    @property
    def elsewhere(self) -> str:
        query = f"?{self._exchange.query}" if self._exchange.query else ""
        return f"{self._exchange.root}/elsewhere{quote(self._exchange.path)}{query}"

    async def proceed(self) -> Answer:
        self._exchange.answer = answer = await self._proceed()
        self._good.append(answer)
        return answer

    async def repeat(self) -> Answer:
        answer = await self._repeat()
        self._good.append(answer)
        return answer

    async def stale(self) -> Answer:
        exchange = self._exchange
        exchange.past = exchange.world.past.before(exchange.spec.name, exchange.label)
        try:
            return await self._proceed()
        except NotARead:
            exchange.past, exchange.changes, exchange.events = None, (), ()
            return await self.proceed()

    async def pause(self, seconds: float) -> None:
        connection, clock = self._exchange.connection, self._exchange.world.clock
        if connection is None:
            await clock.pause(seconds)
        elif not await connection.pause(clock, seconds):
            raise CallerLeft

    def crash(self) -> None:
        self._exchange.world.crash()

    def refuse(self, problem: Problem) -> Answer:
        return refuse(problem, self._exchange, self._operation, exact=True)

    def over_quota(self, wait: int) -> Problem:
        limit = self._operation.rate_limit
        requests, per = (1, wait) if limit is None else (limit.requests, limit.per)
        return Quota(requests, max(per, wait), -1, wait).problem()

    def unauthorized(self) -> Problem:
        return unauthorized(self._exchange.spec, self._operation)

    def in_progress(self) -> Problem:
        return in_progress()
