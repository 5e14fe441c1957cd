"""One process lives through many runs: what it keeps is good in the next one, and what comes late finds its run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import httpx
import pytest

from sandbox.front import Front
from sandbox.journal import Filter
from sandbox.project import Project
from sandbox.server import Server
from sandbox.world import World

NUMBER = "2025-4471"


class Heard:
    """A subscriber on a port of its own; keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        events = self.events

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                events.append((self.headers["webhook-id"], body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/webhooks"
        Thread(target=self.server.serve_forever, daemon=True).start()


class Site:
    """A server with a front, seen by a program and by its scenario."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.front: Front = server.front()
        self.access = server.access()
        self.http = httpx.Client(trust_env=False)
        self.key = {"X-Shop-Api-Key": self.access.environment()["SHOP_API_KEY"]}

    def begin(self, name: str) -> World:
        return self.server.ask(lambda _: self.front.begin(name, 0, [NUMBER]))

    def place(self, world: str) -> None:
        order = {"order_number": NUMBER, "customer": "Example Ltd", "amount_net": 80.0, "currency": "EUR"}
        url = self.server.access(world).systems["shop"]["url"]
        answer = self.http.post(f"{url}/orders", json=order | {"line_items": 1, "paid": True}, headers=self.key)
        assert answer.status_code == 201

    def shop(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.http.request(method, f"{self.access.systems['shop']['url']}{path}", headers=self.key, **more)

    def orders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.shop("GET", "/orders").json()["orders"]
        return found

    def calls(self, world: World, operation: str) -> list[dict[str, Any]]:
        return self.server.ask(lambda _: world.entries(Filter(operation=operation)))


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Server]:
    with Server(project, port=0).running() as running:
        yield running


@pytest.fixture
def site(server: Server) -> Iterator[Site]:
    made = Site(server)
    yield made
    server.ask(lambda _: made.front.end())
    made.http.close()


def test_the_same_order_has_another_name_in_each_run(site: Site) -> None:
    seen = []
    for run in ("one", "two"):
        site.begin(run)
        site.place(run)
        (order,) = site.orders()
        seen.append((order["order_number"], order["buyer"]["email"], order["items"][0]["line_item_id"]))
    for first, second in zip(*seen, strict=True):
        assert first != second
    assert NUMBER not in {number for number, _, _ in seen}


def test_a_late_call_goes_to_the_journal_of_its_run(site: Site) -> None:
    first = site.begin("one")
    site.place("one")
    (order,) = site.orders()
    second = site.begin("two")
    site.place("two")
    late = site.shop("PUT", f"/orders/{order['order_number']}/fulfilment", json={"status": "in_progress"})
    assert late.status_code == 200
    ((entry,), others) = site.calls(first, "set_fulfilment"), site.calls(second, "set_fulfilment")
    assert (entry["address"]["key"], others) == (NUMBER, [])
    assert [(call.world, call.method) for call in site.front.late] == [("one", "PUT")]


def test_the_journal_knows_things_by_the_names_of_the_plan(site: Site) -> None:
    world = site.begin("one")
    site.place("one")
    (order,) = site.orders()
    site.shop("GET", f"/orders/{order['order_number']}")
    (entry,) = site.calls(world, "get_order")
    assert (entry["address"]["key"], entry["request"]["path"]) == (NUMBER, f"/orders/{NUMBER}")
    assert entry["answer"]["body"]["order_number"] == NUMBER


def test_tokens_and_subscriptions_are_good_in_the_next_run(site: Site) -> None:
    heard, environment = Heard(), site.access.environment()
    site.begin("one")
    body = {"url": heard.url, "events": ["order.paid"], "secret": environment["WEBHOOK_SECRET"]}
    assert site.shop("POST", "/webhook-subscriptions", json=body).status_code == 201
    crm = site.access.systems["crm"]["url"]
    form = {"grant_type": "client_credentials"}
    client = (environment["CRM_CLIENT_ID"], environment["CRM_CLIENT_SECRET"])
    token = site.http.post(f"{crm}/oauth/token", data=form, auth=client).json()["access_token"]
    for run in ("one", "two"):
        world = site.begin(run) if run == "two" else site.front.world
        site.place(run)
        search = {"json": {"email": "jane@example.com"}, "headers": {"Authorization": f"Bearer {token}"}}
        assert site.http.post(f"{crm}/customers/search", **search).status_code == 200
        _settled(site.server, world)
    heard.server.shutdown()
    heard.server.server_close()
    (first, told), (second, again) = heard.events
    assert first != second
    assert told["data"]["order_number"] != again["data"]["order_number"]


def _settled(server: Server, world: World) -> None:
    """Wait for its deliveries."""
    for _ in range(1000):
        if server.ask(lambda _: world.outbox.next_due()) is None:
            return
        world.clock.sleep(0.005)
    raise AssertionError("a delivery does not settle")


def test_a_call_of_no_system_is_kept_in_mind(site: Site) -> None:
    site.begin("one")
    assert site.http.post(f"{site.access.url}/erp/bookings").status_code == 404
    assert [(stray.method, stray.path) for stray in site.front.strays] == [("POST", "/erp/bookings")]
