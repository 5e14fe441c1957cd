"""Weather: a seeded share of the calls, decided by seed and address alone, whatever else goes on."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Board
from sandbox.inprocess import BASE_URL, InProcess
from sandbox.model import CallAddress, DeliveryAddress
from sandbox.plan import CallPoint, DeliveryPoint, Plan, Weather, draw
from sandbox.plan_document import read_fault, read_plan
from sandbox.project import Project

ADDRESSES = [
    CallAddress("accounting", operation, f"2025-{key}", occurrence)
    for operation in ("create_invoice", "get_invoice")
    for key in range(500)
    for occurrence in (1, 2)
]
STORM = read_plan(
    {
        "seed": 7,
        "weather": [
            {"on": {"system": "accounting"}, "inject": "server_error", "rate": "5 %"},
            {"on": {"system": "accounting"}, "inject": "timeout", "effect": "applied", "rate": "5 %"},
            {"on": {"system": "accounting"}, "inject": "server_error", "with": {"status": 503}, "rate": "5 %"},
        ],
    }
)
RULE = Weather(CallPoint("accounting"), "server_error", 0.05)


def struck(board: Board, addresses: list[CallAddress]) -> dict[CallAddress, tuple[str, Any]]:
    """What each call meets."""
    met = {address: board.for_call(address) for address in addresses}
    return {
        address: (armed.injection.inject, armed.injection.parameters.get("status"))
        for address, armed in met.items()
        if armed is not None
    }


def board(plan: Plan, seed: int = 0) -> Board:
    made = Board(seed)
    made.apply(plan)
    return made


def test_the_share_is_the_share() -> None:
    many = [CallAddress("accounting", "create_invoice", str(key), 1) for key in range(20_000)]
    for rate in (0.01, 0.05, 0.5):
        rule = Weather(CallPoint("accounting"), "server_error", rate)
        share = sum(rule.strikes(7, address) for address in many) / len(many)
        assert share == pytest.approx(rate, abs=4 * (rate * (1 - rate) / len(many)) ** 0.5)
    assert all(Weather(CallPoint("accounting"), "reset", 1.0).strikes(7, address) for address in many)


def test_order_and_repetition_change_nothing() -> None:
    expected = struck(board(STORM), ADDRESSES)
    mixed = random.Random(1).sample(ADDRESSES, len(ADDRESSES))
    assert struck(board(STORM), mixed) == expected
    halves = board(STORM)
    assert struck(halves, ADDRESSES[1::2]) | struck(halves, ADDRESSES[::2]) == expected


def test_rules_of_one_name_do_not_share_their_luck() -> None:
    counted = Counter(struck(board(STORM), ADDRESSES).values())
    assert set(counted) == {("server_error", None), ("timeout", None), ("server_error", 503)}
    assert all(60 < number < 140 for number in counted.values())


def test_removing_a_rule_leaves_the_others_where_they_were() -> None:
    calmer = Plan(weather=STORM.weather[:1], seed=7)
    before = {a for a, met in struck(board(STORM), ADDRESSES).items() if met == ("server_error", None)}
    assert set(struck(board(calmer), ADDRESSES)) == before


def test_a_higher_rate_strikes_where_the_lower_did() -> None:
    worse = Weather(RULE.on, RULE.inject, 0.2)
    assert {a for a in ADDRESSES if RULE.strikes(7, a)} < {a for a in ADDRESSES if worse.strikes(7, a)}


def test_another_seed_is_other_weather() -> None:
    seven, eight = ({a for a in ADDRESSES if RULE.strikes(seed, a)} for seed in (7, 8))
    assert len(seven & eight) < min(len(seven), len(eight)) / 2


def test_the_plans_seed_decides_and_else_the_worlds() -> None:
    unseeded = Plan(weather=STORM.weather)
    assert struck(board(unseeded, seed=7), ADDRESSES) == struck(board(STORM, seed=1), ADDRESSES)
    assert struck(board(unseeded, seed=8), ADDRESSES) != struck(board(STORM), ADDRESSES)


def test_another_process_with_another_hash_seed_has_the_same_weather(checkout: Path) -> None:
    program = (
        "import json; from tests.faults.test_weather import *; "
        "print(json.dumps(sorted(str(item) for item in struck(board(STORM), ADDRESSES).items())))"
    )
    expected = json.dumps(sorted(str(item) for item in struck(board(STORM), ADDRESSES).items()))
    for hash_seed in ("1", "4471"):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60,
            env=os.environ | {"PYTHONHASHSEED": hash_seed}, cwd=checkout,
        )  # fmt: skip
        assert done.stdout.strip() == expected


def test_the_draw_never_changes() -> None:
    # Plans of today must give the same run with the sandbox of tomorrow.
    assert draw(7, "server_error", "0", "accounting", "create_invoice", "2025-4471", "1") == 0.09226303101653044
    assert draw(0) == 0.5162886151263629
    assert 0 <= draw(7, "\ud800") < 1


def test_deliveries_have_weather_too() -> None:
    rule = Weather(DeliveryPoint("order.paid"), "drop", 0.5)
    hit = [rule.strikes(7, DeliveryAddress("order.paid", str(key), 1, to)) for key in range(200) for to in ("a", "b")]
    assert 150 < sum(hit) < 250
    assert hit[::2] != hit[1::2]


def test_a_named_fault_wins_over_weather() -> None:
    armed = board(read_plan({"weather": [{"on": {"system": "accounting"}, "inject": "reset", "rate": 1}]}))
    call = CallAddress("accounting", "create_invoice", "2025-1", 1)
    shelter = armed.add(read_fault({"on": {"system": "accounting", "key": "2025-1"}, "inject": "none", "count": 1}))
    assert armed.for_call(call) is shelter
    after = armed.for_call(call)
    assert after is not None
    assert after.id == "w1"
    on = {"system": "accounting", "occurrence": "any"}
    assert after.entry() == {"on": on, "inject": "reset", "rate": "100 %", "weather": True}
    assert [one.fired for one in (*armed.all(), *armed.weather())] == [1, 1]
    assert armed.remove("w1")
    assert armed.for_call(call) is None


def test_weather_may_be_kept_to_early_arrivals() -> None:
    plan = read_plan(
        {"weather": [{"on": {"system": "accounting", "occurrence": "1-2"}, "inject": "reset", "rate": "100 %"}]}
    )
    met = [board(plan).for_call(CallAddress("accounting", "create_invoice", "-", n)) is not None for n in (1, 2, 3)]
    assert met == [True, True, False]


@pytest.mark.parametrize("seed", [3, 4])
def test_the_same_calls_are_struck_however_they_interleave(project: Project, seed: int) -> None:
    plan = read_plan({"seed": seed, "weather": [{"on": {"system": "shop"}, "inject": "server_error", "rate": "30 %"}]})

    def run(order: list[str]) -> dict[tuple[str, int], bool]:
        sandbox = InProcess(project)
        sandbox.world().apply(plan)
        session, key = sandbox.session(), sandbox.access().systems["shop"]["api_key"]
        for number in order:
            document = {"order_number": number, "customer": "Example Ltd", "amount_net": 1.0, "currency": "EUR"}
            document |= {"line_items": 1, "paid": False}
            session.post(f"{BASE_URL}/shop/orders", json=document, headers={"X-Shop-Api-Key": key})
        entries = sandbox.world().entries()
        sandbox.close()
        assert all(entry["fault"]["weather"] for entry in entries if entry["fault"])
        return {
            (entry["address"]["key"], entry["address"]["occurrence"]): entry["answer"]["status"] == 500
            for entry in entries
        }

    order = [f"2025-{number}" for number in range(20)] * 2
    first = run(order)
    assert 4 <= sum(first.values()) <= 20
    assert run(sorted(order)) == run(random.Random(seed).sample(order, len(order))) == first
