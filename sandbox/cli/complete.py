"""What the shell completes: the names of systems, operations, events, faults, scenarios and rules of the project."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

Complete = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
Names = Callable[[click.Context, str], Iterable[tuple[str, str]]]


def _completes(names: Names) -> Complete:
    """Completion by (name, help) pairs; where the project cannot be read there is nothing to complete, and no noise."""

    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            found = list(names(context, incomplete))
        except Exception:  # noqa: BLE001 - a shell wants names or none; the command itself will say what is wrong
            return []
        return [CompletionItem(name, help=text or None) for name, text in found if name.startswith(incomplete)]

    return complete


def _root(context: click.Context) -> Path:
    root: Path = _of("sandbox.layout").project_root(context.params.get("project_path"))
    return root


def _of(module: str) -> Any:
    # Whoever completes the name of a command need not wait for what reads specs.
    return importlib.import_module(module)


def _specs(context: click.Context) -> Any:
    return _of("sandbox.layout").load_specs(_root(context))


def _systems(context: click.Context, _: str) -> Iterable[tuple[str, str]]:
    return [(file.name.partition(".")[0], "") for file in _of("sandbox.layout").spec_files(_root(context))]


def _operations(context: click.Context, _: str) -> Iterable[tuple[str, str]]:
    wanted = context.params.get("system")
    for name, spec in _specs(context).items():
        if wanted in (None, name):
            yield from (
                (operation.id, f"{operation.method} {operation.path}") for operation in spec.operations.values()
            )


def _points(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    for name, spec in _specs(context).items():
        if "." not in incomplete:
            yield name, "all its calls"
        for operation in spec.operations.values():
            yield f"{name}.{operation.id}", f"{operation.method} {operation.path}"
        yield from ((event, "event") for event in spec.events)


def _faults(context: click.Context, _: str) -> Iterable[tuple[str, str]]:
    faults = _of("sandbox.faults")
    point = str(context.params.get("point") or "")
    events = {event for spec in _specs(context).values() for event in spec.events} if point else set()
    on_calls = point not in events
    kinds = [faults.CALL_FAULTS] if on_calls and point else [faults.DELIVERY_FAULTS] if point else []
    for found in kinds or [faults.CALL_FAULTS, faults.DELIVERY_FAULTS]:
        yield from ((name, "") for name in found)


def _library(context: click.Context) -> Any:
    return _of("sandbox.chaos.library").Library(_of("sandbox.project").Project.find(_root(context)))


def _scenarios(context: click.Context, _: str) -> Iterable[tuple[str, str]]:
    return [(name, "scenario") for name in _library(context).scenarios]


def _plans(context: click.Context, incomplete: str) -> Iterable[tuple[str, str]]:
    yield from ((name, "failure") for name in _library(context).failures)
    yield from _scenarios(context, incomplete)


def _rules(context: click.Context, _: str) -> Iterable[tuple[str, str]]:
    rules = (*_of("sandbox.project").load_invariants(_root(context)), *_of("sandbox.rules").RULES)
    return [(rule.id, rule.title) for rule in rules]


systems = _completes(_systems)
operations = _completes(_operations)
points = _completes(_points)
faults = _completes(_faults)
scenarios = _completes(_scenarios)
plans = _completes(_plans)
rules = _completes(_rules)
