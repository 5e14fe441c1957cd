"""What the texts that a list takes ask for: an order (`-created`, `price:desc`), a filter (`Price gt 10`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias

from sandbox.inference.words import words

Record: TypeAlias = Mapping[str, Any]
# Fields by which to sort, the weightiest first, and whether each goes down; no field is the order of creation.
Order: TypeAlias = tuple[tuple[str, bool], ...]

_UP: Final = ("asc", "ascending")
_DOWN: Final = ("desc", "descending")
_NOISE: Final = frozenset(("at", "date", "on", "time", "utc", "timestamp", "dt"))
# Where the fields of a record lie that has little else on its top.
BAGS: Final = ("attributes", "properties", "fields")
_TERM: Final = re.compile(
    r"""\s*(?:(?P<field>[A-Za-z_][\w./]*)\s*(?P<operator>==|!=|>=|<=|=|>|<|\b(?:eq|ne|gt|ge|lt|le)\b)\s*(?P<value>VALUE)"""
    r"""|(?P<call>contains|startswith|endswith)\(\s*(?P<in>[A-Za-z_][\w./]*)\s*,\s*(?P<part>VALUE)\s*\))\s*""".replace(
        "VALUE", r"""'(?:[^']|'')*'|"[^"]*"|[\w.:+-]+"""
    ),
    re.IGNORECASE,
)
_JOIN: Final = re.compile(r"(and|or|&&|\|\|)(?=\W)", re.IGNORECASE)
_TESTS: Final[Mapping[str, Callable[[str, str], bool]]] = {
    "contains": lambda found, part: part in found,
    "startswith": str.startswith,
    "endswith": str.endswith,
}
_SIGNS: Final = {"==": "eq", "=": "eq", "!=": "ne", ">=": "ge", "<=": "le", ">": "gt", "<": "lt"}


def value_of(record: Record, name: str) -> Any:
    """A field of a record by its name, which may lead into its parts: `Contact.Name`."""
    found: Any = record
    for part in re.split("[./]", name):
        found = found.get(part) if isinstance(found, Mapping) else None
    if found is None and name not in record:
        bags = (bag for outer in BAGS if isinstance(bag := record.get(outer), Mapping))
        return next((bag[name] for bag in bags if name in bag), None)
    return found


def order_of(asked: Any, direction: Any, fields: Iterable[str]) -> Order:
    """The order that a text asks for, by the names of fields; what none of them is does not count.

    Args:
        asked: `-created`, `price:desc,name`, `Name desc`; or several such.
        direction: Which way all those go that do not say it themselves: `desc`.
    """
    falls = bool({*words(str(direction or ""))} & {*_DOWN})
    known = {_plain(words(field)): field for field in reversed(list(fields))}
    found: list[tuple[str, bool]] = []
    if isinstance(asked, Mapping):
        asked = [f"{name}:{way}" for name, way in asked.items()]
    for part in asked if isinstance(asked, list) else re.split("[,;]", str(asked or "")):
        said = words(str(part))
        way, said = (said[-1], said[:-1]) if said and said[-1] in (*_UP, *_DOWN) else ("", said)
        down = str(part).strip().startswith("-") or way in _DOWN or (falls and not way)
        field = known.get(_plain(said)) or known.get(_plain(said[-1:])) if said else ""
        if field is not None and (field or down):
            found.append((field, down))
    return tuple(found) if asked else (("", True),) if falls else ()


def in_order(records: Iterable[tuple[Record, Any]], order: Order) -> list[Any]:
    """What stands beside the records, in the order of these."""
    found = list(records)
    for field, down in reversed(order):
        if field:
            found.sort(key=lambda pair: _weight(value_of(pair[0], field)), reverse=down)
        elif down:
            found.reverse()
    return [beside for _, beside in found]


def filter_of(text: str) -> Callable[[Record], bool] | None:
    """Whether a record is what a filter asks for; None where it is not one that is understood.

    Understood are comparisons as OData writes them, `Price gt 10 and Status ne 'Open'`, or with signs, `Price >= 10`,
    and `contains(Name, 'x')`; `and` binds closer than `or`. Brackets are not.
    """
    groups: list[list[re.Match[str]]] = [[]]
    at = 0
    while True:
        term = _TERM.match(text, at)
        if term is None:
            return None
        groups[-1].append(term)
        if term.end() == len(text):
            return lambda record: any(all(_keeps(record, one) for one in group) for group in groups)
        join = _JOIN.match(text, term.end())
        if join is None:
            return None
        if join[1].lower() in ("or", "||"):
            groups.append([])
        at = join.end()


def ordered(value: Any, wanted: Any, *, lowest: bool) -> bool:
    """Whether a value is at least, or at most, what is wanted: as numbers if they are, else as texts."""
    try:
        one, other = float(value), float(wanted)
    except (TypeError, ValueError):
        if value is None:
            return False
        return str(value) >= str(wanted) if lowest else str(value) <= str(wanted)
    return one >= other if lowest else one <= other


def says(value: Any, text: str) -> bool:
    """Whether a text, in lower case, occurs in a value or in one of its parts."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return any(says(one, text) for one in value)
    return text in _text(value).lower()


def _keeps(record: Record, term: re.Match[str]) -> bool:
    if term["call"]:
        found = str(value_of(record, term["in"]) or "")
        return _TESTS[term["call"].lower()](found.lower(), _bare(term["part"]).lower())
    operator = term["operator"].lower()
    operator = _SIGNS.get(operator, operator)
    found, wanted = value_of(record, term["field"]), _bare(term["value"])
    same = found is None if term["value"].lower() == "null" else _text(found) == wanted
    if not same and found is not None and operator in ("eq", "ne", "gt", "lt"):
        # 5 and 5.00 are the same number.
        same = ordered(found, wanted, lowest=True) and ordered(found, wanted, lowest=False)
    if operator in ("eq", "ne"):
        return same is (operator == "eq")
    return ordered(found, wanted, lowest=operator in ("gt", "ge")) and not (same and operator in ("gt", "lt"))


def _bare(value: str) -> str:
    if value[:1] == "'":
        return value[1:-1].replace("''", "'")
    return value[1:-1] if value[:1] == '"' else value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def _plain(said: tuple[str, ...]) -> tuple[str, ...]:
    """The words of a field's name without those that say only that it is a moment."""
    return tuple(word for word in said if word not in _NOISE) or said


def _weight(value: Any) -> tuple[bool, bool, Any]:
    number = isinstance(value, int | float)
    return value is None, not number, value if number else _text(value)
