"""Retries, parking, and what is due when."""

from __future__ import annotations

import threading
from email.utils import formatdate
from itertools import pairwise
from typing import Any

import pytest

NUMBER = "2025-4471"
CREATING = ["create_customer", "create_activity", "create_invoice", "create_shipment"]


def fulfilment(rig: Any, number: str = NUMBER) -> Any:
    return rig.systems.orders[number]["fulfilment"]


def times(rig: Any, operation: str) -> list[float]:
    return [call.at for call in rig.systems.called(operation)]


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504, 307])
@pytest.mark.parametrize("operation", [*CREATING, "get_order", "set_fulfilment", "issue_token"])
def test_passing_failure_is_retried_with_the_same_key(rig: Any, operation: str, status: int) -> None:
    rig.systems.answer(operation, status)
    rig.carry(seconds=10)
    assert fulfilment(rig)["status"] == "in_progress"
    first, second = rig.systems.called(operation)
    assert first.at < second.at
    assert (first.key, first.body) == (second.key, second.body)


@pytest.mark.parametrize("operation", CREATING)
@pytest.mark.parametrize("value", ["7", formatdate(1_767_225_607, usegmt=True)])
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_obeyed(rig: Any, operation: str, value: str, status: int) -> None:
    rig.systems.answer(operation, status, {"Retry-After": value})
    rig.carry()
    rig.deliver("order.placed")
    rig.work(30)
    first, second = times(rig, operation)
    assert 7 <= second - first <= 8
    assert fulfilment(rig)["status"] == "in_progress"


def test_system_that_asks_for_time_gets_it_from_all_orders(rig: Any) -> None:
    rig.systems.answer("create_invoice", 429, {"Retry-After": "20"})
    for number in (NUMBER, "2025-4472"):
        rig.systems.place(number)
        rig.deliver(number=number)
    rig.work(60)
    assert all(
        at == rig.systems.calls[0].at or at >= rig.systems.calls[0].at + 20 for at in times(rig, "create_invoice")
    )
    assert len(rig.systems.invoices) == 2


def test_request_in_progress_is_waited_for(rig: Any) -> None:
    in_progress = "/problems/idempotency-key-in-progress"
    rig.systems.answer("create_invoice", 409, {"Retry-After": "1"}, kind=in_progress, times=2)
    rig.carry(seconds=10)
    assert len({call.key for call in rig.systems.called("create_invoice")}) == 1
    assert len(rig.systems.invoices) == 1


@pytest.mark.parametrize("operation", CREATING)
@pytest.mark.parametrize("status", [400, 403, 404, 413, 415, 422])
def test_refusal_is_parked_at_once_and_never_resent(rig: Any, operation: str, status: int) -> None:
    rig.systems.answer(operation, status, times=5)
    rig.carry()
    assert fulfilment(rig)["status"] == "on_hold"
    assert str(status) in fulfilment(rig)["reason"]
    rig.deliver("order.paid")
    rig.work(3000)
    assert len(rig.systems.called(operation)) == 1
    assert len(rig.systems.called("set_fulfilment")) == 1


def test_reason_names_the_field_and_quotes_no_value(rig: Any) -> None:
    rig.systems.place()
    rig.systems.change(currency="XXX")
    rig.deliver()
    rig.work()
    assert fulfilment(rig)["reason"] == "accounting POST /invoices: 400 Bad Request (/currency)"


def test_mended_data_sets_a_parked_order_free(rig: Any) -> None:
    rig.systems.place()
    rig.systems.change(currency="XXX")
    rig.deliver()
    rig.work()
    rig.systems.change(currency="EUR")
    rig.deliver()
    rig.work()
    assert fulfilment(rig)["status"] == "in_progress"
    assert [call.key for call in rig.systems.called("create_invoice")] == [
        "order-2025-4471-invoice-1",
        "order-2025-4471-invoice-2",
    ]


def test_poisoned_order_does_not_block_the_others(rig: Any) -> None:
    rig.systems.place()
    rig.systems.change(currency="XXX")
    rig.deliver()
    rig.carry("2025-4472")
    assert fulfilment(rig, "2025-4472")["status"] == "in_progress"
    assert fulfilment(rig)["status"] == "on_hold"


def test_order_that_always_fails_does_not_block_the_others(rig: Any) -> None:
    rig.systems.answer("create_invoice", 500, times=7)
    rig.carry(seconds=30)
    rig.carry("2025-4472", seconds=300)
    assert [invoice["order_number"] for invoice in rig.systems.invoices].count("2025-4472") == 1
    assert fulfilment(rig, "2025-4472")["status"] == "in_progress"


def test_delays_grow_with_jitter_up_to_a_cap_and_end(rig: Any) -> None:
    rig.systems.silence("create_invoice", times=8)
    rig.carry(seconds=299)
    delays = [after - before for before, after in pairwise(times(rig, "create_invoice"))]
    assert len(delays) == 7
    assert all(0 < delay <= max(0.5 * 2**n, 64) for n, delay in enumerate(delays))
    assert len(set(delays)) == 7
    assert fulfilment(rig)["status"] == "on_hold"


def test_parked_order_is_tried_again_at_the_pace_of_reconciling(rig: Any) -> None:
    rig.systems.answer("create_invoice", 503, times=10)
    rig.carry(seconds=1500)
    late = times(rig, "create_invoice")[7:]
    assert [after - before >= 300 for before, after in pairwise(late)] == [True, True, True]
    assert fulfilment(rig)["status"] == "in_progress"
    assert len(rig.systems.invoices) == 1


def test_long_outage_of_many_orders_is_survived_with_few_calls(rig: Any) -> None:
    numbers = [f"2025-{number}" for number in range(4471, 4501)]
    rig.systems.silence("create_invoice", times=40)
    for number in numbers:
        rig.systems.place(number)
        rig.deliver(number=number)
    rig.work(3600)
    assert sorted(invoice["order_number"] for invoice in rig.systems.invoices) == numbers
    assert {fulfilment(rig, number)["status"] for number in numbers} == {"in_progress"}
    started = times(rig, "create_invoice")
    assert sum(at < started[0] + 60 for at in started) < 40
    assert len(rig.systems.called("get_order")) < 200


def test_wait_beyond_patience_is_shown(rig: Any) -> None:
    rig.systems.answer("create_invoice", 429, {"Retry-After": "4000"})
    rig.carry()
    assert fulfilment(rig)["status"] == "on_hold"
    rig.work(3900)
    assert len(rig.systems.called("create_invoice")) == 1
    rig.work(200)
    assert fulfilment(rig)["status"] == "in_progress"


def test_mark_of_a_parked_order_is_written_as_soon_as_the_shop_can(rig: Any) -> None:
    rig.systems.answer("create_invoice", 400)
    rig.systems.answer("set_fulfilment", 503, times=12)
    rig.carry(seconds=1200)
    assert fulfilment(rig)["status"] == "on_hold"
    assert len(rig.systems.called("set_fulfilment")) == 13


def test_mark_that_the_shop_refuses_is_not_repeated(rig: Any) -> None:
    rig.systems.answer("create_invoice", 400)
    rig.systems.answer("set_fulfilment", 400, times=2)
    rig.carry(seconds=1200)
    assert len(rig.systems.called("set_fulfilment")) == 1


def test_expired_token_is_renewed_once(rig: Any) -> None:
    rig.carry()
    rig.systems.valid_tokens.clear()
    rig.carry("2025-4472")
    assert rig.systems.tokens == 2
    assert fulfilment(rig, "2025-4472")["status"] == "in_progress"


def test_token_is_renewed_before_it_expires(rig: Any) -> None:
    rig.carry()
    rig.clock.time += 3595
    rig.carry("2025-4472")
    assert rig.systems.tokens == 2
    assert len(rig.systems.called("create_customer")) == 2


def test_short_lived_token_serves_more_than_one_call(rig: Any) -> None:
    token = {"access_token": "token-1", "token_type": "Bearer", "expires_in": 4}
    rig.systems.garble("issue_token", token)
    rig.carry()
    assert len(rig.systems.called("issue_token")) == 1
    assert fulfilment(rig)["status"] == "in_progress"


def test_token_that_is_always_refused_is_no_loop(rig: Any) -> None:
    rig.systems.answer("create_customer", 401, times=4)
    rig.carry(seconds=3000)
    assert len(rig.systems.called("create_customer")) == 2
    assert rig.systems.tokens == 2
    assert fulfilment(rig)["status"] == "on_hold"


def test_order_that_could_not_be_read_is_found_by_the_next_poll(rig: Any) -> None:
    rig.systems.answer("get_order", 401)
    rig.carry()
    assert fulfilment(rig)["reason"] == "shop GET /orders/2025-4471: 401 Unauthorized"
    rig.work(300)
    assert fulfilment(rig)["status"] == "in_progress"


@pytest.mark.parametrize("operation", ["issue_token", "create_invoice", "create_shipment"])
def test_wrong_key_parks_until_a_restart(rig: Any, operation: str) -> None:
    rig.systems.answer(operation, 401)
    rig.carry(seconds=3000)
    assert len(rig.systems.called(operation)) == 1
    assert "401" in fulfilment(rig)["reason"]
    rig.restart()
    rig.work(3000)
    assert fulfilment(rig)["status"] == "in_progress"


def test_mistake_of_ours_parks_one_order(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    journey = rig.integrator.worker._journey
    advance = journey.advance

    def mistaken(order: Any) -> None:
        if order.number == NUMBER:
            raise ZeroDivisionError
        advance(order)

    monkeypatch.setattr(journey, "advance", mistaken)
    rig.systems.place()
    rig.deliver()
    rig.carry("2025-4472", seconds=299)
    assert fulfilment(rig)["reason"] == "integrator: ZeroDivisionError"
    assert fulfilment(rig, "2025-4472")["status"] == "in_progress"


def test_waiting_survives_a_restart(rig: Any) -> None:
    rig.systems.answer("create_invoice", 429, {"Retry-After": "100"})
    rig.carry()
    rig.restart()
    rig.deliver("order.placed")
    rig.work(99)
    assert len(rig.systems.called("create_invoice")) == 1
    rig.work(2)
    assert fulfilment(rig)["status"] == "in_progress"


def test_event_during_a_look_is_not_lost(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.systems.place()
    rig.deliver()
    original = rig.systems._set_fulfilment

    def cancelled_meanwhile(number: str, body: Any, query: Any) -> Any:
        answer = original(number, body, query)
        rig.systems.change(status="cancelled")
        rig.deliver("order.cancelled")
        return answer

    monkeypatch.setattr(rig.systems, "_set_fulfilment", cancelled_meanwhile)
    rig.work()
    assert rig.systems.shipments[0]["status"] == "cancelled"
    assert rig.systems.invoices[0]["status"] == "void"


def test_step_says_when_the_next_thing_is_due(rig: Any) -> None:
    assert rig.integrator.worker.step() == rig.clock.now() + 300
    rig.systems.answer("create_invoice", 429, {"Retry-After": "10"})
    rig.carry()
    due = rig.integrator.worker.step()
    assert 10 <= due - rig.clock.now() <= 11


def test_second_thread_does_not_step(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.systems.place()
    rig.deliver()
    seen: list[Any] = []
    original = rig.systems._get_order
    monkeypatch.setattr(
        rig.systems, "_get_order", lambda *args: (seen.append(rig.integrator.worker.step()), original(*args))[1]
    )
    rig.work()
    assert seen == [None]


def test_run_works_when_woken_and_stops_when_told(rig: Any) -> None:
    stop = threading.Event()
    done = threading.Event()
    original = rig.systems._set_fulfilment

    def report(*args: Any) -> Any:
        done.set()
        return original(*args)

    rig.systems._set_fulfilment = report
    thread = threading.Thread(target=rig.integrator.worker.run, args=(stop,))
    thread.start()
    rig.systems.place()
    assert rig.deliver() == 204
    assert done.wait(10)
    stop.set()
    rig.integrator.worker.wake()
    thread.join(10)
    assert not thread.is_alive()
    assert fulfilment(rig)["status"] == "in_progress"
