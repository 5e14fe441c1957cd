"""`sandbox chaos` from the outside."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.chaos.session import silent_reference
from sandbox.cli import chaos, main
from sandbox.project import Project
from tests.chaos.tiny import Blind, Careful


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Call = Callable[..., Done]

# The sandbox's own project, a broken subject in place of the reference integrator.
PLACE = "scenario: {steps: [{place: {order_number: '2025-1'}}]}\n"
LOST = 'faults: [{on: {system: ledger, operation: book, key: "2025-1"}, inject: timeout, effect: applied}]\n'


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Call]:
    """Run the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    level = logging.getLogger("sandbox.integrator").level

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = main(["chaos", *arguments])
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    yield run
    logging.getLogger("sandbox.integrator").setLevel(level)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, call: Call, tiny_project: Project, tmp_path: Path) -> Call:
    """The same for the tiny project with an integrator that books again what it did not hear of."""
    monkeypatch.setattr(chaos, "silent_reference", Blind)
    (tmp_path / "one.yaml").write_text("description: One order.\nsteps: [{place: {order_number: '2025-1'}}]\n")
    (tmp_path / "lost.yaml").write_text(PLACE + LOST)
    return lambda *arguments: call(*arguments, "--project", str(tiny_project.root))


def test_list_has_a_line_for_each(call: Call, checkout: Path) -> None:
    done = call("list")
    names = [line.split()[:2] for line in done.out.splitlines()[1:]]
    contracts = checkout / "contracts"
    assert done.code == 0
    assert names == [
        [kind, name]
        for kind, folder in (("failure", "failures"), ("scenario", "scenarios"))
        for name in sorted(file.stem for file in (contracts / folder).glob("*.yaml"))
    ]
    assert all(entry["description"] for entry in call("list", "--json").document)


def test_rules_are_listed_with_their_sources(call: Call) -> None:
    listed = {rule["id"]: rule for rule in call("rules", "--json").document}
    assert {"F01", "H01", "P01", "R01"} <= set(listed)
    assert all(rule["title"] and rule["source"] for rule in listed.values())
    assert "R01" in call("rules").out


def test_a_named_failure_passes(call: Call) -> None:
    done = call("run", "lost-answer")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("passed  lost-answer")
    assert "accounting.create_invoice 2" in done.out


def test_the_quiet_day_says_what_polling_costs(call: Call) -> None:
    done = call("run", "quiet-day")
    assert done.code == 0
    assert "polling every 5m costs 288 requests in 1d; 4 webhooks came" in done.out


def test_a_run_as_json(call: Call) -> None:
    document = call("run", "lost-answer", "--json", "--seed", "4").document
    assert document["exit_code"] == 0
    assert document["seed"] == 4
    assert document["card"]["F01"] == {"pass": 1}
    assert document["counters"]["accounting.create_invoice"] == 2


def test_a_fault_that_never_fires_is_inconclusive(call: Call, tmp_path: Path) -> None:
    fault = '{on: {system: accounting, operation: create_invoice, key: "9"}, inject: reset}'
    (tmp_path / "never.yaml").write_text(f"faults: [{fault}]\n")
    done = call("run", "never.yaml")
    assert done.code == 3
    assert "inconclusive" in done.out
    assert "a fault never fired: reset" in done.out


def test_a_failing_run_is_made_small_and_saved(tiny: Call, tmp_path: Path) -> None:
    done = tiny("run", "lost.yaml", "--report", "out")
    assert done.code == 1
    assert "order 2025-1 was booked 2 times" in done.out
    (file,) = (tmp_path / ".sandbox" / "reproducers").iterdir()
    assert f"replay it: sandbox chaos replay .sandbox/reproducers/{file.name}" in done.out
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["findings"][0]["rule"] == "X01"
    assert report["findings"][0]["journal"]
    assert "## X01: order 2025-1 was booked 2 times" in (tmp_path / "out" / "report.md").read_text()


def test_replay_says_whether_it_still_fails(tiny: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny("run", "lost.yaml")
    (file,) = (tmp_path / ".sandbox" / "reproducers").iterdir()
    done = tiny("replay", str(file))
    assert done.code == 1
    assert done.out.startswith("still fails")
    assert "known to break X01" in tiny("explain", str(file)).out
    monkeypatch.setattr(chaos, "silent_reference", Careful)
    assert tiny("replay", str(file)).code == 0
    file.write_text(file.read_text().replace("shop: ", "shop: " + "0" * 64 + " # "))
    assert "the spec of shop has changed" in tiny("replay", str(file)).err


def test_explore_finds_tells_and_saves(tiny: Call, tmp_path: Path) -> None:
    done = tiny("explore", "--scenario", "one.yaml")
    assert done.code == 1
    assert "order 2025-1 was booked 2 times" in done.out
    assert "inject: timeout" in done.out
    assert "plans were possible at depth 1" in done.out
    assert "weakness of the provider: repeated_request on ledger.book" in done.out
    files = list((tmp_path / ".sandbox" / "reproducers").iterdir())
    assert all(f"sandbox chaos replay .sandbox/reproducers/{file.name}" in done.out for file in files)


def test_explore_ends_with_its_budget(tiny: Call) -> None:
    done = tiny("explore", "--scenario", "one.yaml", "--budget", "0s", "--depth", "2")
    assert done.code == 0
    assert "known plans are not covered, and no pair was begun" in done.out
    (search,) = tiny("explore", "--scenario", "one.yaml", "--budget", "0s", "--json").document["searches"]
    assert search["run"] == 1
    assert search["not_covered"] == search["possible"] - 1 > 0
    assert search["covered"] is False


class Interrupting(chaos.Watch):
    """Somebody who presses Ctrl-C at the first failure."""

    def tell(self, search: Any) -> None:
        super().tell(search)
        if search.failures:
            raise KeyboardInterrupt


def test_an_interruption_prints_what_was_found(tiny: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(chaos, "Watch", Interrupting)
    done = tiny("explore", "--scenario", "one.yaml")
    assert done.code == 130
    assert done.out.startswith("interrupted; found so far:")
    assert "order 2025-1 was booked 2 times" in done.out
    (file,) = (tmp_path / ".sandbox" / "reproducers").iterdir()
    assert file.name in done.out
    assert "smaller" not in done.out


def test_what_there_is_no_time_to_make_small_is_kept_as_it_is(tiny: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos, "Watch", Interrupting)
    monkeypatch.setattr(chaos, "_SHRINKING", 0.0)
    done = tiny("explore", "--scenario", "one.yaml")
    assert "replay it: sandbox chaos replay" in done.out
    assert "it may become smaller yet" in done.out


def test_a_second_interruption_prints_the_plans_as_they_were_run(tiny: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(chaos, "Watch", Interrupting)
    monkeypatch.setattr(chaos.Session, "findings", interrupted)
    done = tiny("explore", "--scenario", "one.yaml")
    assert done.code == 130
    assert "timeout, applied, on ledger.book 2025-1" in done.out


def test_the_first_failure_may_end_the_search(tiny: Call) -> None:
    done = tiny("explore", "--scenario", "one.yaml", "--scenario", "one.yaml", "--depth", "2", "-x", "--json")
    (search,) = done.document["searches"]
    assert (done.code, search["failing"], len(done.document["findings"])) == (1, 1, 1)
    assert search["run"] == search["possible"] - search["not_covered"] < search["possible"]
    assert search["covered"] is False


def test_a_story_is_told(call: Call) -> None:
    done = call("explain", "lost-answer")
    assert done.code == 0
    assert "Example Ltd places order 2025-4471" in done.out
    assert "When create_invoice of accounting is called for 2025-4471 for the first time, it does the work" in done.out
    assert call("explain", "lost-answer", "--json").document["story"] == done.out.splitlines()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "lost-answr"], "lost-answer"),
        (["run", "nowhere.yaml"], "no such file"),
        (["replay", "nowhere.yaml"], "does not exist"),
        (["explore", "--subject", "mine"], "neither `reference` nor a command"),
        (["explore", "--scenario", "one-paid-ordr"], "one-paid-order"),
        (["explore", "--budget", "soon"], "not a span of time"),
        (["explore", "--depth", "3"], "1<=x<=2"),
        (["run", "lost-answer", "--seed", "-1"], "0<=x"),
    ],
)
def test_a_wrong_call_gets_one_clear_line(call: Call, arguments: list[str], said: str) -> None:
    done = call(*arguments)
    assert done.code == 2
    assert said in done.err
    assert "Traceback" not in done.err


def test_the_integrator_is_silent(call: Call) -> None:
    assert silent_reference().name == "reference"
    assert call("run", "revoked-key").err == ""
