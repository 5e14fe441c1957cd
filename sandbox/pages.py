"""Pages of a list, in the style that its spec has: an opaque cursor, an offset, a page number or the last id.

Whatever the style, a page is stable while others insert; `Link: rel="next"` (RFC 8288) leads to the next one, and what
the answer says of pages (`has_more`, `total`, `paging.next.after`) is filled in by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, quote, urlencode

from sandbox.exchange import Exchange
from sandbox.inference import fields_of
from sandbox.inference.asking import BAGS, Order, in_order
from sandbox.inference.paging import Condition, Paging, paging_of
from sandbox.inference.schemas import plain
from sandbox.model import Problem
from sandbox.operation import Operation, Parameter
from sandbox.stored import Query, Record

DEFAULT_LIMIT: Final = 20
LARGEST_LIMIT: Final = 10_000
# An odd factor maps the numbers below 2**60 onto themselves: nobody counts cursors up, and a spec can say exactly what
# one looks like.
_CURSORS: Final = 2**60
_FACTOR: Final = 0x9E3779B97F4A7C1
_INVERSE: Final = pow(_FACTOR, -1, _CURSORS)
# Behind all places; a database counts no farther than twice as far.
_FARTHEST: Final = 2**62
_CURSOR: Final = re.compile("[0-9a-f]{15}")


class Source(Protocol):
    """Where pages are read from."""

    def record(self, id: str) -> Record | None:  # noqa: A002 - the field's own name
        """The stored record of an id, or None."""

    def page(self, query: Query) -> Sequence[Record]:
        """The records that match, in the order they were created."""

    def total(self, query: Query) -> int:
        """How many records match, on all pages."""


@dataclass(frozen=True, slots=True)
class Page:
    """A slice of a list.

    Attributes:
        records: What lies on it.
        next: The cursor of the next one; None on the last.
        facts: What an answer may say of the page: `limit`, `offset`, `page`, `pages`, `total`, `count`, `more`, `next`,
            `next_url`, `self_url`.
        headers: `Link`, where there is a next page.
    """

    records: list[Record]
    next: str | None
    facts: Mapping[str, Any]
    headers: dict[str, str] = field(default_factory=dict)


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


def read_page(
    exchange: Exchange,
    operation: Operation,
    source: Source,
    given: Mapping[str, Any] | None = None,
    wanted: Callable[[Mapping[str, Any]], bool] | None = None,
    *,
    counted: bool = False,
) -> Page:
    """The page that the request's parameters ask for.

    Args:
        given: What stands for the query parameters, where they come in a body.
        wanted: A further condition.
        counted: Whether the answer says how many records there are in all.

    Raises:
        Problem: 400 for a limit, a cursor or a moment that cannot be.
    """
    plan, in_body = paging_plan(exchange, operation), given is not None
    given = _parameters(exchange, operation) if given is None else given
    parent = operation.meaning.parent
    asked = given.get(plan.limit) if plan.limit else None
    # Who asks for none, where the spec does not forbid it, gets what is usual.
    limit = _limit(None if asked == 0 else asked, plan)
    equals, tests = _conditions(plan.conditions, given)
    if wanted is not None:
        tests.append(wanted)
    if parent is not None:
        equals[parent.field] = _parent_id(exchange, parent.parameter, parent.field)
    since = given.get(plan.since) if plan.since else None
    moment = None if since is None else _moment(since, plan.since or "")
    number = _whole(given.get(plan.page)) if plan.page else None
    offset = _whole(given.get(plan.offset)) if plan.offset else None
    skipped = offset if offset is not None else (max(0, number - 1) * limit if number is not None else 0)
    skipped = min(skipped, _FARTHEST)
    order = _order(exchange, plan, given, in_body=in_body)
    after = 0 if order else _after(plan, given, source)
    tests += plan.tests(given)
    asked_for = Query(equals, updated_since=moment, after=after)
    direct = not tests and not order
    # What nothing but the store decides, it finds without the pages before.
    begin = 0 if direct else skipped
    found = [
        record
        for record in source.page(replace(asked_for, limit=limit + 1, skip=skipped) if direct else asked_for)
        if all(test(record.body) for test in tests)
    ]
    if order:
        found = in_order(((record.body, record) for record in found), order)
        skipped += _reached(plan, given, found)
        begin = skipped
    total = None
    if counted and direct:
        total = source.total(replace(asked_for, after=0))
    elif counted:
        every = source.page(replace(asked_for, after=0)) if after else found
        total = sum(all(test(one.body) for test in tests) for one in every)
    kept = found[begin : begin + limit]
    more = len(found) > begin + limit
    cursor = _cursor(plan, kept[-1], skipped + limit if order else 0) if more and kept else None
    facts: dict[str, Any] = {
        "limit": limit if asked is not None or plan.pages else max(1, len(kept)),
        "offset": skipped,
        "page": skipped // limit + 1,
        "count": len(kept),
        "more": more,
    }
    facts |= {"total": total, "pages": None if total is None else -(-total // limit), "next": cursor}
    headers = {}
    base = quote(exchange.root + exchange.path)
    facts["self_url"] = exchange.origin + (f"{base}?{exchange.query}" if exchange.query else base)
    if more and (plan.cursor or plan.offset or plan.page):
        asked = {plan.page: facts["page"] + 1} if number is not None else {}
        asked = asked or ({plan.offset: skipped + limit} if plan.offset and not plan.cursor else {})
        asked = asked or ({plan.page: facts["page"] + 1} if plan.page and not plan.cursor else {})
        following = _url(exchange, asked or {plan.cursor or "cursor": cursor})
        facts["next_url"] = exchange.origin + following
        headers["Link"] = f'<{following}>; rel="next"'
    return Page(kept, cursor, facts, headers)


def _parameters(exchange: Exchange, operation: Operation) -> dict[str, Any]:
    """What the path and the query say, with the fields of what is written out there."""
    parent = operation.meaning.parent
    # Whose records they are is no condition on a field that happens to have the same name.
    whose = None if parent is None else parent.parameter
    asked = [one for one in operation.parameters if one.location == "query" or one.name != whose]
    names = {one.name: one.python_name for one in asked if one.location in ("query", "path")}
    given: dict[str, Any] = {name: exchange.parameters.get(python_name) for name, python_name in names.items()}
    for one in operation.parameters:
        if one.location == "query" and one.style == "form" and isinstance(given[one.name], dict):
            given |= given[one.name]
    return given


def paging_plan(exchange: Exchange, operation: Operation) -> Paging:
    """How the operation's parameters ask for pages and filter; worked out once."""
    found = operation.cache.get("paging")
    if not isinstance(found, Paging):
        collection = exchange.spec.collections.get(operation.meaning.collection or "")
        fields = {} if collection is None else collection.fields
        parent = operation.meaning.parent
        parameters: list[tuple[str, str, Mapping[str, Any]]] = [
            part
            for one in operation.parameters
            if parent is None or (one.location, one.name) != ("path", parent.parameter)
            for part in _written_out(one, exchange.spec.document)
        ]
        if operation.meaning.action == "search":
            # Its body says which records are wanted (`sandbox.deeds.search`), and its pages are asked for there.
            parameters, fields = _in_body(operation, exchange.spec.document), {}
        document = exchange.spec.document
        parts = [fields_of(plain(fields[bag], document), document) for bag in BAGS if bag in fields]
        inner = {name: schema for part in parts for name, schema in part.items() if name not in fields}
        found = paging_of(parameters, {**inner, **fields}, operation.meaning.id_field, inner)
        if operation.meaning.action == "search":
            found = replace(found, strict=False)
        operation.cache["paging"] = found
    return found


def _written_out(parameter: Parameter, document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """A parameter, or what callers write in place of an object: each of its properties by its own name."""
    exploded = parameter.location == "query" and parameter.style == "form" and parameter.explode
    fields = fields_of(plain(parameter.schema, document), document) if exploded else {}
    if not fields:
        yield parameter.name, parameter.location, parameter.schema
    for name, schema in fields.items():
        yield name, parameter.location, schema


def _in_body(operation: Operation, document: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """The fields of a body, and of the part of it that is about pages, as if they were parameters."""
    bodies = operation.body.content.values() if operation.body is not None else ()
    schema = next((media.schema for media in bodies if media.schema is not None), {})
    found = fields_of(plain(schema, document), document)
    for outer in ("pagination", "paging", "page"):
        found |= fields_of(plain(found.get(outer, {}), document), document)
    return [(name, "query", value) for name, value in found.items()]


def _parent_id(exchange: Exchange, parameter: str, field: str) -> Any:
    """The parent's id as nested records hold it: a number where their schema says so."""
    given = exchange.path_parameters[parameter]
    operation = exchange.operation
    spec = None if operation is None else exchange.spec.collections.get(operation.meaning.collection or "")
    kind = None if spec is None else spec.fields.get(field, {}).get("type")
    return int(given) if kind == "integer" and given.isdecimal() else given


def _conditions(
    conditions: Sequence[Condition], given: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Callable[[Mapping[str, Any]], bool]]]:
    """What the store looks up, and what is tested on each record."""
    equals: dict[str, Any] = {}
    tests: list[Callable[[Mapping[str, Any]], bool]] = []
    for condition in conditions:
        value = given.get(condition.parameter)
        if value is None or value == "":
            continue
        if condition.exact and not isinstance(value, list | dict) and value != condition.default:
            equals[condition.field] = value
        else:
            tests.append(condition.test(value))
    return equals, tests


def _after(plan: Paging, given: Mapping[str, Any], source: Source) -> int:
    cursor = given.get(plan.cursor) if plan.cursor else None
    if cursor in (None, "") or (cursor in ("0", 0) and not plan.strict):
        return 0
    if plan.by_id or not plan.strict:
        last = source.record(str(cursor))
        if last is not None:
            return last.seq
        if not _CURSOR.fullmatch(str(cursor)):
            # Nothing comes after what there never was; the spec does not say how a cursor looks, so none is wrong.
            return _FARTHEST
    return decode_cursor(str(cursor))


def _order(exchange: Exchange, plan: Paging, given: Mapping[str, Any], *, in_body: bool) -> Order:
    """The order that the caller wants. A default is no wish: pages in the order of creation stay as they are while
    others insert."""
    if not (plan.sort or plan.direction):
        return ()
    named = given if in_body else {name.partition("[")[0] for name in exchange.query_parameters}
    return plan.order({name: value for name, value in given.items() if name in named})


def _reached(plan: Paging, given: Mapping[str, Any], found: Sequence[Record]) -> int:
    """How many of the records lie before a cursor, where they are in an order of the caller's choice."""
    cursor = str(given.get(plan.cursor or "") or "")
    if plan.by_id:
        return next((place for place, one in enumerate(found, 1) if one.id == cursor), len(found)) if cursor else 0
    return _after(plan, given, _Nowhere()) if cursor else 0


class _Nowhere:
    """Knows no record."""

    def record(self, id: str) -> Record | None:  # noqa: A002, ARG002 - the protocol's own names
        return None

    def page(self, query: Query) -> Sequence[Record]:  # noqa: ARG002 - the protocol's own name
        return ()

    def total(self, query: Query) -> int:  # noqa: ARG002 - the protocol's own name
        return 0


def _cursor(plan: Paging, last: Record, place: int) -> str:
    return last.id if plan.by_id else encode_cursor(place or last.seq)


def _whole(given: Any) -> int | None:
    try:
        return None if given is None else max(0, int(given))
    except (ValueError, TypeError, OverflowError):
        return None


def _limit(given: Any, plan: Paging) -> int:
    """How many records a page may have; specs bound it, and where they do not, reason does.

    A list whose spec has no way to ask for a further page, nor for a larger one, has one page.

    Raises:
        Problem: 400.
    """
    name = plan.limit or "limit"
    try:
        limit = (DEFAULT_LIMIT if plan.pages else LARGEST_LIMIT) if given is None else int(given)
    except (ValueError, OverflowError, TypeError):
        raise _refused(name, "must be a number") from None
    if limit < 1:
        raise _refused(name, "must be at least 1")
    return min(limit, LARGEST_LIMIT)


def _moment(given: Any, name: str) -> float:
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
        raise _refused(name, "must be a moment in time") from None


def _refused(parameter: str, detail: str) -> Problem:
    errors = [{"pointer": parameter, "detail": detail}]
    return Problem(400, f"{parameter} {detail}", type="validation", errors=errors)


def _url(exchange: Exchange, changed: Mapping[str | None, Any]) -> str:
    """The request's own URL with other values for some of its parameters."""
    kept = [(name, value) for name, value in parse_qsl(exchange.query, keep_blank_values=True) if name not in changed]
    asked = [(name, str(value)) for name, value in changed.items() if name is not None]
    return f"{quote(exchange.root + exchange.path)}?{urlencode([*kept, *asked])}"
