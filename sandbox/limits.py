"""How much one process holds, so that a program that runs wild fills neither its memory nor its disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MOST_WORLDS: Final = 1_000
MOST_ENTRIES: Final = 100_000
LARGEST_BODY: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds that a user may move.

    Args:
        worlds: At once; one more is refused with 507, unless it is `default`.
        journal: Entries in the journal of a world; the oldest are dropped, which the journal says.
        body: Bytes of a request's body; a larger one is refused with 413.
    """

    worlds: int = MOST_WORLDS
    journal: int = MOST_ENTRIES
    body: int = LARGEST_BODY
