"""`sandbox up --watch`: a saved spec is served, and what changed is said; a broken one is not."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue

import httpx
import pytest

from tests.cli.conftest import TIME_LIMIT, Up, serving
from tests.cli.test_spec_option import TINY

URL = "/notes/notes"
MOCK = """\
from sandbox import System


class Notes(System):
    def list_notes(self):
        return [{"id": "1", "text": "from the mock"}]
"""


class Watched:
    """A sandbox that watches, and what it says."""

    def __init__(self, up: Up, spec: Path) -> None:
        self.url = up.url
        self.spec = spec
        self._lines: Queue[str] = Queue()
        assert up.process.stderr is not None
        stderr = up.process.stderr
        threading.Thread(target=lambda: [self._lines.put(line) for line in stderr], daemon=True).start()

    def says(self, text: str) -> str:
        """The next line with a text in it."""
        seen = []
        while True:
            try:
                seen.append(self._lines.get(timeout=TIME_LIMIT))
            except Empty:
                pytest.fail(f"it never said {text!r}, but {seen}")
            if text in seen[-1]:
                return seen[-1]

    def save(self, old: str, new: str) -> None:
        text = self.spec.read_text()
        assert old in text
        self.spec.write_text(text.replace(old, new))


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    spec = tmp_path / "notes.yaml"
    spec.write_text(TINY)
    (tmp_path / "mocks").mkdir()
    with serving(tmp_path, "--spec", "notes.yaml", "--watch") as up:
        watched = Watched(up, spec)
        watched.says("watching")
        yield watched


def test_what_is_saved_is_served(watched: Watched) -> None:
    with httpx.Client(base_url=watched.url, trust_env=False) as http:
        assert http.post(URL, json={"text": "kept"}).status_code == 201
        watched.save("  /notes:", "  /memos:")
        assert "notes: reloaded" in watched.says("reloaded")
        watched.says("list_notes: GET /notes is GET /memos now")
        assert http.get(URL).status_code == 404
        assert http.get("/notes/memos").status_code == 200

        watched.save("  /memos:", "  /memos: [")
        assert "notes.yaml:" in watched.says("kept as it was")
        assert http.get("/notes/memos").status_code == 200

        watched.save("  /memos: [", "  /notes:")
        watched.says("GET /memos is GET /notes now")
        assert [note["text"] for note in http.get(URL).json()] == ["kept"]

        (watched.spec.parent / "mocks/notes.py").write_text(MOCK)
        watched.says("mocks/notes.py: is new")
        watched.says("reloaded; no spec changed")
        assert http.get(URL).json() == [{"id": "1", "text": "from the mock"}]


def test_what_is_added_is_seen(tmp_path: Path) -> None:
    """A folder for mocks, corrections in it, a further spec; and what a spec refers to is no system."""
    specs = tmp_path / "specs"
    specs.mkdir()
    (tmp_path / "sandbox.yaml").touch()
    (specs / "notes.yaml").write_text(TINY)
    with serving(tmp_path, "--watch") as up:
        watched = Watched(up, specs / "notes.yaml")
        watched.says("watching")
        (tmp_path / "mocks").mkdir()
        (tmp_path / "mocks" / "notes.yaml").write_text("operations:\n  create_note: {verb: write}\n")
        watched.says("notes: reloaded")
        reference = "#/components/schemas/Note"
        (specs / "common.yaml").write_text("Note: {type: object, properties: {id: {type: string}}}\n")
        (specs / "memos.yaml").write_text(TINY.replace("notes", "memos").replace(reference, "common.yaml#/Note"))
        watched.says("memos: is new, with 2 operations")
        with httpx.Client(base_url=watched.url, trust_env=False) as http:
            assert http.get("/memos/memos").json() == []
            assert http.get("/common/notes").status_code == 404
