"""Paging and filters: what the parameters of a list ask for, by their names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sandbox.inference.asking import Order, filter_of, order_of, ordered, says, value_of
from sandbox.inference.schemas import Schema
from sandbox.inference.words import singulars, words

_LIMITS: Final = frozenset(
    "limit,per page,page size,page limit,size,max results,top,first,rows,take,results per page,pagesize,perpage,"
    "max page size,count,num results,items per page".split(",")
)
_OFFSETS: Final = frozenset("offset,skip,start,start index,start at,page offset,from".split(","))
_PAGES: Final = frozenset("page,page number,page num,current page,page index,p".split(","))
_CURSORS: Final = frozenset(
    "cursor,after,page token,next token,next cursor,start cursor,page after,continuation token,starting after,"
    "page cursor,marker,next page token,start after,next page,page info,last id".split(",")
)
_BY_ID: Final = frozenset(("starting after", "start after", "last id"))
_SINCE: Final = frozenset("updated since,modified since,updated after,modified after,updated at min".split(","))
_SORTS: Final = frozenset("sort,sort by,order by,orderby,sortby,sorting,sort key,sort field,order".split(","))
_DIRECTIONS: Final = frozenset("order,sort,sort order,sort direction,sort dir,direction,dir,order direction".split(","))
_WAYS: Final = frozenset("asc,desc,ascending,descending".split(","))
_FILTERS: Final = frozenset(("filter", "where"))
_TEXTS: Final = frozenset("q,search,search term,keyword,keywords,search text".split(","))
_OPERATORS: Final = frozenset("in like min max gt gte lt lte from to not contains".split())
_ANY: Final = frozenset(("any", "all", "*"))


@dataclass(frozen=True, slots=True)
class Condition:
    """A parameter that says which records are wanted.

    Args:
        parameter: Its name.
        field: The field that it is about.
        operator: `in`, `like`, `min`, …; empty for equality.
        exact: Whether the store can look the value up as it stands.
        options: The values that the field may have, where the schema lists them.
        default: What it asks for where the caller does not say; a record that does not say either is wanted, too.
    """

    parameter: str
    field: str
    operator: str = ""
    exact: bool = False
    options: tuple[Any, ...] = ()
    default: Any = None

    def test(self, wanted: Any) -> Callable[[Mapping[str, Any]], bool]:
        """Whether a record keeps the condition with this value."""
        many = wanted if isinstance(wanted, list) else str(wanted).split(",") if self.operator == "in" else [wanted]
        texts = {_text(one) for one in many}
        if texts & _ANY and not any(_text(one) in _ANY for one in self.options):
            return lambda _: True

        def keeps(record: Mapping[str, Any]) -> bool:
            value = value_of(record, self.field)
            if value is None and self.default is not None and wanted == self.default:
                return True
            if isinstance(value, Mapping):
                value = value.get("id", value.get("value"))
            if self.operator in ("like", "contains"):
                return _text(wanted).strip("%*").lower() in _text(value).lower()
            if self.operator in ("min", "gt", "gte", "from"):
                return ordered(value, wanted, lowest=True)
            if self.operator in ("max", "lt", "lte", "to"):
                return ordered(value, wanted, lowest=False)
            held = {_text(part) for one in value for part in _parts(one)} if isinstance(value, list) else {_text(value)}
            return not held & texts if self.operator == "not" else bool(held & texts)

        return keeps


@dataclass(frozen=True, slots=True)
class Paging:
    """The parameters of a list by what they ask for; None where it has none such.

    Args:
        by_id: Whether the cursor is the id of the last record seen.
        strict: Whether the spec says what a cursor looks like, so that another one is refused.
        sort: The parameter that says by which fields to sort.
        direction: The one that says which way.
        filter: The one that takes comparisons as a text.
        text: The one whose text is to occur somewhere in a record.
        fields: Of a record, by which it can be sorted.
    """

    limit: str | None = None
    offset: str | None = None
    page: str | None = None
    cursor: str | None = None
    since: str | None = None
    sort: str | None = None
    direction: str | None = None
    filter: str | None = None
    text: str | None = None
    fields: tuple[str, ...] = ()
    by_id: bool = False
    strict: bool = False
    conditions: tuple[Condition, ...] = ()

    def order(self, given: Mapping[str, Any]) -> Order:
        """The order that is asked for; empty where none is."""
        return order_of(given.get(self.sort or ""), given.get(self.direction or ""), self.fields)

    def tests(self, given: Mapping[str, Any]) -> Iterator[Callable[[Mapping[str, Any]], bool]]:
        """What texts ask of the records; one that is not understood asks for nothing."""
        wanted, text = given.get(self.filter or ""), given.get(self.text or "")
        if isinstance(wanted, str) and (found := filter_of(wanted)) is not None:
            yield found
        if isinstance(text, str) and text:
            yield lambda record: says(record, text.lower())

    @property
    def pages(self) -> bool:
        """Whether one can ask for a further page, or for a larger one."""
        return bool(self.limit or self.cursor or self.offset or self.page)

    @property
    def style(self) -> str:
        """In words, for people."""
        names = {"cursor": self.cursor, "offset": self.offset, "page": self.page}
        return next((f"{style} ({name})" for style, name in names.items() if name), "")


def paging_of(
    parameters: Sequence[tuple[str, str, Schema]],
    fields: Mapping[str, Schema],
    id_field: str | None,
    inner: Collection[str] = (),
) -> Paging:
    """What the parameters of a list ask for.

    Args:
        parameters: As (name, location, schema).
        fields: Those of the records.
        inner: Those of them that lie in a part of the record, where no store looks them up.
    """
    found: dict[str, str] = {}
    strict, by_id = False, False
    conditions: list[Condition] = []
    by_words = {words(name): name for name in reversed(list(fields))}
    for name, location, schema in parameters:
        if location != "query":
            if location == "path" and name in fields:
                conditions.append(_condition(name, name, "", schema, fields))
            continue
        said = " ".join(words(name))
        role = _role(said, schema) or (_asks(said, schema) if name not in fields else None)
        if role and not (said in ("count", "from", "size", "first") and words(name) in by_words):
            found.setdefault(role, name)
            if role == "cursor" and found["cursor"] == name:
                strict, by_id = said == "cursor" or "pattern" in schema, said in _BY_ID
            continue
        condition = _filter(name, schema, by_words, fields, id_field)
        if condition is not None:
            conditions.append(replace(condition, exact=condition.exact and condition.field not in inner))
    wanted = tuple(conditions)
    return Paging(**found, fields=tuple(fields), by_id=by_id, strict=strict, conditions=wanted)


def _role(said: str, schema: Schema) -> str | None:
    kind = schema.get("type")
    number = kind in ("integer", "number", None)
    if said in _LIMITS and (number or said == "limit"):
        return "limit"
    if said in _OFFSETS and number:
        return "offset"
    if said in _PAGES:
        return "page" if number else "cursor"
    if said in _CURSORS:
        return "cursor"
    return "since" if said in _SINCE else None


def _asks(said: str, schema: Schema) -> str | None:
    """What a text asks for: an order, which way it goes, or which records."""
    options = schema.get("enum")
    ways = isinstance(options, list) and {str(one).lower() for one in options} <= _WAYS
    if said in _DIRECTIONS and (ways or said not in _SORTS):
        return "direction"
    if said in _SORTS:
        return "sort"
    if schema.get("type") != "string":
        return None
    return "filter" if said in _FILTERS else "text" if said in _TEXTS else None


def _filter(
    name: str, schema: Schema, by_words: Mapping[tuple[str, ...], str], fields: Mapping[str, Schema], id_: str | None
) -> Condition | None:
    said, operator = words(name), ""
    if name in fields:
        return _condition(name, name, "", schema, fields)
    if said[:1] in (("filter",), ("query",), ("where",)) and len(said) > 1:
        said = said[1:]
    if len(said) > 1 and said[-1] in _OPERATORS:
        said, operator = said[:-1], said[-1]
    if said == ("ids",) and id_ is not None:
        return Condition(name, id_, "in")
    for candidate in (said, singulars("_".join(said))):
        if candidate in by_words:
            return _condition(name, by_words[candidate], operator, schema, fields)
    return None


def _condition(name: str, field: str, operator: str, schema: Schema, fields: Mapping[str, Schema]) -> Condition:
    kind, own = schema.get("type"), fields[field].get("type")
    exact = not operator and (kind == own or own is None or kind is None) and kind not in ("array", "object")
    exact = exact and not isinstance(kind, list)
    options = fields[field].get("enum")
    listed = tuple(options) if isinstance(options, list) else ()
    if exact and kind == "string" and not listed and "status" in words(field):
        exact = False
    return Condition(name, field, operator, exact, listed, schema.get("default"))


def _parts(one: Any) -> tuple[Any, ...]:
    """By what an entry of a list is asked for: itself, or the names that it goes by."""
    return tuple(one[name] for name in ("id", "name", "value") if name in one) if isinstance(one, Mapping) else (one,)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None else str(value)
