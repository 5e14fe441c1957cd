"""A plan as a JSON value, read with everything checked: its shape, its names, and whether its faults are possible.

Errors carry a JSON pointer; whoever knows the file turns it into a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator

from sandbox.catalog import Catalog
from sandbox.errors import PlanError, nearest
from sandbox.faults.registry import build, build_weather, parameters_of, usual_effect
from sandbox.plan import (
    ANY,
    FIRST,
    DeliveryPoint,
    Effect,
    Injection,
    Match,
    Occurrences,
    Plan,
    Point,
    Weather,
    located,
    parse_point,
    seconds,
    share,
)
from sandbox.shape import check_shape

SCHEMA: Final = Path(__file__).with_name("plan.schema.json")
_SCHEMA: Final[dict[str, Any]] = json.loads(SCHEMA.read_text(encoding="utf-8"))
_PLAN: Final = Draft202012Validator(_SCHEMA)
_FAULT: Final = Draft202012Validator({"$ref": "#/$defs/fault", "$defs": _SCHEMA["$defs"]})
_NO_PROJECT: Final = Catalog()
# In the place of a system's or an event's name: all of them, one by one.
EACH: Final = "each"
_HINTS: Final = {
    "on": "write on: {system: accounting, operation: create_invoice} or on: {event: order.paid}",
    "key": 'put it in quotes, as in "2025-4471"',
    "occurrence": "write a number from 1, a range such as 1-2, or any",
    "ttl": "write seconds or a unit: 30s, 10m, 2h",
    "rate": "write 5 % or 0.05; more than nothing, at most 100 %",
    "with": "write with: {after: 3s}",
    "match": "write match: {body: {/currency: EUR}} or match: {header: {name: value}}",
    "body": "a JSON pointer begins with a slash: {/currency: EUR}",
    "count": "write how many times it fires at most, from 1",
}


def read_plan(document: Any, catalog: Catalog = _NO_PROJECT) -> Plan:
    """A whole plan.

    Args:
        catalog: What it may name.

    Raises:
        PlanError: in one line, what is wrong, with the nearest right name and a pointer to it.
    """
    _check_shape(_PLAN, document)
    faults, weather = [], []
    for position, fault in enumerate(document.get("faults", ())):
        with located(f"/faults/{position}"):
            faults += [_fault(one) for one in _spread(fault, catalog)]
    for position, rule in enumerate(document.get("weather", ())):
        with located(f"/weather/{position}"):
            weather += [_weather(one) for one in _spread(rule, catalog)]
    if catalog.specs and (document.get("faults") or document.get("weather")) and not (faults or weather):
        raise PlanError("event: no system of the project has any event to strike", "name a system", "/weather")
    seed = document.get("seed")
    plan = Plan(
        faults=tuple(faults),
        weather=tuple(weather),
        scenario=document.get("scenario"),
        seed=None if seed is None else int(seed),
        description=document.get("description"),
        expect=dict(document.get("expect", {})),
        specs=dict(document.get("specs", {})),
    )
    catalog.check_plan(plan)
    return plan


def _spread(rule: Mapping[str, Any], catalog: Catalog) -> Iterator[Mapping[str, Any]]:
    """A rule once for every system, or event, where it is on `each`."""
    on = rule["on"]
    for name, known in (("system", list(catalog.specs)), ("event", catalog.events)):
        if on.get(name) == EACH and catalog.specs and EACH not in known:
            yield from ({**rule, "on": {**on, name: one}} for one in known)
            return
    yield rule


def read_fault(document: Any, catalog: Catalog = _NO_PROJECT) -> Injection:
    """One fault as it stands under `faults:`.

    Args:
        catalog: What it may name.

    Raises:
        PlanError: in one line, what is wrong, with the nearest right name and a pointer to it.
    """
    _check_shape(_FAULT, document)
    injection = _fault(document)
    catalog.check(injection)
    return injection


def _fault(document: Mapping[str, Any]) -> Injection:
    injection = _injection(document, FIRST)
    build(injection)
    return injection


def _injection(document: Mapping[str, Any], default: Occurrences) -> Injection:
    with located("/on"):
        point = parse_point(document["on"], default)
    matched = document.get("match", {})
    if matched.get("header") and isinstance(point, DeliveryPoint):
        what = "header: a delivery gets its headers when it leaves, so none can match"
        raise PlanError(what, "match its body, such as {/data/currency: EUR}", "/match/header")
    with located("/ttl"):
        ttl = seconds(document["ttl"], "ttl") if "ttl" in document else None
        if ttl == 0:
            raise PlanError("ttl: it would lift at once", _HINTS["ttl"])
    count = document.get("count")
    return Injection(
        on=point,
        inject=document["inject"],
        effect=_effect(document, point),
        parameters=dict(document.get("with", {})),
        match=Match(dict(matched.get("body", {})), dict(matched.get("header", {}))),
        # JSON Schema counts 2.0 among the whole numbers.
        count=None if count is None else int(count),
        ttl=ttl,
    )


def _weather(document: Mapping[str, Any]) -> Weather:
    injection = _injection(document, ANY)
    with located("/rate"):
        rate = share(document["rate"])
    rule = Weather(injection.on, injection.inject, rate, injection.effect, injection.parameters)
    build_weather(rule)
    return rule


def _effect(document: Mapping[str, Any], point: Point) -> Effect:
    effect: Effect = document.get("effect") or usual_effect(point, document["inject"])
    return effect


def _check_shape(validator: Draft202012Validator, document: Any) -> None:
    check_shape(validator, document, "plan", _HINTS, _where_it_belongs)


def _where_it_belongs(unknown: str, known: list[str], fault: Mapping[str, Any]) -> str:
    if unknown in parameters_of(str(fault.get("inject"))):
        return f"it is a parameter of {fault['inject']}: write it under with:"
    return nearest(unknown, known)
