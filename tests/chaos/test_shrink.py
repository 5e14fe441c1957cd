"""Shrinking, apart from any plan: it goes down, keeps to its budget, and asks nothing twice."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from sandbox.chaos.shrink import shrink


def without_one(items: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    for position in range(len(items)):
        yield (*items[:position], *items[position + 1 :])


@given(st.lists(st.integers(0, 20), min_size=1, max_size=12).map(tuple), st.data())
def test_what_is_not_needed_goes(items: tuple[int, ...], data: st.DataObject) -> None:
    needed = data.draw(st.sampled_from(items))
    shrunk = shrink(items, lambda value: needed in value, without_one, lambda value: value)
    assert shrunk.value == (needed,)
    assert not shrunk.exhausted


def test_nothing_is_asked_twice() -> None:
    asked: list[tuple[int, ...]] = []

    def fails(value: tuple[int, ...]) -> bool:
        asked.append(value)
        return sum(value) >= 3

    shrunk = shrink((1, 1, 1, 1, 1), fails, without_one, lambda value: value)
    assert shrunk.value == (1, 1, 1)
    assert len(asked) == len(set(asked)) == shrunk.tries


def test_the_budget_holds_and_the_best_so_far_is_kept() -> None:
    shrunk = shrink(tuple(range(50)), lambda value: 49 in value, without_one, lambda value: value, budget=10)
    assert shrunk.exhausted
    assert shrunk.tries == 10
    assert len(shrunk.value) == 40


def test_what_cannot_be_smaller_stays() -> None:
    assert shrink((7,), lambda value: value == (7,), without_one, lambda value: value).value == (7,)
