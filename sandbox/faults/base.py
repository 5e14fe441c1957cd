"""What a fault is: one deviation at one point, one small class with one method each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar, Protocol

from sandbox.faults.parameters import take
from sandbox.model import Answer, Problem
from sandbox.plan import Effect
from sandbox.signing import Seal, sign


@dataclass(frozen=True, slots=True)
class Send:
    """The caller gets this answer."""

    answer: Answer
    seen: ClassVar[str] = "sent"


@dataclass(frozen=True, slots=True)
class Silence:
    """The caller gets nothing until it gives up; then the connection closes. `answer` is what was lost."""

    answer: Answer | None = None
    seen: ClassVar[str] = "lost"


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection ends with a TCP RST. `answer` is what was lost."""

    answer: Answer | None = None
    seen: ClassVar[str] = "reset"


@dataclass(frozen=True, slots=True)
class Cut:
    """Headers that promise the whole body, the first `at` bytes of it, then the end of the connection.

    An answer without a body has only its head to lose: the connection ends before it.
    """

    answer: Answer
    at: int
    seen: ClassVar[str] = "cut"


@dataclass(frozen=True, slots=True)
class Drip:
    """The body arrives `size` bytes at a time, one piece every so many seconds of the world's clock."""

    answer: Answer
    size: int
    every: float
    seen: ClassVar[str] = "sent"


Outcome = Send | Silence | Reset | Cut | Drip


class CallerLeft(Exception):
    """The caller gave up while a fault kept it waiting. No fault need catch it."""


class Exchange(Protocol):
    """What a call fault may use: the rest of the pipeline, what the system itself would say, the world's time and
    chance."""

    @property
    def now(self) -> float:
        """The world's time in unix seconds."""

    @property
    def chance(self) -> Random:
        """A random source of this call's own: seeded by (world seed, address), the same however calls interleave."""

    @property
    def elsewhere(self) -> str:
        """An address at this system where nothing is; the journal shows who goes there, and with what."""

    def proceed(self) -> Awaitable[Answer]:
        """Let the call take its normal course, effect included."""

    def repeat(self) -> Awaitable[Answer]:
        """The same request arrives once more: counted, carried out and noted like any other, but meeting no fault."""

    def stale(self) -> Awaitable[Answer]:
        """Let a call that reads see the state before the last change of its business key (with key `-`, of the
        system). One that would change something takes its normal course."""

    def pause(self, seconds: float) -> Awaitable[None]:
        """Let the world's time pass.

        Raises:
            CallerLeft: when the caller gives up first.
        """

    def crash(self) -> None:
        """Kill the program under test as soon as this call can no longer reach it."""

    def refuse(self, problem: Problem) -> Answer:
        """An injected answer that refuses."""

    def over_quota(self, wait: int) -> Problem:
        """The 429 of a caller whose quota is used up for `wait` more seconds."""

    def unauthorized(self) -> Problem:
        """The 401 of a caller whose credential has expired."""

    def in_progress(self) -> Problem:
        """The 409 of a request whose idempotency key is in use by one that still runs."""


class CallFault(ABC):
    """A fault on a call.

    Args:
        effect: Whether the work is done before the caller sees the fault.
        parameters: The plan's `with:`.

    Attributes:
        reads_only: Whether it makes sense only on calls that read (GET, HEAD); it passes by all others.
        ends: When a fault that lasts is over, in unix seconds; None before it begins, infinite when no time ends it.

    Raises:
        PlanError: for a parameter that it does not take.
    """

    name: ClassVar[str]
    effects: ClassVar[frozenset[Effect]] = frozenset({"none"})
    reads_only: ClassVar[bool] = False
    ends: float | None = None

    def __init__(self, effect: Effect, /, **parameters: Any) -> None:
        self.effect = effect
        take(self.name, self.configure, parameters)

    def configure(self) -> None:  # noqa: B027 - most faults take no parameters
        """Take the parameters by keyword; a fault without any takes none."""

    def meets(self, named: bool, now: float) -> bool:  # noqa: ARG002 - time matters to those that last
        """Whether a call to the fault's system meets it.

        Args:
            named: Whether the fault's point names this very call.
            now: The world's time in unix seconds.
        """
        return named

    @abstractmethod
    async def apply(self, exchange: Exchange) -> Outcome:
        """What the caller sees."""


@dataclass(frozen=True, slots=True)
class Message:
    """What is handed over to a subscriber.

    Attributes:
        id: The event's id, the same over all its deliveries.
        key: The business key.
        body: The exact bytes.
        seal: Makes the headers at departure.
    """

    id: str
    key: str
    body: bytes
    seal: Seal = sign


class Delivery(Protocol):
    """What a delivery fault may use."""

    @property
    def message(self) -> Message:
        """The event as it would leave without a fault."""

    @property
    def chance(self) -> Random:
        """A random source of this delivery's own."""

    def knows(self, key: str) -> bool:
        """Whether the system has something of that business key."""

    def send(self, message: Message | None = None) -> Awaitable[bool]:
        """Hand the event over now, as it is or as another message; says whether it was accepted."""

    def crash(self) -> None:
        """Kill the program under test."""

    def send_extra(self, after: float = 0.0, message: Message | None = None) -> None:
        """Hand something over besides, a span from now; its failure is not retried."""

    def send_beside(self) -> None:
        """Hand the same event over at this very moment too, without waiting for the other's answer."""

    def postpone(self, by: float) -> None:
        """Hand the event over later; others may overtake it."""

    def hold(self, longest: float) -> None:
        """Hand the event over right after a newer one to the same subscriber, at the latest after a span."""

    def drop(self) -> None:
        """Never hand the event over."""


class DeliveryFault(ABC):
    """A fault on the delivery of an event.

    Raises:
        PlanError: for a parameter that it does not take.
    """

    name: ClassVar[str]

    def __init__(self, /, **parameters: Any) -> None:
        take(self.name, self.configure, parameters)

    def configure(self) -> None:  # noqa: B027 - most faults take no parameters
        """Take the parameters by keyword; a fault without any takes none."""

    @abstractmethod
    async def apply(self, delivery: Delivery) -> None:
        """Do with the delivery what the fault stands for."""
