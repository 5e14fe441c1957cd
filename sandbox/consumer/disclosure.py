"""Which personal fields went to which operation, and whether its purposes cover them (GDPR, Art. 5(1)(b) and (c))."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from sandbox.pointer import lookup, split
from sandbox.rules import Run
from sandbox.rules.entry import NO_KEY, Call
from sandbox.rules.privacy import labelled, personal_fields

_LABEL: Final = re.compile(r"\[personal:[0-9a-f]+\]")
Purposes = frozenset[str]
Found = tuple[str, Purposes | None, str]


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One personal field, and one operation that it was sent to.

    Args:
        field: Pointer into the body, `*` being any index; or `path`, `query` or `header` and a name.
        serves: The purposes that the field serves, as its `x-personal` says; None when no spec says.
        purposes: For which the operation receives personal data, as its `x-purpose` says; empty when it does not say.
        times: In how many calls.
        values: How many different values, by their labels.
        first: Place in the journal of the first call.
    """

    system: str
    operation: str
    field: str
    serves: tuple[str, ...] | None
    purposes: tuple[str, ...]
    times: int
    values: int
    first: int

    @property
    def covered(self) -> bool | None:
        """Whether one of the operation's purposes is among the field's; None when a spec is silent."""
        if self.serves is None or not self.purposes:
            return None
        return not set(self.serves).isdisjoint(self.purposes)

    def to_json(self) -> dict[str, Any]:
        return {
            "system": self.system,
            "operation": self.operation,
            "field": self.field,
            "serves": None if self.serves is None else list(self.serves),
            "purposes": list(self.purposes),
            "covered": self.covered,
            "times": self.times,
            "values": self.values,
            "first": self.first,
        }


class Disclosures:
    """Gathers the disclosures of several runs."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str, str, Purposes | None], _Row] = {}
        self._runs = 0

    def add(self, run: Run) -> None:
        """Look through a run's calls."""
        self._runs += 1
        for call in run.calls:
            for field, serves, value in _found(run, call):
                row = self._rows.setdefault(
                    (call.system, call.operation, field, serves), _Row(call.facts.purposes, call.seq)
                )
                row.calls.add((self._runs, call.seq))
                row.values.add(value)

    def table(self) -> list[Disclosure]:
        """All disclosures, by system, operation and field."""
        found = [
            Disclosure(
                system,
                operation,
                field,
                None if serves is None else tuple(sorted(serves)),
                tuple(sorted(row.purposes)),
                len(row.calls),
                len(row.values),
                row.first,
            )
            for (system, operation, field, serves), row in self._rows.items()
        ]
        return sorted(found, key=lambda row: (row.system, row.operation, row.field, row.serves or ()))


@dataclass(slots=True)
class _Row:
    purposes: Purposes
    first: int
    calls: set[tuple[int, int]] = dataclass_field(default_factory=set)
    values: set[str] = dataclass_field(default_factory=set)


def _found(run: Run, call: Call) -> Iterator[Found]:
    if call.body is not None:
        for pointer, serves in personal_fields(run, call):
            yield _general(call.body, pointer), serves, _value(call.body, pointer)
    for place, text in _texts(call):
        for label in _LABEL.findall(text):
            yield place, run.once(labelled).get(label), label


def _texts(call: Call) -> Iterator[tuple[str, str]]:
    """What a request says outside of its body."""
    yield "path", unquote(call.path)
    for name, value in parse_qsl(call.query, keep_blank_values=True):
        yield f"query {name}", value
    for name, value in call.headers.items():
        yield f"header {name}", value


def _general(body: Any, pointer: str) -> str:
    """A pointer with `*` for each index."""
    here, parts = body, []
    for token in split(pointer):
        parts.append("*" if isinstance(here, list) else token)
        try:
            here = lookup(here, f"/{token}")
        except KeyError:
            here = None
    return "".join(f"/{part}" for part in parts)


def _value(body: Any, pointer: str) -> str:
    try:
        return str(lookup(body, pointer))
    except KeyError:
        return NO_KEY
