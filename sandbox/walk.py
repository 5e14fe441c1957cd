"""What every walk through a document needs: notes of what is wrong, and references that are followed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from sandbox.defect import Defect, shown
from sandbox.pointer import MAX_REFERENCE_HOPS, escape, lookup, reference, resolve, split


class Walk:
    """A walk through one document.

    Args:
        data: The document.
        reasons: Reference -> why it cannot be followed.
        moved: Where parts of the document stood before; filled in.

    Attributes:
        defects: What was found.
        operation: The pointer of the operation that is being walked; empty outside of all.
        followed: The references that lead somewhere.
    """

    def __init__(self, data: dict[str, Any], reasons: Mapping[str, str], moved: dict[str, tuple[str, str]]) -> None:
        self.data = data
        self.moved = moved
        self.defects: list[Defect] = []
        self.operation = ""
        self.followed: set[str] = set()
        self._reasons = reasons
        self._queue: list[tuple[str, Callable[[Any, str], Any]]] = []

    def note(self, pointer: str, what: str, hint: str = "") -> None:
        self.defects.append(Defect(pointer, what, hint))

    def down(self, pointer: str, what: str, hint: str) -> None:
        """Take down the operation that is being walked; where there is none, it is a warning."""
        if not self.operation:
            what = f"{what}; it is taken for anything"
        self.defects.append(Defect(pointer, what, hint, self.operation))

    def object(self, owner: dict[str, Any], key: str, pointer: str) -> dict[str, Any] | None:
        """The object under a key; what is none is noted and taken out."""
        if key not in owner:
            return None
        found = owner[key] = self.expanded(owner[key], f"{pointer}/{escape(key)}")
        if isinstance(found, dict):
            return found
        del owner[key]
        if found is not None:
            what = f"'{key}' must be an object, not {shown(found)}; it is ignored"
            self.note(f"{pointer}/{escape(key)}", what, "indent what belongs to it")
        return None

    def listed(self, owner: dict[str, Any], key: str, pointer: str) -> list[Any]:
        found = self.expanded(owner.get(key), f"{pointer}/{escape(key)}")
        if isinstance(found, list):
            owner[key] = found
            return found
        if key in owner:
            del owner[key]
            if found is not None:
                what = f"'{key}' must be a list, not {shown(found)}; it is ignored"
                self.note(f"{pointer}/{escape(key)}", what, "write a dash before each of them")
        return []

    def follow(self, target: str, pointer: str, kind: Callable[[Any, str], Any]) -> bool:
        """Whether a reference leads somewhere; what it leads to will be walked as what it stands for."""
        if target not in self.followed:
            problem = self.problem(target)
            if problem is not None:
                hint = "mend the $ref, or add its target"
                if "--allow-remote-refs" in problem:
                    hint = "copy the file beside the spec, or allow it with --allow-remote-refs"
                self.down(pointer, f"the reference {target[:200]} {problem}", hint)
                return False
            self.followed.add(target)
            self._queue.append((target, kind))
        return True

    def problem(self, target: str) -> str | None:
        if not target.startswith("#"):
            return f"cannot be followed: {self._reasons.get(target, 'it leaves the file')}"
        seen: set[str] = set()
        node: Any = {"$ref": target}
        for _ in range(MAX_REFERENCE_HOPS):
            if (step := reference(node)) is None:
                return None
            if step in seen:
                return "leads only to itself"
            seen.add(step)
            if not step.startswith("#"):
                return f"leads to {step[:200]}, which cannot be followed: {self._reasons.get(step, '')}".rstrip(": ")
            try:
                node = lookup(self.data, unquote(step[1:]))
            except (KeyError, ValueError):
                return "leads nowhere"
        return "leads nowhere"

    def drain(self) -> None:
        """Walk what references have led to."""
        self.operation = ""
        while self._queue:
            target, kind = self._queue.pop()
            pointer = unquote(target[1:])
            tokens = split(pointer)
            if not tokens:
                continue
            try:
                parent = lookup(self.data, pointer.rpartition("/")[0])
                key: Any = int(tokens[-1]) if isinstance(parent, list) else tokens[-1]
                there = parent[key]
            except (KeyError, IndexError, TypeError):
                # It lay in something that had to be left out meanwhile.
                continue
            parent[key] = kind(there, pointer)

    def either(self, node: Any, pointer: str, kind: Callable[[Any, str], Any]) -> bool:
        """Whether a node is a reference that can be followed, or no reference at all."""
        target = reference(node)
        return target is None or self.follow(target, pointer, kind)

    def resolved(self, node: Any) -> Any:
        """What a node stands for; None when it is a reference that leads nowhere."""
        try:
            return resolve(self.data, node)
        except KeyError:
            return None

    def expanded(self, node: Any, pointer: str) -> Any:
        """What a reference stands for where OpenAPI allows none, as authors of several files write them: a copy of it.

        Maps and lists of things are meant (`schemas: {$ref: index.yaml}`), and operations.
        """
        target = reference(node)
        if target is None or len(node) > 1 or self.problem(target) is not None:
            return node
        found = self.resolved(node)
        if isinstance(found, dict | list):
            self.moved.setdefault(pointer, ("", unquote(target[1:])))
            return found.copy()
        return node
