"""The house plan, enforced: who may import whom inside `sandbox/`."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sandbox as facade

# A module may import its own layer (without a cycle) and those below. A package stands for all that is in it.
LAYERS: dict[int, tuple[str, ...]] = {
    7: ("cli", "testing", "pytest_plugin"),
    6: ("chaos", "probe", "record"),
    5: (
        *("listener", "server", "turn", "protocol", "worker", "workers", "sender", "tls"),
        *("inprocess", "caller", "adapter", "wsgi", "tasks", "govern"),
    ),
    4: ("app", "call", "slot", "connection", "link", "wire", "engine", "gateway", "control", "control_access"),
    3: (
        *("world", "exchange", "front", "guard", "request", "preconditions", "pages"),
        *(
            "answering",
            "expansion",
            "told",
            "authorization",
            "supplies",
            "behaviour",
            "deeds",
            "payloads",
            "refusal",
            "system",
            "project",
            "explanation",
        ),
    ),
    2: (
        *("pointer", "defect", "text", "strict_yaml", "bundle", "swagger", "dialect", "naming", "walk"),
        *("forms", "xml_bodies", "schema_mending", "schema_cycles", "alternatives", "security_mending"),
        *("mending", "document", "drafting", "annotations", "expression", "inference", "schema"),
        *("field_error", "sample", "seeded"),
        *("shaping", "values", "routing", "operation", "spec", "spec_check", "tokens"),
        *("tables", "statement", "queries", "stored", "memory", "database", "store", "journal_store"),
        *("past", "idempotency", "ratelimit", "outbox"),
        *(
            "catalog",
            "plan_document",
            "plan_file",
            "shape",
            "written",
            "settings",
            "corrections",
            "cache",
        ),
        *("layout", "remote", "remote_world", "access", "facts", "tls_files"),
        "consumer",
    ),
    1: ("plan", "faults", "rules", "aliases", "journal", "har", "redaction", "signing", "credentials"),
    0: ("errors", "clock", "model", "limits", "garbage"),
}
ROOM_LAYER = {room: layer for layer, rooms in LAYERS.items() for room in rooms}

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

# Beside the layers: the reference integrator knows the systems through their URLs alone.
INTEGRATOR = "integrator"
INTEGRATOR_MAY_IMPORT = {INTEGRATOR, "clock"}
# What may start it: it is a program of its own, and only its entry point is known to others.
INTEGRATOR_ENTRY = "sandbox.integrator.__main__"
# The one who puts it together differently: as the subject of runs in virtual time.
INTEGRATOR_SUBJECT = "sandbox.chaos.reference"

# Third-party packages that only certain modules may name, so that replacing one stays a local matter.
NAMED_ONLY_IN: dict[str, tuple[str, ...]] = {
    "connexion": ("sandbox.app",),
    "schemathesis": ("sandbox.probe.schemathesis_hooks",),
    "uvicorn": ("sandbox.listener", "sandbox.protocol"),
    "flask": (INTEGRATOR,),
    "click": ("sandbox.cli",),
    "trustme": ("sandbox.tls",),
    "time_machine": ("sandbox.govern",),
}


@dataclass(frozen=True)
class Import:
    """One import statement's target, and where it stands."""

    importer: str
    target: str
    where: str
    nested: bool = False

    @property
    def rooms(self) -> tuple[str, str]:
        return room(self.importer), room(self.target)

    @property
    def inside(self) -> bool:
        return self.target.partition(".")[0] == "sandbox"


def room(module: str) -> str:
    """The module's name in the table: `sandbox.faults.registry` -> `faults`; the facade `sandbox` itself -> ``."""
    return ".".join(module.split(".")[1:2])


def module_name(path: Path, package: Path) -> str:
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(path: Path, importer: str, modules: set[str], where: str) -> Iterator[Import]:
    """Every import of a file; `from sandbox import store` is one of `sandbox.store`, and so for names of the facade."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    nested = {id(node) for outer in ast.walk(tree) if isinstance(outer, FUNCTIONS) for node in ast.walk(outer)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            named = [f"{base}.{alias.name}" for alias in node.names]
            targets = [target if target in modules or base == "sandbox" else base for target in named]
        else:
            continue
        for target in dict.fromkeys(targets):
            yield Import(importer, target, f"{where}:{node.lineno}", nested=id(node) in nested)


@pytest.fixture(scope="module")
def modules(checkout: Path) -> dict[str, Path]:
    package = checkout / "sandbox"
    return {module_name(path, package): path for path in sorted(package.rglob("*.py")) if "_project" not in path.parts}


@pytest.fixture(scope="module")
def imports(checkout: Path, modules: dict[str, Path]) -> list[Import]:
    return [
        found
        for name, path in modules.items()
        for found in imports_of(path, name, set(modules), path.relative_to(checkout).as_posix())
    ]


def report(complaints: list[str]) -> None:
    if complaints:
        pytest.fail("\n" + "\n".join(complaints), pytrace=False)


def test_every_module_has_a_layer(modules: dict[str, Path]) -> None:
    known = {*ROOM_LAYER, INTEGRATOR, "", "__main__"}
    report(
        [
            f"{name} has no layer: place {room(name)!r} in LAYERS of tests/test_layers.py"
            for name in modules
            if room(name) not in known
        ]
    )


def test_imports_go_downwards(imports: list[Import]) -> None:
    complaints = []
    for found in imports:
        importer, target = found.rooms
        if found.inside and importer in ROOM_LAYER and target in ROOM_LAYER:
            upper, lower = ROOM_LAYER[importer], ROOM_LAYER[target]
            if lower > upper:
                complaints.append(
                    f"{found.where}: {importer} (layer {upper}) imports {target} (layer {lower}); "
                    f"imports go downwards: move what is needed to layer {upper}, or hand it over as an argument"
                )
    report(complaints)


def test_no_cycles(modules: dict[str, Path], imports: list[Import]) -> None:
    graph: dict[str, set[str]] = {name: set() for name in modules}
    for found in imports:
        # A package's own modules may be gathered by its __init__, which importing them runs first anyway.
        if found.target in graph and found.importer != found.target and "." in found.importer:
            graph[found.importer].add(found.target)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle = " <- ".join(error.args[1])
        pytest.fail(
            f"modules import each other in a circle: {cycle}; move what they share one layer down", pytrace=False
        )


def test_engine_does_not_import_its_facade(imports: list[Import]) -> None:
    report(
        [
            f"{found.where}: {found.target} is for mocks and users; import it from the module that defines it"
            for found in imports
            if found.target in {f"sandbox.{name}" for name in facade.__all__}
        ]
    )


def test_integrator_stands_beside(imports: list[Import]) -> None:
    complaints = []
    for found in imports:
        importer, target = found.rooms
        if importer == INTEGRATOR and found.inside and target not in INTEGRATOR_MAY_IMPORT:
            complaints.append(
                f"{found.where}: the integrator imports {found.target}, but may only know sandbox.clock and itself; "
                "what it needs to know of a system it asks by HTTP"
            )
        starts = found.target == INTEGRATOR_ENTRY or found.importer == INTEGRATOR_SUBJECT
        if importer != INTEGRATOR and target == INTEGRATOR and not starts:
            complaints.append(
                f"{found.where}: {found.importer} reaches into the integrator; it is a program of its own, start it by "
                f"{INTEGRATOR_ENTRY}"
            )
    report(complaints)


def test_third_parties_are_named_in_one_place(imports: list[Import]) -> None:
    complaints = []
    for found in imports:
        package = found.target.partition(".")[0]
        allowed = NAMED_ONLY_IN.get(package)
        if allowed is not None and not any(
            found.importer == place or found.importer.startswith(f"{place}.") or room(found.importer) == place
            for place in allowed
        ):
            places = " or ".join(allowed) or "no module of sandbox/"
            complaints.append(f"{found.where}: {package} is imported here, but {places} may name it")
    report(complaints)


def test_no_surprises(imports: list[Import]) -> None:
    complaints = [f"{found.where}: relative import; write it out" for found in imports if found.target.startswith(".")]
    complaints += [
        f"{found.where}: {found.target} is imported inside a function; imports stand at the top, where they are seen"
        for found in imports
        if found.nested
    ]
    report(complaints)


def test_mocks_import_only_sandbox(checkout: Path) -> None:
    report(
        [
            f"{found.where}: a mock imports `sandbox` and the standard library only, not {found.target}"
            for path in sorted((checkout / "mocks").glob("*.py"))
            for found in imports_of(path, f"mocks.{path.stem}", set(), path.relative_to(checkout).as_posix())
            if found.target.rpartition(".")[0] != "sandbox"
            and found.target.partition(".")[0] not in sys.stdlib_module_names
        ]
    )
