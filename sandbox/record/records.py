"""The records that a real API has shown: what follows from its answers for the collections of its spec."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sandbox.behaviour import PAST
from sandbox.inference import Place
from sandbox.model import Json
from sandbox.spec import Collection, Operation, Spec
from sandbox.system import System, merge_patch

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
        if meaning.single:
            id_ = "-" if meaning.parent is None else path.get(meaning.parent.parameter)
        if status in _GONE and id_ is not None and meaning.action == "read" and self.get(collection.name, id_):
            self._remove(collection, id_)
        if not 200 <= status < 300:
            return
        shown = _shown(meaning.answer_at or Place(), answered)
        match meaning.action:
            case "delete" if id_ is not None:
                self._remove(collection, id_)
            case "clear" | "batch" if meaning.action == "clear" or meaning.verb in PAST:
                for record in shown:
                    if (gone := _text(record.get(collection.id_field))) is not None:
                        self._remove(collection, gone)
            case "list" | "search" | "create" | "upsert" | "batch":
                self._keep_all(collection, operation, path, shown)
            case "read" | "replace" | "patch" if id_ is not None:
                self._keep(collection, operation, path, id_, self._changed(operation, collection, id_, sent, shown))
            case "act" | "answer" | "none":
                self._keep_shown(collection, operation, path, id_, answered)
            case _:
                pass

    def _changed(
        self, operation: Operation, collection: Collection, id_: str, sent: Json, shown: list[Document]
    ) -> Document | None:
        """The record behind a read, or after a change; one that answers nothing leaves what was sent."""
        if shown:
            return shown[0]
        meaning, known = operation.meaning, self.get(collection.name, id_)
        changes = _shown(meaning.body_at, sent)
        if known is None or not changes or meaning.action == "read":
            return None
        changed: Document = merge_patch(known, changes[0]) if meaning.action == "patch" else known | changes[0]
        return changed

    def _keep_shown(
        self, collection: Collection, operation: Operation, path: Mapping[str, str], id_: str | None, answered: Json
    ) -> None:
        """Take in the records that an action or a search answers."""
        shown = _shown(operation.meaning.answer_at or Place(), answered)
        if id_ is None:
            several = answered.get(collection.name) if isinstance(answered, dict) else None
            self._keep_all(collection, operation, path, _shown(Place(), several) or shown)
        elif shown and _text(shown[0].get(collection.id_field)) == id_:
            self._keep(collection, operation, path, id_, shown[0])

    def _keep_all(
        self, collection: Collection, operation: Operation, path: Mapping[str, str], shown: list[Document]
    ) -> None:
        for record in shown:
            id_ = _text(record.get(collection.id_field))
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
        whole = {collection.id_field: _typed(id_, collection.id_schema)} | whole
        parent = operation.meaning.parent
        if parent is not None and parent.parameter in path and not operation.meaning.single:
            above = _typed(path[parent.parameter], collection.fields.get(parent.field, {}))
            whole = {parent.field: above} | whole
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


def put(system: System, removed: Iterable[tuple[str, str]], kept: Iterable[tuple[str, Iterable[Document]]]) -> None:
    """Put records into a world, in place of what is there under the same ids.

    Where nothing creates the records of a collection, the world begins with made-up ones: they make way for real ones.
    """
    for name, id_ in removed:
        if system.collection(name).get(id_) is not None:
            system.collection(name).remove(id_)
    for name, records in kept:
        collection = system.collection(name)
        spec = system.exchange.spec.collections.get(name)
        for made_up in collection.find() if spec is not None and spec.supplied else ():
            collection.remove(str(made_up[collection.id_field]))
        for record in records:
            collection.put(record)


def _shown(place: Place, body: Json) -> list[Document]:
    """The records that lie at a place of a body."""
    found = place.get(body)
    return [one for one in (found if isinstance(found, list) else [found]) if isinstance(one, dict)]


def _typed(id_: str, schema: Mapping[str, Any]) -> Json:
    return int(id_) if schema.get("type") == "integer" and id_.isdecimal() else id_


def _text(value: Json) -> str | None:
    """An id as a path has it."""
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
