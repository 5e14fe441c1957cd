"""Scenarios: the workload of a run. Which orders are placed, paid, changed and cancelled, and when.

```yaml
description: An order that is paid later, and moves house in between.
steps:
  - place: {order_number: "2025-4471", customer: Example Ltd, paid: false}
  - change_address: "2025-4471"
    at: 20s
  - pay: "2025-4471"
    at: 1m
```

Steps without `at` happen at the time of the step before; what an order leaves out is filled from the seed.

Those are the customers of the shop. In any system, an operation can be called by its name:

```yaml
  - call: notes.create_note
    key: "17"                          # what it is about: steps with one key follow each other
    with: {id: "17", text: buy milk}   # the body; left out, a believable one
    parameters: {folder: inbox}        # those of path and query
```
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from sandbox.errors import PlanError, nearest
from sandbox.plan import seconds, span_text
from sandbox.sample import SeededFaker

ACTIONS: Final = ("place", "pay", "change_address", "cancel_line_item", "cancel", "set_stock", "wait", "call")
_MORE: Final = ("at", "with", "key", "parameters")
_COUNTRIES: Final = ("DE", "FR", "NL", "AT", "GB")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the shop's customers do.

    Attributes:
        at: Seconds after the start.
        order: The order's number; the sku for `set_stock`; the key of a `call`; empty for `wait`.
        body: What is sent; of a `call`, its `operation`, and `with` and `parameters` where they are given.
    """

    at: float
    action: str
    order: str
    body: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The step as `parse_scenario` reads it, wherever it stands: its time is absolute."""
        at = span_text(self.at)
        match self.action:
            case "place":
                return {"place": dict(self.body), "at": at}
            case "wait":
                return {"wait": 0, "at": at}
            case "call":
                more = {name: value for name, value in self.body.items() if name != "operation"}
                key = {"key": self.order} if self.order else {}
                return {"call": self.body["operation"], **key, **more, "at": at}
        return {self.action: self.order, "at": at} | ({"with": dict(self.body)} if self.body else {})


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named workload."""

    name: str
    description: str
    steps: tuple[Step, ...]

    @property
    def ends(self) -> float:
        """Seconds after the start at which the last step happens."""
        return max((step.at for step in self.steps), default=0.0)

    def without(self, steps: frozenset[int]) -> Scenario:
        """The scenario without the steps at these positions."""
        return Scenario(self.name, self.description, tuple(s for n, s in enumerate(self.steps) if n not in steps))

    def to_json(self) -> dict[str, Any]:
        return {
            "description": self.description,
            "steps": [step.to_json() for step in self.steps],
        }


def read_scenario(path: Path) -> Scenario:
    """A scenario from its file.

    Raises:
        PlanError: with the file, when it cannot be understood.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PlanError(f"{path}: {error}".replace("\n", " "), "mend the file") from None
    return parse_scenario(path.stem, document, str(path))


def parse_scenario(name: str, document: Any, where: str) -> Scenario:
    """A scenario from its document.

    Raises:
        PlanError: when it cannot be understood.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("steps"), list):
        raise PlanError(f"{where}: a scenario has description: and steps: (a list)", "see contracts/scenarios")
    steps: list[Step] = []
    now = 0.0
    for number, raw in enumerate(document["steps"]):
        here = f"{where}: step {number + 1}"
        if not isinstance(raw, Mapping):
            raise PlanError(f"{here} is no mapping", f"a step is one of {', '.join(ACTIONS)}")
        action = next((key for key in raw if key in ACTIONS), None)
        unknown = [str(key) for key in raw if key not in (*ACTIONS, *_MORE)]
        if action is None or unknown:
            wrong = unknown[0] if unknown else "nothing"
            raise PlanError(f"{here}: {wrong!r} is no action", nearest(wrong, list(ACTIONS)))
        if "at" in raw:
            now = seconds(raw["at"], f"{here}: at")
        value, extra = raw[action], raw.get("with") or {}
        if action == "place":
            if not isinstance(value, Mapping) or "order_number" not in value:
                raise PlanError(f"{here}: place takes an order with an order_number", 'quote it: "2025-4471"')
            steps.append(Step(now, action, str(value["order_number"]), dict(value)))
        elif action == "wait":
            now += seconds(value, f"{here}: wait")
            steps.append(Step(now, action, "", {}))
        elif action == "call":
            if not isinstance(value, str) or "." not in value:
                raise PlanError(f"{here}: {value!r} is no operation", "write call: system.operation")
            more = {name: raw[name] for name in ("with", "parameters") if name in raw}
            steps.append(Step(now, action, str(raw.get("key", "")), {"operation": value, **more}))
        else:
            steps.append(Step(now, action, str(value), dict(extra)))
    return Scenario(name, str(document.get("description", "")), tuple(steps))


def complete_order(order: Mapping[str, Any], chance: SeededFaker) -> dict[str, Any]:
    """An order with everything that `POST /orders` requires, believable and from the seed."""
    cents = chance.random_int(2_000, 500_000)
    return {
        "customer": chance.company(),
        "amount_net": cents / 100,
        "currency": "EUR",
        "line_items": chance.random_int(1, 5),
        "paid": True,
        **order,
    }


def new_address(chance: SeededFaker) -> dict[str, Any]:
    """Another delivery address, believable and from the seed."""
    return {
        "name": chance.name(),
        "street": chance.street_address(),
        "postal_code": chance.numerify("#####"),
        "city": chance.city(),
        "country": chance.random_element(_COUNTRIES),
    }
