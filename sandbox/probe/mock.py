"""A world of a running sandbox, as a suite sees it: what only a mock lets one do."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

import httpx


class MockWorld:
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

    def inject(self, system: str, operation: str, fault: str, effect: str) -> None:
        """Arm a fault for the next arrival of each business object."""
        on = {"system": system, "operation": operation}
        self._call("POST", "/faults", {"on": on, "inject": fault, "effect": effect})

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
