"""Many worlds in one process under parallel load: no call, fault, event or id crosses from one into another."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sandbox.project import Project
from sandbox.server import Server
from tests.conftest import Caller, Receiver

WORLDS = 24
ORDERS = 6
THREADS = 8
FAULTY = range(0, WORLDS, 4)


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Server]:
    with Server(project, port=0).running() as serving:
        yield serving


class Tenant:
    """A world, and what only it should ever see: every name in it starts with its own."""

    def __init__(self, server: Server, number: int, receiver: Receiver) -> None:
        self.number = number
        self.name = f"tenant-{number}"
        self.caller = Caller(server, self.name)
        self.answers: list[Any] = []
        control = self.caller.access.control
        made = self.caller.http.post(f"{control}/worlds", json={"name": self.name, "seed": 1000 + number})
        made.raise_for_status()
        # The credentials of all worlds are the same, so that what keeps them apart is nothing but the path.
        subscription = {"url": f"{receiver.url}/{self.name}", "events": ["order.placed", "order.paid"]}
        self.subscriber = (
            self.caller.shop("POST", "/webhook-subscriptions", subscription).raise_for_status().json()["id"]
        )
        if number in FAULTY:
            on = {"system": "shop", "operation": "get_order", "occurrence": "any"}
            self.caller.control("POST", "/faults", {"on": on, "inject": "server_error"}).raise_for_status()

    def key(self, order: int) -> str:
        return f"{self.name}-{order}"

    def place(self, order: int) -> None:
        document = self.caller.order(self.key(order), customer=f"Customer of {self.name}")
        assert document["customer"] == f"Customer of {self.name}"

    def bill(self, order: int) -> None:
        """With an idempotency key that each world uses, for another body."""
        address = {"street": "Musterweg 3", "postal_code": "10115", "city": "Berlin", "country": "DE"}
        invoice = {
            "order_number": self.key(order),
            "currency": "EUR",
            "customer": {"name": f"Customer of {self.name}", "billing_address": address},
            "lines": [{"description": "Desk", "quantity": 1, "net_amount": 60.0, "tax_rate": 19}],
            "amount_net": 60.0,
        }
        answer = self.caller.accounting("POST", "/invoices", invoice, idempotency_key=f"invoice-{order}")
        assert answer.status_code == 201, answer.text
        assert "idempotent-replayed" not in answer.headers
        assert answer.json()["order_number"] == self.key(order)

    def look(self, order: int) -> None:
        """At an order number that each world could have asked for; placed or not, it is this world's business."""
        self.answers.append(self.caller.shop("GET", f"/orders/{self.key(order)}").status_code)

    def steps(self) -> list[Callable[[], None]]:
        return [
            lambda order=order, step=step: step(order)  # type: ignore[misc]
            for order in range(ORDERS)
            for step in (self.place, self.bill, self.look)
        ]


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    taking = Receiver()
    yield taking
    taking.close()


@pytest.fixture(scope="module")
def tenants(server: Server, receiver: Receiver) -> Iterator[list[Tenant]]:
    """All worlds after the load: their steps ran in parallel, thoroughly mixed, each world's own in order."""
    made = [Tenant(server, number, receiver) for number in range(WORLDS)]
    turns = [tenant for tenant in made for _ in tenant.steps()]
    random.Random(7).shuffle(turns)
    remaining = {tenant.name: iter(tenant.steps()) for tenant in made}
    lanes: list[list[Callable[[], None]]] = [[] for _ in range(THREADS)]
    for tenant in turns:
        # A world's steps share a thread, so that its own order of calls is known.
        lanes[tenant.number % THREADS].append(next(remaining[tenant.name]))

    def run(lane: list[Callable[[], None]]) -> None:
        for step in lane:
            step()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(run, lanes))
    receiver.wait(WORLDS * ORDERS * 2)
    yield made
    for tenant in made:
        tenant.caller.http.close()


def test_calls(tenants: list[Tenant]) -> None:
    for tenant in tenants:
        entries = tenant.caller.journal(kind="call")
        assert [entry["seq"] for entry in tenant.caller.journal()] == list(range(1, len(tenant.caller.journal()) + 1))
        keys = [entry["address"]["key"] for entry in entries if entry["address"]["operation"] == "place_order"]
        assert keys == [tenant.key(order) for order in range(ORDERS)]
        assert {entry["address"]["occurrence"] for entry in entries if entry["address"]["key"] in keys} == {1}
        foreign = [other.name for other in tenants if other is not tenant]
        text = str(entries).replace(tenant.name, "")
        assert not [name for name in foreign if f"{name}-" in text]


def test_state(tenants: list[Tenant]) -> None:
    for tenant in tenants:
        expected = [tenant.key(order) for order in range(ORDERS)]
        assert [order["order_number"] for order in tenant.caller.state("shop")["orders"]] == expected
        assert [invoice["order_number"] for invoice in tenant.caller.state("accounting")["invoices"]] == expected


def test_faults(tenants: list[Tenant]) -> None:
    for tenant in tenants:
        armed = tenant.caller.control("GET", "/faults").json()["faults"]
        faulty = tenant.number in FAULTY
        assert [fault["fired"] for fault in armed] == ([ORDERS] if faulty else [])
        assert tenant.answers == [500 if faulty else 200] * ORDERS
        noted = [entry for entry in tenant.caller.journal(kind="call") if entry["fault"] is not None]
        assert len(noted) == (ORDERS if faulty else 0)


def test_events(tenants: list[Tenant], receiver: Receiver) -> None:
    events: set[str] = set()
    for tenant in tenants:
        own = [each for each in receiver.received if each.path == f"/webhooks/{tenant.name}"]
        told = [(each.json()["type"], each.json()["data"]["order_number"]) for each in own]
        assert told == [
            (event, tenant.key(order)) for order in range(ORDERS) for event in ("order.placed", "order.paid")
        ]
        ids = {each.headers["webhook-id"] for each in own}
        assert len(ids) == ORDERS * 2
        assert not ids & events
        events |= ids
        deliveries = tenant.caller.control("GET", "/deliveries").json()["deliveries"]
        assert {delivery["event_id"] for delivery in deliveries} == ids
        assert {delivery["subscriber"] for delivery in deliveries} == {tenant.subscriber}


def test_ids(tenants: list[Tenant]) -> None:
    """Each world draws from its own seed; nobody else's calls have moved what it draws."""
    seen: set[str] = set()
    for tenant in tenants:
        invoices = {invoice["id"] for invoice in tenant.caller.state("accounting")["invoices"]}
        assert len(invoices) == ORDERS
        assert not invoices & seen
        seen |= invoices
        # What has an id in one world has none in the next.
        other = tenants[(tenant.number + 1) % WORLDS].caller
        assert {other.accounting("GET", f"/invoices/{known}").status_code for known in invoices} == {404}


def test_same_again_alone(tenants: list[Tenant], server: Server, receiver: Receiver) -> None:
    """The ids of a world under load are those that it has when nothing else happens."""
    loaded = tenants[1]
    invoices = loaded.caller.state("accounting")["invoices"]
    loaded.caller.control("POST", "/reset").raise_for_status()
    for step in loaded.steps():
        step()
    again = loaded.caller.state("accounting")["invoices"]
    assert [invoice["id"] for invoice in again] == [invoice["id"] for invoice in invoices]


def test_clocks(tenants: list[Tenant]) -> None:
    still, moved = tenants[2].caller, tenants[3].caller
    still.control("POST", "/clock/freeze").raise_for_status()
    before = still.control("GET", "/clock").json()["now"]
    moved.advance(86400)
    assert still.control("GET", "/clock").json()["now"] == before
    assert not moved.control("GET", "/clock").json()["frozen"]
    assert (
        tenants[4].caller.control("GET", "/clock").json()["now"] < moved.control("GET", "/clock").json()["now"] - 80000
    )


def test_tokens(tenants: list[Tenant]) -> None:
    token = tenants[5].caller.token()
    for number, status in ((5, 200), (6, 401)):
        url = f"{tenants[number].caller.access.systems['crm']['url']}/customers/search"
        headers = {"Authorization": f"Bearer {token}"}
        answer = tenants[number].caller.http.post(url, json={"email": "a@example.com"}, headers=headers)
        assert answer.status_code == status
