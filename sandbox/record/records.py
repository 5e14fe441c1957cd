"""The records that a real API has shown: what follows from its answers for the collections of its spec."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from sandbox.model import Json
from sandbox.spec import Collection, Operation, Spec
from sandbox.system import merge_patch

Document = dict[str, Json]

MOST: Final = 10_000
_GONE: Final = frozenset({404, 410})


class Records:
    """The records of one system as its answers tell of them; the newest answer wins.

    Args:
        most: So many are kept in a collection; the oldest are forgotten.
    """

    def __init__(self, spec: Spec, most: int = MOST) -> None:
        self.spec = spec
        self._most = most
        self._kept: dict[str, dict[str, Document]] = {}
        self._removed: dict[str, dict[str, None]] = {}

    def get(self, collection: str, id: str) -> Document | None:  # noqa: A002 - the field's own name
        """What is known of a record."""
        return self._kept.get(collection, {}).get(id)

    def kept(self) -> Iterator[tuple[Collection, Mapping[str, Document]]]:
        """The collections that anything is known of, each with its records by id, in the order they were first seen."""
        for name, collection in self.spec.collections.items():
            if found := self._kept.get(name):
                yield collection, found

    def removed(self) -> Iterator[tuple[str, str]]:
        """(collection, id) of what was there once and is no longer."""
        for name, ids in self._removed.items():
            for id_ in ids:
                yield name, id_

    def observe(self, operation: Operation, path: Mapping[str, str], sent: Json, status: int, answered: Json) -> None:
        """Take in what an answer says.

        Args:
            path: The path parameters, decoded.
            sent: The request's body, None when it had none that is JSON.
            answered: The answer's body, likewise.
        """
        meaning = operation.meaning
        collection = self.spec.collections.get(meaning.collection or "")
        if collection is None:
            return
        id_ = None if meaning.id_parameter is None else path.get(meaning.id_parameter)
        if status in _GONE and id_ is not None and meaning.action == "read" and self.get(collection.name, id_):
            self._remove(collection, id_)
        if not 200 <= status < 300:
            return
        match meaning.action:
            case "delete" if id_ is not None:
                self._remove(collection, id_)
            case "list":
                self._keep_all(collection, operation, path, _items(answered, meaning.envelope))
            case "create":
                self._keep_all(collection, operation, path, [answered])
            case "read" | "replace" | "patch" if id_ is not None:
                self._keep(collection, operation, path, id_, self._changed(operation, collection, id_, sent, answered))
            case "none":
                self._keep_shown(collection, operation, path, id_, answered)
            case _:
                pass

    def _changed(
        self, operation: Operation, collection: Collection, id_: str, sent: Json, answered: Json
    ) -> Document | None:
        """The record behind a read, or after a change; one that answers nothing leaves what was sent."""
        if isinstance(answered, dict):
            return answered
        known = self.get(collection.name, id_)
        if known is None or not isinstance(sent, dict) or operation.meaning.action == "read":
            return None
        changed: Document = merge_patch(known, sent) if operation.meaning.action == "patch" else known | sent
        return changed

    def _keep_shown(
        self, collection: Collection, operation: Operation, path: Mapping[str, str], id_: str | None, answered: Json
    ) -> None:
        """Take in the records that an action or a search answers."""
        if not isinstance(answered, dict):
            self._keep_all(collection, operation, path, _items(answered, None))
        elif id_ is not None and _text(answered.get(collection.id_field)) == id_:
            self._keep(collection, operation, path, id_, answered)
        elif id_ is None:
            self._keep_all(collection, operation, path, _items(answered, collection.name))

    def _keep_all(
        self, collection: Collection, operation: Operation, path: Mapping[str, str], answered: list[Json]
    ) -> None:
        for record in answered:
            id_ = _text(record.get(collection.id_field)) if isinstance(record, dict) else None
            if id_ is not None:
                self._keep(collection, operation, path, id_, record)

    def _keep(
        self,
        collection: Collection,
        operation: Operation,
        path: Mapping[str, str],
        id_: str,
        record: Document | None,
    ) -> None:
        if record is None:
            return
        kept = self._kept.setdefault(collection.name, {})
        # A list may show less of a record than reading it does.
        whole = record if collection.required <= record.keys() else kept.get(id_, {}) | record
        whole = {collection.id_field: id_} | whole
        parent = operation.meaning.parent
        if parent is not None and parent.parameter in path:
            whole = {parent.field: path[parent.parameter]} | whole
        kept[id_] = whole
        self._removed.get(collection.name, {}).pop(id_, None)
        if len(kept) > self._most:
            del kept[next(iter(kept))]

    def _remove(self, collection: Collection, id_: str) -> None:
        self._kept.get(collection.name, {}).pop(id_, None)
        removed = self._removed.setdefault(collection.name, {})
        removed[id_] = None
        if len(removed) > self._most:
            del removed[next(iter(removed))]


def _items(answered: Json, envelope: str | None) -> list[Json]:
    found = answered.get(envelope) if isinstance(answered, dict) and envelope is not None else answered
    return found if isinstance(found, list) else []


def _text(value: Json) -> str | None:
    """An id as a path has it."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
