"""The cache of what was read: found again, never trusted blindly, never needed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.cache import MOST_ENTRIES, Cache
from sandbox.document import Document
from sandbox.spec import Spec

PROSE = "# " + "x" * 100_000 + "\n"
SPEC = (
    PROSE
    + """\
openapi: 3.0.3
info: {title: T, version: "1"}
paths:
  /a:
    get:
      operationId: 3
      responses: {'200': {$ref: 'parts/answers.yaml#/Good'}}
"""
)
PART = "Good: {description: fine, content: {application/json: {schema: {type: string, minLength: '2'}}}}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "parts").mkdir()
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / "parts/answers.yaml").write_text(PART)
    return tmp_path


def entries(folder: Path) -> list[Path]:
    return sorted((folder / "cache/integration-sandbox/specs").glob("*"))


def seen(folder: Path) -> tuple[object, ...]:
    document = Document.read(folder / "spec.yaml", folder)
    told = [(document.place(defect.pointer), defect.what) for defect in document.defects]
    return document.data, told, list(Spec.of(document).operations)


def test_what_is_read_again_is_the_same(folder: Path) -> None:
    first = seen(folder)
    assert [entry.stat().st_mode & 0o777 for entry in entries(folder)] == [0o600]
    before = entries(folder)[0].stat().st_mtime_ns
    assert seen(folder) == first
    assert entries(folder)[0].stat().st_mtime_ns == before
    assert any("parts/answers.yaml:1 /Good" in place for place, _ in first[1])


def test_a_changed_part_is_read(folder: Path) -> None:
    seen(folder)
    (folder / "parts/answers.yaml").write_text(PART.replace("fine", "changed"))
    assert "changed" in str(seen(folder)[0])
    (folder / "parts/answers.yaml").unlink()
    assert list(Document.read(folder / "spec.yaml", folder).down) == ["/paths/~1a/get"]


@pytest.mark.parametrize("content", [b"", b"not ours", b"sandbox cache 1\n" + b"x" * 40])
def test_an_entry_that_is_not_what_was_written_is_none(folder: Path, content: bytes) -> None:
    first = seen(folder)
    (entry,) = entries(folder)
    whole = entry.read_bytes()
    for changed in (content, whole[:-1], whole[:-5] + b"xxxxx"):
        entry.write_bytes(changed)
        assert seen(folder) == first
        assert entry.read_bytes() == whole


def test_without_a_folder_it_goes_on(folder: Path) -> None:
    (folder / "cache").write_text("a file, where a folder should be")
    assert seen(folder)[2] == ["get_a"]


def test_the_oldest_go(tmp_path: Path) -> None:
    cache = Cache("things", tmp_path)
    for number in range(MOST_ENTRIES + 3):
        cache.put(f"k{number}", number)
        os.utime(tmp_path / "things" / f"k{number}", (number, number))
    assert len(list((tmp_path / "things").iterdir())) == MOST_ENTRIES
    assert cache.get("k0") is None
    assert cache.get(f"k{MOST_ENTRIES + 2}") == MOST_ENTRIES + 2
