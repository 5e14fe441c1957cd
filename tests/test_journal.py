"""The journal: what each side sent, what took effect, and when; whole, in order, readable while it grows."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sandbox import journal
from sandbox.inprocess import InProcess
from sandbox.project import Project

Until = Callable[[Callable[[], Any]], Any]


class Follower:
    """Follows a world's journal in a thread of its own."""

    def __init__(self, world: Any, query: str = "") -> None:
        self.entries: list[Any] = []
        self.ids: list[int] = []
        self.ended = threading.Event()
        self._grown = threading.Condition()
        url = f"{world.access.control}/worlds/{world.name}/journal/stream{query}"
        begun = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(world, url, begun), daemon=True)
        self._thread.start()
        assert begun.wait(10)

    def _run(self, world: Any, url: str, begun: threading.Event) -> None:
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.Client(trust_env=False, verify=False) as client,
            client.stream("GET", url, timeout=None) as stream,
        ):
            assert stream.headers["content-type"].startswith("text/event-stream")
            begun.set()
            for line in stream.iter_lines():
                with self._grown:
                    if line.startswith("id: "):
                        self.ids.append(int(line.removeprefix("id: ")))
                    if line.startswith("data: "):
                        self.entries.append(json.loads(line.removeprefix("data: ")))
                    self._grown.notify_all()
        self.ended.set()

    def wait(self, number: int) -> list[Any]:
        with self._grown:
            assert self._grown.wait_for(lambda: len(self.entries) >= number, 20), self.entries
        return self.entries


def test_call_with_an_effect(world: Any) -> None:
    order = world.order()
    (entry,) = world.journal()
    assert entry["seq"] == 1
    assert entry["kind"] == "call"
    assert entry["address"] == {"system": "shop", "operation": "place_order", "key": "2025-4471", "occurrence": 1}
    request = entry["request"]
    assert (request["method"], request["path"], request["query"]) == ("POST", "/orders", "")
    assert request["body"]["amount_net"] == 1290.0
    assert request["headers"]["content-type"] == "application/json"
    assert (entry["effect"], entry["fault"]) == ("applied", None)
    assert entry["changes"] == [{"action": "create", "collection": "orders", "id": "2025-4471"}]
    assert len(entry["events"]) == 2
    answer = entry["answer"]
    assert (answer["status"], answer["outcome"]) == (201, "sent")
    assert answer["body"]["items"] == order["items"]
    assert answer["headers"]["location"].endswith("/shop/orders/2025-4471")
    assert answer["at"] >= entry["at"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/orders", None, 200),
        ("GET", "/orders/none", None, 404),
        ("POST", "/orders", {"order_number": "x"}, 400),
        ("POST", "/orders", b"{", 400),
        ("DELETE", "/orders", None, 405),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_call_without_an_effect(world: Any, method: str, path: str, body: Any, status: int) -> None:
    assert world.shop(method, path, body).status_code == status
    (entry,) = world.journal()
    assert (entry["effect"], entry["changes"], entry["events"]) == ("none", [], [])
    assert (entry["answer"]["status"], entry["answer"]["outcome"]) == (status, "sent")


def test_refusal_rolls_back_and_says_so(world: Any) -> None:
    world.order()
    again = {
        "order_number": "2025-4471",
        "customer": "C",
        "amount_net": 9.0,
        "currency": "EUR",
        "line_items": 1,
        "paid": True,
    }
    assert world.shop("POST", "/orders", again).status_code == 409
    entry = world.journal()[-1]
    assert (entry["address"]["occurrence"], entry["effect"], entry["answer"]["status"]) == (2, "none", 409)


def test_occurrences_count_arrivals_per_key_whatever_the_answer(world: Any) -> None:
    for key in ("a", "b", "a", "a"):
        world.shop("GET", f"/orders/{key}")
    world.shop("GET", "/orders/a", X_Shop_Api_Key="wrong")
    found = [(entry["address"]["key"], entry["address"]["occurrence"]) for entry in world.journal()]
    assert found == [("a", 1), ("b", 1), ("a", 2), ("a", 3), ("a", 4)]


def test_keys_follow_the_record(world: Any) -> None:
    """A call that names an invoice's id is about its order all the same."""
    address = {"street": "1 Quay", "postal_code": "BS1 1AA", "city": "Bristol", "country": "GB"}
    shipment = {"reference": "2025-4471", "recipient": {"name": "Ada", "address": address}}
    made = world.shipping("POST", "/shipments", shipment).json()["shipment_id"]
    world.shipping("POST", f"/shipments/{made}/cancel")
    assert {entry["address"]["key"] for entry in world.journal()} == {"2025-4471"}


def test_filters_and_pages(world: Any) -> None:
    for number in ("a", "b", "c"):
        world.order(number)
    world.shop("GET", "/orders/b")
    world.accounting("GET", "/invoices")
    assert [entry["seq"] for entry in world.journal(key="b")] == [2, 4]
    assert [entry["seq"] for entry in world.journal(operation="place_order", after=1)] == [2, 3]
    assert [entry["seq"] for entry in world.journal(system="accounting")] == [5]
    assert world.journal(kind="delivery") == []
    first = world.control("GET", "/journal?limit=2").json()
    assert ([entry["seq"] for entry in first["entries"]], first["next"]) == ([1, 2], 2)
    rest = world.control("GET", f"/journal?limit=3&after={first['next']}").json()
    assert ([entry["seq"] for entry in rest["entries"]], rest["next"]) == ([3, 4, 5], None)


def test_lost_answer_keeps_its_effect(world: Any) -> None:
    fault = {
        "on": {"system": "shop", "operation": "place_order", "key": "L-1"},
        "inject": "timeout",
        "effect": "applied",
    }
    world.shop("GET", "/orders")
    world.control("POST", "/faults", fault).raise_for_status()
    with pytest.raises(Exception, match="timed out"):
        world.http.post(
            f"{world.access.systems['shop']['url']}/orders",
            json={
                "order_number": "L-1",
                "customer": "C",
                "amount_net": 9.0,
                "currency": "EUR",
                "line_items": 1,
                "paid": True,
            },
            headers=world.credentials("shop"),
            timeout=0.3,
        )
    (entry,) = world.journal(key="L-1")
    assert (entry["effect"], entry["fault"]["inject"]) == ("applied", "timeout")
    assert (entry["answer"]["outcome"], entry["answer"]["status"]) == ("lost", 201)
    assert world.shop("GET", "/orders/L-1").status_code == 200


def test_readable_while_it_grows(world: Any) -> None:
    seen = []
    for number in range(30):
        world.order(f"R-{number}")
        seen.append(len(world.journal()))
    assert seen == list(range(1, 31))


def test_follow(world: Any, receiver: Any, until: Until) -> None:
    """Each entry once and whole, those from before and those that come, from many callers at once."""
    body = {"url": receiver.url, "events": ["order.paid"]}
    world.shop("POST", "/webhook-subscriptions", body).raise_for_status()
    world.order("before")
    receiver.wait(1)
    follower = Follower(world)

    def run(name: str) -> None:
        for number in range(10):
            world.order(f"{name}-{number}")
            world.shop("GET", f"/orders/{name}-{number}")

    threads = [threading.Thread(target=run, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    receiver.wait(41)
    expected = until(lambda: len(found := world.journal()) == 1 + 1 + 1 + 80 + 40 and found)
    told = follower.wait(len(expected))
    assert follower.ids == [entry["seq"] for entry in told]
    assert sorted(told, key=lambda entry: entry["seq"]) == expected


def test_follow_only_what_is_wanted(world: Any) -> None:
    world.order("x")
    follower = Follower(world, "?operation=place_order&after=1")
    world.order("y")
    world.shop("GET", "/orders")
    world.order("z")
    assert [entry["address"]["key"] for entry in follower.wait(2)] == ["y", "z"]


def test_follow_ends_with_its_world(world: Any) -> None:
    world.order()
    follower = Follower(world)
    follower.wait(1)
    world.control("POST", "/reset").raise_for_status()
    assert follower.ended.wait(10)
    assert len(follower.entries) == 1


def test_follow_of_an_unknown_world(world: Any) -> None:
    assert world.control("GET", "/journal/stream").status_code == 404


def test_reading_is_no_growth(project: Project) -> None:
    """Whoever follows is woken by what is new, not by their own looking."""
    sandbox = InProcess(project)
    woken: list[int] = []
    world = sandbox.world()
    with world.journal.watch(lambda: woken.append(world.journal.length)):
        world.entries()
        world.entries()
        assert woken == []
        sandbox.session().get(f"{sandbox.access().systems['shop']['url']}/orders")
        assert len(world.entries()) == 1
        world.entries()
    assert woken == [1]
    sandbox.close()


REQUEST = {"kind": "call", "at": 1.0, "address": {"system": "s", "operation": "o", "key": "-", "occurrence": 1}}


def test_missing_outcome_reads_unknown() -> None:
    request = {**REQUEST, "request": {"method": "POST"}}
    change = {"action": "create", "collection": "orders", "id": "1"}
    (entry,) = journal.merge([journal.effect_row(1, request, [change], ["evt_1"])])
    assert entry["answer"] == "unknown"
    assert (entry["effect"], entry["changes"], entry["events"], entry["fault"]) == (
        "applied",
        [change],
        ["evt_1"],
        None,
    )


def test_rows_become_whole_entries() -> None:
    request = {**REQUEST, "request": {"method": "POST"}}
    effect = journal.effect_row(2, request, [], ["evt_1"])
    outcome = journal.outcome_row(2, None, {"inject": "slow"}, {"status": 201})
    other = journal.outcome_row(1, request, None, {"status": 404})
    first, second = sorted(journal.merge([effect, other, outcome]), key=lambda entry: entry["seq"])
    assert (first["effect"], first["answer"]) == ("none", {"status": 404})
    assert (second["effect"], second["answer"], second["fault"]) == ("applied", {"status": 201}, {"inject": "slow"})


@pytest.mark.parametrize(
    ("with_time", "without"),
    [
        ({"at": 17.5, "seq": 3}, {"seq": 3}),
        ({"headers": {"webhook-timestamp": "1763740000", "webhook-id": "evt_1"}}, {"headers": {"webhook-id": "evt_1"}}),
        ({"body": [{"due_date": "2025-12-05"}]}, {"body": [{"due_date": "[time]"}]}),
        ({"query": "updated_since=2025-11-21T08:30:00.000Z&limit=5"}, {"query": "updated_since=[time]&limit=5"}),
        ({"query": "updated_since=2025-11-21T08%3A30%3A00.000Z"}, {"query": "updated_since=[time]"}),
        ({"key": "2025-4471", "path": "/orders/2025-44-71"}, {"key": "2025-4471", "path": "/orders/2025-44-71"}),
    ],
)
def test_without_times(with_time: Any, without: Any) -> None:
    assert journal.without_times(with_time) == without
