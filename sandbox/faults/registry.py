"""Names of faults, and how a document becomes an injection."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from sandbox.errors import PlanError
from sandbox.faults.base import CallFault, DeliveryFault
from sandbox.faults.calls import NoFault, Timeout
from sandbox.faults.deliveries import Duplicate
from sandbox.plan import CallPoint, DeliveryPoint, Injection, parse_point

CALL_FAULTS: Final[dict[str, type[CallFault]]] = {fault.name: fault for fault in (NoFault, Timeout)}
DELIVERY_FAULTS: Final[dict[str, type[DeliveryFault]]] = {fault.name: fault for fault in (Duplicate,)}
_FIELDS: Final = {"on", "inject", "effect", "with"}


def nearest(wrong: str, names: list[str]) -> str:
    """The hint that names what was probably meant."""
    close = difflib.get_close_matches(wrong, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]}?" if close else f"known are: {', '.join(sorted(names))}"


def build(injection: Injection) -> CallFault | DeliveryFault:
    """The fault that an injection stands for.

    Raises:
        PlanError: for an unknown fault, an impossible effect, or parameters that it does not take.
    """
    name, parameters = injection.inject, dict(injection.parameters)
    try:
        if isinstance(injection.on, CallPoint):
            fault = CALL_FAULTS.get(name)
            if fault is None:
                raise PlanError(f"inject: a call takes no fault {name!r}", nearest(name, list(CALL_FAULTS)))
            if injection.effect not in fault.effects:
                raise PlanError(
                    f"inject: {name} cannot have effect: {injection.effect}",
                    f"{name} takes effect: {' or '.join(sorted(fault.effects))}",
                )
            return fault(injection.effect, **parameters)
        delivery_fault = DELIVERY_FAULTS.get(name)
        if delivery_fault is None:
            raise PlanError(f"inject: a delivery takes no fault {name!r}", nearest(name, list(DELIVERY_FAULTS)))
        if injection.effect != "none":
            raise PlanError(f"inject: {name} is a fault on deliveries and takes no effect", "leave effect out")
        return delivery_fault(**parameters)
    except TypeError as error:
        raise PlanError(f"with: {name} does not take {sorted(parameters)}", str(error).partition(") ")[2]) from None


def read_injection(document: Any) -> Injection:
    """One fault as it stands in a plan, checked as far as it can be without a project.

    Raises:
        PlanError: in one line, what is wrong and the nearest right name.
    """
    if not isinstance(document, Mapping):
        raise PlanError(f"a fault is a mapping, not {type(document).__name__}", "write on:, inject:, effect:, with:")
    for field in document:
        if field not in _FIELDS:
            raise PlanError(f"a fault has no field {field!r}", nearest(str(field), sorted(_FIELDS)))
    on, name, parameters = document.get("on"), document.get("inject"), document.get("with") or {}
    if not isinstance(on, Mapping) or not isinstance(name, str) or not isinstance(parameters, Mapping):
        raise PlanError("a fault needs on: (a mapping) and inject: (a name)", "see the example in the README")
    point = parse_point(on)
    effect = document.get("effect", _only_effect(point, name))
    if effect not in ("none", "applied"):
        raise PlanError(f"effect: {effect!r} is neither none nor applied", "leave it out for none")
    injection = Injection(point, name, effect, dict(parameters))
    build(injection)
    return injection


def _only_effect(point: CallPoint | DeliveryPoint, name: str) -> str:
    # A fault that is possible in one way only need not be told which.
    fault = CALL_FAULTS.get(name)
    if isinstance(point, DeliveryPoint) or fault is None or "none" in fault.effects:
        return "none"
    return min(fault.effects)
