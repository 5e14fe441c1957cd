"""What journals show of a consumer: departures from the specs, personal data, and what it depends on."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from sandbox.chaos.library import Library
from sandbox.chaos.reference import ReferenceSubject
from sandbox.chaos.runner import Runner
from sandbox.consumer.dependence import OperationUse, Received
from sandbox.consumer.usage import Journal, Usage, usage_of
from sandbox.plan import Plan
from sandbox.project import Project
from sandbox.spec import Spec

NAME, STREET, MAIL, BORN = "[personal:00000001]", "[personal:00000002]", "[personal:00000003]", "[personal:00000004]"
INVOICE: dict[str, Any] = {
    "order_number": "2025-4471",
    "currency": "EUR",
    "amount_net": 20.0,
    "customer": {
        "name": NAME,
        "billing_address": {"street": STREET, "postal_code": STREET, "city": STREET, "country": "DE"},
    },
    "lines": [{"description": "Tea", "quantity": 1, "net_amount": 20.0, "tax_rate": 7}],
}
JSON = {"content-type": "application/json", "idempotency-key": "k-1"}


@pytest.fixture(scope="module")
def specs(project: Project) -> Mapping[str, Spec]:
    return project.specs


@pytest.fixture(scope="module")
def reference(project: Project) -> list[dict[str, Any]]:
    """The journal of the reference integrator, which carried one order through all systems."""
    scenario = Library(project).scenario("one-paid-order")
    return Runner(project, ReferenceSubject()).run(Plan(scenario="one-paid-order", seed=1), scenario).journal


def entry(operation: str, method: str, path: str, body: Any = None, **more: Any) -> dict[str, Any]:
    system, _, name = operation.partition(".")
    headers = JSON if body is not None else {}
    given = {"method": method, "path": path, "query": more.get("query", ""), "headers": headers, "body": body}
    answer = {"status": more.get("status", 200), "headers": {}, "body": more.get("answer"), "outcome": "sent"}
    seq = more.get("seq", 1)
    return {
        "seq": seq,
        "kind": "call",
        "at": float(seq),
        "address": {"system": system, "operation": name, "key": "2025-4471", "occurrence": 1},
        "request": given | {"headers": more.get("headers", headers)},
        "answer": answer | {"at": seq + 0.5},
    }


def invoice(**changed: Any) -> dict[str, Any]:
    """A request that keeps to the spec, but for what is changed; a path such as `customer__email` goes deeper."""
    body = copy.deepcopy(INVOICE)
    for path, value in changed.items():
        *above, last = path.split("__")
        place: Any = body
        for name in above:
            place = place[int(name)] if isinstance(place, list) else place[name]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return entry("accounting.create_invoice", "POST", "/invoices", body, status=201)


def look(specs: Mapping[str, Spec], *entries: dict[str, Any], state: Any = None) -> Usage:
    return usage_of([Journal("j", entries, state or {})], specs)


# Conformity.

GOOD = invoice()
DEPARTURES: list[tuple[str, dict[str, Any], str, str]] = [
    ("no such path", entry("shop.-", "GET", "/basket", status=404), "", "shop has no operation GET /basket"),
    ("no such method", entry("shop.-", "PATCH", "/orders", status=405), "", "the path takes GET, POST"),
    ("unknown field", invoice(colour="red"), "/colour", "is not a known field"),
    ("unknown field with a label", invoice(mail=MAIL), "/mail", "is not a known field"),
    ("unknown field deeper", invoice(lines__0__colour="red"), "/lines/0/colour", "is not a known field"),
    ("missing field", invoice(currency=None), "/currency", "is required"),
    ("missing personal field", invoice(customer__name=None), "/customer/name", "is required"),
    ("wrong type", invoice(amount_net="20"), "/amount_net", "must be of type number"),
    ("out of bounds", invoice(lines__0__quantity=0), "/lines/0/quantity", "must be at least 1"),
    ("wrong pattern", invoice(currency="euro"), "/currency", ""),
    ("no body", entry("accounting.create_invoice", "POST", "/invoices", headers=JSON), "", "the body is required"),
    ("no key", {**GOOD, "request": GOOD["request"] | {"headers": {"content-type": "application/json"}}},
     "Idempotency-Key", "is required in the header"),
    ("wrong content type", {**GOOD, "request": GOOD["request"] | {"headers": JSON | {"content-type": "text/csv"}}},
     "", "the content type is text/csv"),
    ("body that cannot be read", {**GOOD, "request": GOOD["request"] | {"body": "[unreadable: 17 bytes]"}},
     "", "cannot be read"),
    ("body where none is taken", entry("shop.pay_order", "POST", "/orders/2025-4471/pay", {"paid": True}),
     "", "takes no body"),
    ("unknown query parameter", entry("shop.list_orders", "GET", "/orders", query="color=red"), "color", "no query"),
    ("wrong query parameter", entry("shop.list_orders", "GET", "/orders", query="limit=many"), "limit", "integer"),
    ("query parameter twice", entry("shop.list_orders", "GET", "/orders", query="limit=1&limit=2"), "limit", "once"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "pointer", "says"), [case[1:] for case in DEPARTURES], ids=[c[0] for c in DEPARTURES]
)
def test_departure(specs: Mapping[str, Spec], wrong: dict[str, Any], pointer: str, says: str) -> None:
    (found,) = look(specs, wrong).departures
    assert (found.seq, found.pointer) == (1, pointer)
    assert says in found.sentence
    assert "seq 1" in found.sentence


def test_labels_are_not_judged(specs: Mapping[str, Spec]) -> None:
    """`vat_id` and `date_of_birth` have patterns and formats that no label could keep."""
    fine = invoice(customer__date_of_birth=BORN, customer__vat_id=NAME)
    assert look(specs, fine).departures == ()


def test_the_word_of_the_system_counts_where_a_label_hides_the_value(specs: Mapping[str, Spec]) -> None:
    refused = invoice(customer__vat_id=NAME)
    refused["answer"] |= {
        "status": 400,
        "body": {
            "type": "/problems/validation",
            "detail": "…",
            "errors": [{"pointer": "/customer/vat_id", "detail": "must match the pattern ^A"}],
        },
    }
    (found,) = look(specs, refused).departures
    assert found.pointer == "/customer/vat_id"


def test_a_refusal_by_a_business_rule_is_no_departure(specs: Mapping[str, Spec]) -> None:
    refused = invoice()
    refused["answer"] |= {
        "status": 400,
        "body": {"type": "/problems/wrong-sum", "errors": [{"pointer": "/amount_net"}]},
    }
    assert look(specs, refused).departures == ()


def test_fields_are_unknown_even_where_a_spec_does_not_forbid_them(tmp_path: Path) -> None:
    path = tmp_path / "desk.yaml"
    path.write_text(
        """\
openapi: 3.0.3
info: {title: Desk, version: "1"}
paths:
  /notes:
    post:
      operationId: add_note
      requestBody:
        content:
          application/json:
            schema:
              type: object
              properties:
                text: {type: string}
                free: {type: object}
                map: {type: object, additionalProperties: {type: object, properties: {a: {type: string}}}}
      responses: {"204": {description: Done}}
""",
        encoding="utf-8",
    )
    desk = {"desk": Spec.load(path)}
    body = {"text": "t", "txet": "t", "free": {"any": 1}, "map": {"k": {"a": "x", "b": "y"}}}
    found = look(desk, entry("desk.add_note", "POST", "/notes", body)).departures
    assert sorted(departure.pointer for departure in found) == ["/map/k/b", "/txet"]


def test_what_a_customer_of_the_shop_does_is_not_the_integrators(specs: Mapping[str, Spec]) -> None:
    wrong = entry("shop.-", "GET", "/basket", headers={"sandbox-actor": "scenario"})
    found = look(specs, wrong)
    assert (found.departures, found.calls) == ((), 0)
    assert found.doubts == ["the journal has no call of the integrator to a system of the project"]


def test_what_cannot_be_judged_is_said(specs: Mapping[str, Spec]) -> None:
    note = {"seq": 9, "kind": "note", "at": 9.0, "address": None, "text": "…", "dropped": 5}
    found = look(specs, invoice(), entry("bank.pay", "POST", "/payments", {}, seq=2), note)
    assert found.doubts == [
        "1 calls to bank were not judged: the project has no spec of it",
        "5 entries had been dropped from the journal",
    ]


# Data minimisation.


def test_what_no_purpose_covers(specs: Mapping[str, Spec]) -> None:
    found = look(specs, invoice(customer__date_of_birth=BORN), {**invoice(customer__date_of_birth=MAIL), "seq": 2})
    (row,) = found.needless
    assert (row.system, row.operation, row.field) == ("accounting", "create_invoice", "/customer/date_of_birth")
    assert (row.serves, row.purposes) == (("customer_relations",), ("billing",))
    assert (row.times, row.values, row.first) == (2, 2, 1)
    assert len(found.disclosures) == 5


def test_personal_values_in_other_fields_and_in_urls(specs: Mapping[str, Spec]) -> None:
    """What a value serves is known from the answer that showed it; where none did, that is said."""
    order = {"order_number": "2025-4471", "buyer": {"date_of_birth": BORN}}
    found = look(
        specs,
        entry("shop.get_order", "GET", "/orders/2025-4471", answer=order),
        {**invoice(lines__0__description=BORN), "seq": 2},
        entry("crm.list_customers", "GET", "/customers", query=f"email={MAIL}", seq=3),
    )
    rows = {row.field: row for row in found.disclosures}
    assert rows["/lines/*/description"].covered is False
    assert (rows["query email"].serves, rows["query email"].covered) == (None, None)


def test_personal_values_known_from_the_state(specs: Mapping[str, Spec]) -> None:
    state = {"shop": {"orders": [{"order_number": "1", "buyer": {"date_of_birth": "1980-02-03"}}]}}
    found = look(specs, invoice(born="1980-02-03"), state=state)
    assert [row.field for row in found.needless] == ["/born"]


# Dependence.


def used(use: OperationUse) -> dict[str, tuple[str, ...]]:
    return {field.pointer: field.used for field in use.received if field.used}


def field(use: OperationUse, pointer: str) -> Received:
    return next(field for field in use.received if field.pointer == pointer)


def test_the_reference_integrator(specs: Mapping[str, Spec], reference: list[dict[str, Any]]) -> None:
    found = look(specs, *reference)
    assert (found.departures, found.needless, found.doubts) == ((), [], [])
    uses = {f"{use.system}.{use.operation}": use for use in found.operations}
    assert used(uses["crm.create_customer"])["/customer_id"] == ("crm.create_activity path customer_id",)
    assert used(uses["shipping.create_shipment"]) == {
        "/carrier": ("shop.set_fulfilment body /carrier",),
        "/tracking_number": ("shop.set_fulfilment body /tracking_number",),
    }
    assert used(uses["shop.get_order"])["/amount_net"] == ("accounting.create_invoice body /amount_net",)
    assert "crm.create_customer header authorization" in used(uses["crm.issue_token"])["/access_token"]
    assert field(uses["shop.get_order"], "/buyer/phone").used == ()
    assert uses["shop.get_order"].statuses == {"200": 2}
    events = {told.event: told for told in found.events}
    number = next(field for field in events["order.paid"].received if field.pointer == "/data/order_number")
    assert "accounting.create_invoice body /order_number" in number.used


def test_an_echo_is_no_dependence(specs: Mapping[str, Spec]) -> None:
    found = look(
        specs,
        entry("shop.get_order", "GET", "/orders/2025-4471", answer={"order_number": "2025-4471"}),
        entry("shop.get_order", "GET", "/orders/2025-4471", answer={"order_number": "2025-4471"}, seq=2),
    )
    assert used(found.operations[0]) == {}


def test_what_comes_later_is_not_read_before(specs: Mapping[str, Spec]) -> None:
    found = look(
        specs,
        {**invoice(), "seq": 1},
        entry("shop.get_order", "GET", "/orders/1", answer={"order_number": "2025-4471"}, seq=2),
    )
    assert all(used(use) == {} for use in found.operations)


def test_common_values_count_only_under_their_own_name(specs: Mapping[str, Spec]) -> None:
    order = {"currency": "EUR", "line_items": 1, "note": "EUR", "paid": True}
    found = look(specs, entry("shop.get_order", "GET", "/orders/1", answer=order), {**invoice(), "seq": 2, "at": 2.0})
    shop = next(use for use in found.operations if use.system == "shop")
    assert used(shop) == {"/currency": ("accounting.create_invoice body /currency",)}


def test_values_are_kept_only_where_the_spec_lists_them(specs: Mapping[str, Spec]) -> None:
    activity = {"type": "order_placed", "order_number": "2025-4471"}
    (use,) = look(specs, entry("crm.create_activity", "POST", "/customers/c1/activities", activity)).operations
    values = {sent.pointer: sent.values for sent in use.sent}
    assert values["/type"] == ("order_placed",)
    assert values["/order_number"] is None


def test_an_answer_that_was_lost_taught_nothing(specs: Mapping[str, Spec]) -> None:
    lost = entry("shop.get_order", "GET", "/orders/1", answer={"order_number": "2025-4471"})
    lost["answer"]["outcome"] = "lost"
    (use,) = look(specs, lost).operations
    assert (use.statuses, use.received) == ({"-": 1}, ())


def test_several_journals_are_apart(specs: Mapping[str, Spec]) -> None:
    """What one run was answered, another one cannot have read."""
    shown = entry("shop.get_order", "GET", "/orders/1", answer={"order_number": "2025-4471"})
    found = usage_of([Journal("a", [shown]), Journal("b", [{**invoice(), "seq": 2, "at": 2.0}])], specs)
    assert found.calls == 2
    assert all(used(use) == {} for use in found.operations)


def test_json_there_and_back(specs: Mapping[str, Spec], reference: list[dict[str, Any]]) -> None:
    found = look(specs, *reference, {**invoice(colour="red", customer__date_of_birth=BORN), "seq": 99, "at": 2e9})
    assert found.departures
    assert Usage.from_json(json.loads(json.dumps(found.to_json()))) == found


@pytest.mark.parametrize("document", [None, [], {}, {"format": "sandbox-usage/1"}, {"format": "other"}])
def test_json_that_is_none(document: Any) -> None:
    with pytest.raises(ValueError, match="it "):
        Usage.from_json(document)
