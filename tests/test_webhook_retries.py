"""What becomes of a delivery that fails: retries on the world's clock, slowing down, redelivery, the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project

Until = Callable[[Callable[[], Any]], Any]

SCHEDULE = [5, 300, 1800, 7200, 18000, 36000, 36000, 50400, 72000, 86400]


@pytest.fixture
def world(world: Any) -> Any:
    """Time stands still, so that nothing is retried unless the test moves it."""
    return world.frozen()


def test_retries(world: Any, receiver: Any, until: Until) -> None:
    receiver.answers(500, 503, 404, 204)
    world.subscribe(receiver.url)
    world.order()
    for attempt, span in enumerate(SCHEDULE[:3], start=1):
        receiver.wait(attempt)
        delivery = until(lambda number=attempt + 1: world.delivery("pending", number))
        failed = world.journal(kind="delivery")[-1]
        assert failed["attempt"] == attempt
        # The standard's schedule with a tenth of jitter.
        assert span <= delivery["due"] - failed["at"] <= 1.1 * span + 1
        world.advance(delivery["due"] - failed["answer"]["at"] + 0.001)
    received = receiver.wait(4)
    until(lambda: world.delivery("delivered", 4))
    assert len({each.headers["webhook-id"] for each in received}) == 1
    assert len({each.body for each in received}) == 1
    moments = [int(each.headers["webhook-timestamp"]) for each in received]
    assert [later - earlier for earlier, later in pairwise(moments)] == [
        pytest.approx(1.05 * span, rel=0.06, abs=2) for span in SCHEDULE[:3]
    ]
    for each in received:
        assert each.signed_with(world.access.webhook_secret)
    assert len({each.headers["webhook-signature"] for each in received}) == 4
    assert [entry["answer"]["status"] for entry in world.journal(kind="delivery")] == [500, 503, 404, 204]


class Refuser:
    """A WSGI program that answers as its script says, and 500 from then on."""

    def __init__(self, *script: tuple[str, list[tuple[str, str]]]) -> None:
        self.script = list(script)
        self.calls = 0

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.calls += 1
        status, headers = self.script.pop(0) if self.script else ("500 Oops", [])
        start_response(status, headers)
        return []


class Virtual:
    """A shop in memory with one subscriber."""

    def __init__(self, sandbox: InProcess, world: str) -> None:
        self.sandbox = sandbox
        self.session = sandbox.session()
        self.url = f"http://127.0.0.1:9/{world}"
        shop = sandbox.access(world).systems["shop"]
        self.session.headers["X-Shop-Api-Key"] = shop["api_key"]
        self.shop = shop["url"]
        self.world = sandbox.world(world)

    def order(self, subscriber: Refuser) -> None:
        self.sandbox.mount(self.url, subscriber)
        body = {"url": self.url, "events": ["order.paid"]}
        self.session.post(f"{self.shop}/webhook-subscriptions", json=body).raise_for_status()
        document = {"order_number": "V-1", "customer": "Example Ltd", "amount_net": 1290.00, "currency": "EUR"}
        self.session.post(f"{self.shop}/orders", json=document | {"line_items": 3, "paid": True}).raise_for_status()

    def times(self) -> list[float]:
        """When each attempt was made, in seconds since the first."""
        found = [entry["at"] for entry in self.world.entries() if entry["kind"] == "delivery"]
        return [at - found[0] for at in found]


@pytest.fixture(scope="module")
def sandbox(project: Project) -> Iterator[InProcess]:
    sandbox = InProcess(project)
    yield sandbox
    sandbox.close()


@pytest.fixture
def virtual(sandbox: InProcess, world_name: str) -> Virtual:
    return Virtual(sandbox, world_name)


def test_whole_schedule(virtual: Virtual) -> None:
    virtual.order(Refuser())
    virtual.sandbox.run(10 * 24 * 3600)
    times = virtual.times()
    assert len(times) == len(SCHEDULE) + 1
    spans = [later - earlier for earlier, later in pairwise(times)]
    for span, planned in zip(spans, SCHEDULE, strict=True):
        assert planned <= span <= 1.1 * planned
    # Jitter: not all of them are stretched alike.
    assert len({round(span / planned, 6) for span, planned in zip(spans, SCHEDULE, strict=True)}) > 5


@pytest.mark.parametrize("status", ["429 Slow", "502 Bad", "504 Late"])
@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ([], 10, 11),
        ([("Retry-After", "120")], 120, 120),
        ([("Retry-After", "1")], 10, 11),
        ([("Retry-After", "DATE+600")], 599, 600),
        ([("Retry-After", "Thu, 01 Jan 1970 00:00:00 GMT")], 10, 11),
        ([("Retry-After", "soon")], 10, 11),
        ([("Retry-After", "9" * 400)], 86400, 86400),
        ([("Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT")], 86400, 86400),
    ],
)
def test_slows_down(virtual: Virtual, status: str, headers: list[tuple[str, str]], least: float, most: float) -> None:
    later = format_datetime(datetime.fromtimestamp(virtual.sandbox.now + 600, UTC), usegmt=True)
    virtual.order(
        Refuser((status, [(name, value.replace("DATE+600", later)) for name, value in headers]), ("204 ", []))
    )
    virtual.sandbox.run(2 * 86400)
    assert least <= virtual.times()[1] <= most
    assert len(virtual.times()) == 2


def test_retry_after_of_other_answers_means_nothing(virtual: Virtual) -> None:
    virtual.order(Refuser(("500 ", [("Retry-After", "120")]), ("204 ", [])))
    virtual.sandbox.run(600)
    assert 5 <= virtual.times()[1] <= 5.5


def test_gone_unsubscribes(world: Any, receiver: Any, until: Until) -> None:
    receiver.answers(410)
    gone = world.subscribe(receiver.url)
    world.order("C-1")
    receiver.wait(1)
    until(lambda: world.delivery("unsubscribed", 1))
    path = f"/webhook-subscriptions/{gone['id']}"
    assert world.shop("GET", path).json()["status"] == "disabled"
    world.order("C-2")
    world.subscribe(receiver.url)
    world.order("C-3")
    world.advance(10)
    assert [each.json()["data"]["order_number"] for each in receiver.wait(2)] == ["C-1", "C-3"]
    assert [each["key"] for each in world.deliveries()] == ["C-1", "C-3"]
    assert world.shop("DELETE", path).status_code == 204
    assert world.shop("GET", path).status_code == 404


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_a_failure(world: Any, receiver: Any, until: Until, status: int) -> None:
    receiver.answers(receiver.status(status, location=f"http://127.0.0.1:{receiver.port}/elsewhere"))
    world.subscribe(receiver.url)
    world.order()
    delivery = until(lambda: world.delivery("pending", 2))
    world.advance(delivery["due"] - world.journal(kind="delivery")[0]["at"] + 0.001)
    assert [each.path for each in receiver.wait(2)] == ["/webhooks", "/webhooks"]


def test_redelivery(world: Any, receiver: Any, until: Until) -> None:
    world.subscribe(receiver.url)
    world.order()
    receiver.wait(1)
    delivery = until(lambda: world.delivery("delivered", 1))
    assert world.control("POST", f"/deliveries/{delivery['id']}/redeliver").status_code == 202
    first, second = receiver.wait(2)
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert second.signed_with(world.access.webhook_secret)
    until(lambda: world.delivery("delivered", 2))
    assert world.control("POST", "/deliveries/dlv_zzzzzzzzzzzz/redeliver").status_code == 404


def test_redelivery_takes_the_place_of_the_next_retry(world: Any, receiver: Any, until: Until) -> None:
    receiver.answers(500)
    world.subscribe(receiver.url, "order.placed")
    world.order("D-1")
    delivery = until(lambda: world.delivery("pending", 2))
    world.control("POST", f"/deliveries/{delivery['id']}/redeliver")
    receiver.wait(2)
    until(lambda: world.deliveries()[0]["state"] == "delivered")
    world.advance(86400)
    world.order("D-2")
    assert [each.json()["data"]["order_number"] for each in receiver.wait(3)] == ["D-1", "D-1", "D-2"]


BELL = """
    openapi: 3.0.3
    info: {title: Bell, version: "1"}
    paths:
      /rings:
        post:
          operationId: ring
          x-event: bell.rung
          requestBody: {content: {application/json: {schema: {type: object}}}}
          responses: {"201": {description: ok, content: {application/json: {schema: {type: object}}}}}
      /webhook-subscriptions:
        post:
          operationId: subscribe
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Subscription"}}}}
          responses:
            "201": {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Subscription"}}}}
          callbacks:
            bell.rung:
              "{$request.body#/url}":
                post:
                  requestBody: {content: {application/json: {schema: {type: object}}}}
                  responses: {default: {description: any}}
    components:
      schemas:
        Subscription:
          type: object
          required: [id, url, events, status]
          properties:
            id: {type: string, readOnly: true}
            url: {type: string}
            events: {type: array, items: {type: string}}
            secret: {type: string}
            status: {type: string, enum: [active, disabled], readOnly: true}
"""


def test_secret_that_cannot_sign_is_one_subscribers_affair(make_project: Callable[..., Path]) -> None:
    """Here in a system that has no mock of its own."""
    sandbox = InProcess(Project.load(make_project(BELL)))
    session, url = sandbox.session(), sandbox.access().systems["jobs"]["url"]
    bad, good = Refuser(*[("204 ", [])] * 9), Refuser(*[("204 ", [])] * 9)
    for path, subscriber, more in (("/bad", bad, {"secret": "whsec_%%%"}), ("/good", good, {})):
        sandbox.mount(f"http://127.0.0.1:9{path}", subscriber)
        body = {"url": f"http://127.0.0.1:9{path}", "events": ["bell.rung"], **more}
        session.post(f"{url}/webhook-subscriptions", json=body).raise_for_status()
    for _ in range(3):
        session.post(f"{url}/rings", json={}).raise_for_status()
    sandbox.run(1)
    assert (bad.calls, good.calls) == (0, 3)
    told = [entry["answer"] for entry in sandbox.world().entries() if entry["kind"] == "delivery"]
    assert ["error" in answer for answer in told].count(True) == 3
    sandbox.close()
