"""Secrets and personal values stay out of the journal, and what stands in for them keeps the rules checkable."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project
from sandbox.redaction import Redactor

Until = Callable[[Callable[[], Any]], Any]

OWN_SECRET = "whsec_" + base64.b64encode(b"my own secret of 24 byte").decode()
BUYER = {
    "name": "Wilhelmina Featherstonehaugh",
    "email": "Wilhelmina.F@featherstonehaugh.example",
    "phone": "+44 20 7946 0999",
    "date_of_birth": "1971-03-09",
}
PLACE = {"street": "4711 Cholmondeley Lane", "postal_code": "ZZ9 9ZZ", "city": "Lower Slaughterville", "country": "GB"}
DELIVERY = {"name": "Ebenezer Marjoribanks", "additional_line": "c/o Belvoir Lodge", **PLACE}
BILLING = {"name": "Featherstonehaugh & Daughters", "additional_line": "Third Floor East", **PLACE}
PERSONAL = [
    *BUYER.values(),
    *(value for address in (DELIVERY, BILLING) for name, value in address.items() if name != "country"),
]


def everything(world: Any) -> str:
    return json.dumps(world.journal(), ensure_ascii=False)


def assert_clean(world: Any, *more: str) -> None:
    """Nothing secret and nobody in the journal, in whatever case and encoding."""
    text = everything(world).lower()
    secrets = [
        value for c in world.access.credentials for value in c.values.values() if value != c.values.get("client_id")
    ]
    for value in (*secrets, world.access.webhook_secret, *PERSONAL, *more):
        assert value.lower() not in text, value
        assert value.lower().replace("@", "%40") not in text, value


def crm_customer(world: Any, **more: str) -> Any:
    return world.crm("POST", "/customers", {"name": BUYER["name"], "email": BUYER["email"], **more}).json()


def test_an_order_and_its_webhooks(world: Any, receiver: Any, until: Until) -> None:
    for events, more in ((["order.placed", "order.paid"], {}), (["order.address_changed"], {"secret": OWN_SECRET})):
        body = {"url": receiver.url, "events": events, **more}
        world.shop("POST", "/webhook-subscriptions", body).raise_for_status()
    world.order(buyer=BUYER, delivery_address=DELIVERY, billing_address=BILLING)
    world.shop("GET", "/orders")
    tag = world.shop("GET", "/orders/2025-4471").headers["etag"]
    world.shop("PUT", "/orders/2025-4471/delivery-address", DELIVERY | {"name": BUYER["name"]}, If_Match=tag)
    received = receiver.wait(3)
    until(lambda: len(world.journal(kind="delivery")) == 3)
    assert BUYER["name"] in received[0].body.decode()
    assert_clean(world, OWN_SECRET)
    delivery = world.journal(kind="delivery")[0]
    shown = delivery["request"]["body"]["data"]
    assert shown["buyer"]["name"].startswith("[personal:")
    assert shown["order_number"] == "2025-4471"
    assert shown["delivery_address"]["country"] == "GB"


def test_the_other_systems(world: Any) -> None:
    customer = crm_customer(world, phone=BUYER["phone"])
    path = f"/customers/{customer['customer_id']}"
    world.crm("POST", "/customers", {"name": "x", "email": BUYER["email"].upper()})
    world.crm("POST", "/customers/search", {"email": BUYER["email"]})
    world.crm("POST", "/customers/search", {"name": BUYER["name"]})
    world.crm("PATCH", path, {"name": DELIVERY["name"]})
    world.crm("PUT", path, {"name": BUYER["name"], "email": BUYER["email"]})
    world.crm("POST", f"{path}/activities", {"type": "order_placed", "order_number": "2025-4471"})
    billing = {name: value for name, value in BILLING.items() if name not in ("name", "additional_line")}
    invoice = {
        "order_number": "2025-4471",
        "currency": "EUR",
        "customer": {"name": BILLING["name"], "billing_address": billing},
        "amount_net": 10.0,
        "lines": [{"description": "Desk", "quantity": 1, "net_amount": 10.0, "tax_rate": 19}],
    }
    assert world.accounting("POST", "/invoices", invoice, Idempotency_Key="i").status_code == 201
    address = {name: value for name, value in DELIVERY.items() if name != "name"}
    shipment = {"reference": "2025-4471", "recipient": {"name": DELIVERY["name"], "address": address}}
    booked = world.shipping("POST", "/shipments", shipment).json()["shipment_id"]
    assert world.shipping("PUT", f"/shipments/{booked}/address", address).status_code == 200
    assert world.shipping("GET", f"/shipments/{booked}/label").status_code == 200
    world.crm("DELETE", path)
    assert len(world.journal()) == 13
    assert_clean(world)


def test_one_value_one_label(world: Any) -> None:
    """ "The same e-mail address went there" stays visible, in the key, the body and the answer."""
    world.order(buyer=BUYER, delivery_address=DELIVERY, billing_address=BILLING)
    crm_customer(world)
    crm_customer(world)
    place, _, create, again = world.journal()
    label = place["request"]["body"]["buyer"]["email"]
    assert label.startswith("[personal:")
    assert create["request"]["body"]["email"] == create["answer"]["body"]["email"] == label
    assert (create["address"]["key"], create["address"]["occurrence"]) == (label, 1)
    assert (again["address"]["key"], again["address"]["occurrence"]) == (label, 2)
    assert place["request"]["body"]["delivery_address"]["name"] != place["request"]["body"]["buyer"]["name"]


PATIENTS = """
    openapi: 3.0.3
    info: {title: Patients, version: "1"}
    paths:
      /patients:
        post:
          operationId: admit
          x-business-key: $request.body#/name
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Patient"}}}}
          responses: {"201": {$ref: "#/components/responses/Patient"}}
      /patients/{id}:
        parameters: [{name: id, in: path, required: true, schema: {type: string}}]
        get:
          operationId: look
          x-business-key: $record#/name
          responses: {"200": {$ref: "#/components/responses/Patient"}}
        delete: {operationId: discharge, x-business-key: $record#/name, responses: {"204": {description: gone}}}
    components:
      responses:
        Patient: {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Patient"}}}}
      schemas:
        Patient: {type: object, properties: {id: {type: string}, name: {type: string, x-personal: [care]}}}
"""


def test_personal_keys(make_project: Callable[..., Path]) -> None:
    """What a call is about may itself be personal."""
    sandbox = InProcess(Project.load(make_project(PATIENTS)))
    session, url = sandbox.session(), sandbox.access().systems["jobs"]["url"]
    made = session.post(f"{url}/patients", json={"name": BUYER["name"]}).json()["id"]
    session.get(f"{url}/patients/{made}").raise_for_status()
    session.delete(f"{url}/patients/{made}").raise_for_status()
    entries = sandbox.world().entries()
    assert BUYER["name"] not in json.dumps(entries)
    label = entries[0]["request"]["body"]["name"]
    assert [entry["address"]["key"] for entry in entries] == [label] * 3
    sandbox.close()


def test_an_address_as_an_id(make_project: Callable[..., Path]) -> None:
    """What changed is told by its id."""
    sandbox = InProcess(Project.load(make_project(PATIENTS)))
    url = sandbox.access().systems["jobs"]["url"]
    sandbox.session().post(f"{url}/patients", json={"id": BUYER["email"]}).raise_for_status()
    (entry,) = sandbox.world().entries()
    assert entry["changes"][0]["id"] == sandbox.world().redactor.personal(BUYER["email"])
    assert BUYER["email"] not in json.dumps(entry)
    sandbox.close()


def test_faults_know_both_the_value_and_its_label(world: Any) -> None:
    customer = crm_customer(world)
    label = world.journal()[-1]["address"]["key"]
    for key in (BUYER["email"].lower(), label):
        on = {"system": "crm", "operation": "get_customer", "key": key, "occurrence": "any"}
        world.control("PUT", "/faults", {"seed": 1, "faults": [{"on": on, "inject": "none"}]}).raise_for_status()
        world.crm("GET", f"/customers/{customer['customer_id']}")
        assert world.control("GET", "/faults").json()["faults"][0]["fired"] == 1


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"buyer": BUYER}).encode()[:-1],
        json.dumps({"buyer": BUYER}).encode() + b"\xff",
        b"[" * 100 + json.dumps(BUYER).encode(),
        json.dumps({"order_number": "x", "buyer": BUYER, "delivery_address": DELIVERY, "paid": 7}).encode(),
        json.dumps({"order_number": BUYER["email"], "buyer": BUYER}).encode(),
    ],
)
def test_refused_bodies(world: Any, body: bytes) -> None:
    assert world.shop("POST", "/orders", body).status_code == 400
    assert world.shop("POST", "/orders", body, content_type="text/plain").status_code == 415
    assert_clean(world)


def test_urls_and_headers(world: Any) -> None:
    key = world.access.systems["shop"]["api_key"]
    world.shop("GET", f"/orders?email={BUYER['email']}&key={key}")
    world.shop("GET", f"/orders?email={BUYER['email'].replace('@', '%40')}")
    world.shop("GET", f"/orders/{BUYER['email']}")
    world.shop("GET", f"/orders/{BUYER['email'].replace('@', '%40')}")
    world.shop("GET", "/orders", Referer=f"http://localhost/?me={BUYER['email']}", X_Note=key)
    world.shop("GET", f"/nowhere/{BUYER['email']}")
    assert_clean(world)


WRITTEN = (
    "zephyrine@wanderley", "ZEPHYRINE+tag@Wanderley.com", "zephyrine%40wanderley.com", "zephyrine%2540wanderley.com",
    "zephyr\u00efne@w\u00e4nderley.com", "zephyr%C3%AFne%40wanderley.com", "<zephyrine@wanderley.com>",
    "zephyrine@@wanderley", "mailto:zephyrine@wanderley.com?cc=zephyrine@localhost", f"{'z' * 200}@{'w' * 200}",
    "zephyrine@[127.0.0.1]",
)  # fmt: skip


@pytest.mark.parametrize("written", WRITTEN, ids=range(len(WRITTEN)))
def test_an_address_in_any_writing(world: Any, written: str) -> None:
    """The keys of the CRM are addresses, also those that it refuses; and people write them anywhere."""
    customer = crm_customer(world, note=f"ask {written}, soon")
    path = f"/customers/{customer['customer_id']}"
    world.crm("POST", "/customers", {"name": "x", "email": written})
    world.crm("POST", "/customers/search", {"email": written})
    world.crm("POST", "/customers/search", {written: written, "external_reference": written})
    world.crm("PATCH", path, {"note": [{"of": {written: written}}], "external_reference": written})
    world.crm("PATCH", path, f'{{"note": "{written}'.encode())
    world.crm("POST", path, written.encode(), content_type="text/plain")
    encoded = quote(written, safe="%")
    world.crm("GET", f"/customers/{encoded}", X_Note=encoded, Idempotency_Key=encoded)
    world.crm("GET", f"{path}/activities?order_number={encoded}")
    world.crm("GET", f"/{encoded}")
    assert len(world.journal()) > 9
    assert_clean(world, *re.findall(r"[zw][^\W_]{7,}", unquote(unquote(written)), re.IGNORECASE))


def test_secrets_name_whose_they_are(world: Any) -> None:
    systems = world.access.systems
    world.shop("GET", "/orders")
    world.shop("GET", "/orders", X_Shop_Api_Key=systems["shipping"]["api_key"])
    world.accounting("GET", "/invoices", Authorization=f"Bearer {systems['crm']['client_secret']}")
    crm = systems["crm"]
    token = world.http.post(
        f"{crm['url']}/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(crm["client_id"], crm["client_secret"]),
    ).json()["access_token"]
    world.shipping("GET", "/shipments", X_Carrier_Key=token)
    own, foreign, bearer, basic, issued = world.journal()
    assert own["request"]["headers"]["x-shop-api-key"] == "[secret:shop]"
    assert foreign["request"]["headers"]["x-shop-api-key"] == "[secret:shipping]"
    assert bearer["request"]["headers"]["authorization"] == "Bearer [secret:crm]"
    assert basic["request"]["headers"]["authorization"] == "Basic [secret:crm]"
    assert basic["answer"]["body"]["access_token"] == "[secret:crm]"
    assert issued["request"]["headers"]["x-carrier-key"] == "[secret:crm]"
    assert_clean(world, token)


def test_unknown_secrets_are_secrets_too(world: Any) -> None:
    """Somebody's real key, sent here by mistake."""
    real = "sk_live_0123456789abcdef"
    world.shop("GET", "/orders", X_Shop_Api_Key=real, Cookie=f"session={real}")
    world.shop("GET", "/orders", X_Shop_Api_Key=f"{real} {real}")
    world.accounting("GET", "/invoices", Authorization=f"Bearer {real}")
    world.accounting("GET", "/invoices", Authorization=real)
    world.http.post(
        f"{world.access.systems['crm']['url']}/oauth/token",
        data={"grant_type": "client_credentials", "client_id": "me", "client_secret": real},
    )
    assert_clean(world, real)
    assert world.journal()[0]["request"]["headers"]["x-shop-api-key"] == "[secret:unknown]"
    assert world.journal()[2]["request"]["headers"]["authorization"] == "Bearer [secret:unknown]"


def test_state_shows_no_secrets(world: Any) -> None:
    body = {"url": "http://127.0.0.1:9/", "events": ["order.paid"], "secret": OWN_SECRET}
    world.shop("POST", "/webhook-subscriptions", body).raise_for_status()
    assert OWN_SECRET not in json.dumps(world.state("shop"))


def test_labels_depend_on_the_seed() -> None:
    first, second = Redactor(b"1", {}), Redactor(b"2", {})
    assert first.personal("a@example.com") == first.personal(" A@example.com ") != second.personal("a@example.com")


def test_a_short_text_is_no_secret() -> None:
    redactor = Redactor(b"1", {})
    redactor.learn("short", "shop")
    assert redactor.text("a short text") == "a short text"
