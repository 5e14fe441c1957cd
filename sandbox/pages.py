"""Pages of a list: `limit`, an opaque `cursor` and `Link: rel="next"` (RFC 8288), stable while others insert."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, urlencode

from sandbox.exchange import Exchange
from sandbox.model import Problem, Reply
from sandbox.spec import Operation
from sandbox.store import Query, Record

DEFAULT_LIMIT: Final = 20
_PAGING: Final = frozenset({"limit", "cursor", "updated_since"})
_PREFIX: Final = "after:"


class Source(Protocol):
    """Where pages are read from."""

    def shown(self, record: dict[str, Any]) -> dict[str, Any]:
        """The record without what is not to be shown."""

    def page(self, query: Query) -> Sequence[Record]:
        """The records that match, in the order they were created."""


@dataclass(frozen=True, slots=True)
class Page:
    """A slice of a list and the cursor of the next one."""

    items: list[Any]
    next: str | None


def encode_cursor(seq: int) -> str:
    return base64.urlsafe_b64encode(f"{_PREFIX}{seq}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> int:
    """The place that a cursor stands for.

    Raises:
        Problem: 400 when it is not one of ours.
    """
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        seq = int(text.removeprefix(_PREFIX)) if text.startswith(_PREFIX) else -1
    except (binascii.Error, ValueError):
        seq = -1
    if not 0 <= seq < 2**62:
        raise Problem(
            400,
            "the cursor is not one that this API has given out",
            type="invalid-cursor",
            errors=[{"pointer": "cursor", "detail": "take it from the Link header of the page before"}],
        )
    return seq


def read_page(exchange: Exchange, operation: Operation, source: Source) -> Reply:
    """The page that the request's parameters ask for, in the list answer's envelope."""
    given = exchange.parameters
    limit = int(given.get("limit") or DEFAULT_LIMIT)
    names = {p.name: p.python_name for p in operation.parameters if p.location in ("query", "path")}
    spec = exchange.spec.collections.get(operation.meaning.collection or "")
    fields = spec.fields if spec is not None else {}
    equals = {
        name: given[python_name]
        for name, python_name in names.items()
        if name not in _PAGING and name in fields and given.get(python_name) is not None
    }
    if (parent := operation.meaning.parent) is not None:
        equals[parent.field] = exchange.path_parameters[parent.parameter]
    since = given.get("updated_since")
    query = Query(
        equals,
        updated_since=None if since is None else datetime.fromisoformat(since).timestamp(),
        after=decode_cursor(given["cursor"]) if given.get("cursor") else 0,
        limit=limit + 1,
    )
    found = source.page(query)
    page = Page(
        [source.shown(record.body) for record in found[:limit]],
        encode_cursor(found[limit - 1].seq) if len(found) > limit else None,
    )
    envelope = operation.meaning.envelope
    body: Any = page.items if envelope is None else {envelope: page.items}
    return Reply(body, headers={} if page.next is None else {"Link": _link(exchange, page.next)})


def _link(exchange: Exchange, cursor: str) -> str:
    kept = [(name, value) for name, value in parse_qsl(exchange.query, keep_blank_values=True) if name != "cursor"]
    return f'<{exchange.root}{exchange.path}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
