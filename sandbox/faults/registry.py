"""Names of faults, and how an injection becomes the fault it stands for."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sandbox.errors import PlanError, nearest
from sandbox.faults.base import CallFault, DeliveryFault
from sandbox.faults.calls import (
    Conflict,
    ConnectionReset,
    Malformed,
    NoFault,
    Outage,
    RateLimited,
    Redirect,
    RepeatedRequest,
    SchemaDrift,
    ServerError,
    Slow,
    StaleRead,
    Timeout,
    Truncated,
    Unauthorized,
)
from sandbox.faults.crash import CrashOnCall, CrashOnDelivery
from sandbox.faults.deliveries import (
    ConcurrentDuplicate,
    Delay,
    Drop,
    Duplicate,
    Forged,
    Reorder,
    Respaced,
    Rotated,
    Undisturbed,
)
from sandbox.plan import CallPoint, Effect, Injection, Point, Weather

Kind = TypeVar("Kind", bound=type[CallFault] | type[DeliveryFault])


def _named(*faults: Kind) -> dict[str, Kind]:
    return {fault.name: fault for fault in faults}


CALL_FAULTS: Final[dict[str, type[CallFault]]] = _named(
    NoFault,
    RateLimited,
    ServerError,
    Timeout,
    ConnectionReset,
    Truncated,
    Malformed,
    Slow,
    Unauthorized,
    Conflict,
    Redirect,
    StaleRead,
    RepeatedRequest,
    Outage,
    SchemaDrift,
    CrashOnCall,
)
DELIVERY_FAULTS: Final[dict[str, type[DeliveryFault]]] = _named(
    Undisturbed,
    Duplicate,
    ConcurrentDuplicate,
    Delay,
    Reorder,
    Drop,
    Forged,
    Rotated,
    Respaced,
    CrashOnDelivery,
)


def build(injection: Injection) -> CallFault | DeliveryFault:
    """The fault that an injection stands for.

    Raises:
        PlanError: for an unknown fault, one of the other kind, an impossible effect, or parameters it does not take.
    """
    name, parameters = injection.inject, {str(name): value for name, value in injection.parameters.items()}
    if isinstance(injection.on, CallPoint):
        fault = CALL_FAULTS.get(name)
        if fault is None:
            raise _unknown(name, "call", "delivery", DELIVERY_FAULTS, "on: {event: order.paid}", list(CALL_FAULTS))
        if injection.effect not in fault.effects:
            raise PlanError(
                f"effect: {name} cannot have effect: {injection.effect}",
                f"{name} takes effect: {' or '.join(sorted(fault.effects, reverse=True))}",
                "/effect",
            )
        with _parameter(parameters):
            return fault(injection.effect, **parameters)
    delivery_fault = DELIVERY_FAULTS.get(name)
    if delivery_fault is None:
        example = "on: {system: accounting, operation: create_invoice}"
        raise _unknown(name, "delivery", "call", CALL_FAULTS, example, list(DELIVERY_FAULTS))
    if injection.effect != "none":
        raise PlanError(f"effect: {name} is a fault on deliveries and takes no effect", "leave effect out", "/effect")
    with _parameter(parameters):
        return delivery_fault(**parameters)


@contextmanager
def _parameter(parameters: Mapping[str, Any]) -> Iterator[None]:
    """What is wrong with a parameter begins with its name; say where in the document it stands."""
    try:
        yield
    except PlanError as error:
        name = error.message.partition(":")[0]
        pointer = f"/with/{name}" if name in parameters else "/with"
        raise PlanError(error.message, error.hint, pointer) from None


def build_weather(weather: Weather) -> CallFault | DeliveryFault:
    """The fault that a weather strikes with.

    Raises:
        PlanError: as `build`; and for a fault that goes on once it has begun, whose end no seed decides.
    """
    fault = build(weather.injection)
    if isinstance(fault, CallFault) and type(fault).meets is not CallFault.meets:
        raise PlanError(
            f"inject: {fault.name} goes on once it has begun, so it is no weather",
            "write it under faults:, where it begins at a call that you name",
            "/inject",
        )
    return fault


def parameters_of(name: str) -> list[str]:
    """What a fault of this name takes under `with:`."""
    fault: Any = CALL_FAULTS.get(name) or DELIVERY_FAULTS.get(name)
    if fault is None:
        return []
    return [
        argument.removesuffix("_") for argument in inspect.signature(fault.configure).parameters if argument != "self"
    ]


def _unknown(name: str, kind: str, other: str, others: Collection[str], example: str, known: list[str]) -> PlanError:
    if name in others:
        plural = {"call": "calls", "delivery": "deliveries"}[other]
        return PlanError(
            f"inject: {name} is a fault on {plural}, and on: names a {kind}", f"write {example}", "/inject"
        )
    hint = nearest(name, sorted({*known, *others}))
    return PlanError(f"inject: there is no fault {name!r}", hint, "/inject")


def usual_effect(point: Point, name: str) -> Effect:
    """The effect where a plan leaves it out: none, or the only one that the fault can have."""
    fault = CALL_FAULTS.get(name)
    if not isinstance(point, CallPoint) or fault is None or "none" in fault.effects:
        return "none"
    return min(fault.effects)


def address(point: str, fault: str, systems: Collection[str]) -> dict[str, Any]:
    """What stands under `on:` for a point in one word.

    Args:
        point: `system.operation` or `system` for calls, an event type such as `order.paid` for deliveries.
        fault: The fault that is to sit there.
        systems: The names of the systems.
    """
    system, dot, operation = point.partition(".")
    if system not in systems and fault in DELIVERY_FAULTS:
        return {"event": point}
    return {"system": system, "operation": operation} if dot else {"system": system}
