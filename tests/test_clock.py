"""The world's clock, as the control API moves it, and as everything that dates or expires follows it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from sandbox.clock import VirtualClock

SEARCH = {"email": "nobody@example.com"}


def now(world: Any) -> float:
    return float(world.control("GET", "/clock").raise_for_status().json()["now"])


def started(world: Any) -> Any:
    world.shop("GET", "/orders").raise_for_status()
    return world


def test_runs_by_itself(world: Any) -> None:
    started(world)
    clock = world.control("GET", "/clock").json()
    assert clock["frozen"] is False
    assert datetime.fromisoformat(clock["time"]).timestamp() == pytest.approx(clock["now"], abs=0.001)
    assert now(world) > clock["now"]


def test_advance(world: Any) -> None:
    before = now(started(world))
    world.advance(3600)
    assert 3600 <= now(world) - before < 3600 + 20


@pytest.mark.parametrize("seconds", [-1, "1", None, 1e12])
def test_does_not_run_backwards(world: Any, seconds: Any) -> None:
    before = now(started(world))
    assert world.control("POST", "/clock/advance", {"seconds": seconds}).status_code == 400
    assert now(world) - before < 20


def test_freeze_and_resume(world: Any) -> None:
    started(world)
    frozen = world.control("POST", "/clock/freeze").json()
    assert frozen["frozen"] is True
    assert now(world) == now(world) == frozen["now"]
    world.advance(10)
    assert now(world) == frozen["now"] + 10
    resumed = world.control("POST", "/clock/resume").json()
    assert (resumed["frozen"], 0 <= resumed["now"] - frozen["now"] - 10 < 1) == (False, True)
    assert now(world) > resumed["now"]


def test_dates_what_happens(world: Any) -> None:
    started(world).control("POST", "/clock/freeze").raise_for_status()
    world.advance(1_000_000)
    clock = world.control("GET", "/clock").json()
    order = world.order()
    assert {order["created_at"], order["paid_at"], order["fulfilment"]["updated_at"]} == {clock["time"]}
    assert world.journal()[-1]["at"] == clock["now"]


def test_each_world_has_its_own(world: Any, caller: Callable[[str], Any]) -> None:
    elsewhere = started(caller(f"{world.name}-2"))
    started(world).advance(86400)
    assert now(world) - now(elsewhere) > 86000


def test_tokens_expire_on_it(world: Any) -> None:
    assert world.crm("POST", "/customers/search", SEARCH).status_code == 200
    world.advance(3600 - 60)
    assert world.crm("POST", "/customers/search", SEARCH).status_code == 200
    world.advance(61)
    expired = world.crm("POST", "/customers/search", SEARCH)
    assert expired.status_code == 401
    assert expired.headers["www-authenticate"] == 'Bearer realm="crm", error="invalid_token"'
    assert expired.headers["content-type"] == "application/problem+json"
    fresh = {"Authorization": f"Bearer {world.token()}"}
    assert world.crm("POST", "/customers/search", SEARCH, **fresh).status_code == 200


def test_token_says_how_long_it_lives(world: Any) -> None:
    crm = world.access.systems["crm"]
    form = {"grant_type": "client_credentials"}
    pair = (crm["client_id"], crm["client_secret"])
    answer = world.http.post(f"{crm['url']}/oauth/token", data=form, auth=pair)
    assert answer.json().keys() == {"access_token", "token_type", "expires_in"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 3600)
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("system", "path", "challenge"),
    [
        ("shop", "/orders", 'ApiKey realm="shop"'),
        ("shipping", "/shipments", 'ApiKey realm="shipping"'),
        ("accounting", "/invoices", 'Bearer realm="accounting"'),
        ("crm", "/customers/cus_aaaaaaaaaaaa", 'Bearer realm="crm"'),
    ],
)
def test_401_names_the_scheme(world: Any, system: str, path: str, challenge: str) -> None:
    header = next(iter(world.credentials(system)))
    for headers in ({}, {header: "wrong"}, {header: "Bearer wrong"}, {"Authorization": "Basic x"}):
        answer = world.call(system, "GET", path, known=False, **headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith(challenge)
        assert answer.json()["status"] == 401
    foreign = world.access.systems["shop" if system != "shop" else "shipping"]["api_key"]
    assert world.call(system, "GET", path, known=False, **{header: f"Bearer {foreign}"}).status_code == 401


@pytest.mark.parametrize("wrong", [{"client_secret": "wrong"}, {"client_id": "wrong"}])
def test_wrong_client(world: Any, wrong: dict[str, str]) -> None:
    crm = world.access.systems["crm"]
    form = {"grant_type": "client_credentials", "client_id": crm["client_id"], "client_secret": crm["client_secret"]}
    answer = world.http.post(f"{crm['url']}/oauth/token", data=form | wrong)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert answer.json()["error"] == "invalid_client"


class TestVirtualClock:
    def test_fires_what_comes_due_at_its_own_time(self) -> None:
        clock, fired = VirtualClock(1000.0), list[tuple[str, float]]()
        clock.at(1005, lambda: fired.append(("later", clock.now())))
        clock.at(1002, lambda: clock.at(1003, lambda: fired.append(("nested", clock.now()))) and None)
        cancelled = clock.at(1001, lambda: fired.append(("never", clock.now())))
        cancelled.cancel()
        clock.run_until(1010)
        assert fired == [("nested", 1003.0), ("later", 1005.0)]
        assert clock.now() == 1010

    def test_keeps_the_order_of_what_is_due_at_once(self) -> None:
        clock, fired = VirtualClock(0.0), list[int]()
        for number in range(5):
            clock.at(1, lambda number=number: fired.append(number))
        clock.sleep(1)
        assert fired == [0, 1, 2, 3, 4]

    def test_does_not_run_backwards(self) -> None:
        with pytest.raises(ValueError, match="backwards"):
            VirtualClock().advance(-1)
