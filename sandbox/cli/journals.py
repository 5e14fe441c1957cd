"""The journals that a command was given: files of several kinds, or that of the running sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sandbox.cli.client import Client
from sandbox.consumer.usage import Journal
from sandbox.errors import SandboxError
from sandbox.journal import UNKNOWN

_HINT = "make one with: sandbox journal --json > FILE"
_KINDS = ("call", "delivery", "note")


def read_journals(files: Sequence[Path]) -> list[Journal]:
    """The journals in some files; each finding of a report of chaos has one of its own.

    Raises:
        SandboxError: A file cannot be read, or holds no journal; one line with file and line.
    """
    return [journal for file in files for journal in _read(file)]


def running_journal(url: str, world: str) -> Journal:
    """The journal of the running sandbox.

    Raises:
        SandboxError: None runs there.
    """
    with Client(url, world) as client:
        return Journal(world, list(client.journal()), client.state(None))


def _read(file: Path) -> Iterator[Journal]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SandboxError(f"{file}: not UTF-8, so it is no journal", _HINT) from None
    except OSError as error:
        raise SandboxError(f"{file}: cannot be read ({error.strerror})", "check the path") from None
    document = _document(text)
    if isinstance(document, dict) and "findings" in document:
        yield from _of_report(file, document["findings"])
    elif isinstance(document, list):
        yield _journal(file.name, [(f"{file}: entry {number}", entry) for number, entry in enumerate(document, 1)])
    else:
        yield _journal(file.name, list(_lines(file, text)))


def _document(text: str) -> Any:
    """The text as one JSON document; None when it is none, as several lines are."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _of_report(file: Path, findings: Any) -> Iterator[Journal]:
    found = [
        (number, finding)
        for number, finding in enumerate(findings if isinstance(findings, list) else [], 1)
        if isinstance(finding, dict) and isinstance(finding.get("journal"), list)
    ]
    if not found:
        raise SandboxError(f"{file}: the report has no journal, for nothing failed", _HINT)
    for number, finding in found:
        entries = [(f"{file}: finding {number}, entry {at}", entry) for at, entry in enumerate(finding["journal"], 1)]
        yield _journal(f"{file.name} finding {number}", entries)


def _lines(file: Path, text: str) -> Iterator[tuple[str, Any]]:
    lines = text.split("\n")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            if 1 < number == len(lines):
                # A recorder was killed while it wrote.
                return
            what = getattr(error, "msg", str(error))
            raise SandboxError(f"{file}:{number}: not JSON: {what}", _HINT) from None
        yield f"{file}:{number}", entry


def _journal(name: str, entries: Sequence[tuple[str, Any]]) -> Journal:
    checked = [_checked(where, entry) for where, entry in entries]
    # A recording holds its calls in the order in which they ended.
    known = sorted((entry for entry in checked if entry["kind"] in _KINDS), key=lambda entry: int(entry["seq"]))
    return Journal(name, known)


def _checked(where: str, entry: Any) -> dict[str, Any]:
    """An entry with all that is needed to judge it.

    Raises:
        SandboxError: It is no entry.
    """
    wrong = _wrong(entry)
    if wrong:
        raise SandboxError(f"{where}: no entry of a journal: {wrong}", _HINT)
    if entry["kind"] == "note":
        return {**entry, "address": None}
    address = {"key": "-", "occurrence": 1, "subscriber": "-"} | entry["address"]
    given: dict[str, Any] = {"answer": UNKNOWN, "event_id": "-"} | entry
    if given["kind"] == "call" and given["answer"] is None:
        given["answer"] = UNKNOWN
    return given | {"address": address}


def _wrong(entry: Any) -> str:
    """Why something is no entry; empty when it is one."""
    if not isinstance(entry, dict):
        return "an object is due"
    if not isinstance(entry.get("seq"), int) or not isinstance(entry.get("kind"), str):
        return "it has no seq or no kind"
    if entry["kind"] not in _KINDS:
        return ""
    if not isinstance(entry.get("at"), int | float):
        return "it has no moment (at)"
    if entry["kind"] == "note":
        return ""
    address, names = entry.get("address"), ("system", "operation") if entry["kind"] == "call" else ("event",)
    if not isinstance(address, dict) or not all(isinstance(address.get(name), str) for name in names):
        return f"its address names no {' and no '.join(names)}"
    if not isinstance(entry.get("request") or {}, dict) or not isinstance(entry.get("answer") or {}, dict | str):
        return "its request or its answer is no object"
    return ""
