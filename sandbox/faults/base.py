"""What a fault is: one deviation at one point, one small class with one method each."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from sandbox.model import Answer, Problem
from sandbox.plan import Effect


@dataclass(frozen=True, slots=True)
class Send:
    """The caller gets this answer."""

    answer: Answer


@dataclass(frozen=True, slots=True)
class Silence:
    """The caller gets nothing until it gives up; then the connection closes. `answer` is what was lost."""

    answer: Answer | None = None


Outcome = Send | Silence


class Exchange(Protocol):
    """What a call fault may use: the rest of the pipeline, and the world's time."""

    def proceed(self) -> Awaitable[Answer]:
        """Let the call take its normal course, effect included."""

    def refuse(self, problem: Problem) -> Answer:
        """An injected answer that refuses."""

    def pause(self, seconds: float) -> Awaitable[None]:
        """Let the world's time pass."""


class CallFault(ABC):
    """A fault on a call.

    Args:
        effect: Whether the work is done before the caller sees the fault.
        parameters: The plan's `with:`.
    """

    name: ClassVar[str]
    effects: ClassVar[frozenset[Effect]] = frozenset({"none"})

    def __init__(self, effect: Effect, **parameters: Any) -> None:
        self.effect = effect
        self.configure(**parameters)

    def configure(self) -> None:  # noqa: B027 - most faults take no parameters
        """Take the parameters by keyword; a fault without any takes none."""

    @abstractmethod
    async def apply(self, exchange: Exchange) -> Outcome:
        """What the caller sees."""


class Delivery(Protocol):
    """What a delivery fault may use."""

    def send(self) -> Awaitable[None]:
        """Hand the event over now."""

    def send_again(self, after: float) -> None:
        """Hand the same event over once more, a span from now."""


class DeliveryFault(ABC):
    """A fault on the delivery of an event."""

    name: ClassVar[str]

    def __init__(self, **parameters: Any) -> None:
        self.configure(**parameters)

    def configure(self) -> None:  # noqa: B027 - most faults take no parameters
        """Take the parameters by keyword; a fault without any takes none."""

    @abstractmethod
    async def apply(self, delivery: Delivery) -> None:
        """Do with the delivery what the fault stands for."""
