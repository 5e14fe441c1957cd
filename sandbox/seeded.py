"""Believable data with a random source of its own; what a source gave once is remembered."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from faker import Faker

_MOST_TAPES: Final = 2000
# What may be handed out again, because nobody can change it.
_PLAIN: Final = (str, int, float, bool, tuple)


@functools.cache
def _faker() -> Faker:
    # Loading Faker's providers takes far longer than a call may; they keep no state but the random source.
    # Weighing names by how common they are makes each draw walk through all of them.
    return Faker(use_weighting=False)


@dataclass(slots=True)
class Tape:
    """What was drawn from one random source, in order: what was asked for, and what came; and what was made of it."""

    draws: list[tuple[tuple[Any, ...], Any]] = field(default_factory=list)
    made: dict[str, Any] | None = None


class Tapes:
    """The tapes of many sources; the same source draws the same again, in each life of a world and for each order."""

    def __init__(self) -> None:
        self._kept: dict[object, Tape] = {}

    def of(self, source: object) -> Tape:
        """The tape of a source; of many, all are forgotten."""
        tape = self._kept.get(source)
        if tape is None:
            if len(self._kept) >= _MOST_TAPES:
                self._kept.clear()
            tape = self._kept[source] = Tape()
        return tape


class SeededFaker:
    """Faker with a random source of its own, cheap to make: `SeededFaker(lambda: random.Random(7)).name()`.

    Args:
        source: Makes the random source, which a tape may render needless.
        tape: What the same source gave before.
    """

    def __init__(self, source: Callable[[], random.Random], tape: Tape | None = None) -> None:
        self._source = source
        self._tape = tape
        self._place = 0
        self._chance: random.Random | None = None

    def once(self, make: Callable[[SeededFaker], dict[str, Any]]) -> dict[str, Any]:
        """What `make` draws, where one source is asked for one thing; made once, and each time a copy.

        Args:
            make: Makes a flat object, of nothing but what it draws and what names the source.
        """
        if self._tape is None:
            return make(self)
        if self._tape.made is None:
            self._tape.made = make(self)
        return dict(self._tape.made)

    def __getattr__(self, provider: str) -> Any:
        if self._tape is None:
            return getattr(self._live(), provider)
        return functools.partial(self._draw, self._tape, provider)

    def _live(self) -> Any:
        faker: Any = _faker()
        if self._chance is None:
            self._chance = self._source()
        faker.random = self._chance
        return faker

    def _draw(self, tape: Tape, provider: str, *args: Any, **named: Any) -> Any:
        asked = (provider, args, tuple(named.items()))
        if self._chance is None:
            if self._place < len(tape.draws) and tape.draws[self._place][0] == asked:
                self._place += 1
                return tape.draws[self._place - 1][1]
            for (name, given, also), _ in tape.draws[: self._place]:
                getattr(self._live(), name)(*given, **dict(also))
        value = getattr(self._live(), provider)(*args, **named)
        if self._place == len(tape.draws) and isinstance(value, _PLAIN):
            tape.draws.append((asked, value))
            self._place += 1
        else:
            self._place = -1
        return value
