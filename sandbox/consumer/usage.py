"""What a consumer does with the systems, from its journals: does it keep to their specs, to whom does it tell personal
data, and what does it depend on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sandbox.consumer.conformity import Departure, departures
from sandbox.consumer.dependence import Dependence, EventUse, OperationUse, Received, Sent
from sandbox.consumer.disclosure import Disclosure, Disclosures
from sandbox.facts import facts_of
from sandbox.rules import Run
from sandbox.rules.run import State
from sandbox.spec import Spec

FORMAT: Final = "sandbox-usage/1"


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal to be looked at.

    Args:
        name: How sentences call it.
        entries: In the order of `seq`.
        state: The records that were left, where they are known; they tell more personal values than labels do.
    """

    name: str
    entries: Sequence[Mapping[str, Any]]
    state: State = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Usage:
    """What journals show of one consumer.

    Args:
        calls: How many were looked at.
        unjudged: Calls to systems without a spec, by system.
        dropped: How many entries the journals had no room for.
        departures: Where requests depart from the specs.
        disclosures: Which personal fields went where.
        operations: What it depends on.
        events: Those that were handed to it.
    """

    calls: int
    unjudged: dict[str, int]
    dropped: int
    departures: tuple[Departure, ...]
    disclosures: tuple[Disclosure, ...]
    operations: tuple[OperationUse, ...]
    events: tuple[EventUse, ...]

    @property
    def needless(self) -> list[Disclosure]:
        """The personal fields that no purpose covers."""
        return [row for row in self.disclosures if row.covered is False]

    @property
    def systems(self) -> list[str]:
        """The systems that it calls or hears from."""
        return sorted({use.system for use in self.operations} | {use.system for use in self.events})

    @property
    def doubts(self) -> list[str]:
        """Why the journals say less than they should, one sentence each."""
        found = [] if self.calls else ["the journal has no call of the integrator to a system of the project"]
        found += [
            f"{count} calls to {system} were not judged: the project has no spec of it"
            for system, count in sorted(self.unjudged.items())
        ]
        return found + ([f"{self.dropped} entries had been dropped from the journal"] if self.dropped else [])

    def to_json(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "calls": self.calls,
            "unjudged": self.unjudged,
            "dropped": self.dropped,
            "departures": [departure.to_json() for departure in self.departures],
            "disclosures": [row.to_json() for row in self.disclosures],
            "operations": [use.to_json() for use in self.operations],
            "events": [use.to_json() for use in self.events],
        }

    @classmethod
    def from_json(cls, document: Any) -> Usage:
        """What `to_json` gave.

        Raises:
            ValueError: The document is none of those.
        """
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"it has no field format: {FORMAT}")
        try:
            return cls(
                document["calls"],
                document["unjudged"],
                document["dropped"],
                tuple(Departure(**row) for row in document["departures"]),
                tuple(_disclosure(row) for row in document["disclosures"]),
                tuple(_operation(row) for row in document["operations"]),
                tuple(EventUse(**row | {"received": _received(row)}) for row in document["events"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is not complete: {error}") from None


def usage_of(journals: Iterable[Journal], specs: Mapping[str, Spec]) -> Usage:
    """What journals show.

    Args:
        specs: Of the systems, by name.
    """
    facts = facts_of(specs.values())
    found: list[Departure] = []
    disclosures, dependence = Disclosures(), Dependence(specs)
    calls, dropped, unjudged = 0, 0, Counter[str]()
    for journal in journals:
        run = Run(journal.entries, journal.state, facts)
        dropped += sum(entry.get("dropped", 0) for entry in journal.entries if entry["kind"] == "note")
        known = [call for call in run.calls if call.system in specs]
        calls += len(known)
        unjudged.update(call.system for call in run.calls if call.system not in specs)
        found += departures(journal.name, run, specs)
        disclosures.add(run)
        dependence.add(run)
    return Usage(
        calls,
        dict(unjudged),
        dropped,
        tuple(found),
        tuple(disclosures.table()),
        tuple(dependence.operations()),
        tuple(dependence.events()),
    )


def _disclosure(row: Mapping[str, Any]) -> Disclosure:
    given = {name: value for name, value in row.items() if name != "covered"}
    serves = None if row["serves"] is None else tuple(row["serves"])
    return Disclosure(**given | {"serves": serves, "purposes": tuple(row["purposes"])})


def _operation(row: Mapping[str, Any]) -> OperationUse:
    sent = tuple(
        Sent(**item | {"values": None if item["values"] is None else tuple(item["values"])}) for item in row["sent"]
    )
    return OperationUse(**{**row, "sent": sent, "received": _received(row)})


def _received(row: Mapping[str, Any]) -> tuple[Received, ...]:
    return tuple(Received(**item | {"used": tuple(item["used"])}) for item in row["received"])
