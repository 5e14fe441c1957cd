"""Chaos on systems that are not ours: scenarios call operations by their names, and the rules hold as everywhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sandbox.chaos.library import Library
from sandbox.chaos.scenario import parse_scenario
from sandbox.chaos.subject_settings import SubjectSettings
from sandbox.chaos.wsgi_subject import WsgiApp, WsgiRunner
from sandbox.errors import PlanError
from sandbox.plan import Plan
from sandbox.project import Project
from tests.cli.conftest import Sandbox

SPEC = """\
openapi: 3.0.3
info: {title: Notes, version: 1.0.0}
security: [{token: []}]
paths:
  /notes:
    post:
      operationId: create_note
      x-business-key: $request.body#/id
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}
      responses: {"201": {description: It, content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}}
  /notes/{id}:
    put:
      operationId: replace_note
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}
      responses: {"200": {description: It, content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}}
components:
  securitySchemes: {token: {type: http, scheme: bearer}}
  schemas:
    Note:
      type: object
      required: [id, text]
      properties: {id: {type: string}, text: {type: string}}
"""
# Writes one note when it starts, twice where the first answer is lost.
APP = """
import os, requests

def app(environ, start_response):
    start_response("204 No Content", [])
    return []

for number in (1, 2, 3):
    try:
        head = {"authorization": "Bearer " + os.environ["TOKEN"]}
        url = os.environ["NOTES_URL"] + "/notes"
        requests.post(url, json={"id": f"n{number}", "text": "hello"}, headers=head, timeout=1)
        break
    except requests.Timeout:
        continue
"""
STEPS = [
    {"call": "notes.create_note", "key": "17", "with": {"id": "17", "text": "a"}, "at": 2},
    {"call": "notes.create_note"},
    {"call": "notes.replace_note", "key": "17", "parameters": {"id": "17"}, "with": {"id": "17", "text": "b"}, "at": 9},
]


@pytest.fixture
def notes(tmp_path: Path) -> Project:
    (tmp_path / "api.yaml").write_text(SPEC)
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "specs").mkdir()
    (tmp_path / "specs" / "notes.yaml").write_text(SPEC)
    return Project.load(tmp_path)


def test_steps_call_operations(notes: Project, tmp_path: Path) -> None:
    scenario = parse_scenario("steps", {"steps": STEPS}, "steps")
    assert parse_scenario("steps", scenario.to_json(), "steps") == scenario
    runner = WsgiRunner(
        notes, WsgiApp("app:app", tmp_path, SubjectSettings(environment=(("TOKEN", "${NOTES_TOKEN}"),)))
    )
    record = runner.run(Plan(), scenario)
    runner.close()
    assert record.trouble == ()
    records = {note["id"]: note["text"] for note in record.state["notes"]["notes"]}
    # One was written by the program, one believable one by the scenario.
    assert (records["17"], records["n1"], len(records)) == ("b", "hello", 3)
    called = [entry["address"]["operation"] for entry in record.journal if entry["kind"] == "call"]
    assert called == ["create_note"] * 3 + ["replace_note"]


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"call": "notes.create_nte"}, "notes has no operation 'create_nte'"),
        ({"call": "crm.create_customer"}, "there is no system 'crm'"),
        ({"call": "create_note"}, "'create_note' is no operation"),
        ({"place": {"order_number": "1"}}, "place is done in the system `shop`, and this project has none"),
    ],
)
def test_steps_that_do_not_fit(notes: Project, step: dict[str, object], told: str) -> None:
    with pytest.raises(PlanError, match=told):
        Library(notes).scenario_of(Plan(scenario={"steps": [step]}))


def test_from_init_to_a_failure_that_is_found(notes: Project, sandbox: Sandbox, tmp_path: Path) -> None:
    assert sandbox("init", "mine", "--spec", "notes=api.yaml").returncode == 0
    assert "call: notes.create_note" in (tmp_path / "mine/contracts/scenarios/first-steps.yaml").read_text()
    listed = json.loads(sandbox("chaos", "list", "--project", "mine", "--json").stdout)
    assert [entry["name"] for entry in listed] == ["first-steps"]
    told = sandbox("chaos", "explore", "--project", "mine")
    assert (told.returncode, told.stdout) == (2, "")
    assert "the reference integrator needs shop, crm, accounting, shipping" in told.stderr
    settings = tmp_path / "mine" / "sandbox.yaml"
    more = "\nsubject: app:app\nfolder: ..\nenvironment: {TOKEN: '${NOTES_TOKEN}'}\n"
    settings.write_text(settings.read_text() + more)
    (tmp_path / "mine/contracts/invariants.py").write_text(
        "from sandbox import Violation, invariant\n\n\n"
        '@invariant("N01")\ndef one_note(run):\n    """It writes one note."""\n'
        '    found = [note for note in run.records("notes", "notes") if note["id"].startswith("n")]\n'
        '    if len(found) > 1:\n        yield Violation(f"{len(found)} notes")\n'
    )
    found = sandbox("chaos", "explore", "--project", "mine", "--json")
    assert (found.returncode, found.stderr) == (1, found.stderr)
    report = json.loads(found.stdout)
    assert any(finding["rule"] == "N01" and finding["story"] == "2 notes" for finding in report["findings"])
