"""An order's way through all systems, and what it survives."""

from __future__ import annotations

from typing import Any

import pytest

NUMBER = "2025-4471"
CREATING = ["create_customer", "create_activity", "create_invoice", "create_shipment"]
ALL_STEPS = ["get_order", "issue_token", *CREATING, "set_fulfilment"]


def assert_complete(rig: Any, orders: int = 1) -> None:
    """One of everything for each order, and the shop knows it."""
    systems = rig.systems
    assert len(systems.customers) == 1
    assert [len(records) for records in (systems.activities, systems.invoices, systems.shipments)] == [orders] * 3
    assert {order["fulfilment"]["status"] for order in systems.orders.values()} == {"in_progress"}
    assert systems.orders[NUMBER]["fulfilment"]["tracking_number"] == systems.shipments[0]["tracking_number"]


def operations(rig: Any) -> list[str]:
    return [call.operation for call in rig.systems.calls if call.operation != "list_orders"]


def test_paid_order_travels(rig: Any) -> None:
    rig.carry()
    assert operations(rig) == ALL_STEPS
    assert_complete(rig)


def test_each_system_gets_only_what_it_needs(rig: Any) -> None:
    rig.carry()
    systems = rig.systems
    assert systems.called("create_customer")[0].body == {"name": "Martha Klein", "email": "martha@example.com"}
    assert systems.called("create_activity")[0].body == {"type": "order_placed", "order_number": NUMBER}
    invoice = systems.called("create_invoice")[0].body
    assert invoice["customer"]["name"] == "Example Ltd"
    assert invoice["customer"]["billing_address"].keys() == {"street", "postal_code", "city", "country"}
    assert invoice["amount_net"] == 640.0
    assert sum(line["net_amount"] for line in invoice["lines"]) == 640.0
    shipment = systems.called("create_shipment")[0].body
    assert shipment.keys() == {"reference", "recipient"}
    assert shipment["recipient"]["address"]["additional_line"] == "Gate 3"


def test_credentials_stay_with_their_system(rig: Any) -> None:
    rig.carry()
    for call in rig.systems.calls:
        secrets = {name for name in ("X-Shop-Api-Key", "X-Carrier-Key", "Authorization") if name in call.headers}
        assert len(secrets) == 1
        assert "key" not in call.url
        assert "token" not in call.url.removesuffix("/oauth/token")
        assert "@" not in call.url


def test_one_trace_through_all_systems(rig: Any) -> None:
    rig.carry()
    parents = [call.headers["traceparent"] for call in rig.systems.calls if call.operation != "list_orders"]
    assert len({parent.split("-")[1] for parent in parents}) == 1
    assert len(set(parents)) == len(parents)


def test_unpaid_order_does_not_travel(rig: Any) -> None:
    rig.systems.place(paid=False)
    rig.deliver("order.placed")
    rig.work()
    assert operations(rig) == ["get_order"]
    rig.systems.change(paid=True, status="paid")
    rig.deliver()
    rig.work()
    assert_complete(rig)


def test_second_order_of_a_customer(rig: Any) -> None:
    rig.carry()
    rig.carry("2025-4472")
    assert_complete(rig, orders=2)


def test_customer_is_searched_when_the_conflict_does_not_name_them(rig: Any) -> None:
    rig.carry()
    rig.systems.answer("create_customer", 409, kind="/problems/duplicate-email")
    rig.carry("2025-4472")
    assert len(rig.systems.called("search_customers")) == 1
    assert_complete(rig, orders=2)


@pytest.mark.parametrize("operation", ALL_STEPS)
def test_lost_answer(rig: Any, operation: str) -> None:
    rig.systems.lose(operation)
    rig.carry(seconds=10)
    assert_complete(rig)
    assert len({(call.key, str(call.body)) for call in rig.systems.called(operation)}) == 1


@pytest.mark.parametrize("applied", [False, True])
@pytest.mark.parametrize("operation", ALL_STEPS)
def test_death_and_restart(rig: Any, operation: str, applied: bool) -> None:
    rig.systems.crash(operation, applied=applied)
    rig.carry(seconds=10)
    assert_complete(rig)
    if operation in CREATING:
        first, second = rig.systems.called(operation)
        assert (first.key, first.body) == (second.key, second.body)


@pytest.mark.parametrize("operation", CREATING)
def test_same_body_with_the_same_key_although_the_order_changed(rig: Any, operation: str) -> None:
    rig.systems.lose(operation)
    rig.carry()
    rig.systems.change(delivery_address=rig.systems.orders[NUMBER]["delivery_address"] | {"street": "1 New Street"})
    rig.systems.orders[NUMBER]["items"][1]["status"] = "cancelled"
    rig.deliver("order.address_changed")
    rig.work(10)
    first, second = rig.systems.called(operation)
    assert (first.key, first.body) == (second.key, second.body)
    assert rig.systems.shipments[0]["recipient"]["address"]["street"] == "1 New Street"
    assert_complete(rig)


def test_answer_without_a_needed_field_is_asked_for_again(rig: Any) -> None:
    rig.systems.garble("create_invoice", {"identifier": "inv_0"})
    rig.systems.garble("get_order", {"order_number": NUMBER})
    rig.carry(seconds=10)
    assert_complete(rig)


def test_new_address(rig: Any) -> None:
    rig.carry()
    address = rig.systems.orders[NUMBER]["delivery_address"]
    for street in ("1 New Street", "7 Quay Road"):
        rig.systems.change(delivery_address=address | {"street": street, "name": "Ada Example"})
        rig.deliver("order.address_changed")
        rig.work()
        assert rig.systems.shipments[0]["recipient"] == {
            "name": "Ada Example",
            "address": {name: value for name, value in address.items() if name != "name"} | {"street": street},
        }
    assert len(rig.systems.called("replace_address")) == 2


def test_address_that_changes_back_while_the_first_change_is_unanswered(rig: Any) -> None:
    rig.carry()
    address = rig.systems.orders[NUMBER]["delivery_address"]
    rig.systems.lose("replace_address")
    rig.systems.change(delivery_address=address | {"street": "1 New Street"})
    rig.deliver("order.address_changed")
    rig.work()
    rig.systems.change(delivery_address=address)
    rig.work(10)
    assert rig.systems.shipments[0]["recipient"]["address"]["street"] == address["street"]


def test_cancelled_line_is_credited(rig: Any) -> None:
    rig.carry()
    for item in (1, 0):
        rig.systems.lose("create_credit_note")
        rig.systems.orders[NUMBER]["items"][item]["status"] = "cancelled"
        rig.systems.change()
        rig.deliver("order.line_item_cancelled")
        rig.work(10)
    assert [note["lines"][0]["net_amount"] for note in rig.systems.credit_notes] == [150.0, 490.0]
    assert_complete(rig)


def test_line_cancelled_before_the_invoice_is_not_invoiced(rig: Any) -> None:
    order = rig.systems.place()
    order["items"][1]["status"] = "cancelled"
    rig.deliver()
    rig.work()
    assert [line["net_amount"] for line in rig.systems.invoices[0]["lines"]] == [490.0]
    assert rig.systems.credit_notes == []


def cancel(rig: Any) -> None:
    rig.systems.change(status="cancelled")
    rig.deliver("order.cancelled")
    rig.work(10)


@pytest.mark.parametrize("operation", ["cancel_shipment", "void_invoice"])
def test_cancelled_order_is_taken_back(rig: Any, operation: str) -> None:
    rig.carry()
    rig.systems.lose(operation)
    cancel(rig)
    assert rig.systems.shipments[0]["status"] == "cancelled"
    assert rig.systems.invoices[0]["status"] == "void"


@pytest.mark.parametrize("operation", ["create_invoice", "create_shipment"])
def test_cancelled_while_a_creation_is_unanswered(rig: Any, operation: str) -> None:
    rig.systems.lose(operation)
    rig.carry()
    cancel(rig)
    assert [shipment["status"] for shipment in rig.systems.shipments] in ([], ["cancelled"])
    assert [invoice["status"] for invoice in rig.systems.invoices] == ["void"]


def test_cancelled_before_anything_was_done(rig: Any) -> None:
    rig.systems.place()
    cancel(rig)
    assert operations(rig) == ["get_order"]


def test_paid_invoice_of_a_cancelled_order_is_credited(rig: Any) -> None:
    rig.carry()
    rig.systems.invoices[0]["status"] = "paid"
    cancel(rig)
    assert [line["net_amount"] for line in rig.systems.credit_notes[0]["lines"]] == [490.0, 150.0]


def test_parcel_that_has_left_is_for_a_person(rig: Any) -> None:
    rig.carry()
    rig.systems.shipments[0]["status"] = "picked_up"
    cancel(rig)
    rig.deliver("order.cancelled")
    rig.work(10)
    assert rig.systems.orders[NUMBER]["fulfilment"] == {
        "status": "on_hold",
        "reason": "the order was cancelled after the carrier had picked the parcel up",
    }
    assert len(rig.systems.called("cancel_shipment")) == 1


def test_events_out_of_order(rig: Any) -> None:
    rig.systems.place()
    rig.systems.change(status="cancelled")
    for event in ("order.cancelled", "order.paid", "order.placed"):
        rig.deliver(event)
        rig.work()
    assert set(operations(rig)) == {"get_order"}


def test_stale_order_is_read_again(rig: Any) -> None:
    order = rig.systems.place(paid=False)
    rig.systems.garble("get_order", dict(order))
    rig.clock.time += 1
    rig.systems.change(paid=True, status="paid")
    rig.deliver()
    rig.work(10)
    assert_complete(rig)


def test_order_that_the_shop_does_not_know_yet(rig: Any) -> None:
    rig.systems.answer("get_order", 404)
    rig.carry(seconds=10)
    assert_complete(rig)


def test_fulfilment_is_not_turned_back(rig: Any) -> None:
    rig.carry()
    rig.systems.change(fulfilment=rig.systems.orders[NUMBER]["fulfilment"] | {"status": "shipped"})
    rig.deliver("order.paid")
    rig.work()
    assert len(rig.systems.called("set_fulfilment")) == 1


def test_lost_database_doubles_nothing(rig: Any) -> None:
    rig.carry()
    rig.clock.time += 1
    rig.lose_database()
    rig.work()
    assert_complete(rig)
    rig.systems.orders[NUMBER]["items"][0]["status"] = "cancelled"
    rig.systems.change()
    rig.deliver("order.line_item_cancelled")
    rig.work()
    rig.lose_database()
    cancel(rig)
    assert len(rig.systems.credit_notes) == 1
    assert rig.systems.shipments[0]["status"] == "cancelled"
    assert rig.systems.invoices[0]["status"] == "void"


def test_two_invoices_after_a_lost_database_are_for_a_person(rig: Any) -> None:
    rig.carry()
    rig.systems.invoices.append(rig.systems.invoices[0] | {"id": "inv_9"})
    rig.clock.time += 1
    rig.lose_database()
    rig.work()
    assert rig.systems.orders[NUMBER]["fulfilment"]["reason"] == "accounting has 2 invoices of this order"
