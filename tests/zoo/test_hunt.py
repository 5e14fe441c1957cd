"""Each broken integrator is caught: a search finds it, the plan is made small, and the rule that is meant is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.zoo.animal import WARNINGS, Animal
from tests.zoo.hunt import Catch, named, search
from tests.zoo.laboratory import Laboratory
from tests.zoo.registry import BROKEN

# The detection table takes all runs that there are; what is gained by the later ones is little.
RUNS, LONGEST = 8, 0.5
ELUSIVE = [animal for animal in BROKEN if animal.elusive]
animals = pytest.mark.parametrize("animal", [pytest.param(animal, id=animal.name) for animal in BROKEN])


def check(caught: Catch) -> None:
    """The plan is small and steady, and breaks the rule that is meant, and none that has nothing to do with it."""
    animal, verdict = caught.animal, caught.small.verdict
    assert len(caught.small.plan.faults) <= 2
    assert animal.breaks in verdict.violated
    assert set(verdict.broken) <= {animal.breaks} | animal.implies
    assert not caught.small.flaky
    assert caught.small.story


# Their mistake is to call without end, and so each of their plans takes long.
TIRELESS = {"R10", "R14"}
# The first animal of each rule, and every third of the others; the rest follows in the detection table, and is run on
# its own plans in test_zoo.py.
FIRST = {animal.breaks: animal for animal in reversed(BROKEN) if animal.depth == 1 and animal.breaks not in TIRELESS}
OTHERS = [animal for animal in BROKEN if animal not in FIRST.values() and animal.breaks not in TIRELESS]
HUNTED = (*FIRST.values(), *OTHERS[::3])


@pytest.mark.parametrize("animal", [pytest.param(animal, id=animal.name) for animal in HUNTED])
def test_it_is_caught_at_the_first_failure_and_its_plan_made_small(laboratory: Laboratory, animal: Animal) -> None:
    how = {"runs": RUNS, "longest": LONGEST}
    caught = named(laboratory, animal, **how) if animal.elusive else search(laboratory, animal, **how)
    assert caught is not None
    check(caught)


def test_hardly_any_needs_a_plan_made_by_hand() -> None:
    assert len(ELUSIVE) <= len(BROKEN) // 10
    assert sum(not animal.depth for animal in BROKEN) <= 5
    assert all(animal.elusive for animal in BROKEN if animal.depth != 1)


def test_the_rules_that_only_warn_are_known(laboratory: Laboratory) -> None:
    assert {rule.id for rule in laboratory.rules if rule.severity != "E"} == WARNINGS


@pytest.mark.slow
@animals
def test_detection_table(
    laboratory: Laboratory, animal: Animal, time_left: float, record_property: Callable[[str, object], None]
) -> None:
    caught = search(laboratory, animal, animal.depth, time_left) if animal.depth else named(laboratory, animal)
    if caught is None:
        pytest.skip("not covered: the budget was used up")
    record_property("told", f"{caught}" if animal.depth else f"{caught} ({animal.elusive})")
    check(caught)
