"""How long a slow answer takes: a fixed span, or one drawn from a named distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from sandbox.errors import PlanError, nearest
from sandbox.faults.parameters import number
from sandbox.plan import LONGEST_SPAN, seconds

_USUAL_SIGMA: Final = 0.5
_WIDEST_SIGMA: Final = 10.0
_TAKES: Final[dict[str, tuple[str, ...]]] = {
    "uniform": ("lower", "upper"),
    "exponential": ("mean",),
    "lognormal": ("median", "sigma"),
}


@dataclass(frozen=True, slots=True)
class Latency:
    """A span of time to be drawn.

    Attributes:
        draw: Seconds, from a random source.
    """

    draw: Callable[[Random], float]

    @classmethod
    def parse(cls, delay: Any, distribution: Any, parameters: Mapping[str, Any]) -> Latency:
        """Read a fixed delay, or a distribution with its parameters.

        Args:
            delay: A span, or None for none.
            distribution: `uniform` (`lower`, `upper`: spans), `exponential` (`mean`: a span) or `lognormal`
                (`median`: a span, `sigma`: of the logarithm, a number).

        Raises:
            PlanError: when they do not fit together.
        """
        if distribution is None:
            if parameters:
                raise PlanError(
                    f"with: {min(parameters)} belongs to a distribution", f"add distribution: {_owner(min(parameters))}"
                )
            fixed = seconds(0.0 if delay is None else delay, "delay")
            return cls(lambda _: fixed)
        if delay is not None:
            raise PlanError("with: slow has delay: or distribution:, not both", "leave one of them out")
        takes = _TAKES.get(distribution) if isinstance(distribution, str) else None
        if takes is None:
            raise PlanError(f"distribution: there is no {distribution!r}", nearest(str(distribution), list(_TAKES)))
        for name in parameters:
            if name not in takes:
                raise PlanError(f"with: {distribution} takes no {name!r}", f"it takes {' and '.join(takes)}")
        drawn = _drawing(distribution, parameters)
        return cls(lambda chance: min(drawn(chance), LONGEST_SPAN))


def _drawing(distribution: str, parameters: Mapping[str, Any]) -> Callable[[Random], float]:
    def span(name: str) -> float:
        if name not in parameters:
            raise PlanError(f"with: {distribution} needs {name}", f"write {name}: 2s")
        return seconds(parameters[name], name)

    if distribution == "uniform":
        lower, upper = seconds(parameters.get("lower", 0.0), "lower"), span("upper")
        if lower > upper:
            raise PlanError(f"with: lower ({lower:g} s) is above upper ({upper:g} s)", "exchange them")
        return lambda chance: chance.uniform(lower, upper)
    if distribution == "exponential":
        mean = span("mean")
        return lambda chance: mean * chance.expovariate(1.0)
    median, sigma = span("median"), number(parameters.get("sigma", _USUAL_SIGMA), "sigma", _WIDEST_SIGMA)
    return lambda chance: median * math.exp(sigma * chance.gauss(0.0, 1.0))


def _owner(parameter: str) -> str:
    return next(name for name, takes in _TAKES.items() if parameter in takes)
