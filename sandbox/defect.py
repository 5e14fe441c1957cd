"""What is wrong with a specification, found while it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Defect:
    """One flaw of a specification.

    Args:
        pointer: Where, as a JSON pointer into the document that is served.
        what: What is wrong there, and what is made of it.
        hint: What to do about it.
        down: The pointer of the operation that it takes down; empty when it is harmless.
    """

    pointer: str
    what: str
    hint: str = ""
    down: str = ""

    def to_json(self) -> list[str]:
        return [self.pointer, self.what, self.hint, self.down]

    @classmethod
    def from_json(cls, data: list[Any]) -> Defect:
        return cls(*map(str, data))


def shown(value: Any) -> str:
    """A value that stands where another is due, in few words."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    return f"{value!r:.40}"
