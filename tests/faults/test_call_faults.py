"""Faults on calls in virtual time: what is left behind, what the caller sees, and what the journal says about it."""

from __future__ import annotations

from contextlib import nullcontext
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
import requests

from tests.faults.desk import KEY, MARK, Desk

# Every fault that refuses, with what a caller of `requests` sees of it: a status or an exception.
REFUSING: list[tuple[str, dict[str, Any], int | type[Exception]]] = [
    ("rate_limited", {}, 429),
    ("rate_limited", {"retry_after": "90s", "format": "http-date"}, 429),
    ("server_error", {"effect": "none"}, 500),
    ("server_error", {"effect": "none", "status": 503, "retry_after": "2s"}, 503),
    ("timeout", {"effect": "none"}, requests.ReadTimeout),
    ("reset", {"effect": "none"}, requests.ConnectionError),
    ("unauthorized", {}, 401),
    ("conflict", {}, 409),
    ("redirect", {}, 307),
    ("outage", {"calls": 1}, 503),
    ("outage", {"calls": 1, "how": "timeout"}, requests.ReadTimeout),
    ("outage", {"calls": 1, "how": "reset"}, requests.ConnectionError),
]
# Every fault that lets the work be done.
DONE: list[tuple[str, dict[str, Any], int | type[Exception]]] = [
    ("none", {}, 201),
    ("server_error", {"effect": "applied"}, 500),
    ("server_error", {"effect": "applied", "status": 504}, 504),
    ("timeout", {"effect": "applied"}, requests.ReadTimeout),
    ("reset", {"effect": "applied"}, requests.ConnectionError),
    ("truncated", {}, requests.exceptions.ChunkedEncodingError),
    ("truncated", {"at": 0}, requests.exceptions.ChunkedEncodingError),
    ("malformed", {}, 201),
    ("slow", {}, 201),
    ("slow", {"distribution": "uniform", "lower": "1s", "upper": "2s"}, 201),
    ("slow", {"drip": "10ms", "size": 16}, 201),
    ("schema_drift", {}, 201),
    ("repeated_request", {}, 201),
    ("repeated_request", {"answer": "second"}, 201),
]
LOST = {"timeout": "lost", "reset": "reset", "truncated": "cut"}


def named(case: Any) -> str | None:
    return case if isinstance(case, str) else None


def seen(desk: Desk, expected: int | type[Exception]) -> requests.Response | None:
    """What the caller of a faulty call gets, which is as expected."""
    if isinstance(expected, int):
        response = desk.invoice()
        assert response.status_code == expected
        return response
    with pytest.raises(expected):
        desk.invoice()
    return None


@pytest.mark.parametrize(("fault", "parameters", "expected"), REFUSING, ids=named)
def test_effect_none_leaves_nothing(desk: Desk, fault: str, parameters: Any, expected: Any) -> None:
    desk.invoice("before")
    before = desk.world.state()
    desk.world.inject("accounting.create_invoice", fault, key=KEY, **parameters)
    response = seen(desk, expected)
    [entry] = [entry for entry in desk.entries("create_invoice") if entry["address"]["key"] == KEY]
    assert desk.world.state() == before
    assert (entry["effect"], entry["changes"], entry["events"]) == ("none", [], [])
    assert entry["fault"]["inject"] == fault
    assert entry["request"]["body"]["order_number"] == KEY
    if response is None:
        assert entry["answer"]["status"] is None
        assert entry["answer"]["outcome"] in ("lost", "reset")
    else:
        assert response.headers[MARK] == fault
        assert entry["answer"]["outcome"] == "sent"
    # The key is not used up: the next try is the first that does the work.
    again = desk.invoice()
    assert (again.status_code, again.headers.get("Idempotent-Replayed"), MARK in again.headers) == (201, None, False)


@pytest.mark.parametrize(("fault", "parameters", "expected"), DONE, ids=named)
def test_effect_applied_leaves_what_a_good_answer_leaves(
    desk: Desk, twin: Desk, fault: str, parameters: Any, expected: Any
) -> None:
    good = twin.invoice()
    desk.world.inject("accounting.create_invoice", fault, **parameters)
    response = seen(desk, expected)
    assert desk.world.state() == twin.world.state()
    entry, plain = desk.entries("create_invoice")[0], twin.entries("create_invoice")[0]
    assert (entry["effect"], entry["changes"]) == ("applied", plain["changes"])
    assert entry["fault"]["inject"] == fault
    assert entry["answer"]["outcome"] == LOST.get(fault, "sent")
    if response is None:
        assert entry["answer"]["body"] == plain["answer"]["body"]
    # Whoever asks again with the same key gets the answer that was lost or spoilt, and no second effect.
    again = desk.invoice()
    assert (again.status_code, again.headers["Idempotent-Replayed"], again.json()) == (201, "true", good.json())
    assert desk.world.state() == twin.world.state()


@pytest.mark.parametrize(("fault", "parameters", "expected"), DONE, ids=named)
def test_events_follow_the_effect(desk: Desk, twin: Desk, fault: str, parameters: Any, expected: Any) -> None:
    for each in (desk, twin):
        each.order()
    desk.world.inject("shop.pay_order", fault, **parameters)
    paid = twin.call("POST", "shop", f"/orders/{KEY}/pay")
    assert paid.status_code == 200
    with pytest.raises(expected) if isinstance(expected, type) else nullcontext():
        desk.call("POST", "shop", f"/orders/{KEY}/pay")
    assert desk.entries("pay_order")[0]["events"] == twin.entries("pay_order")[0]["events"] != []
    assert desk.world.state() == twin.world.state()


def test_a_refused_call_leaves_nothing_with_any_effect(desk: Desk) -> None:
    desk.world.inject("accounting.create_invoice", "timeout", effect="applied")
    with pytest.raises(requests.ReadTimeout):
        desk.invoice(headers={"Authorization": "Bearer wrong"})
    [entry] = desk.entries("create_invoice")
    assert (entry["effect"], entry["answer"]["status"], entry["answer"]["outcome"]) == ("none", 401, "lost")
    assert desk.world.state() == {}


class TestWhatTheCallerSees:
    def test_rate_limited_says_what_the_system_itself_would_say(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "rate_limited", retry_after="7s")
        response = desk.invoice()
        policy = desk.invoice().headers["RateLimit-Policy"]
        assert response.headers["RateLimit-Policy"] == policy
        assert response.headers["RateLimit"] == '"default";r=0;t=7'
        assert response.headers["Retry-After"] == "7"
        assert response.json()["type"].endswith("#quota-exceeded")

    def test_a_date_to_come_again(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "rate_limited", retry_after="90s", format="http-date")
        response = desk.invoice()
        assert parsedate_to_datetime(response.headers["Retry-After"]).timestamp() == desk.sandbox.now + 90

    def test_conflict_says_what_the_system_itself_would_say(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "conflict")
        response = desk.invoice()
        assert response.json()["type"] == "/problems/idempotency-key-in-progress"
        assert response.headers["Retry-After"] == "1"

    @pytest.mark.parametrize(
        ("system", "operation", "method", "path", "challenge"),
        [
            ("shop", "list_orders", "GET", "/orders", 'ApiKey realm="shop", in="header", name="X-Shop-Api-Key"'),
            ("accounting", "list_invoices", "GET", "/invoices", 'Bearer realm="accounting", error="invalid_token"'),
            ("crm", "get_customer", "GET", "/customers/cus_1", 'Bearer realm="crm", error="invalid_token"'),
            (
                "shipping",
                "list_shipments",
                "GET",
                "/shipments",
                'ApiKey realm="shipping", in="header", name="X-Carrier-Key"',
            ),
        ],
    )
    def test_unauthorized_challenges_by_the_operations_scheme(
        self, desk: Desk, system: str, operation: str, method: str, path: str, challenge: str
    ) -> None:
        desk.world.inject(f"{system}.{operation}", "unauthorized")
        response = desk.call(method, system, path)
        assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, challenge)
        assert response.headers["Content-Type"] == "application/problem+json"

    def test_even_the_token_operation_can_be_unauthorized(self, desk: Desk) -> None:
        desk.world.inject("crm.issue_token", "unauthorized")
        response = desk.token()
        assert (response.status_code, response.headers["WWW-Authenticate"][:11]) == (401, "Basic realm")

    def test_server_errors_are_problems(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "server_error", status=502)
        response = desk.invoice()
        problem = response.json()
        assert (problem["status"], problem["title"], problem["instance"]) == (502, "Bad Gateway", "/invoices")

    def test_a_lost_connection_is_the_same_as_on_a_socket(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "reset")
        with pytest.raises(requests.ConnectionError, match="Connection reset by peer") as caught:
            desk.invoice()
        assert isinstance(caught.value.args[0].args[1], ConnectionResetError)

    def test_a_cut_body_is_the_same_as_on_a_socket(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "truncated", at=10)
        with pytest.raises(requests.exceptions.ChunkedEncodingError, match="10 bytes read"):
            desk.invoice()

    def test_what_arrives_of_a_cut_body_can_be_read(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "truncated", at=10)
        response = desk.invoice(stream=True)
        assert (response.status_code, response.headers[MARK]) == (201, "truncated")
        assert response.raw.read1(100) == b'{"id":"inv'
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            _ = response.content

    def test_malformed(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "malformed", body='{"id": ')
        response = desk.invoice()
        assert (response.headers["Content-Type"], response.text) == ("application/json", '{"id": ')
        assert response.headers["Location"].startswith("/accounting/invoices/inv_")
        assert desk.entries("create_invoice")[0]["answer"]["body"] == '{"id": '
        with pytest.raises(requests.JSONDecodeError):
            response.json()

    def test_who_follows_a_redirect_is_seen(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "redirect")
        response = desk.invoice(allow_redirects=True)
        assert [hop.status_code for hop in response.history] == [307]
        first, second = desk.world.entries()
        assert second["request"]["path"] == "/elsewhere/invoices"
        assert second["request"]["body"] is None or second["request"]["body"] == first["request"]["body"]
        assert second["request"]["headers"]["authorization"] == "Bearer [secret:accounting]"
        assert (second["answer"]["status"], second["effect"]) == (404, "none")

    def test_redirect_keeps_the_query_and_goes_where_it_is_told(self, desk: Desk) -> None:
        desk.world.inject("accounting.list_invoices", "redirect", key="a b")
        response = desk.call("GET", "accounting", "/invoices?order_number=a%20b")
        assert response.headers["Location"] == "/accounting/elsewhere/invoices?order_number=a%20b"
        desk.world.inject("accounting.list_invoices", "redirect", key="c", location="https://other.example/")
        response = desk.call("GET", "accounting", "/invoices?order_number=c")
        assert response.headers["Location"] == "https://other.example/"

    def test_schema_drift(self, desk: Desk) -> None:
        rename, add = {"/customer": "buyer", "/lines/*/net_amount": "net"}, {"/lines/0/colour": "red"}
        desk.world.inject("accounting.create_invoice", "schema_drift", rename=rename, remove="currency", add=add)
        response = desk.invoice()
        body = response.json()
        assert "customer" not in body
        assert "currency" not in body
        assert body["lines"] == [
            {"description": "Desk lamp", "quantity": 1, "net": 60.0, "tax_rate": 19, "colour": "red"}
        ]
        assert body["buyer"]["name"] == "Ada Example"
        assert response.headers["Content-Length"] == str(len(response.content))
        # What is personal stays hidden in the journal, under whatever name it goes.
        shown = desk.entries("create_invoice")[0]["answer"]["body"]
        assert shown["buyer"]["name"].startswith("[personal:")
        assert "Ada Example" not in str(desk.world.entries())

    def test_what_a_fault_does_not_touch_is_not_marked(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "slow", delay="1s", key="slow")
        desk.world.inject("accounting.create_invoice", "schema_drift", remove="/nowhere", key="same")
        assert MARK not in desk.invoice("slow").headers
        assert MARK not in desk.invoice("same").headers


class TestSlow:
    def test_time_passes_on_the_worlds_clock(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "slow", delay="25s")
        start = desk.sandbox.now
        assert desk.invoice().status_code == 201
        assert desk.sandbox.now == start + 25
        entry = desk.entries("create_invoice")[0]
        assert (entry["at"], entry["answer"]["at"]) == (start, start + 25)

    def test_the_draw_follows_the_seed_and_the_address(self, desk: Desk, twin: Desk) -> None:
        waited = []
        for each, order in ((desk, ("a", "b")), (twin, ("b", "a"))):
            each.world.inject("accounting.create_invoice", "slow", distribution="exponential", mean="2s")
            spent = {}
            for key in order:
                start = each.sandbox.now
                each.invoice(key)
                spent[key] = pytest.approx(each.sandbox.now - start, abs=1e-4)
            waited.append(spent)
        assert waited[0] == waited[1]
        assert waited[0]["a"] != waited[0]["b"]

    def test_a_caller_who_leaves_is_noted(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "slow", delay="10m")
        start = desk.sandbox.now
        with pytest.raises(requests.ReadTimeout):
            desk.invoice()
        entry = desk.entries("create_invoice")[0]
        assert (entry["effect"], entry["answer"]["status"], entry["answer"]["outcome"]) == ("applied", 201, "lost")
        assert entry["answer"]["at"] == entry["left_at"] == start + 30

    def test_a_silent_call_notes_when_its_caller_left(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "timeout")
        start = desk.sandbox.now
        with pytest.raises(requests.ReadTimeout):
            desk.invoice(timeout=(3, 12))
        entry = desk.entries("create_invoice")[0]
        assert (entry["answer"]["at"], entry["left_at"]) == (start, start + 12)

    def test_dripping_keeps_a_patient_caller(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "slow", drip="29s", size=100)
        start = desk.sandbox.now
        response = desk.invoice()
        pieces = -(-len(response.content) // 100)
        assert response.json()["order_number"] == KEY
        assert desk.sandbox.now == start + 29 * pieces
        assert desk.entries("create_invoice")[0]["answer"]["outcome"] == "sent"

    def test_dripping_loses_one_in_a_hurry(self, desk: Desk) -> None:
        desk.world.inject("accounting.create_invoice", "slow", drip="31s", size=100)
        with pytest.raises(requests.ConnectionError, match="timed out"):
            desk.invoice()
        entry = desk.entries("create_invoice")[0]
        assert (entry["effect"], entry["answer"]["outcome"]) == ("applied", "cut")
