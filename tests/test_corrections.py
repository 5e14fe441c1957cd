"""`mocks/NAME.yaml` puts the reading of a spec right, and `sandbox specs explain` says so."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.cli import main
from sandbox.errors import ProjectError
from sandbox.inprocess import InProcess
from sandbox.project import Project

SPEC = """
    openapi: 3.0.3
    info: {title: Depot, version: "1"}
    paths:
      /parcels:
        post:
          operationId: add_parcel
          requestBody: {content: {application/json: {schema: {type: object, properties: {label: {type: string}}}}}}
          responses: {"201": {$ref: "#/components/responses/Parcel"}}
        get:
          operationId: list_parcels
          responses: {"200": {description: ok, content: {application/json: {schema: {type: array, items: {
            $ref: "#/components/schemas/Parcel"}}}}}}
      /hand-over:
        post:
          operationId: hand_over
          parameters: [{name: code, in: query, required: true, schema: {type: string}}]
          responses: {"200": {$ref: "#/components/responses/Parcel"}}
      /parcels/{code}/sent:
        parameters: [{name: code, in: path, required: true, schema: {type: string}}]
        post: {operationId: mark, responses: {"200": {$ref: "#/components/responses/Parcel"}}}
      /parcels/{code}:
        parameters: [{name: code, in: path, required: true, schema: {type: string}}]
        get: {operationId: get_parcel, responses: {"200": {$ref: "#/components/responses/Parcel"}}}
    components:
      responses:
        Parcel: {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Parcel"}}}}
      schemas:
        Parcel:
          type: object
          required: [id, code, status]
          properties:
            id: {type: integer, readOnly: true}
            code: {type: string, readOnly: true}
            label: {type: string}
            status: {type: string, enum: [waiting, delivered], readOnly: true}
"""
CORRECTIONS = """\
collections:
  parcels: {id: id}
operations:
  mark:
    action: act
    collection: parcels
    verb: deliver
    idempotency: optional
    business_key: $request.path.code
"""


def write(folder: Path, corrections: str, mock: str = "") -> Path:
    for name, text in (("specs/depot.yaml", textwrap.dedent(SPEC)), ("mocks/depot.yaml", corrections)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    if mock:
        (folder / "mocks" / "depot.py").write_text(textwrap.dedent(mock), "utf-8")
    return folder


Explained = Callable[[Path], dict[str, dict[str, Any]]]


@pytest.fixture
def explained(capsys: pytest.CaptureFixture[str]) -> Explained:
    def explain(folder: Path) -> dict[str, dict[str, Any]]:
        assert main(["specs", "explain", "depot", "--json", "--project", str(folder)]) == 0
        return {one["operation"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}

    return explain


def test_a_wrong_reading_is_put_right(tmp_path: Path) -> None:
    project = Project.load(write(tmp_path, CORRECTIONS))
    sandbox = InProcess(project)
    url = sandbox.access().systems["depot"]["url"]
    with sandbox.session() as session:
        made = session.post(f"{url}/parcels", json={"label": "x"}).json()
        assert made["status"] == "waiting"
        done = session.post(f"{url}/parcels/{made['code']}/sent")
    sandbox.close()
    assert done.json() == made | {"status": "delivered"}


def test_explain_says_so(tmp_path: Path, explained: Explained) -> None:
    found = explained(write(tmp_path, CORRECTIONS))
    assert found["mark"]["why"] == "mocks/depot.yaml:4 says so"
    assert found["mark"]["key"] == "$request.path.code"
    assert found["mark"]["attempt"] == "by Idempotency-Key (optional)"
    assert (found["hand_over"]["action"], found["hand_over"]["collection"]) == ("answer", "")
    assert found["list_parcels"]["envelope"] == "[]"


def test_a_method_is_named_with_its_line(tmp_path: Path, explained: Explained) -> None:
    mock = """
        from sandbox import System


        class Depot(System):
            def hand_over(self, code):
                return self.parcels.first(code=code)
    """
    found = explained(write(tmp_path, "operations: {}\n", mock))
    assert found["hand_over"]["action"] == "method"
    assert found["hand_over"]["why"] == "mocks/depot.py:6 says what it does"
    # One method is enough: the rest is read from the spec as before.
    assert found["get_parcel"]["action"] == "read"


@pytest.mark.parametrize(
    ("corrections", "says", "hint"),
    [
        ("operations:\n  markk: {action: act}\n", ":2: operations.markk: the spec has no operation 'markk'", "mark"),
        ("operations:\n  mark:\n    action: akt\n", ":3: operations.mark.action: 'akt' is no action", "act"),
        ("operations:\n  mark:\n    colection: x\n", ":3: operations.mark.colection: 'colection' is not", "collection"),
        ("operations:\n  mark:\n    id: cod\n", ":3: operations.mark.id: mark has no parameter 'cod'", "code"),
        (
            "operations:\n  mark: {collection: parcel}\n",
            "2: operations.mark.collection: there is no collection",
            "parcels",
        ),
        ("collections:\n  parcel: {id: code}\n", ":2: collections.parcel: there is no collection 'parcel'", "parcels"),
        ("collections:\n  parcels: {id: cod}\n", ":2: collections.parcels.id: no schema has a field 'cod'", "code"),
        ("operation:\n  mark: {}\n", ":1: operation: 'operation' is not known here", "operations"),
        ("operations:\n  mark:\n    business_key: nonsense\n", ":3: operations.mark.business_key", "$request"),
        ("operations:\n  mark: 7\n", ":2: operations.mark: a mapping is due here", "README"),
        ("operations:\n  mark:\n  other:\n", ":3: operations.other: the spec has no operation 'other'", "mark"),
        ("- a\n", "the file is no mapping", "operations"),
        ("a: [\n", "not YAML", "syntax"),
    ],
)
def test_mistakes_are_told_with_their_line(tmp_path: Path, corrections: str, says: str, hint: str) -> None:
    with pytest.raises(ProjectError) as caught:
        Project.load(write(tmp_path, corrections))
    assert says in caught.value.message
    assert "depot.yaml" in caught.value.message
    assert hint in str(caught.value.hint)


def test_explain_without_such_a_system(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["specs", "explain", "depott", "--project", str(write(tmp_path, "{}"))]) == 2
    assert "did you mean depot?" in capsys.readouterr().err


def test_explain_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["specs", "explain", "depot", "--project", str(write(tmp_path, CORRECTIONS))]) == 0
    shown = capsys.readouterr().out
    assert "GET on an item path reads the record of parcels that {code} identifies" in shown
    assert "mocks/depot.yaml:4 says so" in shown
