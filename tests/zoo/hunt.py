"""How a broken integrator is caught: a search finds a plan on which it fails, and the plan is made small."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sandbox.chaos.check import Verdict
from sandbox.chaos.explain import fault_label
from sandbox.chaos.explore import Explorer, Trial
from sandbox.chaos.minimise import MOST_RUNS, Reproducer, minimise
from sandbox.clock import SystemClock
from sandbox.plan import Plan
from tests.zoo.animal import Animal
from tests.zoo.laboratory import Laboratory


@dataclass(frozen=True, slots=True)
class Catch:
    """A plan that was found, and what it was made of.

    Attributes:
        by: What found it.
        plans: How many plans were run until the first failure, the one without faults included.
        seconds: How long that took.
    """

    animal: Animal
    by: str
    plans: int
    seconds: float
    found: Plan
    small: Reproducer

    def __str__(self) -> str:
        """A line of the detection table."""
        named = " ".join(dict.fromkeys((self.animal.breaks, *self.small.verdict.broken)))
        faults = "; ".join(map(fault_label, self.small.plan.faults)) or "no fault"
        spent = f"{self.plans:4} plans {self.seconds:6.2f} s"
        return f"{named:19} {self.animal.name:39} {self.by:15} {spent}  {len(self.small.plan.faults)}: {faults}"


def search(
    laboratory: Laboratory,
    animal: Animal,
    depth: int = 1,
    budget: float | None = None,
    runs: int = MOST_RUNS,
    longest: float = math.inf,
) -> Catch | None:
    """Search the animal's scenario up to the first failure; None when there is none.

    Args:
        budget: Seconds for the search.
        runs: How many it may take to make the plan small.
        longest: Seconds after which no further run is begun for that.
    """
    stopped: list[Trial] = []

    def stop(trial: Trial) -> bool:
        if animal.breaks in trial.verdict.violated if animal.warns else trial.verdict.failed:
            stopped.append(trial)
        return bool(stopped)

    here = laboratory.trials_of(animal.subject)
    explorer = Explorer(laboratory.project, animal.subject, SystemClock(), stop=stop, laboratory=here)
    found = explorer.explore(laboratory.scenarios[animal.scenario], animal.seed, depth, budget)
    if not stopped:
        return None
    first = stopped[0]
    small = _made_small(laboratory, animal, first.plan, first.verdict, runs, longest)
    return Catch(animal, f"search, depth {depth}", found.trials, found.seconds, first.plan, small)


def named(laboratory: Laboratory, animal: Animal, runs: int = MOST_RUNS, longest: float = math.inf) -> Catch:
    """Run the plan that the animal comes with."""
    clock = SystemClock()
    began = clock.now()
    _, verdict = laboratory.trial(animal.subject(), animal.plan)
    seconds = clock.now() - began
    small = _made_small(laboratory, animal, animal.plan, verdict, runs, longest)
    return Catch(animal, "named plan", 1, seconds, animal.plan, small)


def _made_small(
    laboratory: Laboratory, animal: Animal, plan: Plan, verdict: Verdict, runs: int, longest: float
) -> Reproducer:
    # What a command would make small is whatever the plan breaks first, since it cannot know which rule is meant.
    rule = verdict.broken[0] if verdict.failed and not animal.warns else animal.breaks
    attempt = laboratory.attempt(animal.subject())
    scenario = laboratory.scenarios[animal.scenario]
    clock = SystemClock()
    until = clock.now() + longest
    return minimise(
        plan,
        scenario,
        rule,
        attempt,
        laboratory.project.specs,
        runs,
        in_time=lambda: clock.now() < until,
        warnings=not verdict.failed or animal.warns,
    )
