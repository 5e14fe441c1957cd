"""What was found out once and need not be again, in the user's cache folder.

An entry is a JSON value under a key that says everything it depends on. It is written whole or not at all, and one that
is not what was written (another program's, cut, changed) is taken for none. Nothing depends on the cache: where the
folder cannot be used, everything is found out anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import orjson

MOST_ENTRIES: Final = 64
_MAGIC: Final = b"sandbox cache 1\n"
_SUM: Final = 32


def cache_folder() -> Path:
    """The folder in which this user's programs keep what can be made again: `$XDG_CACHE_HOME`, else the system's usual.

    Raises:
        RuntimeError: The user has no home.
    """
    if (chosen := os.environ.get("XDG_CACHE_HOME")) and Path(chosen).is_absolute():
        return Path(chosen)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


class Cache:
    """The entries of one kind.

    Args:
        kind: Names their folder.
        folder: In which that lies; the user's cache when left out.
    """

    def __init__(self, kind: str, folder: Path | None = None) -> None:
        try:
            self._folder: Path | None = (folder or cache_folder() / "integration-sandbox") / kind
        except RuntimeError:
            self._folder = None

    def get(self, key: str) -> Any:
        """The value under a key; None when there is none that can be trusted."""
        try:
            raw = b"" if self._folder is None else (self._folder / key).read_bytes()
        except OSError:
            return None
        head = len(_MAGIC)
        content = raw[head + _SUM :]
        if raw[:head] != _MAGIC or hashlib.sha256(content).digest() != raw[head : head + _SUM]:
            return None
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            return None

    def put(self, key: str, value: Any) -> None:
        """Keep a JSON value; without a word where that is not possible."""
        if self._folder is None:
            return
        try:
            content = orjson.dumps(value)
        except orjson.JSONEncodeError:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=".")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(_MAGIC + hashlib.sha256(content).digest() + content)
                Path(name).replace(self._folder / key)
            except OSError:
                Path(name).unlink(missing_ok=True)
                raise
            self._tidy()

    def _tidy(self) -> None:
        """Let the oldest entries go when there are too many."""
        assert self._folder is not None  # noqa: S101 - something was just written there
        entries = sorted((entry.stat().st_mtime, entry) for entry in self._folder.iterdir())
        for _, entry in entries[:-MOST_ENTRIES]:
            entry.unlink(missing_ok=True)
