"""A journal in a file of JSON lines."""

from __future__ import annotations

import os
from pathlib import Path

import orjson

from sandbox.errors import SandboxError, ServeError
from sandbox.journal import Entry


class RecordingFile:
    """A file of JSON lines, each of which is in the hands of the system before the next call ends.

    What was written outlives the process, however it ends. Only its owner can read it.

    Args:
        path: A new file; its folder is made when there is none.

    Raises:
        ServeError: when there is such a file already, or it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        except FileExistsError:
            raise ServeError(f"{path}: there is such a file already", "name a new one with --out") from None
        except OSError as error:
            raise ServeError(f"{path}: cannot be written: {error.strerror}", "name another file with --out") from None

    def write(self, entry: Entry) -> None:
        """Append an entry.

        Raises:
            ServeError: when the disk does not take it.
        """
        line = orjson.dumps(entry) + b"\n"
        try:
            while line:
                line = line[os.write(self._file, line) :]
        except OSError as error:
            raise ServeError(
                f"{self.path}: cannot be written any more: {error.strerror}", f"{self.entries} calls are in it"
            ) from None
        self.entries += 1

    def close(self) -> None:
        os.close(self._file)


def read_entries(path: Path) -> list[Entry]:
    """The journal in a file of JSON lines, in the order in which the calls arrived.

    A last line that is cut, because the recorder was killed while it wrote, is left out.

    Raises:
        SandboxError: when the file cannot be read, or a line is no entry of a journal.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise SandboxError(f"{path}: cannot be read: {error.strerror}", "check the path") from None
    entries = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            if number == len(lines):
                break
            entry = None
        if not isinstance(entry, dict) or not isinstance(entry.get("seq"), int) or "kind" not in entry:
            raise SandboxError(
                f"{path}:{number}: is no entry of a journal",
                "name a file that `sandbox record` or `journal --json` wrote",
            )
        entries.append(entry)
    return sorted(entries, key=lambda entry: int(entry["seq"]))
