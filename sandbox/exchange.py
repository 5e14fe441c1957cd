"""One request on its way through the engine, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qsl

from sandbox.model import CallAddress, Change, Headers
from sandbox.spec import Operation, Spec
from sandbox.world import World

ANONYMOUS: Final = "-"
UNREAD: Final = object()


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
        seq: Place in the journal.
        replayed: Whether the answer is a stored one.
    """

    world: World
    spec: Spec
    indexed: Mapping[str, frozenset[str]]
    root: str
    method: str
    path: str
    query: str
    headers: Headers
    raw: bytes = b""
    operation: Operation | None = None
    path_parameters: Mapping[str, str] = field(default_factory=dict)
    body: Any = UNREAD
    parameters: dict[str, Any] = field(default_factory=dict)
    principal: str = ANONYMOUS
    seq: int = 0
    arrived: float = 0.0
    address: CallAddress | None = None
    request_entry: dict[str, Any] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    events: tuple[str, ...] = ()
    committed: bool = False
    replayed: bool = False
    error: str | None = None
    extra_headers: Headers = ()

    def header(self, name: str) -> str | None:
        """A header by its lower-case name; repeated ones are joined by a comma (RFC 9110, section 5.3)."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None

    @property
    def query_parameters(self) -> dict[str, str]:
        """The query's parameters as sent, the last of each name; for addressing, not for validation."""
        return dict(parse_qsl(self.query)) if self.query else {}

    @property
    def effective(self) -> bool:
        """Whether the call changed something."""
        return self.committed and bool(self.changes or self.events)
