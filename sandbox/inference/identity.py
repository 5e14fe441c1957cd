"""Identity: which field of a record the id in its path is, and which field of a record points at another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sandbox.inference.schemas import Schema
from sandbox.inference.words import singulars, words

_IDS: Final = ("id", "uuid", "guid", "uid")
_OTHERS: Final = ("code", "key", "number", "sku", "slug", "handle", "reference", "token", "name")
_BARE: Final = frozenset((one,) for one in (*_IDS, *_OTHERS))


def id_names(name: str, parameter: str | None) -> tuple[str, ...]:
    """What the id of a record may be called, in the order of likelihood, in words joined by spaces.

    Args:
        name: Of the collection.
        parameter: The path parameter that identifies one.
    """
    own = singulars(name)
    found: list[tuple[str, ...]] = []
    if parameter:
        asked = words(parameter)
        found.append(asked)
        if len(asked) > 1 and asked[-1] in (*_IDS, *_OTHERS):
            found.append(asked[-1:])
        found.append((*asked, "id"))
    found += [(one,) for one in _IDS]
    found += [(*own, one) for one in _IDS] + [(*own[-1:], one) for one in _IDS]
    found += [("object", "id"), ("resource", "id")]
    return tuple(dict.fromkeys(" ".join(one) for one in found))


def id_field(fields: Mapping[str, Schema], name: str, parameter: str | None) -> str | None:
    """The field of a record that the path parameter is; None when it has none."""
    if parameter is not None and parameter in fields:
        return parameter
    by_words = {" ".join(words(field)): field for field in reversed(list(fields))}
    for candidate in id_names(name, parameter):
        if candidate in by_words and _is_scalar(fields[by_words[candidate]]):
            return by_words[candidate]
    own = singulars(name)
    for other in _OTHERS:
        for candidate in (" ".join((*own[-1:], other)), other):
            if parameter is not None and candidate in by_words and _is_scalar(fields[by_words[candidate]]):
                return by_words[candidate]
    return None


def names_one(fields: Mapping[str, Schema], name: str) -> bool:
    """Whether an object has an id of its own."""
    candidates = set(id_names(name, None))
    return any(" ".join(words(field)) in candidates for field in fields)


def target_of(field: str, names: Mapping[tuple[str, ...], str]) -> str | None:
    """The collection that a field points at by its name: `customer_id`, `customerId`, `CustomerID`.

    Args:
        names: Collections by the words of their singular.
    """
    found = words(field)
    if len(found) < 2 or found[-1] not in _IDS:
        return None
    return names.get(found[:-1])


def holder_of(fields: Mapping[str, Schema], parent: str, parameter: str) -> str | None:
    """The field of a nested record that holds the id of its parent; None when it has none."""
    # What is called `id` or `name` without a word more is the nested record's own.
    if parameter in fields and words(parameter) not in _BARE:
        return parameter
    own = singulars(parent)
    wanted = {words(parameter), (*own, "id"), (*own[-1:], "id")} - _BARE
    return next((field for field in fields if words(field) in wanted and _is_scalar(fields[field])), None)


def _is_scalar(schema: Schema) -> bool:
    return schema.get("type") not in ("object", "array") and "properties" not in schema and "items" not in schema
