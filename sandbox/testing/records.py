"""The records of a collection, as a test asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sandbox.pointer import lookup

Record = dict[str, Any]
_ABSENT: Final = object()
_MOST_SHOWN: Final = 3


class Records:
    """A collection of a system: `sandbox.accounting.invoices`.

    Conditions are fields with the values that they must have; those that lie deeper are named by a JSON pointer:
    `find({"/buyer/email": "ada@example.com"}, status="open")`.

    Args:
        name: For messages, `accounting.invoices`.
        read: Reads all records.
    """

    def __init__(self, name: str, read: Callable[[], Sequence[Record]]) -> None:
        self._name = name
        self._read = read

    def __repr__(self) -> str:
        return f"<{self._name}>"

    def find(self, where: Mapping[str, Any] | None = None, /, **equals: Any) -> list[Record]:
        """The records that meet the conditions; all when there are none."""
        wanted = {**(where or {}), **equals}
        return [record for record in self._read() if not _differing(record, wanted)]

    def count(self, where: Mapping[str, Any] | None = None, /, **equals: Any) -> int:
        """How many records meet the conditions."""
        return len(self.find(where, **equals))

    def one(self, where: Mapping[str, Any] | None = None, /, **equals: Any) -> Record:
        """The only record that meets the conditions.

        Raises:
            AssertionError: when there is none, with those that are nearest, or more than one.
        """
        __tracebackhide__ = True
        wanted = {**(where or {}), **equals}
        records = self._read()
        found = [record for record in records if not _differing(record, wanted)]
        if len(found) == 1:
            return found[0]
        raise AssertionError(_complaint(self._name, wanted, found, records))


def _differing(record: Record, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What a record has instead, where it has not what is wanted."""
    found = {name: _value(record, name) for name in wanted}
    return {name: value for name, value in found.items() if not same(wanted[name], value)}


def _value(record: Record, name: str) -> Any:
    if not name.startswith("/"):
        return record.get(name, _ABSENT)
    try:
        return lookup(record, name)
    except KeyError:
        return _ABSENT


def same(wanted: Any, found: Any) -> bool:
    """Whether two JSON values are equal; in JSON true is not 1, in Python it is."""
    return isinstance(wanted, bool) == isinstance(found, bool) and bool(wanted == found)


def _complaint(name: str, wanted: Mapping[str, Any], found: Sequence[Record], records: Sequence[Record]) -> str:
    which = f" with {', '.join(f'{field}={value!r}' for field, value in wanted.items())}" if wanted else ""
    if found:
        shown = [f"\n  {record}" for record in found[:_MOST_SHOWN]]
        return f"{name}: expected one record{which}, there are {len(found)}:{''.join(shown)}"
    if not records:
        return f"{name}: expected one record{which}, the collection is empty"
    near = sorted((_differing(record, wanted) for record in records), key=len)[:_MOST_SHOWN]
    shown = [f"\n  {'; '.join(_difference(field, wanted, value) for field, value in one.items())}" for one in near]
    return f"{name}: expected one record{which}, none of {len(records)} is; the nearest:{''.join(shown)}"


def _difference(field: str, wanted: Mapping[str, Any], value: Any) -> str:
    return f"{field}: expected {wanted[field]!r}, {'is absent' if value is _ABSENT else f'is {value!r}'}"
