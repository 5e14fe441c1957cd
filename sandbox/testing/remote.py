"""The world of a test, by the control API of its own server."""

from __future__ import annotations

from typing import Any, Final

from sandbox.journal import Entry
from sandbox.probe.mock import MockWorld

State = dict[str, dict[str, list[dict[str, Any]]]]
_PAGE: Final = 10_000


class Remote(MockWorld):
    """One world, as a test sees it."""

    def journal(self) -> tuple[list[Entry], int]:
        """All entries so far, and how many were dropped."""
        entries: list[Entry] = []
        after: int | None = 0
        dropped = 0
        while after is not None:
            page = self._call("GET", f"/journal?after={after}&limit={_PAGE}")
            entries += page["entries"]
            after, dropped = page["next"], page["dropped"]
        return entries, dropped

    def everything(self) -> State:
        """The records of all systems, by collection."""
        found: State = self._call("GET", "/state")
        return found

    def faults(self) -> list[dict[str, Any]]:
        """The named faults that are armed, each with how often it fired."""
        found: list[dict[str, Any]] = self._call("GET", "/faults")["faults"]
        return found

    def add_fault(self, fault: dict[str, Any]) -> str:
        """Arm a fault; returns its id."""
        return str(self._call("POST", "/faults", fault)["id"])

    def remove_fault(self, fault: str) -> None:
        self._call("DELETE", f"/faults/{fault}")

    def put_plan(self, plan: dict[str, Any]) -> None:
        """Arm the faults of a plan in place of those armed now."""
        self._call("PUT", "/faults", plan)

    def now(self) -> float:
        """Its time, in unix seconds."""
        return float(self._call("GET", "/clock")["now"])

    def resume(self) -> None:
        """Let its clock go on."""
        self._call("POST", "/clock/resume")
