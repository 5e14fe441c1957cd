"""What does not fit together is said in one clear line; a mock that errs answers 500 and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import ProjectError, SandboxError, SpecError
from sandbox.inprocess import InProcess
from sandbox.project import Project
from sandbox.server import Server

Make = Callable[..., Path]

SPEC = """
    openapi: 3.0.3
    info: {title: Notes, version: "1"}
    paths:
      /notes:
        post:
          operationId: create_note
          x-idempotency: optional
          x-event: note.written
          requestBody: {content: {application/json: {schema: {type: object}}}}
          responses:
            "201":
              description: ok
              content:
                application/json:
                  schema: {type: object, required: [text], properties: {id: {type: string}, text: {type: string}}}
            "409":
              description: no
              content:
                application/problem+json:
                  schema: {type: object, required: [reason], properties: {reason: {type: string}}}
            "410":
              description: no
              content: {application/json: {schema: {type: object}}}
            "423": {description: locked}
            "500": {description: oops}
        get:
          operationId: list_notes
          responses:
            "200": {description: ok, content: {application/json: {schema: {type: array, items: {type: object}}}}}
      /notes/{id}:
        get:
          operationId: get_note
          parameters: [{name: id, in: path, required: true, schema: {type: string}}]
          responses: {"200": {description: ok, content: {application/json: {schema: {type: object}}}}}
      /webhook-subscriptions:
        post:
          operationId: subscribe
          requestBody: {content: {application/json: {schema: {type: object}}}}
          responses: {"201": {description: ok, content: {application/json: {schema: {type: object}}}}}
          callbacks:
            note.written:
              "{$request.body#/url}":
                post:
                  requestBody:
                    content:
                      application/json:
                        schema: {properties: {data: {type: object, properties: {text: {type: string, maxLength: 20}}}}}
                  responses: {default: {description: any}}
"""
MOCK = """
    from sandbox import Problem, Reply, System


    class Notes(System):
        def create_note(self, body):
            note = self.notes.add({"text": body.get("text", "")})
            match body.get("do"):
                case "raise":
                    raise KeyError("no such drawer")
                case "lie":
                    return {"id": note["id"]}
                case "status":
                    return Reply(note, status=202)
                case "kind":
                    return Reply(b"<p>", content_type="text/html")
                case "unwritable":
                    return note | {"when": object()}
                case "undeclared":
                    raise Problem(418, "no coffee here")
                case "malformed":
                    raise Problem(409, "without a reason")
                case "wrong media":
                    raise Problem(410, "problem+json is not what the spec says")
                case "refuse":
                    raise Problem(409, "with a reason", reason="because")
                case "locked":
                    raise Problem(423, "any body will do")
                case "unknown event":
                    self.emit("note.burnt", note)
            return note
"""


def load(make: Make, mock: str | None, spec: str = SPEC) -> InProcess:
    return InProcess(Project.load(make(spec, mock)))


def refusal(make: Make, mock: str | None, spec: str = SPEC) -> SandboxError:
    """The error that serving the project ends with."""
    with pytest.raises(SandboxError) as caught:
        load(make, mock, spec)
    error = caught.value
    assert "\n" not in error.message
    assert error.hint
    return error


def test_method_without_operation(make_project: Make) -> None:
    mock = """
        from sandbox import System


        class Notes(System):
            def create_note(self, body):
                return self.notes.add(body)

            def burn_note(self):
                pass
    """
    error = refusal(make_project, mock)
    assert isinstance(error, ProjectError)
    assert "jobs.py:9" in error.message
    assert "Notes.burn_note" in error.message
    assert "jobs.yaml" in error.message


def test_helpers_may_be_private(make_project: Make) -> None:
    mock = """
        from sandbox import System


        class Notes(System):
            def create_note(self, body):
                return self._helped(body)

            def _helped(self, body):
                return self.notes.add(body)
    """
    load(make_project, mock).close()


def test_method_that_asks_for_what_there_is_not(make_project: Make) -> None:
    mock = """
        from sandbox import System


        class Notes(System):
            def create_note(self, title):
                pass
    """
    assert "title" in refusal(make_project, mock).message


def test_coroutine(make_project: Make) -> None:
    mock = """
        from sandbox import System


        class Notes(System):
            async def create_note(self, body):
                return self.notes.add(body)
    """
    assert "coroutine" in refusal(make_project, mock).message


ACTION = SPEC.replace(
    "      /notes/{id}:",
    "      /ping:\n        post: {operationId: ping, responses: {default: {description: x}}}\n      /notes/{id}:",
)


def test_operation_without_method_and_meaning(make_project: Make) -> None:
    mock = """
        from sandbox import System


        class Notes(System):
            pass
    """
    # A mock says what it knows better; the rest is done as the spec reads.
    for own in (mock, None):
        load(make_project, own, ACTION).close()


def test_operation_without_operation_id(make_project: Make) -> None:
    """It gets one of its own, which a mock's method can have as its name."""
    mock = """
        from sandbox import System


        class Jobs(System):
            def get_notes(self):
                return [{"id": "1", "text": "from the mock"}]
    """
    nameless = SPEC.replace("operationId: list_notes", "summary: list")
    with closing(load(make_project, mock, nameless)) as sandbox:
        answer = sandbox.session().get(f"{sandbox.access().systems['jobs']['url']}/notes")
    assert answer.json()[0]["text"] == "from the mock"


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("openapi: [3.0.3", "not YAML"),
        ("openapi: 3.0.3\n  paths: {}", "not YAML"),
        ("- a\n- b", "no mapping"),
        ("", "the file is empty"),
        ("title: nothing", "openapi"),
    ],
)
def test_broken_yaml(make_project: Make, spec: str, says: str) -> None:
    error = refusal(make_project, None, spec)
    assert isinstance(error, SpecError)
    assert "jobs.yaml" in error.message
    assert says in error.message


def test_two_systems_in_one_mock(make_project: Make) -> None:
    mock = """
        from sandbox import System


        class One(System):
            pass


        class Two(System):
            pass
    """
    error = refusal(make_project, mock)
    assert "jobs.py" in error.message
    assert "2 subclasses" in error.message


def test_no_system_in_a_mock(make_project: Make) -> None:
    assert "0 subclasses" in refusal(make_project, "x = 1\n").message


@pytest.mark.parametrize(
    ("mock", "place", "says"),
    [
        ("import nothing_of_that_name\n", "jobs.py:1", "ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("from sandbox import System, Sytem\n", "jobs.py:1", "ImportError"),
        ("x = 1\ny = x / 0\n", "jobs.py:2", "ZeroDivisionError: division by zero"),
        ("x = (\n", "jobs.py:1", "SyntaxError"),
        ("import json\njson.loads('{')\n", "jobs.py:2", "JSONDecodeError"),
        ("raise RuntimeError('two\\nlines')\n", "jobs.py:1", "RuntimeError: two lines"),
        ("from . import helper\n", "helper.py:3", "NameError"),
    ],
)
def test_mock_that_cannot_be_imported(make_project: Make, mock: str, place: str, says: str) -> None:
    root = make_project(SPEC, mock)
    (root / "mocks" / "helper.py").write_text("a = 1\n\nb = undefined\n")
    with pytest.raises(ProjectError) as caught:
        Project.load(root)
    assert place in caught.value.message
    assert says in caught.value.message
    assert "\n" not in caught.value.message


def test_no_specs(tmp_path: Path) -> None:
    with pytest.raises(ProjectError, match="no OpenAPI files"):
        Project.load(tmp_path)


def test_two_files_of_one_system(make_project: Make) -> None:
    root = make_project(SPEC)
    (root / "specs" / "jobs.json").write_text("{}")
    with pytest.raises(SandboxError):
        Project.load(root)


class Notes:
    def __init__(self, sandbox: InProcess, world: str) -> None:
        self.session = sandbox.session()
        self.url = sandbox.access(world).systems["jobs"]["url"]
        self.world = sandbox.world(world)

    def create(self, **body: Any) -> Any:
        return self.session.post(f"{self.url}/notes", json=body, headers={"Idempotency-Key": "k"})

    def count(self) -> int:
        return len(self.session.get(f"{self.url}/notes").json())


@pytest.fixture(scope="module")
def sandbox(make_project: Make) -> Iterator[InProcess]:
    sandbox = load(make_project, MOCK)
    yield sandbox
    sandbox.close()


@pytest.fixture
def notes(sandbox: InProcess, world_name: str) -> Notes:
    return Notes(sandbox, world_name)


@pytest.mark.parametrize(
    ("do", "says"),
    [
        ("raise", "the mock failed: KeyError: 'no such drawer'"),
        ("lie", "create_note answers 201 with /text: is required"),
        ("status", "the spec of create_note declares no answer 202"),
        ("kind", "create_note answers text/html, its spec application/json"),
        ("unwritable", "the mock failed: "),
        ("undeclared", "the spec of create_note declares no answer 418"),
        ("malformed", "create_note answers 409 with /reason: is required"),
        ("wrong media", "create_note answers 410 as application/problem+json, its spec as application/json"),
        ("unknown event", "the spec declares no callback note.burnt"),
    ],
)
def test_mock_that_errs(notes: Notes, do: str, says: str, caplog: pytest.LogCaptureFixture) -> None:
    answer = notes.create(text="x", do=do)
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert says in answer.json()["detail"]
    assert "create_note" in caplog.text
    entry = notes.world.entries()[-1]
    assert (entry["effect"], entry["changes"], entry["events"]) == ("none", [], [])
    assert says.removeprefix("the mock failed: ") in entry["answer"]["error"]
    assert notes.count() == 0
    # The key is free: a failure is no answer to keep.
    assert notes.create(text="x").status_code == 201
    assert notes.count() == 1


def test_event_that_breaks_its_spec(notes: Notes) -> None:
    answer = notes.create(text="much too long for the event's schema")
    assert answer.status_code == 500
    assert "the event note.written has /data/text" in answer.json()["detail"]
    assert notes.count() == 0


@pytest.mark.parametrize(("do", "status"), [("refuse", 409), ("locked", 423)])
def test_refusals_that_the_spec_knows(notes: Notes, do: str, status: int) -> None:
    answer = notes.create(do=do)
    assert answer.status_code == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert notes.count() == 0


def test_inferred_refusals_need_no_word_in_the_spec(notes: Notes) -> None:
    assert notes.session.get(f"{notes.url}/notes/none").status_code == 404


def test_populate_that_fails(make_project: Make) -> None:
    """Nothing is half filled: the next call tries again."""
    mock = """
        from sandbox import System


        class Notes(System):
            tries = 0

            def populate(self):
                self.notes.add({"id": "first", "text": "first"})
                type(self).tries += 1
                if self.tries == 1:
                    raise OSError("the printer is on fire")
    """
    sandbox = load(make_project, mock)
    session, url = sandbox.session(), sandbox.access().systems["jobs"]["url"]
    failed = session.get(f"{url}/notes")
    assert failed.status_code == 500
    assert "the printer is on fire" in failed.json()["detail"]
    assert [note["id"] for note in session.get(f"{url}/notes").json()] == ["first"]
    sandbox.close()


def test_mock_that_errs_over_sockets(make_project: Make, caller: Callable[..., Any]) -> None:
    with Server(Project.load(make_project(SPEC, MOCK)), port=0).running() as server:
        writer = type(caller("unused"))(server, "default")
        assert writer.call("jobs", "POST", "/notes", {"do": "raise"}).status_code == 500
        assert writer.call("jobs", "POST", "/notes", {"text": "fine"}).status_code == 201
        assert len(writer.call("jobs", "GET", "/notes").json()) == 1
        writer.http.close()


def test_two_projects_at_once(make_project: Make) -> None:
    """Their mocks have the same module names and are not the same."""
    mock = """
        from sandbox import System


        class Notes(System):
            def create_note(self, body):
                return self.notes.add({{"text": "{0}"}})
    """
    for name in ("one", "two"):
        sandbox = load(make_project, mock.format(name))
        made = sandbox.session().post(f"{sandbox.access().systems['jobs']['url']}/notes", json={})
        assert made.json()["text"] == name
        sandbox.close()
