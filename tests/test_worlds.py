"""Worlds: made on first use, blind to each other, the same from the same seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.inprocess import InProcess
from sandbox.journal import without_times
from sandbox.project import Project

Until = Callable[[Callable[[], Any]], Any]

DOCUMENT = {
    "order_number": "2025-4471",
    "customer": "Example Ltd",
    "amount_net": 1290.00,
    "currency": "EUR",
    "line_items": 3,
    "paid": True,
}


def test_made_on_first_use(world: Any) -> None:
    assert world.control("GET").status_code == 404
    assert world.shop("GET", "/orders").json() == {"orders": []}
    assert world.control("GET").json()["name"] == world.name
    known = world.http.get(f"{world.access.control}/worlds").json()["worlds"]
    assert world.name in [each["name"] for each in known]


def test_default_world_needs_no_name(world: Any, caller: Callable[[str], Any]) -> None:
    default = caller("default")
    assert default.access.systems["shop"]["url"] == f"{default.url}/shop"
    assert default.order("by-short-path")["order_number"] == "by-short-path"
    by_name = f"{default.url}/w/default/shop/orders/by-short-path"
    assert default.http.get(by_name, headers=default.credentials("shop")).status_code == 200


@pytest.mark.parametrize("name", ["-a", ".a", "a b", "ä", "a" * 64, "%2e%2e"])
def test_impossible_name(world: Any, name: str) -> None:
    answer = world.http.get(f"{world.url}/w/{name}/shop/orders")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert world.http.post(f"{world.access.control}/worlds", json={"name": name}).status_code == 400


def test_unknown_system_makes_no_world(world: Any) -> None:
    assert world.http.get(f"{world.url}/w/{world.name}/shoe/orders").status_code == 404
    assert world.control("GET").status_code == 404


def work(world: Any, number: int) -> dict[str, set[str]]:
    """Orders, invoices, webhooks and tokens in one world; what it was told."""
    told: dict[str, set[str]] = {"orders": set(), "invoices": set()}
    for count in range(number):
        order = world.order(f"{world.name}-{count}")
        told["orders"].add(order["order_number"])
        body = {
            "order_number": order["order_number"],
            "currency": "EUR",
            "customer": {
                "name": world.name,
                "billing_address": {"street": "1 St", "postal_code": "BS1 1AA", "city": "Bristol", "country": "GB"},
            },
            "amount_net": 10.0,
            "lines": [{"description": "Desk", "quantity": 1, "net_amount": 10.0, "tax_rate": 19}],
        }
        # All worlds use the same keys.
        answer = world.accounting("POST", "/invoices", body, Idempotency_Key=f"key-{count}")
        assert (answer.status_code, "idempotent-replayed" in answer.headers) == (201, False)
        told["invoices"].add(answer.json()["id"])
        listed = world.shop("GET", "/orders?limit=100&status=paid").json()["orders"]
        assert {each["order_number"] for each in listed} == told["orders"]
    return told


def test_parallel_worlds_never_see_each_other(caller: Callable[[str], Any], receiver: Any, until: Until) -> None:
    worlds = [caller(f"p{number}") for number in range(6)]
    told: dict[str, Any] = {}
    for world in worlds:
        url = receiver.url.replace("/webhooks", f"/{world.name}")
        world.shop("POST", "/webhook-subscriptions", {"url": url, "events": ["order.paid"]}).raise_for_status()

    def run(world: Any) -> None:
        told[world.name] = work(world, 10)

    threads = [threading.Thread(target=run, args=(world,)) for world in worlds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(told) == len(worlds)
    for received in receiver.wait(60):
        assert received.json()["data"]["order_number"].startswith(received.path.removeprefix("/") + "-")
    for world in worlds:
        until(lambda world=world: len(world.journal(kind="delivery")) == 10)
        others = [other.name for other in worlds if other is not world]
        text = json.dumps([world.journal(), world.state("shop"), world.state("accounting")])
        assert not [other for other in others if f"{other}-" in text]
        assert {order["order_number"] for order in world.state("shop")["orders"]} == told[world.name]["orders"]
        assert {invoice["id"] for invoice in world.state("accounting")["invoices"]} == told[world.name]["invoices"]
        calls = world.journal(kind="call")
        assert [entry["seq"] for entry in world.journal()] == list(range(1, len(calls) + 11))


def test_token_of_another_world_is_worth_nothing(world: Any, caller: Callable[[str], Any]) -> None:
    elsewhere = caller(f"{world.name}-2")
    token = {"Authorization": f"Bearer {elsewhere.token()}"}
    search = {"email": "a@example.com"}
    answers = [each.crm("POST", "/customers/search", search, known=False, **token) for each in (world, elsewhere)]
    assert [answer.status_code for answer in answers] == [401, 200]


def test_reset(world: Any) -> None:
    world.order()
    fault = {"on": {"system": "shop", "operation": "get_order"}, "inject": "timeout"}
    assert world.control("POST", "/faults", fault).status_code == 201
    world.advance(1000)
    seed = world.control("GET").json()["seed"]
    again = world.control("POST", "/reset").json()
    assert (again["name"], again["seed"], again["entries"]) == (world.name, seed, 0)
    assert world.journal() == []
    assert world.control("GET", "/faults").json()["faults"] == []
    assert world.shop("GET", "/orders").json() == {"orders": []}
    # The number is free again, and the data are what they were.
    assert world.order()["order_number"] == "2025-4471"


def test_reset_repeats_itself(world: Any) -> None:
    first = world.order()
    before = [without_times(entry) for entry in world.journal()]
    world.control("POST", "/reset").raise_for_status()
    second = world.order()
    times = {"created_at", "updated_at", "paid_at", "fulfilment"}
    assert {name: first[name] for name in first.keys() - times} == {
        name: second[name] for name in second.keys() - times
    }
    assert [without_times(entry) for entry in world.journal()] == before


def test_delete(world: Any) -> None:
    world.order()
    assert world.control("DELETE").status_code == 204
    assert world.control("GET").status_code == 404
    assert world.control("DELETE").status_code == 404
    assert world.shop("GET", "/orders").json() == {"orders": []}


def test_many_worlds_come_and_go(caller: Callable[[str], Any]) -> None:
    """A deleted world leaves nothing that the next one of the same name could find."""
    for _ in range(5):
        world = caller("come-and-go")
        assert world.order()["order_number"] == "2025-4471"
        assert len(world.state("shop")["orders"]) == 1
        assert [entry["seq"] for entry in world.journal(kind="call")] == [1]
        world.control("DELETE").raise_for_status()


def seeded(world: Any, seed: int | None) -> Any:
    body = {"name": world.name} | ({} if seed is None else {"seed": seed})
    created = world.http.post(f"{world.access.control}/worlds", json=body)
    assert created.status_code == 201, created.text
    assert world.http.post(f"{world.access.control}/worlds", json=body).status_code == 409
    return created.json()


def without_dates(order: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in order.items() if not name.endswith("_at") and name != "fulfilment"}


def test_seeds(caller: Callable[[str], Any]) -> None:
    worlds = [caller(f"seed-{number}") for number in range(4)]
    for world, seed in zip(worlds, (7, 7, 8, None), strict=True):
        assert seeded(world, seed)["seed"] == (seed or 0)
    first, same, other, default = (without_dates(world.order()) for world in worlds)
    assert first == same
    for different in (other, default):
        assert different["buyer"] != first["buyer"]
        assert different["items"] != first["items"]
    products = [world.shop("GET", "/products/DESK-180/stock").json()["level"] for world in worlds]
    assert products[0] == products[1]
    # Credentials are the sandbox's, not the world's.
    assert len({world.access.systems["shop"]["api_key"] for world in worlds}) == 1


def test_ids_do_not_depend_on_what_else_happens(caller: Callable[[str], Any]) -> None:
    quiet, busy = caller("quiet"), caller("busy")
    for number in range(5):
        busy.order(f"other-{number}")
    assert without_dates(quiet.order()) == without_dates(busy.order())
    # The second arrival about the same order is another one.
    for world in (quiet, busy):
        assert world.shop("POST", "/orders", DOCUMENT).status_code == 409


STORY = f"""
import json
from pathlib import Path
from sandbox.inprocess import InProcess
from sandbox.project import Project

sandbox = InProcess(Project.load(Path({str(Path(__file__).resolve().parents[1])!r})), seed=7)
session, shop = sandbox.session(), sandbox.access().systems["shop"]
session.headers["X-Shop-Api-Key"] = shop["api_key"]
session.post(shop["url"] + "/orders", json=json.loads({json.dumps(DOCUMENT)!r})).raise_for_status()
session.get(shop["url"] + "/products").raise_for_status()
print(json.dumps([sandbox.access().to_json(), sandbox.world().state(), sandbox.world().entries()]))
"""


def test_same_seed_in_another_process(checkout: Path) -> None:
    """Ids, data, credentials and journal do not hang on this process, nor on the hashes of its strings."""
    told = [
        subprocess.run(
            [sys.executable, "-c", STORY],
            cwd=checkout,
            env=os.environ | {"PYTHONHASHSEED": hashes},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout
        for hashes in ("1", "2")
    ]
    assert told[0] == told[1]
    assert "2025-4471" in told[0]


@pytest.fixture
def sandbox(project: Project) -> Iterator[InProcess]:
    sandbox = InProcess(project)
    yield sandbox
    sandbox.close()


def test_worlds_without_sockets(sandbox: InProcess) -> None:
    """All share one timeline, and nothing else: resetting one leaves what the others have planned."""
    session = sandbox.session()
    for name in ("a", "b"):
        shop = sandbox.access(name).systems["shop"]
        session.headers["X-Shop-Api-Key"] = shop["api_key"]
        body = {"url": "http://127.0.0.1:9/nobody", "events": ["order.paid"]}
        session.post(f"{shop['url']}/webhook-subscriptions", json=body).raise_for_status()
        session.post(f"{shop['url']}/orders", json=DOCUMENT).raise_for_status()
    sandbox.run(1)
    session.post(f"{sandbox.access().control}/worlds/b/reset").raise_for_status()
    sandbox.run(3600)
    attempts = {name: [e["attempt"] for e in sandbox.world(name).entries() if e["kind"] == "delivery"] for name in "ab"}
    assert attempts == {"a": [1, 2, 3, 4], "b": []}
