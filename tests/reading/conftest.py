"""What is read and served in these tests."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.reading.served import Served, Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files; the first one is the spec."""

    def write(text: str, **others: str) -> Path:
        for name, content in {"spec.yaml": text, **others}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(content), encoding="utf-8")
        return tmp_path / "spec.yaml"

    return write


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Served]]:
    made: list[Served] = []

    def serve(path: Path) -> Served:
        made.append(Served(path))
        return made[-1]

    yield serve
    for served in made:
        served.close()
