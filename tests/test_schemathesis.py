"""`schemathesis run` with all its checks, over real sockets, finds nothing in any of the four systems.

What it may meet all the same stands in schemathesis/exemptions.yaml, per operation and with the reason.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import requests
import yaml

from sandbox.project import Project
from sandbox.server import Server

TABLES = Path(__file__).with_name("schemathesis")
EXEMPTIONS: dict[str, dict[str, dict[str, str]]] = yaml.safe_load((TABLES / "exemptions.yaml").read_text())
LONGEST = 3600


@dataclass(frozen=True)
class Result:
    """What a run found.

    Attributes:
        report: As schemathesis wrote it.
        met: The exemptions that were needed, as (operation, kind).
        succeeded: How many calls of each operation were answered 2xx.
    """

    system: str
    report: dict[str, Any]
    met: set[tuple[str, str]]
    succeeded: Counter[str]

    @property
    def exempt(self) -> set[tuple[str, str]]:
        return {(operation, kind) for operation, kinds in EXEMPTIONS[self.system].items() for kind in kinds}

    def __str__(self) -> str:
        operations, requests_ = self.report["operations"]["tested"], self.report["test_cases"]["generated"]
        return (
            f"schemathesis on {self.system}: {operations} operations, {requests_} requests, "
            f"{self.report['test_cases']['unique_failures']} failures; {len(self.exempt)} exemptions, "
            f"{len(self.met)} of them met"
        )


def run(project: Project, system: str, examples: int, folder: Path) -> Result:
    """Start a sandbox of its own and let schemathesis loose on one of its systems."""
    # Its clock stands still and its rates are free, so that the same requests get the same answers each time.
    with Server(project, port=0, rate_limits=False).running() as server:
        world = f"{server.access().control}/worlds/default"
        requests.post(f"{world}/clock/freeze", timeout=10).raise_for_status()
        report, met = folder / "report.json", folder / "met"
        met.touch()
        settings = {"SCHEMATHESIS_TABLES": str(TABLES), "EXEMPTIONS_OF": system, "EXEMPTIONS_MET": str(met)}
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(TABLES / "schemathesis.toml"), "run"),
            *(str(project.specs[system].path), "--url", server.access().systems[system]["url"]),
            *("--checks", "all", "--max-examples", str(examples), "--continue-on-failure"),
            *("--report", "json", "--report-json-path", str(report)),
        ]
        done = subprocess.run(
            command, cwd=folder, env={**os.environ, **server.access().environment(), **settings}, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=LONGEST,
        )  # fmt: skip
        if done.returncode != 0:
            pytest.fail(done.stdout[-20_000:], pytrace=False)
        return Result(
            system,
            json.loads(report.read_text()),
            {(operation, kind) for operation, kind in map(str.split, met.read_text().splitlines())},
            Counter(entry["address"]["operation"] for entry in journal(world, system) if succeeded(entry)),
        )


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
        assert {phase["status"] for phase in report["phases"].values()} == {"success"}
        assert report["operations"]["tested"] == report["operations"]["total"]

    def test_finds_nothing(
        self, project: Project, tmp_path: Path, record_property: Callable[[str, object], None]
    ) -> None:
        self.check(run(project, self.system, 50, tmp_path), record_property)

    @pytest.mark.slow
    def test_finds_nothing_even_with_a_thousand_examples(
        self, project: Project, tmp_path: Path, record_property: Callable[[str, object], None]
    ) -> None:
        result = run(project, self.system, 1000, tmp_path)
        self.check(result, record_property)
        never = set(project.specs[self.system].operations) - set(result.succeeded)
        assert not never, "operations that never succeeded were hardly tested"
        assert result.met == result.exempt, "an exemption that is never met is none"


class TestShop(Systems):
    system = "shop"


class TestCrm(Systems):
    system = "crm"


class TestAccounting(Systems):
    system = "accounting"


class TestShipping(Systems):
    system = "shipping"


@pytest.mark.parametrize("system", EXEMPTIONS)
def test_every_exemption_has_its_operation_and_its_reason(project: Project, system: str) -> None:
    for operation, kinds in EXEMPTIONS[system].items():
        assert operation in project.specs[system].operations
        assert all(reason.endswith(".") for reason in kinds.values())
