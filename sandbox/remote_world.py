"""A world of a running sandbox by its control API: what suites and tests know of it, and may do with it."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final, Self

import httpx

from sandbox.journal import Entry

State = dict[str, dict[str, list[dict[str, Any]]]]
_PAGE: Final = 10_000


class RemoteWorld:
    """One world, by the control API.

    Args:
        control: URL of the control API, `http://127.0.0.1:8420/_sandbox`.
    """

    def __init__(self, control: str, name: str) -> None:
        self.name = name
        self._url = f"{control}/worlds/{name}"
        self._http = httpx.Client(trust_env=False, timeout=30, verify=False)  # noqa: S501 - plain HTTP on loopback

    @classmethod
    def create(cls, control: str, name: str) -> Self:
        """A new world."""
        world = cls(control, name)
        world._http.post(f"{control}/worlds", json={"name": name}).raise_for_status()
        return world

    def close(self) -> None:
        """Delete it."""
        self._http.delete(self._url)
        self._http.close()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, f"{self._url}{path}", json=body)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def freeze(self) -> None:
        """Stop its clock; from now on time passes only when told."""
        self._call("POST", "/clock/freeze")

    def advance(self, seconds: float) -> None:
        """Let its time pass."""
        self._call("POST", "/clock/advance", {"seconds": seconds})

    def inject(self, system: str, operation: str, fault: str, effect: str, *, next_call: bool = False) -> None:
        """Arm a fault for the first arrival of each business object, or for the next call alone."""
        on = {"system": system, "operation": operation, **({"occurrence": "any"} if next_call else {})}
        once = {"count": 1} if next_call else {}
        self._call("POST", "/faults", {"on": on, "inject": fault, "effect": effect, **once})

    def state(self, system: str) -> dict[str, list[dict[str, Any]]]:
        """Its records, by collection."""
        found: dict[str, list[dict[str, Any]]] = self._call("GET", f"/state?system={system}").get(system, {})
        return found

    def sizes(self, system: str) -> Counter[str]:
        """How many records each collection has."""
        return Counter({name: len(records) for name, records in self.state(system).items()})

    def deliveries(self) -> list[dict[str, Any]]:
        """The webhooks on their way and at their end."""
        found: list[dict[str, Any]] = self._call("GET", "/deliveries")["deliveries"]
        return found

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
