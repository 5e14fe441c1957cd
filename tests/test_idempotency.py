"""Idempotency keys, from outside: every row of the table in STANDARDS, "Semantics"."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project
from sandbox.server import Server

DAY = 24 * 3600
INVOICE = {
    "order_number": "2025-4471",
    "currency": "EUR",
    "customer": {
        "name": "Example Ltd",
        "billing_address": {
            "street": "12 Harbour Street",
            "postal_code": "BS1 4ND",
            "city": "Bristol",
            "country": "GB",
        },
    },
    "amount_net": 1290.00,
    "lines": [{"description": "Standing desk", "quantity": 2, "net_amount": 1290.00, "tax_rate": 19}],
}
CUSTOMER = {"name": "Martha Klein", "email": "martha@example.com"}

# One operation whose outcome is set from outside, so that one request can be sent twice and fare differently.
SPEC = """
    openapi: 3.0.3
    info: {title: Jobs, version: "1"}
    paths:
      /switches/{name}:
        put:
          operationId: turn
          x-collection: {name: switches, id: name}
          parameters: [{name: name, in: path, required: true, schema: {type: string}}]
          requestBody: {content: {application/json: {schema: {type: object}}}}
          responses: {"200": {description: ok, content: {application/json: {schema: {type: object}}}}}
      /jobs:
        post:
          operationId: create_job
          x-idempotency: optional
          requestBody: {content: {application/json: {schema: {type: object}}, application/octet-stream: {}}}
          responses:
            "201": {description: ok, content: {application/json: {schema: {type: object}}}}
            default: {description: no}
        get:
          operationId: list_jobs
          responses:
            "200":
              description: ok
              content:
                application/json: {schema: {type: array, items: {type: object, properties: {id: {type: string}}}}}
"""
MOCK = """
    from sandbox import Problem, System


    class Jobs(System):
        @staticmethod
        def meanwhile():
            pass

        def turn(self, name, body):
            if self.switches.get(name) is not None:
                self.switches.remove(name)
            return self.switches.add({"name": name, **body})

        def create_job(self, body):
            job = self.jobs.add({"size": len(body)})
            self._work()
            wanted = (self.switches.get("answer") or {}).get("status", 201)
            if wanted == 599:
                raise RuntimeError("out of paper")
            if wanted >= 400:
                raise Problem(wanted, "as wanted", type="as-wanted")
            return job

        def _work(self):
            type(self).meanwhile()
"""


class Jobs:
    """The small system above, without sockets."""

    def __init__(self, sandbox: InProcess, world: str) -> None:
        self.mock = sandbox.project.mocks["jobs"]
        self.session = sandbox.session()
        self.url = sandbox.access(world).systems["jobs"]["url"]

    def answer_with(self, status: int) -> None:
        self.session.put(f"{self.url}/switches/answer", json={"status": status}).raise_for_status()

    def create(self, key: str = "k", **what: Any) -> Any:
        sent = what or {"json": {"a": 1}}
        headers = {"Idempotency-Key": key, **sent.pop("headers", {})}
        return self.session.post(f"{self.url}/jobs", headers=headers, **sent)

    def count(self) -> int:
        return len(self.session.get(f"{self.url}/jobs").json())


@pytest.fixture(scope="module")
def sandbox(make_project: Callable[..., Path]) -> Iterator[InProcess]:
    sandbox = InProcess(Project.load(make_project(SPEC, MOCK)))
    yield sandbox
    sandbox.close()


@pytest.fixture
def jobs(sandbox: InProcess, world_name: str) -> Jobs:
    return Jobs(sandbox, world_name)


def invoices(world: Any) -> list[Any]:
    return list(world.state("accounting").get("invoices", []))


def post_invoice(world: Any, key: str = "key-1", body: Any = INVOICE, **headers: str) -> httpx.Response:
    answer: httpx.Response = world.accounting("POST", "/invoices", body, Idempotency_Key=key, **headers)
    return answer


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert {"type", "title", "detail", "instance"} <= problem.keys()
    return problem


@pytest.mark.parametrize("system", ["accounting", "shipping"])
def test_fifty_simultaneous_requests_have_one_effect(world: Any, system: str) -> None:
    shipment = {
        "reference": "2025-4471",
        "recipient": {
            "name": "Martha Klein",
            "address": {"street": "7 Quay Road", "postal_code": "BS1 6UT", "city": "Bristol", "country": "GB"},
        },
    }
    path, body = {"accounting": ("/invoices", INVOICE), "shipping": ("/shipments", shipment)}[system]
    url = world.access.systems[system]["url"] + path
    headers = world.credentials(system) | {"Idempotency-Key": "one-and-only"}
    together = threading.Barrier(50)
    answers: list[httpx.Response] = []

    def send() -> None:
        with httpx.Client(trust_env=False, timeout=30, verify=False) as client:
            together.wait()
            answers.append(client.post(url, json=body, headers=headers))

    threads = [threading.Thread(target=send) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 50
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) <= {201, 409}
    assert statuses[201] > 0
    good = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.content for answer in good}) == 1
    assert len({answer.headers["location"] for answer in good}) == 1
    assert sum("idempotent-replayed" not in answer.headers for answer in good) == 1
    records = next(iter(world.state(system).values()))
    assert [record[next(iter(record))] for record in records] == [next(iter(good[0].json().values()))]
    applied = [entry for entry in world.journal(system=system, kind="call") if entry["effect"] == "applied"]
    assert len(applied) == 1


def test_missing_where_required(world: Any) -> None:
    problem = is_problem(world.accounting("POST", "/invoices", INVOICE), 400)
    assert problem["errors"] == [{"pointer": "Idempotency-Key", "detail": "is required"}]
    assert invoices(world) == []


def test_not_needed_where_optional(world: Any) -> None:
    assert world.crm("POST", "/customers", CUSTOMER).status_code == 201


def test_replay(world: Any) -> None:
    first, second = post_invoice(world), post_invoice(world)
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.content == second.content
    for name in ("content-type", "location"):
        assert first.headers[name] == second.headers[name]
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert len(invoices(world)) == 1
    effects = [entry["effect"] for entry in world.journal(operation="create_invoice")]
    assert effects == ["applied", "none"]


@pytest.mark.parametrize(
    "same",
    [
        b'{"a":1,"b":[true,null],"c":{"x":1,"y":2}}',
        b'{ "c": {"y": 2.0, "x": 1e0},\n  "b": [ true, null ], "a": 1.00 }',
        b'{"a":1,"b":[true,null],"c":{"\\u0078":1,"y":2}}',
    ],
)
def test_payload_is_compared_as_parsed(jobs: Jobs, same: bytes) -> None:
    json = {"Content-Type": "application/json"}
    first = jobs.create(json={"a": 1, "b": [True, None], "c": {"x": 1, "y": 2}})
    again = jobs.create(data=same, headers=json)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert jobs.count() == 1


@pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"a": True}, {"a": 1, "b": None}, {"a": [1]}, {}])
def test_other_payload(jobs: Jobs, other: Any) -> None:
    jobs.create(json={"a": 1})
    is_problem(jobs.create(json=other), 422)
    assert jobs.count() == 1
    # The first one still stands.
    assert jobs.create(json={"a": 1}).headers["Idempotent-Replayed"] == "true"


def test_other_path_is_another_payload(world: Any) -> None:
    post_invoice(world, "invoice-a")
    post_invoice(world, "invoice-b")
    first, second = [invoice["id"] for invoice in invoices(world)]
    payment = {"amount": 10.0, "method": "bank_transfer"}
    paid = [
        world.accounting("POST", f"/invoices/{number}/payments", payment, Idempotency_Key="pay")
        for number in (first, second)
    ]
    assert [answer.status_code for answer in paid] == [201, 422]


def test_bodies_that_are_no_json(jobs: Jobs) -> None:
    octets = {"Content-Type": "application/octet-stream"}
    first = jobs.create(data=b"\x00\xff", headers=octets)
    assert first.status_code == 201
    assert jobs.create(data=b"\x00\xff", headers=octets).json() == first.json()
    assert jobs.create(data=b"\x00\xfe", headers=octets).status_code == 422


def test_in_progress(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile = []

    def send_again() -> None:
        monkeypatch.undo()
        meanwhile.append(jobs.create())
        meanwhile.append(jobs.create("another"))

    monkeypatch.setattr(jobs.mock, "meanwhile", staticmethod(send_again))
    assert jobs.create().status_code == 201
    is_problem(meanwhile[0], 409)
    assert meanwhile[0].headers["Retry-After"] == "1"
    assert meanwhile[1].status_code == 201
    assert jobs.create().headers["Idempotent-Replayed"] == "true"
    assert jobs.count() == 2


@pytest.mark.parametrize("status", [201, 400, 402, 405, 406, 409, 410, 412, 422, 423, 451])
def test_stored(jobs: Jobs, status: int) -> None:
    jobs.answer_with(status)
    first = jobs.create()
    jobs.answer_with(201 if status >= 400 else 409)
    again = jobs.create()
    assert (first.status_code, again.status_code) == (status, status)
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert jobs.count() == (1 if status == 201 else 0)


@pytest.mark.parametrize("status", [401, 403, 404, 413, 415, 429, 500, 502, 503, 504])
def test_never_stored(jobs: Jobs, status: int) -> None:
    jobs.answer_with(status)
    assert jobs.create().status_code == status
    assert jobs.count() == 0
    jobs.answer_with(201)
    again = jobs.create()
    assert again.status_code == 201
    assert "Idempotent-Replayed" not in again.headers
    assert jobs.count() == 1


def test_mistake_in_the_mock_is_not_stored(jobs: Jobs) -> None:
    jobs.answer_with(599)
    assert "RuntimeError: out of paper" in is_problem(jobs.create(), 500)["detail"]
    jobs.answer_with(201)
    assert jobs.create().status_code == 201
    assert jobs.count() == 1


def test_refusals_before_the_method_are_not_stored(world: Any) -> None:
    url = world.access.systems["accounting"]["url"] + "/invoices"
    wrong = {"Authorization": "Bearer wrong", "Idempotency-Key": "key-1"}
    is_problem(world.http.post(url, json=INVOICE, headers=wrong), 401)
    is_problem(post_invoice(world, body=INVOICE | {"currency": 7}), 400)
    is_problem(post_invoice(world, content_type="text/plain"), 415)
    is_problem(post_invoice(world, body=b" " * 2_000_000), 413)
    is_problem(post_invoice(world, body=b"{"), 400)
    good = post_invoice(world)
    assert good.status_code == 201
    assert "idempotent-replayed" not in good.headers


def test_business_refusal_is_replayed(world: Any) -> None:
    wrong = INVOICE | {"amount_net": 1000.00}
    first, second = post_invoice(world, body=wrong), post_invoice(world, body=wrong)
    assert is_problem(first, 400)["errors"][0]["pointer"] == "/amount_net"
    assert (second.content, second.headers["idempotent-replayed"]) == (first.content, "true")
    assert post_invoice(world, "key-2").status_code == 201


def test_per_principal_not_per_token(server: Server, world: Any) -> None:
    url = world.access.systems["crm"]["url"]

    def create(token: str, **body: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "shared"}
        return world.http.post(f"{url}/customers", json=CUSTOMER | body, headers=headers)

    first, second = world.token(), world.token()
    assert first != second
    created = create(first)
    assert create(second).content == created.content
    other = next(c for c in world.access.credentials if (c.system, c.principal) == ("crm", "other"))
    form = {"grant_type": "client_credentials", **other.values}
    foreign = world.http.post(f"{url}/oauth/token", data=form).json()["access_token"]
    answer = create(foreign, email="someone@example.com")
    assert answer.status_code == 201
    assert answer.json()["customer_id"] != created.json()["customer_id"]


def test_per_operation_and_system(world: Any) -> None:
    customer = world.crm("POST", "/customers", CUSTOMER, Idempotency_Key="same").raise_for_status().json()
    path = f"/customers/{customer['customer_id']}/activities"
    activity = {"type": "mail_sent", "order_number": "2025-4471"}
    assert world.crm("POST", path, activity, Idempotency_Key="same").status_code == 201
    assert post_invoice(world, "same").status_code == 201


def test_per_world(world: Any, caller: Callable[[str], Any]) -> None:
    elsewhere = caller(f"{world.name}-2")
    answers = [post_invoice(place) for place in (world, elsewhere)]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert all("idempotent-replayed" not in answer.headers for answer in answers)


def test_length(world: Any) -> None:
    assert post_invoice(world, "k" * 255).status_code == 201
    assert post_invoice(world, f'"{"q" * 255}"').status_code == 201
    for key in ("k" * 256, f'"{"q" * 256}"', '""'):
        assert is_problem(post_invoice(world, key), 400)["errors"][0]["pointer"] == "Idempotency-Key"
    assert len(invoices(world)) == 2


@pytest.mark.parametrize(("first", "second"), [("k-1", '"k-1"'), ('"k-1"', "k-1"), (r'"a\"b\\c"', 'a"b\\c')])
def test_quoted_and_bare_are_one_key(world: Any, first: str, second: str) -> None:
    assert post_invoice(world, first).status_code == 201
    assert post_invoice(world, second).headers["idempotent-replayed"] == "true"
    assert len(invoices(world)) == 1


def test_expires_after_a_day_of_the_worlds_clock(world: Any) -> None:
    first = post_invoice(world)
    world.advance(DAY - 60)
    assert post_invoice(world).headers["idempotent-replayed"] == "true"
    # The replay has not prolonged it.
    world.advance(60)
    again = post_invoice(world)
    assert again.status_code == 201
    assert "idempotent-replayed" not in again.headers
    assert again.json()["id"] != first.json()["id"]
    assert post_invoice(world).content == again.content
    assert len(invoices(world)) == 2


def test_expired_key_may_be_refused(world: Any) -> None:
    post_invoice(world)
    world.advance(DAY)
    wrong = INVOICE | {"amount_net": 1000.00}
    refused = post_invoice(world, body=wrong)
    assert is_problem(refused, 400)["type"] == "/problems/wrong-sum"
    assert post_invoice(world, body=wrong).content == refused.content
