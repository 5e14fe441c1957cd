"""A recording of what real APIs answered, and the state that it leaves a world with."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import unquote

from sandbox.errors import SandboxError, nearest
from sandbox.journal import Entry
from sandbox.record.described import Described
from sandbox.record.disguise import Disguise
from sandbox.record.recording_file import read_entries
from sandbox.record.records import Records, put
from sandbox.sample import SeededFaker, sample
from sandbox.schema import SchemaValidator
from sandbox.spec import Collection, Spec
from sandbox.system import Document, System

_BEGINNING: Final = "1970-01-01T00:00:00.000Z"


def replay(entries: Iterable[Entry], specs: Mapping[str, Spec]) -> dict[str, Records]:
    """What the answers in a journal tell of the records of each system, in the order in which they were given."""
    found = {name: Records(spec) for name, spec in specs.items()}
    calls = [entry for entry in entries if entry.get("kind") == "call" and isinstance(entry.get("answer"), dict)]
    for entry in sorted(calls, key=lambda entry: float(entry["answer"].get("at") or 0.0)):
        address, request, answer = entry.get("address") or {}, entry.get("request") or {}, entry["answer"]
        records = found.get(address.get("system", ""))
        # What the caller never saw is nothing that the system has shown; and what a recorder says, no system said.
        if records is None or "error" in answer or answer.get("outcome", "sent") != "sent":
            continue
        match = records.spec.route(str(request.get("method")), str(request.get("path")))
        if match.target is not None:
            path = {name: unquote(value) for name, value in match.values.items()}
            records.observe(match.target, path, request.get("body"), answer.get("status") or 0, answer.get("body"))
    return found


@dataclass(frozen=True, slots=True)
class Recording:
    """Records to begin a world with.

    Attributes:
        records: By system and collection, in the order they were first seen.
        removed: By system, (collection, id) of what is no longer there.
        notes: One sentence for each kind of record that had to be left out, and why.
    """

    records: Mapping[str, Mapping[str, list[Document]]]
    removed: Mapping[str, list[tuple[str, str]]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: Path, specs: Mapping[str, Spec], seed: int = 0) -> Self:
        """From a file that `sandbox record` wrote.

        Args:
            seed: What stands in for personal values and secrets follows from it.

        Raises:
            SandboxError: when it is none, or tells of no system of the project.
        """
        entries = read_entries(path)
        names = {str((entry.get("address") or {}).get("system")) for entry in entries if entry["kind"] == "call"}
        if names and not names & specs.keys():
            wrong = min(names)
            raise SandboxError(f"{path}: no system of the project is in it, only {wrong}", nearest(wrong, list(specs)))
        return cls.of(entries, specs, seed)

    @classmethod
    def of(cls, entries: Iterable[Entry], specs: Mapping[str, Spec], seed: int = 0) -> Self:
        """From the entries of a journal."""
        found = replay(entries, specs)
        disguise, notes = Disguise(seed), list[str]()
        for records in found.values():
            for collection, kept in records.kept():
                described = Described([collection.schema], records.spec.document)
                for record in kept.values():
                    disguise.look(record, described, records.spec.document)
        made = {name: _dressed(records, disguise, seed, notes) for name, records in found.items()}
        removed = {name: list(records.removed()) for name, records in found.items()}
        return cls(made, removed, tuple(notes))

    @property
    def size(self) -> int:
        """How many records there are."""
        return sum(len(records) for collections in self.records.values() for records in collections.values())

    def put(self, system: System) -> None:
        """Put the records of a system into a world, in place of what is there under the same ids."""
        name = system.name
        put(system, self.removed.get(name, ()), self.records.get(name, {}).items())


def _dressed(records: Records, disguise: Disguise, seed: int, notes: list[str]) -> dict[str, list[Document]]:
    """The records as the spec has them; those that it does not allow are left out, for no mock may answer them."""
    spec, made = records.spec, dict[str, list[Document]]()
    for collection, kept in records.kept():
        described = Described([collection.schema], spec.document)
        validator = SchemaValidator(collection.schema, document=spec.document, direction="response")
        left_out: list[str] = []
        for id_, record in kept.items():
            whole = disguise.dress(_without_secrets(record, collection), described, spec.document)
            whole = _completed(whole, collection, spec, f"{seed}\n{collection.name}\n{id_}")
            errors = validator.errors({name: value for name, value in whole.items() if not _hidden(collection, name)})
            if errors:
                left_out.append(f"{errors[0].pointer or 'it'} {errors[0].detail}")
            else:
                made.setdefault(collection.name, []).append(whole)
        if left_out:
            notes.append(
                f"{len(left_out)} of {len(kept)} {collection.name} of {spec.name} do not fit {spec.path.name} and were "
                f"left out: {left_out[0]}"
            )
    return made


def _hidden(collection: Collection, name: str) -> bool:
    """Whether no answer shows a field: what only the sandbox keeps of a record begins with `@`."""
    return name[:1] == "@" or collection.fields.get(name, {}).get("writeOnly") is True


def _without_secrets(record: Document, collection: Collection) -> Document:
    """A secret that is not needed is not made up."""
    return {
        name: value
        for name, value in record.items()
        if name in collection.required or not (isinstance(value, str) and value.startswith("[secret:"))
    }


def _completed(record: Document, collection: Collection, spec: Spec, chance: str) -> Document:
    """The record with what the schema requires and the recording does not show."""
    faker = SeededFaker(lambda: random.Random(chance))
    missing = sorted(collection.required - record.keys())
    return record | {
        name: sample(collection.fields.get(name, {}), spec.document, faker, _BEGINNING, name) for name in missing
    }
