"""`--spec`: systems without a project, from files and folders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from sandbox.cli import main
from sandbox.cli.up import notes
from sandbox.errors import ProjectError
from sandbox.layout import Sources, system_name
from sandbox.project import Project
from sandbox.server import Server
from sandbox.spec import Spec

TINY = """\
openapi: 3.0.3
info: {title: Tiny, version: "1"}
paths:
  /notes:
    get:
      operationId: list_notes
      responses:
        '200':
          description: all
          content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Note'}}}}
    post:
      operationId: create_note
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}
      responses:
        '201':
          description: one
          content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}
components:
  schemas:
    Note: {type: object, properties: {id: {type: string}, text: {type: string}}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Big Shop v1.2.yaml", "crm.yml"):
        (tmp_path / name).write_text(TINY)
    (tmp_path / "order.json").write_text('{"type": "object"}')
    (tmp_path / "readme.md").write_text("no spec")
    return tmp_path


def test_names(folder: Path) -> None:
    assert list(Sources.find(None, [str(folder)]).files()) == ["Big-Shop-v1-2", "crm"]
    named = Sources.find(None, [f"shop={folder / 'crm.yml'}", str(folder / "crm.yml")])
    assert {name: file.name for name, file in named.files().items()} == {"shop": "crm.yml", "crm": "crm.yml"}
    stems = ("w", "2fa", "a.b", "--", "shop_1")
    assert [system_name(stem) for stem in stems] == ["api-w", "api-2fa", "a-b", "api", "shop_1"]


def test_beside_a_project(checkout: Path, folder: Path) -> None:
    sources = Sources.find(checkout, [f"shop={folder / 'crm.yml'}"])
    assert sources.files()["shop"] == folder / "crm.yml"
    assert sources.files()["accounting"].is_relative_to(checkout)
    assert sources.root == checkout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("none.yaml", "none.yaml: no such file"),
        ("w=crm.yml", "'w' cannot be the name of a system"),
        ("empty", "there are no OpenAPI files"),
        ("x=empty", "the names of its files"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    folder: Path, text: str, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "empty").mkdir()
    assert main(["env", "--spec", text]) == 2
    assert message in capsys.readouterr().err


def test_two_systems_of_one_name(folder: Path) -> None:
    with pytest.raises(ProjectError, match="there is a system crm already"):
        Sources.find(None, [str(folder), str(folder / "crm.yml")])


def test_it_is_served_and_keeps_what_is_sent(folder: Path) -> None:
    project = Project.load(Sources.find(None, [f"notes={folder / 'crm.yml'}"]))
    with Server(project, port=0).running() as server, httpx.Client(trust_env=False) as http:
        url = f"{server.url}/notes/notes"
        assert http.post(url, json={"text": "hello"}).status_code == 201
        assert [note["text"] for note in http.get(url).json()] == ["hello"]


def test_env_names_the_systems(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env", "--spec", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "BIG_SHOP_V1_2_URL=http://127.0.0.1:8420/Big-Shop-v1-2" in out
    assert "SHOP_API_KEY" not in out


class Shelf(BaseHTTPRequestHandler):
    """A machine on which a part of a spec lies."""

    def do_GET(self) -> None:
        found = self.path == "/parts/note.yaml"
        body = b"{type: object, properties: {id: {type: string}, text: {type: string, maxLength: 3}}}"
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(body if found else b"")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def shelf() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Shelf)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("part", "options", "code", "says"),
    [
        ("/parts/note.yaml", [], 1, "refused without --allow-remote-refs"),
        ("/parts/note.yaml", ["--allow-remote-refs"], 0, "2 of 2 operations are served"),
        ("/parts/lost.yaml", ["--allow-remote-refs"], 1, "HTTP Error 404"),
    ],
)
def test_references_to_other_machines(
    tmp_path: Path, shelf: str, part: str, options: list[str], code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "notes.yaml"
    spec.write_text(TINY.replace("#/components/schemas/Note", shelf + part))
    assert main(["specs", "check", str(spec), *options]) == code
    assert says in capsys.readouterr().out


def test_a_file_whose_name_has_a_space_is_quoted(tmp_path: Path) -> None:
    file = tmp_path / "my notes.yaml"
    file.write_text(TINY.replace("type: string", "type: string, format: nonsense", 1))
    (line,) = notes([Spec.load(file, "notes")])
    assert line.endswith(f"see: sandbox specs check '{file}'")
