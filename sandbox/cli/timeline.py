"""One journal entry as one line of text."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from rich.text import Text

COLUMNS = (("SEQ", 5), ("TIME (UTC)", 12), ("WHAT", 42), ("KEY", 19), ("N", 2), ("ANSWER", 12))
HEADING = "  ".join([*(name.ljust(width) for name, width in COLUMNS), "EFFECT"])


def line(entry: dict[str, Any]) -> Text:
    """A journal entry in the columns of `HEADING`; a fault stands at the end."""
    address = entry.get("address") or {}
    cells = (
        str(entry["seq"]),
        f"{datetime.fromtimestamp(entry['at'], UTC):%H:%M:%S.%f}"[:-3],
        _what(entry, address),
        str(address.get("key", "")),
        str(address.get("occurrence", "")),
        _answer(entry.get("answer")),
    )
    padded = "  ".join(cell.ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))
    text = Text(f"{padded}  {_effect(entry)}", style="red" if _failed(entry.get("answer")) else "")
    fault = entry.get("fault")
    if fault:
        text.append(f"  fault: {fault['inject']}, effect {fault.get('effect', 'none')}", style="magenta")
    return text


def _what(entry: dict[str, Any], address: dict[str, Any]) -> str:
    if entry["kind"] == "call" and address:
        return f"{address['system']}.{address['operation']}"
    if entry["kind"] == "delivery":
        return f"  → {address['event']} (attempt {entry['attempt']})"
    return str(entry.get("text", entry["kind"]))


def _answer(answer: dict[str, Any] | str | None) -> str:
    if not isinstance(answer, dict):
        return answer or ""
    if "error" in answer:
        return str(answer["error"])
    outcome = answer.get("outcome", "sent")
    return str(answer["status"]) if outcome == "sent" else f"{answer['status']} {outcome}"


def _failed(answer: dict[str, Any] | str | None) -> bool:
    return isinstance(answer, dict) and ("error" in answer or answer["status"] >= 400)


def _effect(entry: dict[str, Any]) -> str:
    return ", ".join(f"{change['action']} {change['collection']}/{change['id']}" for change in entry.get("changes", ()))
