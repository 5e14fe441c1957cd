"""What the records were before the last change: for reads that see the state as it was."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from sandbox.model import NO_KEY
from sandbox.stored import Before

_MOST: Final = 2000
_NOTHING: Final[Before] = {}


class Past:
    """By system and business key, what the last call about it found and changed; the oldest of many are forgotten.

    The key `-` stands for whatever was changed last in the system.
    """

    def __init__(self) -> None:
        self._before: OrderedDict[tuple[str, str], Before] = OrderedDict()

    def note(self, system: str, key: str, before: Before) -> None:
        """Keep what the records that a call has just changed were before."""
        for place in {(system, key), (system, NO_KEY)}:
            self._before[place] = before
            self._before.move_to_end(place)
        while len(self._before) > _MOST:
            self._before.popitem(last=False)

    def before(self, system: str, key: str) -> Before:
        """What has to be put back to see the state before the last change of a key."""
        return self._before.get((system, key), _NOTHING)
