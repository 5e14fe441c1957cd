"""What the poll makes up for, and what it costs."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest


def asked_since(rig: Any) -> list[str | None]:
    queries = [parse_qs(urlsplit(call.url).query) for call in rig.systems.called("list_orders")]
    return [query.get("updated_since", [None])[0] for query in queries if "cursor" not in query]


def test_lost_webhooks_are_made_up_for(rig: Any) -> None:
    rig.work()
    for number in range(5):
        rig.systems.place(f"2025-{number}")
    rig.work(300)
    assert len(rig.systems.shipments) == 5


def test_lost_cancellation_is_made_up_for(rig: Any) -> None:
    rig.carry(seconds=1000)
    rig.systems.change(status="cancelled")
    rig.work(300)
    assert rig.systems.shipments[0]["status"] == "cancelled"


def test_order_that_was_dealt_with_is_not_read_again(rig: Any) -> None:
    rig.carry(seconds=3600)
    assert len(rig.systems.called("get_order")) == 1


def test_poll_asks_for_changes_only(rig: Any) -> None:
    rig.work(900)
    assert asked_since(rig) == [
        None,
        "2025-12-31T23:55:00.000Z",
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T00:05:00.000Z",
    ]


def test_quiet_day_costs_288_polls(rig: Any) -> None:
    rig.work(24 * 3600 - 1)
    assert len(rig.systems.calls) == 288


def test_each_change_is_listed_twice(rig: Any) -> None:
    rig.work(10)
    rig.systems.place()
    rig.systems.let_pass("list_orders", 0)
    rig.systems.garble("list_orders", {"orders": []})
    rig.work(300)
    assert rig.systems.shipments == []
    rig.work(300)
    assert len(rig.systems.shipments) == 1


@pytest.mark.parametrize("status", [401, 403, 429, 500, 503])
def test_failed_poll_is_made_up_for(rig: Any, status: int) -> None:
    rig.work()
    rig.systems.place()
    rig.systems.answer("list_orders", status)
    rig.work(700)
    assert len(rig.systems.shipments) == 1


def test_poll_goes_on_after_a_restart_without_starting_anew(rig: Any) -> None:
    rig.work(100)
    rig.restart()
    rig.work(100)
    assert asked_since(rig) == [None]


def test_order_that_cannot_be_read_hides_no_other(rig: Any) -> None:
    rig.work()
    del rig.systems.place("2025-1")["items"]
    rig.systems.place("2025-2")
    rig.work(1000)
    assert rig.systems.orders["2025-2"]["fulfilment"]["status"] == "in_progress"
    assert rig.systems.orders["2025-1"]["fulfilment"]["status"] == "on_hold"
