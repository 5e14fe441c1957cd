"""What a plan may name: the systems, operations and events of a project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sandbox.errors import PlanError, nearest
from sandbox.faults import CALL_FAULTS
from sandbox.faults.board import READING
from sandbox.plan import CallPoint, Injection, Plan, located
from sandbox.spec import Spec


@dataclass(frozen=True, slots=True)
class Catalog:
    """The points of a project; without specs there is nothing to compare with, and every point passes."""

    specs: Mapping[str, Spec] = field(default_factory=dict)

    @property
    def events(self) -> list[str]:
        """All types of events."""
        return sorted({event for spec in self.specs.values() for event in spec.events})

    def check(self, injection: Injection) -> None:
        """Refuse a fault at a point that no spec has, or where it could not happen.

        Raises:
            PlanError: with the nearest right name.
        """
        if not self.specs:
            return
        if isinstance(injection.on, CallPoint):
            self._check_call(injection, injection.on)
        elif injection.on.event not in self.events:
            event = injection.on.event
            raise PlanError(f"event: no system has an event {event!r}", nearest(event, self.events), "/on/event")

    def check_plan(self, plan: Plan) -> None:
        """Refuse a plan of which one fault does not fit.

        Raises:
            PlanError: with the nearest right name.
        """
        for position, injection in enumerate(plan.faults):
            with located(f"/faults/{position}"):
                self.check(injection)
        for position, rule in enumerate(plan.weather):
            with located(f"/weather/{position}"):
                self.check(rule.injection)

    def _check_call(self, injection: Injection, point: CallPoint) -> None:
        spec = self.specs.get(point.system)
        if spec is None:
            if f"{point.system}.{point.operation}" in self.events:
                event = f"{point.system}.{point.operation}"
                what = f"inject: {injection.inject} is a fault on calls, and {event} is an event"
                raise PlanError(what, "choose a fault on deliveries, such as duplicate", "/inject")
            hint = nearest(point.system, list(self.specs))
            raise PlanError(f"system: there is no system {point.system!r}", hint, "/on/system")
        if point.operation is None:
            return
        operation = spec.operations.get(point.operation)
        if operation is None:
            hint = self._nearest_operation(spec, point.operation)
            raise PlanError(f"operation: {point.system} has no operation {point.operation!r}", hint, "/on/operation")
        fault = CALL_FAULTS.get(injection.inject)
        if fault is not None and fault.reads_only and operation.method not in READING:
            raise PlanError(
                f"inject: {injection.inject} is a fault on reading, and {operation.id} is a {operation.method}",
                f"name an operation that reads, such as {_reading(spec)}",
                "/inject",
            )
        if injection.match.body and operation.body is None:
            what = f"match: {operation.id} takes no body, so none can match"
            raise PlanError(what, "match a header, or name another operation", "/match/body")

    def _nearest_operation(self, spec: Spec, wrong: str) -> str:
        homes = [name for name, other in self.specs.items() if wrong in other.operations]
        return f"{homes[0]} has it" if homes else nearest(wrong, list(spec.operations))


def _reading(spec: Spec) -> str:
    return next((operation.id for operation in spec.operations.values() if operation.method in READING), "none")
