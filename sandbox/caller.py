"""The near end of a connection that exists in memory only, and the ways in which a call over it may end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sandbox.clock import Suspended, TimedClock, VirtualClock, suspend
from sandbox.model import Answer, Headers
from sandbox.slot import Message


class CallerTimedOut(Exception):
    """The caller gave up waiting.

    Attributes:
        begun: Whether a part of the answer had come.
        answer: That part.
    """

    def __init__(self, answer: Answer | None = None) -> None:
        super().__init__("timed out")
        self.answer = answer
        self.begun = answer is not None


class ConnectionLost(Exception):
    """The connection ended without an answer."""


class ConnectionWasReset(ConnectionLost):
    """The connection ended with a TCP RST."""


class AnswerCut(ConnectionLost):
    """The connection ended within an answer; `answer` is the part that came."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("the answer is cut")
        self.answer = answer


class Caller:
    """The near end of a connection that exists in memory only.

    Args:
        patience: Seconds of silence after which it gives up.

    Attributes:
        deadline: When that will be, in unix seconds, unless something comes.
    """

    certified: Final = None

    def __init__(self, body: bytes, clock: VirtualClock, patience: float) -> None:
        self._body: bytes | None = body
        self._clock = clock
        self._patience = patience
        self.deadline = clock.now() + patience
        self.gone = False
        self.lost = False
        self.was_reset = False
        self.answered = False
        self.status = 0
        self.headers: Headers = ()
        self.parts: list[bytes] = []
        self._leaving: list[Callable[[], None]] = []

    async def receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        while not self.gone:
            await suspend(Suspended(None, self._leaving.append))
        return {"type": "http.disconnect"}

    def leave(self) -> None:
        """Give up: whoever waits for this goes on."""
        self.gone = True
        leaving, self._leaving = self._leaving, []
        for go_on in leaving:
            go_on()

    async def left(self) -> None:
        while not (self.gone or self.lost):
            await suspend(Suspended(None, self._leaving.append))

    async def pause(self, clock: TimedClock, seconds: float) -> bool:
        until = clock.now() + seconds

        def arrange(go_on: Callable[[], None]) -> None:
            clock.at(until, go_on)
            self._leaving.append(go_on)

        await suspend(Suspended(until, once(arrange)))
        return not self.gone

    async def send(self, message: Message) -> None:
        self.deadline = self._clock.now() + self._patience
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = tuple(
                (name.decode("latin-1"), value.decode("latin-1")) for name, value in message["headers"]
            )
        else:
            self.parts.append(message.get("body", b""))
            self.answered = not message.get("more_body", False)

    def close(self) -> None:
        self.lost = self.answered = True

    def reset(self) -> None:
        self.was_reset = True
        self.close()

    def outcome(self) -> Answer:
        """The answer that came.

        Raises:
            CallerTimedOut, ConnectionLost: when none did, or not all of it.
        """
        if self.gone:
            raise CallerTimedOut(Answer(self.status, self.headers, b"".join(self.parts)) if self.status else None)
        if self.was_reset:
            raise ConnectionWasReset
        answer = Answer(self.status, self.headers, b"".join(self.parts))
        if self.lost:
            raise AnswerCut(answer) if self.status else ConnectionLost
        return answer


Arrange = Callable[[Callable[[], None]], None]


def once(arrange: Arrange) -> Arrange:
    """The same arrangement, whose `go_on` works once however often it is called."""

    def arranged(go_on: Callable[[], None]) -> None:
        waiting = True

        def first() -> None:
            nonlocal waiting
            if waiting:
                waiting = False
                go_on()

        arrange(first)

    return arranged
