"""A user's own project: what the commands say when it does not fit together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Done, Sandbox, serving

SPEC = """\
openapi: 3.0.3
info: {title: Notes, version: 1.0.0}
paths:
  /notes/{id}:
    get:
      operationId: get_note
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: A note}, "404": {description: None}}
  /ping:
    post:
      operationId: ping
      responses: {"204": {description: Pong}}
"""
MOCK = """\
from sandbox import System


class Notes(System):
    def ping(self):
        return None
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of one system with a mock, in the folder where the commands run."""
    for name, text in (("specs/notes.yaml", SPEC), ("mocks/notes.py", MOCK), ("sandbox.yaml", "")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def one_clear_line(done: Done) -> str:
    """The error, which must be all that was said beside a hint."""
    assert done.returncode == 2
    assert done.stdout == ""
    message, *hint = done.stderr.splitlines()
    assert message.startswith("error: ")
    assert len(hint) <= 1
    return message


def test_env_of_a_project(project: Path, sandbox: Sandbox) -> None:
    assert sandbox("env").stdout.splitlines()[0] == "NOTES_URL=http://127.0.0.1:8420/notes"


def test_good_specs(project: Path, sandbox: Sandbox) -> None:
    done = sandbox("specs", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ok  ")


def test_the_reference_projects_specs_are_good(sandbox: Sandbox) -> None:
    done = sandbox("specs", "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4


@pytest.mark.parametrize("command", [("up", "--port", "0"), ("specs", "check")])
def test_broken_spec(project: Path, sandbox: Sandbox, command: tuple[str, ...]) -> None:
    change(project / "specs/notes.yaml", "openapi: 3.0.3", "openapi: 4.0.0")
    assert "notes.yaml:" in one_clear_line(sandbox(*command))


@pytest.mark.parametrize("command", [("up", "--port", "0"), ("specs", "check")])
def test_spec_that_is_no_yaml(project: Path, sandbox: Sandbox, command: tuple[str, ...]) -> None:
    change(project / "specs/notes.yaml", "paths:", "paths: {")
    assert "notes.yaml:" in one_clear_line(sandbox(*command))


@pytest.mark.parametrize("command", [("up", "--port", "0"), ("specs", "check")])
def test_method_without_operation(project: Path, sandbox: Sandbox, command: tuple[str, ...]) -> None:
    change(project / "mocks/notes.py", "def ping", "def pong")
    message = one_clear_line(sandbox(*command))
    assert "notes.py:5" in message
    assert "pong" in message


def test_mock_that_does_not_import(project: Path, sandbox: Sandbox) -> None:
    change(project / "mocks/notes.py", "return None", "return (")
    assert "notes.py:" in one_clear_line(sandbox("up", "--port", "0"))


def test_folder_without_specs(sandbox: Sandbox, tmp_path: Path) -> None:
    assert "there are no OpenAPI files" in one_clear_line(sandbox("up", "--project", str(tmp_path)))


def test_check_of_a_single_file(project: Path, sandbox: Sandbox) -> None:
    change(project / "specs/notes.yaml", "operationId: ping", "operationId: Ping")
    done = sandbox("specs", "check", "specs/notes.yaml")
    assert (done.returncode, done.stderr) == (0, "")
    assert "/paths/~1ping/post/operationId: the operationId is not snake_case" in done.stdout


def test_check_of_an_operation_that_is_down(project: Path, sandbox: Sandbox) -> None:
    change(project / "specs/notes.yaml", '"200": {description: A note}', '"200": {$ref: "#/x"}')
    done = sandbox("specs", "check", "specs/notes.yaml", "--json")
    assert done.returncode == 1
    report = json.loads(done.stdout)
    down = [finding for finding in report["findings"] if finding["severity"] == "down"]
    assert {finding["operation"] for finding in down} == {"GET /notes/{id}"}
    assert "specs/notes.yaml" in down[0]["file"]
    assert down[0]["line"] > 1
    assert (report["operations"], report["down"]) == (2, 1)
    assert sandbox("specs", "check", "specs/notes.yaml").stdout.count("down    GET /notes/{id}: ") == 1


def test_order_where_there_is_no_shop(project: Path, sandbox: Sandbox) -> None:
    with serving(project) as running:
        assert "no shop" in one_clear_line(sandbox("order", "--url", running.url))


def test_demo_of_another_project(project: Path, sandbox: Sandbox) -> None:
    assert "there is no accounting, crm, shipping, shop" in one_clear_line(sandbox("demo"))


@pytest.mark.parametrize("name", ["my notes", "_sandbox", "w", "nötes", "1", "a.b"])
def test_file_that_names_no_system(project: Path, sandbox: Sandbox, name: str) -> None:
    (project / "specs/notes.yaml").rename(project / f"specs/{name}.yaml")
    message = one_clear_line(sandbox("specs", "check"))
    assert "cannot be the name of a system" in message
    assert f"{name}.yaml" in message
