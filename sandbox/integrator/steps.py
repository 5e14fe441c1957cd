"""The steps of one order, each taken once however often it is asked for."""

from __future__ import annotations

from collections.abc import Callable

from sandbox.integrator.document import Json, digest
from sandbox.integrator.failures import Refused
from sandbox.integrator.ledger import Ledger, State, Step
from sandbox.integrator.order import Order

__all__ = ["Find", "Send", "Steps"]

Send = Callable[[Json, str], Json]
Find = Callable[[], Json | None]


class Steps:
    """Takes steps and writes them down; raises what sending raises.

    Args:
        look_first: Whether somebody else may have taken the steps before, so that it must be asked for what exists.
        progressed: Called with the order's number after each step that succeeded.
    """

    def __init__(self, ledger: Ledger, order: Order, *, look_first: bool, progressed: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._order = order
        self._look_first = look_first
        self._progressed = progressed
        self._steps = ledger.steps(order.number)

    def take(self, name: str, request: Json, send: Send, find: Find | None = None) -> Json:
        """Take a step that must have its effect once, and return its result; if it is done, that is all.

        Args:
            request: What to send if the step was not begun. If it was, the request as it was then is sent again, with
                the same key: only so its effect is certain to happen once. What changed since is for later steps.
            find: Looks for the effect in the system.

        Raises:
            Refused: the request was refused before.
        """
        step = self._steps.get(name) or self._adopt(name, find)
        if step is None or (step.state is State.REFUSED and step.digest != digest(request)):
            step = self._begin(name, request)
        return self._resume(step, send)

    def result(self, name: str, send: Send, find: Find) -> Json | None:
        """The result of a step that was taken, or None. One whose outcome is unknown is brought to an end first."""
        step = self._steps.get(name) or self._adopt(name, find)
        try:
            return None if step is None else self._resume(step, send)
        except Refused:
            return None

    def put(self, name: str, request: Json, send: Callable[[Json], None]) -> None:
        """Send a request that may be repeated, unless this very one was refused before."""
        step = self._steps.get(name)
        if step is None or step.state is not State.REFUSED or step.digest != digest(request):
            step = self._begin(name, request)

        def put(request: Json, _key: str) -> Json:
            send(request)
            return {}

        self._resume(step, put)

    def is_open(self, name: str) -> bool:
        """Whether a step was begun and its outcome is unknown."""
        step = self._steps.get(name)
        return step is not None and step.state is State.BEGUN

    def amend(self, name: str, result: Json) -> Json:
        """Write down that what a step created has changed since."""
        self._steps[name] = self._ledger.finish(self._steps[name], result)
        return result

    def _adopt(self, name: str, find: Find | None) -> Step | None:
        found = find() if find is not None and self._look_first else None
        if found is None:
            return None
        self._steps[name] = self._ledger.adopt(self._order.number, name, found)
        return self._steps[name]

    def _begin(self, name: str, request: Json) -> Step:
        self._steps[name] = self._ledger.begin(self._order.number, name, request, self._steps.get(name))
        return self._steps[name]

    def _resume(self, step: Step, send: Send) -> Json:
        """Bring a step to its end from wherever it stands."""
        if step.state is State.REFUSED:
            raise Refused(step.result["reason"])
        if step.state is State.DONE:
            return step.result
        try:
            result = send(step.request, step.key)
        except Refused as refusal:
            self._steps[step.name] = self._ledger.refuse(step, str(refusal))
            raise
        self._steps[step.name] = self._ledger.finish(step, result)
        self._progressed(self._order.number)
        return result
