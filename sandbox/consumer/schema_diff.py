"""How two schemas differ, as a consumer notices: which fields came and went, and which values are valid now and before.

Whether a difference hurts depends on who writes the values: whoever sends is hurt when less is allowed, whoever reads
when more may come. That is judged elsewhere; here a difference only *narrows*, *widens*, or does both.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from sandbox.consumer.shape import LOWER, UPPER, Place, Shape, essence
from sandbox.field_error import Direction
from sandbox.pointer import escape

Effect = Literal["narrows", "widens", "changes"]
Kind = Literal[
    "removed",
    "added",
    "renamed",
    "required",
    "optional",
    "type",
    "values",
    "enum",
    "null",
    "closed",
    "opened",
    "default",
]

_WORDS: Final = {
    "minimum": "the minimum",
    "maximum": "the maximum",
    "minLength": "the smallest length",
    "maxLength": "the largest length",
    "minItems": "the smallest number of items",
    "maxItems": "the largest number of items",
    "minProperties": "the smallest number of fields",
    "maxProperties": "the largest number of fields",
}
# Formats that hold all values of another.
_WIDER: Final = {("int32", "int64"), ("float", "double")}
_SAME_FORMAT: Final = frozenset({(None, "double"), ("double", None), (None, "password"), ("password", None)})


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference between two schemas.

    Args:
        kind: `values` for all that only concerns which values are valid.
        effect: On the set of valid values.
        field: Where it is in the value, as a pointer, `*` being any index; of a removed or renamed field, the old one.
        old: Pointer into the old document.
        new: Pointer into the new one.
        what: The difference in words.
        values: Of an `enum`, those that came or went; of what was `closed`, the fields that it names.
        required: Of an added or renamed field, whether it must be there now.
    """

    kind: Kind
    effect: Effect
    field: str
    old: str
    new: str
    what: str
    values: tuple[Any, ...] = ()
    required: bool = False

    def within(self, prefix: str) -> Difference:
        """The same one, where its schema is that of a field of something else."""
        return replace(self, field=prefix + self.field)


class SchemaDiff:
    """Compares schemas of two documents; what was compared once is known then.

    Args:
        old: The old document.
        new: The new one.
        direction: Of the values: `request` or `response`.
    """

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any], direction: Direction) -> None:
        self._old = old
        self._new = new
        self._direction = direction
        self._known: dict[tuple[tuple[str, ...], tuple[str, ...]], tuple[Difference, ...]] = {}

    def compare(self, old: Sequence[Place], new: Sequence[Place]) -> tuple[Difference, ...]:
        """All differences between two schemas, given as schema objects all of which apply."""
        before = Shape(self._old, old, self._direction)
        after = Shape(self._new, new, self._direction)
        key = before.identity, after.identity
        if key not in self._known:
            # What recurs is compared where it was met first.
            self._known[key] = ()
            self._known[key] = tuple(self._differences(before, after))
        return self._known[key]

    def _differences(self, old: Shape, new: Shape) -> Iterator[Difference]:
        types = list(_types(old, new))
        yield from types
        if any(difference.effect == "changes" for difference in types):
            return
        yield from _plain(old, new)
        yield from _bounds(old, new)
        yield from _enum(old, new)
        yield from self._fields(old, new)
        yield from self._rest(old, new)
        if old.items and new.items:
            yield from (found.within("/*") for found in self.compare(old.items, new.items))
        elif new.items:
            yield _values(old, new, "items", "narrows", "its items have a schema now")
        elif old.items:
            yield _values(old, new, "items", "widens", "its items may be anything now")
        yield from self._variants(old, new)

    def _fields(self, old: Shape, new: Shape) -> Iterator[Difference]:
        removed = [name for name in old.properties if name not in new.properties]
        added = [name for name in new.properties if name not in old.properties]
        for before, after in self._renamed(old, new, removed, added):
            removed.remove(before)
            added.remove(after)
            what = f"the field {before} is called {after} now" + (", and required" * (after in new.required))
            yield _of_field("renamed", "changes", before, old, new, what, after, required=after in new.required)
        for name in removed:
            yield _of_field("removed", "narrows", name, old, new, f"the field {name} was removed")
        for name in added:
            must = name in new.required
            what = f"the {'required' if must else 'optional'} field {name} was added"
            yield _of_field("added", "narrows" if must else "widens", name, old, new, what, required=must)
        for name in old.properties:
            if name not in new.properties:
                continue
            if name in new.required and name not in old.required:
                yield _of_field("required", "narrows", name, old, new, f"the field {name} is required now")
            if name in old.required and name not in new.required:
                yield _of_field("optional", "widens", name, old, new, f"the field {name} is optional now")
            below = self.compare(old.properties[name], new.properties[name])
            yield from (found.within(f"/{escape(name)}") for found in below)

    def _renamed(
        self, old: Shape, new: Shape, removed: Sequence[str], added: Sequence[str]
    ) -> Iterator[tuple[str, str]]:
        """Pairs of a removed and an added field whose schemas are equal; of several, the ones whose names are alike."""
        before = {name: _essence(self._old, old.properties[name]) for name in removed}
        after = {name: _essence(self._new, new.properties[name]) for name in added}
        yield from matches(before, after)

    def _rest(self, old: Shape, new: Shape) -> Iterator[Difference]:
        where = "additionalProperties"
        if new.closed and not old.closed:
            yield replace(
                _values(old, new, where, "narrows", "fields that it does not name are refused"), kind="closed"
            )
        elif old.closed and not new.closed:
            yield replace(
                _values(old, new, where, "widens", "fields that it does not name may be there"), kind="opened"
            )
        elif old.rest and new.rest:
            yield from (found.within("/*") for found in self.compare(old.rest, new.rest))
        elif new.rest and not old.closed:
            yield _values(old, new, where, "narrows", "the fields that it does not name have a schema now")
        elif old.rest and not new.closed:
            yield _values(old, new, where, "widens", "the fields that it does not name may be anything now")

    def _variants(self, old: Shape, new: Shape) -> Iterator[Difference]:
        if not old.variants and not new.variants:
            return
        if not old.variants or not new.variants:
            effect: Effect = "narrows" if new.variants else "widens"
            what = (
                "it must match one of several forms now" if new.variants else "it need not match one of several forms"
            )
            yield _values(old, new, "oneOf" if _has(old, new, "oneOf") else "anyOf", effect, what)
            return
        before, after = list(old.variants), list(new.variants)
        for mine in list(before):
            twin = next((other for other in after if self._is_twin(mine, other)), None)
            if twin is not None:
                before.remove(mine)
                after.remove(twin)
                yield from self.compare([mine], [twin])
        if len(before) == len(after):
            for mine, other in zip(before, after, strict=True):
                yield from self.compare([mine], [other])
            return
        for mine in before:
            yield Difference("values", "narrows", "", mine.pointer, new.pointer, "one of the forms it may have is gone")
        for other in after:
            yield Difference("values", "widens", "", old.pointer, other.pointer, "it may have another form, too")

    def _is_twin(self, old: Place, new: Place) -> bool:
        named = old.pointer.startswith("/components/") and old.pointer == new.pointer
        return named or essence(self._old, old.node) == essence(self._new, new.node)


def matches(removed: Mapping[str, Any], added: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Pairs of names with equal values, those first whose names are most alike."""
    pairs = [
        (-difflib.SequenceMatcher(None, before, after).ratio(), before, after)
        for before, mine in removed.items()
        for after, other in added.items()
        if mine == other
    ]
    taken: set[tuple[str, str]] = set()
    for _, before, after in sorted(pairs):
        if ("old", before) not in taken and ("new", after) not in taken:
            taken |= {("old", before), ("new", after)}
            yield before, after


def _essence(document: Mapping[str, Any], places: Sequence[Place]) -> list[Any]:
    return [essence(document, place.node) for place in places]


def _of_field(
    kind: Kind, effect: Effect, name: str, old: Shape, new: Shape, what: str, now: str = "", *, required: bool = False
) -> Difference:
    before = old.properties.get(name)
    after = new.properties.get(now or name)
    return Difference(
        kind,
        effect,
        f"/{escape(name)}",
        before[0].pointer if before else old.pointer,
        after[0].pointer if after else new.pointer,
        what,
        required=required,
    )


def _values(old: Shape, new: Shape, keyword: str, effect: Effect, what: str) -> Difference:
    return Difference("values", effect, "", old.where(keyword), new.where(keyword), what)


def _has(old: Shape, new: Shape, keyword: str) -> bool:
    return old.word(keyword) is not None or new.word(keyword) is not None


def _types(old: Shape, new: Shape) -> Iterator[Difference]:
    before, after = old.word("type"), new.word("type")
    if before != after:
        effect: Effect = "changes"
        if after is None or (before, after) == ("integer", "number"):
            effect = "widens"
        elif before is None or (before, after) == ("number", "integer"):
            effect = "narrows"
        what = f"the type is {after or 'any'} instead of {before or 'any'}"
        yield replace(_values(old, new, "type", effect, what), kind="type")
    if old.nullable != new.nullable and (before or after):
        what = "it may be null now" if new.nullable else "it may no longer be null"
        difference = _values(old, new, "nullable", "widens" if new.nullable else "narrows", what)
        yield replace(difference, kind="null")


def _plain(old: Shape, new: Shape) -> Iterator[Difference]:
    before, after = old.word("format"), new.word("format")
    if before != after and (before, after) not in _SAME_FORMAT:
        effect: Effect = "changes"
        if after is None or (before, after) in _WIDER:
            effect = "widens"
        elif before is None or (after, before) in _WIDER:
            effect = "narrows"
        yield _values(old, new, "format", effect, f"the format is {after or 'free'} instead of {before or 'free'}")
    before, after = old.word("pattern"), new.word("pattern")
    if before != after:
        effect = "widens" if after is None else "narrows" if before is None else "changes"
        yield _values(old, new, "pattern", effect, f"the pattern is {after or 'gone'} instead of {before or 'none'}")
    before, after = old.word("multipleOf"), new.word("multipleOf")
    if before != after:
        effect = _multiples(before, after)
        what = f"it must be a multiple of {after}" if after is not None else "it need not be a multiple of anything"
        yield _values(old, new, "multipleOf", effect, what)
    if bool(old.word("uniqueItems")) != bool(new.word("uniqueItems")):
        unique = bool(new.word("uniqueItems"))
        what = "its items must differ now" if unique else "its items may be alike now"
        yield _values(old, new, "uniqueItems", "narrows" if unique else "widens", what)
    before, after = old.word("default"), new.word("default")
    if before != after:
        found = _values(old, new, "default", "changes", f"the default is {_shown(after)} instead of {_shown(before)}")
        yield replace(found, kind="default")


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _multiples(before: Any, after: Any) -> Effect:
    if after is None:
        return "widens"
    if before is None or _divides(before, after):
        return "narrows"
    return "widens" if _divides(after, before) else "changes"


def _divides(small: float, large: float) -> bool:
    return math.isclose(large / small, round(large / small))


def _bounds(old: Shape, new: Shape) -> Iterator[Difference]:
    for keyword in (*LOWER, *UPPER):
        before, after = old.bound(keyword), new.bound(keyword)
        if before == after:
            continue
        if before is None or after is None:
            effect: Effect = "widens" if after is None else "narrows"
        else:
            # The tighter bound is the higher lower one, or the lower upper one; at the same value, the exclusive one.
            up = before < after
            down = (after[0], not after[1]) < (before[0], not before[1])
            effect = "narrows" if (up if keyword in LOWER else down) else "widens"
        what = f"{_WORDS[keyword]} is {_limit(after)} instead of {_limit(before)}"
        yield _values(old, new, keyword, effect, what)


def _limit(bound: tuple[float, bool] | None) -> str:
    if bound is None:
        return "unlimited"
    return f"{bound[0]}, exclusive" if bound[1] else str(bound[0])


def _enum(old: Shape, new: Shape) -> Iterator[Difference]:
    before, after = old.enum, new.enum
    if before is None and after is None:
        return
    if before is None or after is None:
        listed = ", ".join(map(str, after or ()))
        what = (
            f"only certain values are valid: {listed}"
            if after is not None
            else "any value is valid, not only certain ones"
        )
        found = _values(old, new, "enum", "narrows" if after is not None else "widens", what)
        yield replace(found, kind="enum", values=()) if after is None else replace(found, kind="values")
        return
    gone = tuple(value for value in before if value not in after)
    came = tuple(value for value in after if value not in before)
    if gone:
        what = f"the value{'s' * (len(gone) > 1)} {', '.join(map(str, gone))} {'are' if len(gone) > 1 else 'is'} gone"
        yield replace(_values(old, new, "enum", "narrows", what), kind="enum", values=gone)
    if came:
        what = f"the value{'s' * (len(came) > 1)} {', '.join(map(str, came))} {'are' if len(came) > 1 else 'is'} new"
        yield replace(_values(old, new, "enum", "widens", what), kind="enum", values=came)
