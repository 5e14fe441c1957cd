"""Specs in the styles of real vendors: they boot, each collection makes the round, and their reading is right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.explanation import explain
from sandbox.inprocess import InProcess
from sandbox.project import Project
from sandbox.system import System
from tests.vendors.walk import Walker

HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in (HERE / "specs").iterdir() if path.suffix in (".yaml", ".json"))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[InProcess]:
    sandbox = InProcess(Project.load(HERE))
    yield sandbox
    sandbox.close()


@pytest.fixture(params=NAMES)
def walker(request: pytest.FixtureRequest, sandbox: InProcess, world_name: str) -> Walker:
    return Walker(sandbox.project.specs[request.param], sandbox, world_name)


def test_each_collection_makes_the_round(walker: Walker) -> None:
    """What is created can be read, listed, changed and deleted, and looks like what was sent."""
    rounds = 0
    for name in walker.spec.collections:
        create = walker.operation("create", name) or walker.operation("upsert", name)
        if create is None:
            continue
        rounds += 1
        sent = walker.body(create)
        made = walker.call(create, sent)
        assert made.status_code in (200, 201), made.text
        record = walker.record(create, made)
        inner = create.meaning.body_at.get(sent)
        looks_like(record, inner[0] if isinstance(inner, list) else inner)
        walker.made[name] = record[create.meaning.id_field]
        for action in ("read", "list", "patch", "replace", "delete"):
            round_of(walker, name, action, record)
    assert rounds


def round_of(walker: Walker, name: str, action: str, record: Any) -> None:
    operation = walker.operation(action, name)
    if operation is None or operation.meaning.single:
        return
    if action in ("patch", "replace"):
        changed = walker.call(operation, walker.body(operation))
        assert changed.status_code == 200, changed.text
        assert walker.record(operation, changed)[operation.meaning.id_field] == walker.made[name]
        return
    answer = walker.call(operation)
    assert answer.status_code in (200, 204), answer.text
    if action == "read":
        assert walker.record(operation, answer) == record
    elif action == "list":
        assert record in walker.record(operation, answer)
    elif (read := walker.operation("read", name)) is not None:
        assert walker.call(read).status_code == 404
        create = walker.operation("create", name)
        if create is not None:
            # The walk goes on with another one.
            made = walker.record(create, walker.call(create, walker.body(create)))
            walker.made[name] = made[create.meaning.id_field]


def looks_like(record: Any, sent: Any) -> None:
    if isinstance(sent, dict):
        for key, value in sent.items():
            assert key in record, f"{key} is not in {record}"
            looks_like(record[key], value)
    elif isinstance(sent, list):
        assert len(record) == len(sent)
        for one, other in zip(record, sent, strict=True):
            looks_like(one, other)
    else:
        assert record == sent


def test_every_operation_answers_a_declared_success(walker: Walker) -> None:
    """On a plausible walk; and nothing is ever a 500."""
    for name in walker.spec.collections:
        create = walker.operation("create", name) or walker.operation("upsert", name)
        listed = walker.operation("list", name)
        if create is not None:
            walker.made[name] = walker.record(create, walker.call(create, walker.body(create)))[create.meaning.id_field]
        elif listed is not None:
            walker.made[name] = walker.record(listed, walker.call(listed))[0][listed.meaning.id_field]
    order = sorted(walker.spec.operations.values(), key=lambda one: one.meaning.action in ("delete", "clear"))
    for operation in order:
        path = {"name": "blue"} if operation.path == "/tags/{name}" else {}
        if operation.id == "get_tag":
            continue
        answer = walker.call(operation, walker.body(operation), **path)
        assert 200 <= answer.status_code < 300, f"{operation.id}: {answer.status_code} {answer.text}"


@pytest.mark.parametrize("name", NAMES)
def test_explain(name: str, sandbox: InProcess) -> None:
    """The reading of each operation, against what a person reads."""
    found = [
        f"{one.operation}: {one.action} {one.collection or '-'} {one.envelope or '-'} key={one.key} {one.attempt}"
        for one in explain(sandbox.project.specs[name], System, HERE)
    ]
    expected = (HERE / "readings" / f"{name}.txt").read_text("utf-8").splitlines()
    assert found == expected
