"""A recording as the state that a world begins with."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.cli import main
from sandbox.errors import SandboxError
from sandbox.inprocess import InProcess
from sandbox.layout import load_specs
from sandbox.project import Project
from sandbox.record.recording import Recording
from sandbox.record.recording_file import read_entries
from tests.recorder import COMMAND, TIME_LIMIT, recording, write_project
from tests.upstream import serving

BUYER = {"name": "Wilhelmina Featherstone", "email": "w.f@old.example", "born": "1971-03-09", "phone": "+4912345"}
Made = Callable[..., dict[str, list[Any]]]


def call(method: str, path: str, status: int, body: Any = None, sent: Any = None, at: float = 0, **answer: Any) -> Any:
    """An entry as the recorder writes it."""
    return {
        "kind": "call",
        "address": {"system": "shop", "operation": "?", "key": "-", "occurrence": 1},
        "request": {"method": method, "path": path, "query": "", "headers": {}, "body": sent},
        "answer": {"status": status, "headers": {}, "body": body, "at": at, "outcome": "sent", **answer},
    }


def order(number: str, status: str = "placed", **more: Any) -> dict[str, Any]:
    return {"number": number, "status": status, **more}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write_project(tmp_path / "project")


@pytest.fixture
def made(shop: Path) -> Made:
    """What a recording of these calls, in this order, makes of a world."""

    def make(*calls: Any, seed: int = 0) -> dict[str, list[Any]]:
        entries = [
            entry | {"seq": number, "at": number, "answer": entry["answer"] | {"at": entry["answer"]["at"] or number}}
            for number, entry in enumerate(calls, 1)
        ]
        specs = load_specs(shop)
        sandbox = InProcess(Project.load(shop), beginning=Recording.of(entries, specs, seed))
        try:
            key = sandbox.access().systems["shop"]["api_key"]
            with sandbox.session() as session:
                found = session.get("http://127.0.0.1:8420/shop/orders", headers={"X-Shop": key})
            found.raise_for_status()
            return {"orders": found.json()["orders"]}
        finally:
            sandbox.close()

    return make


def test_what_was_created_read_and_listed_is_there(made: Made) -> None:
    found = made(
        call("POST", "/orders", 201, order("A", total=1)),
        call("GET", "/orders/B", 200, order("B")),
        call("GET", "/orders", 200, {"orders": [order("C"), order("A", total=2)]}),
    )
    assert found["orders"] == [order("A", total=2), order("B"), order("C")]


def test_the_newest_answer_wins_whatever_its_place_in_the_file(made: Made) -> None:
    found = made(
        call("GET", "/orders/A", 200, order("A", "paid"), at=50), call("GET", "/orders/A", 200, order("A"), at=20)
    )
    assert found["orders"] == [order("A", "paid")]


def test_what_was_deleted_is_gone(made: Made) -> None:
    found = made(
        call("GET", "/orders", 200, {"orders": [order("A"), order("B"), order("C"), order("D")]}),
        call("DELETE", "/orders/A", 204),
        call("DELETE", "/orders/B", 404),
        call("GET", "/orders/C", 404),
        call("DELETE", "/orders/D", 204),
        call("POST", "/orders", 201, order("D", "paid")),
    )
    assert found["orders"] == [order("B"), order("D", "paid")]


def test_a_change_that_answers_nothing_leaves_what_was_sent(made: Made) -> None:
    found = made(
        call("POST", "/orders", 201, order("A", total=1)),
        call("PUT", "/orders/A", 204, None, order("A", "paid")),
    )
    assert found["orders"] == [order("A", "paid", total=1)]


def test_what_is_no_answer_of_the_real_api_does_not_count(made: Made) -> None:
    found = made(
        call("POST", "/orders", 400, order("A")),
        call("POST", "/orders", 201, order("B"), outcome="cut"),
        call("GET", "/orders/C", 502, order("C"), error="unreachable"),
        call("GET", "/orders/D", 200, "[truncated: 9 bytes, of which the journal keeps none]"),
        call("GET", "/elsewhere", 200, order("E")),
    )
    assert found["orders"] == []


def test_what_the_spec_does_not_allow_is_left_out_and_told(shop: Path) -> None:
    calls = [call("GET", "/orders", 200, {"orders": [order("A", "lost"), order("B")]}) | {"seq": 1, "at": 1}]
    found = Recording.of(calls, load_specs(shop))
    assert found.records["shop"]["orders"] == [order("B")]
    assert found.notes == (
        "1 of 2 orders of shop do not fit shop.yaml and were left out: /status must be one of placed, paid",
    )


def test_labels_become_believable_values_that_stay_equal(made: Made) -> None:
    labels = {name: f"[personal:0000000{n}]" for n, name in enumerate(("name", "email", "born", "phone"))}
    calls = (
        call("POST", "/orders", 201, order("A", buyer=labels, note=f"call {labels['name']} on [secret:shop]")),
        call("POST", "/orders", 201, order("[personal:0000000f]", buyer=labels | {"name": "[personal:0000000e]"})),
    )
    first, second = made(*calls)["orders"]
    assert "[" not in json.dumps([first, second]).strip("[]")
    assert re.fullmatch(r"[^@\s]+@example\.com", first["buyer"]["email"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", first["buyer"]["born"])
    assert re.fullmatch(r"[+]\d+", first["buyer"]["phone"])
    assert first["buyer"]["name"] in first["note"]
    for name in ("email", "born", "phone"):
        assert first["buyer"][name] == second["buyer"][name]
    assert first["buyer"]["name"] != second["buyer"]["name"]
    assert made(*calls)["orders"] == [first, second]
    assert made(*calls, seed=1)["orders"][0]["buyer"]["name"] != first["buyer"]["name"]


def test_from_a_real_api_to_a_sandbox(shop: Path) -> None:
    with serving() as api, recording(shop, "--project", ".", "--out", "monday.jsonl", shop=api.url) as running:
        api.on("POST /orders", 201, order("A-1", buyer=BUYER))
        running.call("POST", "/shop/orders", json=order("A-1", buyer=BUYER))
        running.stop()
    command = [*COMMAND, "up", "--port", "0", "--json", "--project", ".", "--recording", "monday.jsonl"]
    process = subprocess.Popen(command, cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        with httpx.Client(trust_env=False) as http:
            state = http.get(f"{said['control']}/worlds/default/state").json()
            headers = {"X-Shop": said["systems"]["shop"]["api_key"]}
            other = http.get(f"{said['url']}/w/other/shop/orders/A-1", headers=headers).json()
    finally:
        process.terminate()
        _, err = process.communicate(timeout=TIME_LIMIT)
    assert "begins with 1 records" in err
    (kept,) = state["shop"]["orders"]
    assert kept == other
    assert kept["number"] == "A-1"
    assert not set(BUYER.values()) & set(kept["buyer"].values())


def test_a_file_that_is_cut_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text('{"seq": 2, "kind": "call"}\n{"seq": 1, "kind": "call"}\n{"seq": 3, "ki')
    assert [entry["seq"] for entry in read_entries(file)] == [1, 2]


@pytest.mark.parametrize("text", ["hello\n", '{"seq": 1}\n', "[1]\n", '{"seq": 1, "kind": "call"}\n{\n\n'])
def test_a_file_that_is_no_recording(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(text)
    with pytest.raises(SandboxError, match="is no entry of a journal"):
        read_entries(file)
    assert main(["up", "--port", "0", "--recording", str(file)]) == 2
    assert "is no entry of a journal" in capsys.readouterr().err


def test_a_recording_of_another_project(shop: Path, tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    file.write_text(json.dumps(call("GET", "/x", 200) | {"seq": 1, "address": {"system": "shopp"}}))
    with pytest.raises(SandboxError, match="no system of the project is in it, only shopp") as refused:
        Recording.load(file, load_specs(shop))
    assert refused.value.hint == "did you mean shop?"
