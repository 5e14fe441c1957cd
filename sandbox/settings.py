"""`sandbox.yaml`: what a project says about the program under test, read with everything in it checked.

An empty file is a project with nothing to say. `sandbox init` writes one with comments that teach.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml
from jsonschema import Draft202012Validator

from sandbox.errors import PlanError, ProjectError
from sandbox.layout import MARKER
from sandbox.plan import seconds
from sandbox.pointer import split
from sandbox.shape import check_shape
from sandbox.written import Written, parse, read_text

SCHEMA: Final = Path(__file__).with_name("settings.schema.json")
_VALIDATOR: Final = Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
_SPANS: Final = ("ready_within", "run_within", "request_limit", "reconcile_every")
_STRING: Final = "tag:yaml.org,2002:str"
_HINTS: Final = {
    "subject": "write subject: node integrator.js, or http://127.0.0.1:9000/webhooks, or module:app",
    "environment": "write environment: {STORE_URL: '${SHOP_URL}'}; letters, digits and _ make a name",
    "webhook_path": "write /webhooks",
    "health_path": "write /health",
    "reconcile_path": "write /reconcile",
    "parking": "write a path such as /parked, or a file such as parked.json",
    "scenario": "write scenario: one-paid-order",
    "time_scale": "write a number above 0, at most 1",
    "mute": "write mute: {R13: why it may be broken}",
}


@dataclass(frozen=True, slots=True)
class ProjectSettings:
    """What `sandbox.yaml` says; None where it says nothing. Spans are in seconds.

    Attributes:
        file: The file; None when there is none.
        subject: A command, an address, `module:app`, or `reference`.
        folder: Where a command is started and `module:app` is imported from; None where nothing is said.
        environment: Variables for the program, `${NAME}` in them being what `sandbox env` prints.
        parking: A path of the program, or a file in its data folder, that says which orders are parked.
        scenarios: The usual workloads.
        muted: By rule, the reason why it fails nothing.
    """

    file: Path | None = None
    subject: str | None = None
    folder: Path | None = None
    environment: tuple[tuple[str, str], ...] = ()
    webhook_path: str | None = None
    health_path: str | None = None
    ready_within: float | None = None
    run_within: float | None = None
    request_limit: float | None = None
    reconcile_every: float | None = None
    reconcile_path: str | None = None
    parking: str | None = None
    scenarios: tuple[str, ...] = ()
    time_scale: float | None = None
    muted: Mapping[str, str] = field(default_factory=dict)
    written: Written | None = field(default=None, repr=False)

    def error(self, pointer: str, what: str, hint: str | None = None) -> ProjectError:
        """The error that says in one line what is wrong at a pointer of the file."""
        line = 1 if self.written is None else self.written.line(pointer)
        return ProjectError(f"{self.file}:{line}: {what}", hint)


def read_settings(root: Path) -> ProjectSettings:
    """What the project in a folder says; nothing when it has no `sandbox.yaml`.

    Raises:
        ProjectError: when the file cannot be read, or something in it is wrong: with file, line and how it is written.
    """
    file = root / MARKER
    if not file.is_file():
        return ProjectSettings()
    try:
        written = parse(read_text(file, "settings file"), str(file), "sandbox.yaml", _keep_as_written)
        with written.told():
            return _settings(file, written)
    except PlanError as error:
        raise ProjectError(error.message, error.hint) from None


def _settings(file: Path, written: Written) -> ProjectSettings:
    document: Mapping[str, Any] = {} if written.data is None else written.data
    check_shape(_VALIDATOR, document, "sandbox.yaml", _HINTS)
    spans: dict[str, float] = {}
    for name in _SPANS:
        if name in document:
            spans[name] = _span(name, document[name])
    if "reconcile_path" in document and "reconcile_every" not in document:
        hint = "write reconcile_every: 5m"
        raise PlanError("reconcile_path: nobody says how often it is called", hint, "/reconcile_path")
    scenarios = document.get("scenario", ())
    return ProjectSettings(
        file=file,
        subject=document.get("subject"),
        folder=(file.parent / document["folder"]) if "folder" in document else None,
        environment=tuple((name, str(value)) for name, value in document.get("environment", {}).items()),
        webhook_path=document.get("webhook_path"),
        health_path=document.get("health_path"),
        **spans,
        reconcile_path=document.get("reconcile_path"),
        parking=document.get("parking"),
        scenarios=(scenarios,) if isinstance(scenarios, str) else tuple(scenarios),
        time_scale=document.get("time_scale"),
        muted=dict(document.get("mute", {})),
        written=written,
    )


def _span(name: str, value: Any) -> float:
    try:
        span = seconds(value, name)
    except PlanError as error:
        raise PlanError(error.message, error.hint, f"/{name}") from None
    if span <= 0:
        raise PlanError(f"{name}: it would be over at once", "write seconds or a unit: 30s, 10m, 2h", f"/{name}")
    return span


def _keep_as_written(pointer: str, node: yaml.Node) -> None:
    """A variable's value is a text, and stays as it was written: `yes`, `0123`, `1e3`."""
    names = split(pointer)
    if len(names) == 2 and names[0] == "environment" and isinstance(node, yaml.ScalarNode):
        node.tag = _STRING
