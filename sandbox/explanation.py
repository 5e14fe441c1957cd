"""How a system's operations were read, and why: what `sandbox specs explain` prints."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sandbox.facts import is_natural, is_safe
from sandbox.operation import Operation
from sandbox.spec import Spec
from sandbox.system import System


@dataclass(frozen=True, slots=True)
class Explanation:
    """One operation.

    Attributes:
        action: What it does.
        collection: To which records.
        envelope: Where they lie in the answer; empty where they are the answer.
        key: Where the business key is.
        attempt: What a second attempt does: `safe`, `same again`, `by Idempotency-Key (optional)`, `once more`.
        events: What is sent when it succeeds.
        why: The reason, in a sentence.
    """

    operation: str
    method: str
    path: str
    action: str
    collection: str
    envelope: str
    key: str
    attempt: str
    events: tuple[str, ...]
    why: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def explain(spec: Spec, mock: type[System], root: Path) -> Iterator[Explanation]:
    """Each operation of a system, in the order of its document."""
    for operation in spec.operations.values():
        meaning = operation.meaning
        own = None if mock is System else getattr(mock, operation.id, None)
        by_mock = inspect.isfunction(own) and not hasattr(System, operation.id)
        yield Explanation(
            operation.id,
            operation.method,
            operation.path,
            "method" if by_mock else meaning.action,
            meaning.collection or "",
            str(meaning.answer_at or ""),
            _key(operation),
            _attempt(spec, operation),
            operation.events or meaning.events,
            f"{_place(own, root)} says what it does" if by_mock else meaning.why,
        )


def _key(operation: Operation) -> str:
    if operation.business_key:
        return ", ".join(operation.business_key)
    meaning = operation.meaning
    if meaning.key_field is not None:
        return meaning.key_field
    if meaning.id_parameter is not None:
        return f"{{{meaning.id_parameter}}}"
    return f"{meaning.id_field} if sent" if meaning.action == "create" and meaning.id_field else "-"


def _attempt(spec: Spec, operation: Operation) -> str:
    if is_safe(operation):
        return "safe"
    if operation.idempotency != "none":
        return f"by Idempotency-Key ({operation.idempotency})"
    return "same again" if is_natural(spec, operation) else "once more"


def _place(function: Any, root: Path) -> str:
    file = Path(inspect.getsourcefile(function) or "")
    shown = file.relative_to(root.resolve()) if file.is_relative_to(root.resolve()) else file
    return f"{shown}:{function.__code__.co_firstlineno}"
