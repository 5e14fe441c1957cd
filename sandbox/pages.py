"""Pages of a list: `limit`, an opaque `cursor` and `Link: rel="next"` (RFC 8288), stable while others insert."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, quote, urlencode

from sandbox.exchange import Exchange
from sandbox.model import Problem, Reply
from sandbox.spec import Operation
from sandbox.stored import Query, Record

DEFAULT_LIMIT: Final = 20
LARGEST_LIMIT: Final = 10_000
_PAGING: Final = frozenset({"limit", "cursor", "updated_since"})
# An odd factor maps the numbers below 2**60 onto themselves: nobody counts cursors up, and a spec can say exactly what
# one looks like.
_CURSORS: Final = 2**60
_FACTOR: Final = 0x9E3779B97F4A7C1
_INVERSE: Final = pow(_FACTOR, -1, _CURSORS)
_CURSOR: Final = re.compile("[0-9a-f]{15}")


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
    return f"{seq * _FACTOR % _CURSORS:015x}"


def decode_cursor(cursor: str) -> int:
    """The place that a cursor stands for.

    Raises:
        Problem: 400 when it is not one of ours.
    """
    if not _CURSOR.fullmatch(cursor):
        raise Problem(
            400,
            "the cursor is not one that this API has given out",
            type="invalid-cursor",
            errors=[{"pointer": "cursor", "detail": "take it from the Link header of the page before"}],
        )
    return int(cursor, 16) * _INVERSE % _CURSORS


def read_page(exchange: Exchange, operation: Operation, source: Source) -> Reply:
    """The page that the request's parameters ask for, in the list answer's envelope."""
    given = exchange.parameters
    limit = _limit(given.get("limit"))
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
        updated_since=None if since is None else _moment(since),
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


def _limit(given: Any) -> int:
    """How many records a page may have; specs bound it, and where they do not, reason does.

    Raises:
        Problem: 400.
    """
    try:
        limit = DEFAULT_LIMIT if given is None else int(given)
    except (ValueError, OverflowError):
        raise _refused("limit", "must be a number") from None
    if limit < 1:
        raise _refused("limit", "must be at least 1")
    return min(limit, LARGEST_LIMIT)


def _moment(given: Any) -> float:
    """Unix seconds of an RFC 3339 time, or of a number that a spec may take in its stead.

    Raises:
        Problem: 400 for what the grammar allows and no clock shows, such as a leap second or the year 0.
    """
    try:
        if not isinstance(given, str):
            return float(given)
        moment = datetime.fromisoformat(given.upper())
        # A spec may let the offset be left out; the answer must not depend on where the machine stands.
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise _refused("updated_since", "must be a moment in time") from None


def _refused(parameter: str, detail: str) -> Problem:
    errors = [{"pointer": parameter, "detail": detail}]
    return Problem(400, f"{parameter} {detail}", type="validation", errors=errors)


def _link(exchange: Exchange, cursor: str) -> str:
    kept = [(name, value) for name, value in parse_qsl(exchange.query, keep_blank_values=True) if name != "cursor"]
    return f'<{quote(exchange.root + exchange.path)}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'
