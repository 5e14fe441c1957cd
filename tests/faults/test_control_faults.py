"""Faults, worlds, journal, deliveries, clock and state over the control API, with the field names of plan files."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from sandbox.inprocess import BASE_URL, InProcess
from sandbox.plan import Plan
from sandbox.plan_document import read_plan
from sandbox.project import Project
from sandbox.server import Server
from tests.conftest import Caller, Receiver

ORDER = {"system": "shop", "operation": "place_order"}
PAID = {"event": "order.paid"}
DOCUMENT = {
    "order_number": "2025-4471", "customer": "Example Ltd", "amount_net": 1290.0, "currency": "EUR", "line_items": 3,
    "paid": True,
}  # fmt: skip


def place(world: Caller, number: str = "2025-4471", **headers: str) -> int:
    return world.shop("POST", "/orders", DOCUMENT | {"order_number": number}, **headers).status_code


@pytest.fixture
def world(world: Caller) -> Caller:
    """A world that is there."""
    world.shop("GET", "/products").raise_for_status()
    return world


def test_add_list_remove_clear(world: Caller) -> None:
    added = world.control("POST", "/faults", {"on": ORDER | {"key": "2025-1"}, "inject": "server_error"})
    assert added.status_code == 201
    fault = added.json()
    assert fault == {
        "id": fault["id"],
        "on": ORDER | {"key": "2025-1", "occurrence": 1},
        "inject": "server_error",
        "fired": 0,
    }
    assert place(world, "2025-1") == 500
    listed = world.control("GET", "/faults").json()
    assert listed == {"seed": 0, "faults": [fault | {"fired": 1}], "weather": []}
    assert world.control("DELETE", f"/faults/{fault['id']}").status_code == 204
    assert world.control("DELETE", f"/faults/{fault['id']}").status_code == 404
    world.control("POST", "/faults", {"on": ORDER, "inject": "timeout"}).raise_for_status()
    assert world.control("DELETE", "/faults").status_code == 204
    assert world.control("GET", "/faults").json()["faults"] == []


PLAN: dict[str, Any] = {
    "description": "What a plan can say.",
    "scenario": "one-paid-order",
    "seed": 7,
    "faults": [
        {
            "on": ORDER | {"occurrence": "any"},
            "inject": "server_error",
            "with": {"status": 503},
            "match": {"body": {"/currency": "USD"}, "header": {"X-Try": "1"}},
            "count": 2,
            "ttl": "10m",
        },
        {"on": PAID | {"key": "2025-1", "occurrence": 1}, "inject": "duplicate", "with": {"after": "3s"}},
    ],
    "weather": [{"on": {"system": "shop", "occurrence": "any"}, "inject": "slow", "effect": "applied", "rate": "5 %"}],
}  # fmt: skip


def bare(armed: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in armed.items() if name not in ("id", "fired")}


def test_a_plan_replaces_what_was_armed_and_comes_back_as_it_was(world: Caller) -> None:
    world.control("POST", "/faults", {"on": ORDER, "inject": "timeout"}).raise_for_status()
    put = world.control("PUT", "/faults", PLAN)
    assert put.status_code == 200
    armed = put.json()
    assert armed == world.control("GET", "/faults").json()
    assert armed["seed"] == 7
    assert [bare(one) for one in armed["faults"]] == PLAN["faults"]
    assert [bare(one) for one in armed["weather"]] == PLAN["weather"]
    assert world.control("DELETE", f"/faults/{armed['weather'][0]['id']}").status_code == 204
    assert world.control("PUT", "/faults", {}).json() == {"seed": 0, "faults": [], "weather": []}


def test_a_match_picks_the_call(world: Caller) -> None:
    match = {"header": {"X-Try": "1"}, "body": {"/currency": "EUR"}}
    fault = {"on": ORDER | {"occurrence": "any"}, "inject": "server_error", "match": match}
    world.control("POST", "/faults", fault).raise_for_status()
    assert place(world, "2025-1") == 201
    assert place(world, "2025-2", X_Try="1") == 500
    assert "X-Try" not in str(world.journal()[-1]["fault"])


def test_a_secret_in_a_match_stays_out_of_the_journal(world: Caller) -> None:
    secret = world.access.systems["shop"]["api_key"]
    fault = {"on": ORDER, "inject": "server_error", "match": {"header": {"X-Shop-Api-Key": secret}}}
    world.control("POST", "/faults", fault).raise_for_status()
    assert place(world) == 500
    assert secret not in json.dumps(world.journal())
    (armed,) = world.control("GET", "/faults").json()["faults"]
    assert armed["match"]["header"] == {"X-Shop-Api-Key": "[secret:shop]"}


@pytest.mark.parametrize(
    ("fault", "status", "pointer", "detail"),
    [
        ({"on": ORDER | {"operation": "place_ordr"}, "inject": "reset"}, 422, "/on/operation", "mean place_order?"),
        ({"on": ORDER, "inject": "rest"}, 422, "/inject", "did you mean reset?"),
        ({"on": ORDER, "inject": "truncated", "effect": "none"}, 422, "/effect", "truncated takes effect: applied"),
        ({"on": ORDER, "inject": "stale_read"}, 422, "/inject", "place_order is a POST"),
        ({"on": PAID, "inject": "duplicate", "with": {"after": "soon"}}, 422, "/with/after", "3s, 250ms"),
        ({"on": ORDER, "injct": "reset"}, 400, "/injct", "did you mean inject?"),
        ({"on": ORDER | {"key": 4471}, "inject": "reset"}, 400, "/on/key", "put it in quotes"),
        ({"on": ORDER | PAID, "inject": "reset"}, 400, "/on", "neither a call nor a delivery"),
        ({"on": ORDER, "inject": "reset", "effect": "aplied"}, 400, "/effect", "did you mean applied?"),
        ({"on": ORDER, "inject": "reset", "count": 0}, 400, "/count", "too small"),
        ([], 400, "", "not a mapping"),
    ],
)  # fmt: skip
def test_a_fault_that_is_refused(world: Caller, fault: Any, status: int, pointer: str, detail: str) -> None:
    for method, body, prefix in (("POST", fault, ""), ("PUT", {"faults": [fault]}, "/faults/0")):
        answer = world.control(method, "/faults", body)
        problem = answer.json()
        assert (answer.status_code, problem["type"]) == (status, "/problems/plan")
        assert detail in problem["detail"]
        assert [error["pointer"] for error in problem["errors"]] == [prefix + pointer]
    assert world.control("GET", "/faults").json()["faults"] == []


def test_a_refused_plan_changes_nothing(world: Caller) -> None:
    world.control("POST", "/faults", {"on": ORDER, "inject": "reset"}).raise_for_status()
    before = world.control("GET", "/faults").json()
    good = {"on": ORDER, "inject": "timeout"}
    answer = world.control("PUT", "/faults", {"faults": [good, good | {"inject": "timout"}]})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/faults/1/inject"
    assert world.control("GET", "/faults").json() == before


def test_no_json_is_refused_as_everywhere(world: Caller) -> None:
    url = f"{world.access.control}/worlds/{world.name}/faults"
    for content, media_type, status in ((b"{", "application/json", 400), (b"on: shop", "application/yaml", 415)):
        answer = world.http.post(url, content=content, headers={"content-type": media_type})
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"


def test_worlds(server: Server) -> None:
    with httpx.Client(base_url=f"{server.url}/_sandbox", trust_env=False) as client:
        assert client.get("/health").json()["status"] == "ok"
        made = client.post("/worlds", json={"name": "made", "seed": 5})
        assert (made.status_code, made.json()["seed"]) == (201, 5)
        assert client.post("/worlds", json={"name": "made"}).status_code == 409
        assert client.get("/worlds/made/faults").json()["seed"] == 5
        assert "made" in [world["name"] for world in client.get("/worlds").json()["worlds"]]
        client.post("/worlds/made/faults", json={"on": ORDER, "inject": "reset"}).raise_for_status()
        assert client.post("/worlds/made/reset").json()["seed"] == 5
        assert client.get("/worlds/made/faults").json()["faults"] == []
        assert client.delete("/worlds/made").status_code == 204
        for path in ("", "/faults", "/journal", "/journal/stream", "/state", "/deliveries", "/clock"):
            assert client.get(f"/worlds/made{path}").status_code == 404


def test_the_journal_is_filtered_and_paged(world: Caller) -> None:
    for number in range(5):
        place(world, f"2025-{number}")
    world.shop("GET", "/orders/2025-3").raise_for_status()
    assert [entry["address"]["key"] for entry in world.journal(operation="place_order")] == [
        f"2025-{n}" for n in range(5)
    ]
    assert len(world.journal(key="2025-3")) == 2
    assert world.journal(system="crm") == world.journal(kind="delivery") == []
    seen, after = [], 0
    while after is not None:
        page = world.control("GET", f"/journal?operation=place_order&limit=2&after={after}").json()
        assert len(page["entries"]) <= 2
        seen += [entry["seq"] for entry in page["entries"]]
        after = page["next"]
    assert seen == [entry["seq"] for entry in world.journal(operation="place_order")]


def test_the_journal_finds_a_personal_key_as_it_is(world: Caller) -> None:
    world.crm("POST", "/customers", {"name": "Ada", "email": "ada@example.com"}).raise_for_status()
    (entry,) = world.journal(operation="create_customer")
    label = entry["address"]["key"]
    assert label.startswith("[personal:")
    assert world.journal(key="ada@example.com") == world.journal(key=label) == [entry]


def events(stream: httpx.Response) -> Iterator[tuple[int, dict[str, Any]]]:
    """Server-sent events as a browser reads them."""
    number = 0
    for line in stream.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "data":
            yield number, json.loads(value)


def test_the_journal_is_followed(world: Caller) -> None:
    place(world, "2025-1")
    url = f"{world.access.control}/worlds/{world.name}/journal/stream?operation=place_order"
    with httpx.Client(trust_env=False, timeout=20) as client, client.stream("GET", url) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        found = events(stream)
        number, entry = next(found)
        assert (number, entry["address"]["key"]) == (entry["seq"], "2025-1")
        place(world, "2025-2")
        assert next(found)[1]["address"]["key"] == "2025-2"
        ends = threading.Thread(target=lambda: world.control("POST", "/reset").raise_for_status())
        ends.start()
        assert list(found) == []
        ends.join()


def test_following_may_end_by_itself(world: Caller) -> None:
    place(world, "2025-1")
    for timeout in ("0", "0.05"):
        answer = world.control("GET", f"/journal/stream?timeout={timeout}&operation=place_order")
        assert [entry["address"]["key"] for _, entry in events(answer)] == ["2025-1"]
    after = world.journal()[-1]["seq"]
    assert world.control("GET", f"/journal/stream?timeout=0&after={after}").text == ""


def test_deliveries(world: Caller, receiver: Receiver, until: Callable[..., Any]) -> None:
    subscription = {"url": receiver.url, "events": ["order.paid"]}
    world.shop("POST", "/webhook-subscriptions", subscription).raise_for_status()
    world.control("POST", "/faults", {"on": {"event": "order.paid"}, "inject": "drop"}).raise_for_status()
    place(world, "2025-1")
    place(world, "2025-2")

    def settled() -> Any:
        found = world.control("GET", "/deliveries").json()["deliveries"]
        return found if len(found) == 2 and all(one["state"] != "pending" for one in found) else None

    first, second = until(settled)
    assert (first["key"], first["state"]) == ("2025-1", "dropped")
    assert (second["key"], second["state"]) == ("2025-2", "dropped")
    assert world.control("POST", f"/deliveries/{first['id']}/redeliver").status_code == 202
    (received,) = receiver.wait(1)
    assert received.json()["data"]["order_number"] == "2025-1"
    assert world.control("POST", "/deliveries/dlv_unknown/redeliver").status_code == 404


def test_clock_and_state(world: Caller) -> None:
    frozen = world.control("POST", "/clock/freeze").json()
    assert frozen["frozen"]
    assert world.control("POST", "/clock/advance", {"seconds": 90}).json()["now"] == frozen["now"] + 90
    assert world.control("GET", "/clock").json() == world.control("GET", "/clock").json()
    assert not world.control("POST", "/clock/resume").json()["frozen"]
    place(world)
    assert [order["order_number"] for order in world.state("shop")["orders"]] == ["2025-4471"]


def test_a_time_to_live_follows_the_worlds_clock(world: Caller) -> None:
    fault = {"on": ORDER | {"occurrence": "any"}, "inject": "server_error", "ttl": "10m"}
    world.control("POST", "/clock/freeze").raise_for_status()
    world.control("POST", "/faults", fault).raise_for_status()
    assert place(world) == 500
    world.advance(599)
    assert place(world) == 500
    world.advance(1)
    assert place(world) == 201


def test_swagger_ui(server: Server) -> None:
    with httpx.Client(base_url=f"{server.url}/_sandbox", trust_env=False, follow_redirects=True) as client:
        page = client.get("/ui/")
        assert page.status_code == 200
        scripts = re.findall(r'src="\./([^"]+)"', page.text)
        assert scripts
        for script in scripts:
            assert client.get(f"/ui/{script}").status_code == 200
        assert "/_sandbox/openapi.json" in page.text + client.get("/ui/swagger-initializer.js").text
        document = client.get("/openapi.json").json()
        assert document["servers"] == [{"url": "/_sandbox"}]
        assert document["info"]["title"] == "Sandbox control"


def test_a_plan_of_the_server_is_armed_in_each_world(project: Project) -> None:
    plan = read_plan({"seed": 9, "faults": [{"on": ORDER, "inject": "server_error"}]})
    with (
        Server(project, port=0, plan=plan).running() as serving,
        httpx.Client(base_url=serving.url, trust_env=False) as client,
    ):
        key = {"X-Shop-Api-Key": serving.access().systems["shop"]["api_key"]}
        for path in ("/shop", "/w/other/shop"):
            assert client.post(f"{path}/orders", json=DOCUMENT, headers=key).status_code == 500
            assert client.post(f"{path}/orders", json=DOCUMENT, headers=key).status_code == 201
        client.post("/_sandbox/worlds", json={"name": "made", "seed": 5}).raise_for_status()
        armed = client.get("/_sandbox/worlds/made/faults").json()
        assert (armed["seed"], len(armed["faults"])) == (9, 1)
        client.delete("/_sandbox/worlds/other/faults").raise_for_status()
        assert client.get("/_sandbox/worlds/other/faults").json()["faults"] == []
        client.post("/_sandbox/worlds/other/reset").raise_for_status()
        assert len(client.get("/_sandbox/worlds/other/faults").json()["faults"]) == 1
    assert Plan() == read_plan({})


def test_the_control_api_in_process(project: Project) -> None:
    sandbox = InProcess(project)
    session, control = sandbox.session(), f"{BASE_URL}/_sandbox/worlds/default"
    session.post(f"{control}/faults", json={"on": ORDER, "inject": "reset"}).raise_for_status()
    assert session.get(f"{control}/faults").json()["faults"][0]["inject"] == "reset"
    stream = session.get(f"{control}/journal/stream")
    assert stream.headers["content-type"] == "text/event-stream"
    sandbox.close()
