"""Each broken integrator is found by the rule that is meant; the correct ones are left alone."""

from __future__ import annotations

from functools import partial
from random import Random

import pytest

from sandbox.chaos.points import candidates
from sandbox.chaos.reference import ReferenceSubject
from sandbox.plan import Plan
from sandbox.rules import Verdict
from tests.zoo.altered import Altered
from tests.zoo.animal import Animal, Design
from tests.zoo.laboratory import Laboratory
from tests.zoo.registry import BROKEN, CORRECT

SCENARIOS = (
    "cancelled-line-item",
    "cancelled-order",
    "change-of-address",
    "one-paid-order",
    "poison-order",
    "quiet-day",
    "rush-hour",
    "ten-orders",
    "unpaid-order",
)
SMALL = ("one-paid-order", "unpaid-order", "change-of-address", "cancelled-order", "cancelled-line-item")
REFERENCE = Design("reference", ReferenceSubject)
DESIGNS = (REFERENCE, *CORRECT)
SAMPLE = 1

designs = pytest.mark.parametrize("design", [pytest.param(design, id=design.name) for design in DESIGNS])


def test_the_zoo_is_as_large_as_it_claims(laboratory: Laboratory) -> None:
    independent = [animal for animal in BROKEN if not isinstance(animal.subject(), Altered)]
    names = [kept.name for kept in (*BROKEN, *CORRECT)]
    assert len(BROKEN) >= 40
    assert len(independent) >= 10
    assert len(CORRECT) == 8
    assert len({*names}) >= len(names) - 1, "only the design without jitter stands on both sides"
    assert all(len(animal.faults) <= 2 for animal in BROKEN)
    assert set(laboratory.scenarios) == set(SCENARIOS)


def test_every_rule_has_an_integrator_that_breaks_it(laboratory: Laboratory) -> None:
    assert {animal.breaks for animal in BROKEN} == {rule.id for rule in laboratory.rules}


@pytest.mark.parametrize("animal", [pytest.param(animal, id=animal.name) for animal in BROKEN])
def test_a_mistake_is_found(laboratory: Laboratory, animal: Animal) -> None:
    record, verdict = laboratory.trial(animal.subject(), animal.plan)

    failed = {judgement.rule.id for judgement in verdict.judgements if judgement.verdict is Verdict.FAIL}
    assert animal.breaks in failed
    assert set(verdict.broken) <= {animal.breaks} | animal.implies
    assert record.complete
    assert verdict.trouble == ()


@designs
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_correct_design_is_left_alone(laboratory: Laboratory, design: Design, scenario: str) -> None:
    _, verdict = laboratory.trial(design.subject(), Plan(scenario=scenario, seed=1))

    failed = [judgement for judgement in verdict.judgements if judgement.verdict is Verdict.FAIL]
    assert failed == []
    assert verdict.trouble == ()
    assert verdict.exit_code == 0


@designs
def test_a_correct_design_survives_a_fault(laboratory: Laboratory, design: Design) -> None:
    chance = Random(design.name)
    for scenario in SMALL:
        _survives(laboratory, design, scenario, chance, SAMPLE)


@pytest.mark.slow
@designs
@pytest.mark.parametrize("scenario", SMALL)
def test_a_correct_design_survives_each_fault(laboratory: Laboratory, design: Design, scenario: str) -> None:
    _survives(laboratory, design, scenario, Random(0), None)


def _survives(laboratory: Laboratory, design: Design, scenario: str, chance: Random, most: int | None) -> None:
    run = partial(laboratory.trial, design.subject())
    baseline, _ = run(Plan(scenario=scenario, seed=1))
    faults = list(candidates(baseline.journal, laboratory.project.specs))
    for fault in faults if most is None else chance.sample(faults, most):
        _, verdict = run(Plan(scenario=scenario, seed=1, faults=(fault,)))
        assert verdict.broken == (), (fault.to_json(), verdict.story)
        assert verdict.trouble == (), fault.to_json()
