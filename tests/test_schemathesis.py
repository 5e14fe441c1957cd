"""`schemathesis run` with all its checks, over real sockets, finds nothing in any of the four systems.

What it may meet all the same stands in contracts/provider/exemptions.yaml, per operation and with the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests

from sandbox.probe import Provider, RemoteWorld
from sandbox.probe.schemathesis import Result, exemptions, run_schemathesis
from sandbox.project import Project
from sandbox.server import Server

WORLD = "default"


def run(
    project: Project, contracts: Path, system: str, examples: int, folder: Path, *options: str
) -> tuple[Result, Counter[str]]:
    """Start a sandbox of its own and let schemathesis loose on one of its systems.

    Returns:
        What it found, and how many calls of each operation were answered 2xx.
    """
    # Its clock stands still and its rates are free, so that the same requests get the same answers each time.
    with Server(project, port=0, rate_limits=False).running() as server:
        access = server.access()
        world = RemoteWorld(access.control, WORLD)
        world.freeze()
        mine = [credential for credential in access.credentials if credential.system == system]
        provider = Provider(project.specs[system], access.systems[system]["url"], mine, world=world)
        result = run_schemathesis(provider, contracts, folder, examples, options)
        entries = journal(f"{access.control}/worlds/{WORLD}", system)
        calls = Counter(entry["address"]["operation"] for entry in entries if succeeded(entry))
        provider.close()
        world.close()
    if result.code != 0:
        pytest.fail(result.output, pytrace=False)
    return result, calls


def journal(world: str, system: str) -> Iterator[dict[str, Any]]:
    after: int | None = 0
    while after is not None:
        wanted = {"system": system, "kind": "call", "after": after, "limit": 10_000}
        page = requests.get(f"{world}/journal", params=wanted, timeout=60).json()
        yield from page["entries"]
        after = page["next"]


def succeeded(entry: dict[str, Any]) -> bool:
    return isinstance(entry["answer"], dict) and 200 <= (entry["answer"]["status"] or 0) < 300


class Systems:
    """The tests of one system; each is a class of its own, so that they run on several cores."""

    system: ClassVar[str]

    def check(self, result: Result, told: Callable[[str, object], None]) -> None:
        told("told", str(result))
        report = result.report
        assert report["complete"]
        assert report["failures"] == report["errors"] == []
        assert {phase["status"] for phase in report["phases"].values()} <= {"success", "skip"}
        assert report["operations"]["tested"] == report["operations"]["total"]

    def test_finds_nothing(
        self, project: Project, checkout: Path, tmp_path: Path, record_property: Callable[[str, object], None]
    ) -> None:
        # Chains of calls take their time; they follow in `make verify`.
        result, _ = run(
            project, checkout / "contracts", self.system, 50, tmp_path, "--phases=examples,coverage,fuzzing"
        )
        self.check(result, record_property)

    @pytest.mark.slow
    def test_finds_nothing_even_with_a_thousand_examples(
        self, project: Project, checkout: Path, tmp_path: Path, record_property: Callable[[str, object], None]
    ) -> None:
        result, calls = run(project, checkout / "contracts", self.system, 1000, tmp_path)
        self.check(result, record_property)
        for operation, kinds in exemptions(checkout / "contracts", self.system).items():
            for kind, reason in kinds.items():
                met = "met" if (operation, kind) in result.met else "not met"
                record_property("told", f"exempt on {self.system}: {operation} {kind} ({met}): {reason}")
        never = set(project.specs[self.system].operations) - set(calls)
        assert not never, "operations that never succeeded were hardly tested"
        assert result.met <= result.exempt


class TestShop(Systems):
    system = "shop"


class TestCrm(Systems):
    system = "crm"


class TestAccounting(Systems):
    system = "accounting"


class TestShipping(Systems):
    system = "shipping"


@pytest.mark.parametrize("system", ["shop", "crm", "accounting", "shipping"])
def test_every_exemption_has_its_operation_and_its_reason(project: Project, checkout: Path, system: str) -> None:
    found = exemptions(checkout / "contracts", system)
    assert found
    for operation, kinds in found.items():
        assert operation in project.specs[system].operations
        assert all(reason.endswith(".") for reason in kinds.values())
