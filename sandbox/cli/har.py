"""HAR files, as several commands write them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from sandbox.errors import SandboxError
from sandbox.har import archive

STDOUT = Path("-")


def write_har(path: Path, entries: Iterable[dict[str, Any]], base_url: str) -> None:
    """Write a journal as HAR 1.2.

    Args:
        path: `-` is standard output.
        base_url: Where the systems are.

    Raises:
        SandboxError: when the file cannot be written.
    """
    text = json.dumps(archive(entries, base_url, version("integration-sandbox")), ensure_ascii=False, indent=1)
    if path == STDOUT:
        click.echo(text)
        return
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise SandboxError(f"{path}: cannot be written: {error.strerror}", "name another file with --har") from None
