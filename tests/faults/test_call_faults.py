"""Faults on calls in virtual time: what is left behind, what the caller sees, and what the journal says about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.errors import PlanError
from sandbox.inprocess import InProcess
from sandbox.project import Project
from sandbox.world import World

KEY = "2025-4471"
SEED = 3
MARK = "Sandbox-Fault"
ORDER = {
    "order_number": KEY,
    "customer": "Example Ltd",
    "amount_net": 60.00,
    "currency": "EUR",
    "line_items": 1,
    "paid": False,
}
ADDRESS = {"street": "Musterweg 3", "postal_code": "10115", "city": "Berlin", "country": "DE"}
INVOICE = {
    "order_number": KEY,
    "currency": "EUR",
    "customer": {"name": "Ada Example", "billing_address": ADDRESS},
    "lines": [{"description": "Desk lamp", "quantity": 1, "net_amount": 60.00, "tax_rate": 19}],
    "amount_net": 60.00,
}
CUSTOMER = {"name": "Ada Example", "email": "ada@example.com"}

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


class Desk:
    """A sandbox in memory, begun anew, and somebody who calls its systems."""

    def __init__(self, sandbox: InProcess) -> None:
        self.sandbox = sandbox
        self.sandbox.restart(SEED)
        self.env = self.sandbox.access().environment()
        self.http = self.sandbox.session()
        self._token: str | None = None

    @property
    def world(self) -> World:
        return self.sandbox.world()

    def call(self, method: str, system: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        headers = self.credential(system) | options.pop("headers", {})
        options = {"timeout": 30, "allow_redirects": False} | options
        return self.http.request(
            method, self.env[f"{system.upper()}_URL"] + path, json=body, headers=headers, **options
        )

    def credential(self, system: str) -> dict[str, str]:
        if system == "shop":
            return {"X-Shop-Api-Key": self.env["SHOP_API_KEY"]}
        if system == "shipping":
            return {"X-Carrier-Key": self.env["SHIPPING_API_KEY"]}
        if system == "crm" and self._token is None:
            self._token = self.token().json()["access_token"]
        return {"Authorization": f"Bearer {self._token if system == 'crm' else self.env['ACCOUNTING_TOKEN']}"}

    def token(self) -> requests.Response:
        client = {"client_id": self.env["CRM_CLIENT_ID"], "client_secret": self.env["CRM_CLIENT_SECRET"]}
        form = {"grant_type": "client_credentials"} | client
        return self.http.post(f"{self.env['CRM_URL']}/oauth/token", data=form, timeout=30)

    def invoice(self, key: str = KEY, **options: Any) -> requests.Response:
        options = {"headers": {"Idempotency-Key": f"invoice-{key}"}} | options
        return self.call("POST", "accounting", "/invoices", INVOICE | {"order_number": key}, **options)

    def order(self, **options: Any) -> requests.Response:
        return self.call("POST", "shop", "/orders", ORDER, **options)

    def entries(self, operation: str) -> list[dict[str, Any]]:
        return [entry for entry in self.world.entries() if (entry["address"] or {}).get("operation") == operation]


@pytest.fixture(scope="module")
def sandboxes(checkout: Path) -> Iterator[tuple[InProcess, InProcess]]:
    project = Project.load(checkout)
    pair = InProcess(project, SEED), InProcess(project, SEED)
    yield pair
    for sandbox in pair:
        sandbox.close()


@pytest.fixture
def desk(sandboxes: tuple[InProcess, InProcess]) -> Desk:
    return Desk(sandboxes[0])


@pytest.fixture
def twin(sandboxes: tuple[InProcess, InProcess]) -> Desk:
    """The same sandbox, where nothing goes wrong."""
    return Desk(sandboxes[1])


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
