"""Names taken apart: `OrderID`, `order_id`, `order-id` and `orderId` are the same words."""

from __future__ import annotations

import functools
import re
from typing import Final

_EDGES: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[^A-Za-z0-9]+")
_PLURALS: Final = {"people": "person", "children": "child", "statuses": "status", "addresses": "address"}
_SINGULAR_ENDS: Final = ("ss", "us", "is")


@functools.lru_cache(maxsize=4096)
def words(name: str) -> tuple[str, ...]:
    """The words of a name in lower case: `CreatedDateUTC` is `created date utc`."""
    return tuple(part.lower() for part in _EDGES.split(name) if part)


def snake(name: str) -> str:
    """The name in snake case, as an attribute of a mock: `line-items` is `line_items`."""
    return "_".join(words(name))


def singular(word: str) -> str:
    """An English word without its plural; a word that has none stays as it is."""
    if word in _PLURALS:
        return _PLURALS[word]
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    if word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    return word[:-1] if word.endswith("s") and not word.endswith(_SINGULAR_ENDS) and len(word) > 2 else word


def singulars(name: str) -> tuple[str, ...]:
    """The words of a name, the last of them in the singular: `line-items` is `line item`."""
    found = words(name)
    return (*found[:-1], singular(found[-1])) if found else ()


def is_plural(name: str) -> bool:
    """Whether a name is a plural, as those of collections are."""
    return words(name) != singulars(name)


def same(one: str, other: str) -> bool:
    """Whether two names have the same words, in the singular or the plural."""
    return singulars(one) == singulars(other)
