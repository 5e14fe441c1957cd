"""What the zoo keeps of each integrator: how to start it, which rule it breaks, and a plan on which that shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sandbox.chaos.subject import Subject
from sandbox.plan import FIRST, CallPoint, DeliveryPoint, Effect, Injection, Occurrences, Plan

WARNINGS = frozenset({"F07", "H08", "P07", "P08", "R11", "R12", "R13", "R14"})


@dataclass(frozen=True, slots=True)
class Animal:
    """A broken integrator.

    Attributes:
        name: Its one mistake.
        subject: Makes it.
        breaks: The rule that is to find it.
        scenario: The workload on which it is found, a name in `contracts/scenarios`.
        faults: At most two, which bring the mistake to light.
        implies: Other rules of severity E that the same mistake cannot but break: mostly what it does to orders (F),
            which a verdict names before the behaviour that did it.
        seed: Of the plan.
        depth: How many faults at once a search needs to find it; 0 when it does not find it at all.
        elusive: Why a search does not find it, or only one that is too long for `make test`.
    """

    name: str
    subject: Callable[[], Subject]
    breaks: str
    scenario: str = "one-paid-order"
    faults: tuple[Injection, ...] = ()
    implies: frozenset[str] = frozenset()
    seed: int = 1
    depth: int = 1
    elusive: str = ""

    @property
    def warns(self) -> bool:
        """Whether its rule only warns, so that no plan fails by it."""
        return self.breaks in WARNINGS

    @property
    def plan(self) -> Plan:
        """Its plan, ready to be run."""
        return Plan(faults=self.faults, scenario=self.scenario, seed=self.seed, description=self.name)


@dataclass(frozen=True, slots=True)
class Design:
    """A correct integrator.

    Attributes:
        name: What is different about it.
        subject: Makes it.
        warnings: Rules of severity W or I that may find it all the same.
    """

    name: str
    subject: Callable[[], Subject]
    warnings: frozenset[str] = frozenset()


def call(
    point: str,
    inject: str,
    effect: Effect = "none",
    *,
    key: str | None = None,
    occurrence: Occurrences = FIRST,
    **parameters: Any,
) -> Injection:
    """A fault on a call: `call("accounting.create_invoice", "timeout", "applied")`."""
    system, _, operation = point.partition(".")
    on = CallPoint(system, operation or None, key, occurrence)
    return Injection(on, inject, effect, {name.removesuffix("_"): value for name, value in parameters.items()})


def delivery(event: str, inject: str, *, occurrence: Occurrences = FIRST, **parameters: Any) -> Injection:
    """A fault on a delivery: `delivery("order.paid", "duplicate", after="3s")`."""
    on = DeliveryPoint(event, None, occurrence)
    return Injection(on, inject, "none", {name.removesuffix("_"): value for name, value in parameters.items()})
