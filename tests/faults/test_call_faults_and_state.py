"""Faults on calls that turn on what a system holds: former states, repetitions, outages, answers without a body."""

from __future__ import annotations

import pytest
import requests

from sandbox.errors import PlanError
from tests.faults.desk import CUSTOMER, KEY, MARK, Desk


class TestStaleRead:
    def test_shows_the_state_before_the_last_change_once(self, desk: Desk) -> None:
        desk.order()
        before = desk.call("GET", "shop", f"/orders/{KEY}")
        desk.sandbox.run(5)
        desk.call("POST", "shop", f"/orders/{KEY}/pay")
        desk.world.inject("shop.get_order", "stale_read", key=KEY, occurrence=2)
        stale, fresh = desk.call("GET", "shop", f"/orders/{KEY}"), desk.call("GET", "shop", f"/orders/{KEY}")
        assert stale.json() == before.json()
        assert stale.headers["ETag"] == before.headers["ETag"] != fresh.headers["ETag"]
        assert (stale.headers[MARK], MARK in fresh.headers) == ("stale_read", False)
        assert fresh.json() == desk.world.state()["shop"]["orders"][0] | fresh.json()
        assert fresh.json() != before.json()
        assert desk.entries("get_order")[1]["effect"] == "none"

    def test_a_change_about_another_key_is_no_change(self, desk: Desk) -> None:
        desk.invoice("a")
        desk.invoice("b")
        desk.world.inject("accounting.list_invoices", "stale_read", occurrence="any")
        path = "/invoices?order_number="
        assert desk.call("GET", "accounting", f"{path}a").json()["invoices"] == []
        assert desk.call("GET", "accounting", f"{path}b").json()["invoices"] == []
        # Without a key it is the last change of the system that counts.
        assert [found["order_number"] for found in desk.call("GET", "accounting", "/invoices").json()["invoices"]] == [
            "a"
        ]

    def test_what_was_just_created_is_not_there_yet(self, desk: Desk) -> None:
        number = desk.invoice().json()["id"]
        desk.world.inject("accounting.get_invoice", "stale_read")
        response = desk.call("GET", "accounting", f"/invoices/{number}")
        assert (response.status_code, response.headers[MARK]) == (404, "stale_read")
        assert desk.call("GET", "accounting", f"/invoices/{number}").status_code == 200

    def test_what_was_just_deleted_is_still_there(self, desk: Desk) -> None:
        customer = desk.call("POST", "crm", "/customers", CUSTOMER, headers={"Idempotency-Key": "c"}).json()
        path = f"/customers/{customer['customer_id']}"
        assert desk.call("DELETE", "crm", path).status_code == 204
        desk.world.inject("crm.get_customer", "stale_read")
        assert [desk.call("GET", "crm", path).status_code for _ in range(2)] == [200, 404]

    def test_what_never_changed_reads_as_it_is(self, desk: Desk) -> None:
        products = desk.call("GET", "shop", "/products").json()
        desk.world.inject("shop.list_products", "stale_read", occurrence=2)
        assert desk.call("GET", "shop", "/products").json() == products != {"products": []}

    def test_only_the_last_change_is_missing(self, desk: Desk) -> None:
        desk.order()
        desk.call("POST", "shop", f"/orders/{KEY}/pay")
        paid = desk.call("GET", "shop", f"/orders/{KEY}").json()
        fulfilment = {"status": "in_progress"}
        changed = desk.call("PUT", "shop", f"/orders/{KEY}/fulfilment", fulfilment)
        assert changed.ok, changed.text
        desk.world.inject("shop.get_order", "stale_read", occurrence=2)
        assert desk.call("GET", "shop", f"/orders/{KEY}").json() == paid

    def test_writes_are_not_for_it(self, desk: Desk) -> None:
        with pytest.raises(PlanError, match="fault on reading"):
            desk.world.inject("accounting.create_invoice", "stale_read")


class TestRepeatedRequest:
    def test_arrives_twice(self, desk: Desk) -> None:
        desk.world.inject("shop.place_order", "repeated_request")
        assert desk.order().status_code == 201
        first, second = desk.entries("place_order")
        assert (first["address"]["occurrence"], second["address"]["occurrence"]) == (1, 2)
        assert (first["answer"]["outcome"], second["answer"]["outcome"]) == ("sent", "lost")
        assert (first["fault"]["inject"], second["fault"]) == ("repeated_request", None)
        assert second["repeat_of"] == first["seq"]
        assert "repeat_of" not in first
        assert second["request"] == first["request"]
        assert second["answer"]["status"] == 409

    def test_the_second_answer_can_be_the_one_that_is_seen(self, desk: Desk) -> None:
        desk.world.inject("shop.place_order", "repeated_request", answer="second")
        assert desk.order().status_code == 409
        assert [order["order_number"] for order in desk.world.state()["shop"]["orders"]] == [KEY]

    def test_a_key_makes_it_harmless(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "repeated_request", answer="second")
        response = desk.invoice()
        assert (response.status_code, response.headers["Idempotent-Replayed"]) == (201, "true")
        assert [entry["effect"] for entry in desk.entries("create_invoice")] == ["applied", "none"]

    def test_without_a_key_it_doubles(self, desk: Desk) -> None:
        customer = desk.call("POST", "crm", "/customers", CUSTOMER, headers={"Idempotency-Key": "c"}).json()
        desk.world.inject("crm.create_activity", "repeated_request")
        activity = {"type": "mail_sent", "note": "Twice"}
        response = desk.call("POST", "crm", f"/customers/{customer['customer_id']}/activities", activity)
        assert response.status_code == 201, response.text
        assert len(desk.world.state()["crm"]["activities"]) == 2
        assert [entry["effect"] for entry in desk.entries("create_activity")] == ["applied", "applied"]

    def test_the_repetition_meets_no_fault(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "repeated_request", occurrence=1)
        desk.world.inject("accounting.create_invoice", "timeout", occurrence=2)
        assert desk.invoice().status_code == 201
        assert [entry["fault"] is None for entry in desk.entries("create_invoice")] == [False, True]
        assert desk.invoice().status_code == 201


class TestOutage:
    def test_a_span_of_time(self, desk: Desk) -> None:
        desk.world.inject("accounting", "outage", key=KEY, for_="10m")
        assert desk.invoice("other").status_code == 201
        assert desk.invoice().status_code == 503
        assert desk.invoice("third").status_code == 503
        assert desk.call("GET", "accounting", "/invoices").status_code == 503
        assert desk.call("GET", "shop", "/orders").status_code == 200
        desk.sandbox.run(599)
        assert desk.invoice("third").status_code == 503
        desk.sandbox.run(1)
        assert desk.invoice("third").status_code == 201
        assert desk.invoice().status_code == 201

    def test_a_number_of_calls(self, desk: Desk) -> None:
        desk.world.inject("accounting", "outage", calls=3, how="reset")
        for _ in range(3):
            with pytest.raises(requests.ConnectionError):
                desk.invoice()
        assert desk.invoice().status_code == 201
        assert {entry["fault"] and entry["fault"]["inject"] for entry in desk.entries("create_invoice")} == {
            "outage",
            None,
        }


class TestNoBody:
    def delete(self, desk: Desk, fault: str) -> requests.Response:
        customer = desk.call("POST", "crm", "/customers", CUSTOMER, headers={"Idempotency-Key": "c"}).json()
        desk.world.inject("crm.delete_customer", fault)
        return desk.call("DELETE", "crm", f"/customers/{customer['customer_id']}")

    def test_cut(self, desk: Desk) -> None:
        with pytest.raises(requests.ConnectionError, match="without response"):
            self.delete(desk, "truncated")
        [entry] = desk.entries("delete_customer")
        assert (entry["effect"], entry["answer"]["status"], entry["answer"]["outcome"]) == ("applied", 204, "cut")

    def test_malformed(self, desk: Desk) -> None:
        response = self.delete(desk, "malformed")
        assert (response.status_code, response.headers[MARK]) == (200, "malformed")
        assert response.text.startswith("<html>")

    def test_dripped(self, desk: Desk) -> None:
        desk.world.inject("crm.delete_customer", "slow", drip="1s")
        assert self.delete(desk, "none").status_code == 204


def test_a_failed_lookup_may_be_cut_as_well(desk: Desk) -> None:
    desk.world.inject("accounting.get_invoice", "truncated")
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        desk.call("GET", "accounting", "/invoices/inv_nothing00000")
    assert desk.entries("get_invoice")[0]["answer"]["status"] == 404
