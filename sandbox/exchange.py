"""One request on its way through the engine, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

from sandbox.clock import TimedClock
from sandbox.model import NO_KEY, Answer, CallAddress, Change, Headers, Json
from sandbox.spec import Operation, Spec
from sandbox.store import Transaction
from sandbox.stored import Before
from sandbox.world import World

ANONYMOUS: Final = "-"
UNREAD: Final = object()


class Connection(Protocol):
    """The caller's connection; each transport has its own."""

    @property
    def certified(self) -> bool | None:
        """Whether the caller showed a client certificate that can be trusted; None where there is no TLS."""

    def close(self) -> None:
        """End it once what was sent has left."""

    def reset(self) -> None:
        """End it with a TCP RST."""

    async def left(self) -> None:
        """Return when the connection has ended. Until then nothing that the caller sends is looked at."""

    async def pause(self, clock: TimedClock, seconds: float) -> bool:
        """Let a clock's time pass; False when the connection ended first."""


class Interpreter(Protocol):
    """Stands between a world and a caller that knows the same things under other names."""

    def read(self, exchange: Exchange) -> None:
        """Understand the body of a call, and find the world that it is about."""

    def answer(self, exchange: Exchange, answer: Answer) -> Answer:
        """What the caller hears in place of an answer."""


@dataclass(slots=True)
class Exchange:
    """A request as it arrived, filled in step by step.

    Attributes:
        indexed: By collection, the fields that queries may ask for.
        root: The path that the system is mounted at, e.g. `/w/a/shop`.
        path: The path below it, as sent.
        query: The raw query string.
        headers: All headers with lower-case names, in the order they were sent.
        raw: The body's bytes.
        body: The parsed body, `UNREAD` until it has been read.
        parameters: Path and query parameters by their Python names, converted.
        connection: The caller's; None where nobody is to see an answer.
        seq: Place in the journal.
        label: The business key as the journal shows it.
        fault: The fault that it met, as the journal shows it.
        answer: What a good answer was, when a fault may show the caller another.
        past: What has to be put back for it to see a former state; None to see the present one.
        replayed: Whether the answer is a stored one.
        front: Stands between the world and the caller; None where they use the same names.
    """

    world: World
    spec: Spec
    indexed: Mapping[str, frozenset[str]]
    root: str
    method: str
    path: str
    query: str
    headers: Headers
    connection: Connection | None = None
    raw: bytes = b""
    operation: Operation | None = None
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    body: Any = UNREAD
    parameters: dict[str, Any] = field(default_factory=dict)
    principal: str = ANONYMOUS
    seq: int = 0
    arrived: float = 0.0
    address: CallAddress | None = None
    label: str = NO_KEY
    fault: dict[str, Json] | None = None
    answer: Answer | None = None
    past: Before | None = None
    request_entry: dict[str, Any] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    events: tuple[str, ...] = ()
    committed: bool = False
    replayed: bool = False
    error: str | None = None
    extra_headers: Headers = ()
    front: Interpreter | None = None

    def again(self) -> Exchange:
        """The same request as it arrived, for another arrival; nobody is to see its answer."""
        return Exchange(
            world=self.world,
            spec=self.spec,
            indexed=self.indexed,
            root=self.root,
            method=self.method,
            path=self.path,
            query=self.query,
            headers=self.headers,
            raw=self.raw,
            operation=self.operation,
            path_parameters=self.path_parameters,
        )

    def forget(self) -> None:
        """Let go of what was sent and answered, once it is noted: the call may be held for long, among thousands."""
        self.headers, self.raw, self.body, self.request_entry, self.answer = (), b"", None, {}, None

    def transaction(self) -> Transaction:
        """A transaction that sees the state that this call is to see."""
        transaction = self.world.transaction()
        if self.past is not None:
            transaction.rewind(self.past)
        return transaction

    def header(self, name: str) -> str | None:
        """A header by its lower-case name; repeated ones are joined by a comma (RFC 9110, section 5.3)."""
        values = None
        for key, value in self.headers:
            if key == name:
                values = value if values is None else f"{values}, {value}"
        return values

    @property
    def origin(self) -> str:
        """Scheme and host as the caller knows them; empty where nobody named a host."""
        host = self.header("host")
        secure = self.connection is not None and self.connection.certified is not None
        return f"{'https' if secure else 'http'}://{host}" if host else ""

    @property
    def query_parameters(self) -> dict[str, str]:
        """The query's parameters as sent, the last of each name; for addressing, not for validation."""
        return dict(parse_qsl(self.query)) if self.query else {}

    @property
    def effective(self) -> bool:
        """Whether the call changed something."""
        return self.committed and bool(self.changes or self.events)
