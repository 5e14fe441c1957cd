"""How a schema drifts: fields of a document added, renamed or removed."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sandbox.errors import PlanError

Path = tuple[str, ...]
EACH = "*"


@dataclass(frozen=True, slots=True)
class Drift:
    """Changes to a document; each is a path with what it needs."""

    added: tuple[tuple[Path, Any], ...]
    renamed: tuple[tuple[Path, str], ...]
    removed: tuple[Path, ...]

    @classmethod
    def parse(cls, add: Any, rename: Any, remove: Any) -> Drift:
        """Read the parameters of the fault; with none, one unknown field is added.

        Raises:
            PlanError: when one is malformed.
        """
        if add is None and rename is None and remove is None:
            add = {"/added_by_drift": True}
        removed = [remove] if isinstance(remove, str) else [] if remove is None else remove
        if not isinstance(removed, Sequence):
            raise PlanError("remove: is neither a JSON pointer nor a list of them", "write remove: /total")
        renamed = [(_path(pointer, "rename"), new) for pointer, new in _mapping(rename, "rename", "amount").items()]
        for _, new in renamed:
            if not isinstance(new, str) or not new or "/" in new:
                raise PlanError(f"rename: {new!r} is not a field's name", "write the new name without a path")
        return cls(
            tuple((_path(pointer, "add"), value) for pointer, value in _mapping(add, "add", "1").items()),
            tuple(renamed),
            tuple(_path(pointer, "remove") for pointer in removed),
        )

    def change(self, document: Any) -> bool:
        """Change a document in place; False when nothing in it was concerned."""
        changed = False
        for path, new in self.renamed:
            for owner, name in _found(document, path):
                if isinstance(owner, dict) and name in owner:
                    # The new name takes the old one's place.
                    items = [(new if key == name else key, value) for key, value in owner.items() if key != new]
                    owner.clear()
                    owner.update(items)
                    changed = True
        for path in self.removed:
            for owner, name in _found(document, path):
                if isinstance(owner, dict) and name in owner:
                    del owner[name]
                    changed = True
        for path, value in self.added:
            for owner, name in _found(document, path):
                if isinstance(owner, dict):
                    owner[name] = copy.deepcopy(value)
                    changed = True
        return changed


def _mapping(value: Any, where: str, example: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise PlanError(f"{where}: is not a mapping of JSON pointers", f"write {where}: {{/total: {example}}}")


def _path(pointer: Any, where: str) -> Path:
    if isinstance(pointer, str) and pointer and "/" not in pointer:
        return (pointer,)
    if not isinstance(pointer, str) or not pointer.startswith("/"):
        raise PlanError(f"{where}: {pointer!r} is not a JSON pointer", f"write /{pointer}")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def _found(document: Any, path: Path) -> Iterator[tuple[Any, str]]:
    """The objects that own the path's last name; several where `*` stands in it."""
    if len(path) == 1:
        yield document, path[0]
    elif isinstance(document, list):
        for position, item in enumerate(document):
            if path[0] in (EACH, str(position)):
                yield from _found(item, path[1:])
    elif isinstance(document, dict) and path[0] in document:
        yield from _found(document[path[0]], path[1:])
