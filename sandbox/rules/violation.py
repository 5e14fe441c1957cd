"""What a rule yields."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

Severity = Literal["E", "W", "I"]
Item = TypeVar("Item")


class NotExercised(Exception):
    """What a rule speaks of never arose in this run."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong.

    Args:
        sentence: The evidence, naming calls and times.
        seqs: Places of that evidence in the journal.
        key: The business object that it happened to; empty when it is about none.
        severity: When it is another than the rule's.
        excess: Too much was done, rather than too little or the wrong thing.
    """

    sentence: str
    seqs: tuple[int, ...] = ()
    key: str = ""
    severity: Severity | None = None
    excess: bool = False

    def to_json(self) -> dict[str, Any]:
        document: dict[str, Any] = {"sentence": self.sentence, "seqs": list(self.seqs)}
        if self.key:
            document["key"] = self.key
        return document | ({"severity": self.severity} if self.severity else {})


def some(found: Iterable[Item]) -> list[Item]:
    """The items to be judged.

    Raises:
        NotExercised: when there are none.
    """
    items = list(found)
    if not items:
        raise NotExercised
    return items
