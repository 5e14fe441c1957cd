"""Shrinking: make a failing value smaller while it still fails. Knows values, a predicate and an order, no more."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
InTime = Callable[[], bool]


def always() -> bool:
    """There is time without end."""
    return True


@dataclass(frozen=True, slots=True)
class Shrunk(Generic[T]):
    """The smallest failing value found.

    Attributes:
        tries: How often the predicate was asked.
        exhausted: Whether the budget ended the search before it was done.
    """

    value: T
    tries: int
    exhausted: bool


def shrink(
    value: T,
    fails: Callable[[T], bool],
    smaller: Callable[[T], Iterable[T]],
    identity: Callable[[T], Hashable],
    budget: int = 200,
    in_time: InTime = always,
) -> Shrunk[T]:
    """Descend greedily: take the first smaller value that still fails, and begin anew from there.

    Args:
        value: A value that fails.
        fails: The predicate; asked at most `budget` times, and never twice for the same value.
        smaller: Candidates in the order in which they are worth trying, each simpler than its argument.
        identity: What makes two values the same.
        in_time: Whether there is time for one more try.
    """
    seen = {identity(value)}
    tries = 0
    improved = True
    while improved:
        improved = False
        for candidate in smaller(value):
            name = identity(candidate)
            if name in seen:
                continue
            if tries >= budget or not in_time():
                return Shrunk(value, tries, exhausted=True)
            seen.add(name)
            tries += 1
            if fails(candidate):
                value, improved = candidate, True
                break
    return Shrunk(value, tries, exhausted=False)
