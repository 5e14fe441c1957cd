"""Faults on what an event's message looks like (forged, rotated, respaced), in virtual time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from sandbox.integrator.signature import Forged, verify
from sandbox.project import Project
from tests.faults.subscribers import DAY, ORDER, SECRET, TOLERANCE, WEEK, Shop, Subscriber


@pytest.fixture(scope="module")
def project(checkout: Path) -> Project:
    return Project.load(checkout)


@pytest.fixture
def shop(project: Project) -> Iterator[Shop]:
    shop = Shop(project)
    yield shop
    shop.sandbox.close()


@pytest.fixture
def subscriber(shop: Shop) -> Subscriber:
    return shop.subscribe("order.placed", "order.paid")[1]


@pytest.mark.parametrize("how", ["unsigned", "wrong_signature", "old_timestamp"])
def test_forged(shop: Shop, subscriber: Subscriber, how: str) -> None:
    shop.fault("forged", with_={"how": how})
    shop.place()
    shop.run(WEEK)
    _, real, forged = subscriber.got
    assert subscriber.accepted == [subscriber.got[0], real]
    assert forged.id != real.id
    assert forged.id.startswith("evt_")
    assert len(forged.id) == len(real.id)
    assert (forged.type, forged.key) == ("order.paid", "7974-5528")
    assert shop.status(f"/orders/{forged.key}") == 404
    assert forged.payload["data"] | {"order_number": ORDER} == real.payload["data"]
    if how == "unsigned":
        assert "webhook-signature" not in forged.headers
    else:
        assert len(forged.signatures) == 1
    age = forged.at - int(forged.headers["webhook-timestamp"])
    assert age == (DAY if how == "old_timestamp" else 0)


def test_forged_with_an_old_timestamp_is_rightly_signed(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("forged", with_={"how": "old_timestamp", "age": "10m"})
    shop.place()
    shop.run()
    forged = subscriber.got[-1]
    assert verify(SECRET, forged.headers, forged.body, now=forged.at - 600, tolerance=1) == forged.id


def test_forged_is_never_retried_and_known_by_its_entry(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("forged")
    subscriber.answers = [204, 204, 503]
    shop.place()
    shop.run(WEEK)
    assert shop.met() == [None, None, "forged"]
    real, entry = shop.journal()[1:]
    assert entry["event_id"] == subscriber.got[-1].id
    assert entry["address"] == real["address"] | {"key": "7974-5528"}
    assert entry["answer"]["status"] == 401
    assert entry["request"]["body"]["data"]["order_number"] == "7974-5528"
    assert shop.states() == ["delivered", "delivered"]


def test_forged_is_about_no_order_that_exists(shop: Shop, subscriber: Subscriber) -> None:
    shop.place("7974-5528")
    shop.fault("forged", key=ORDER)
    shop.place()
    shop.run()
    forged = subscriber.got[-1]
    assert forged.key not in (ORDER, "7974-5528")
    assert shop.status(f"/orders/{forged.key}") == 404


def test_rotated(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("rotated")
    shop.place()
    shop.run()
    assert len(subscriber.accepted) == 2
    received = subscriber.accepted[-1]
    other, valid = received.signatures
    for signatures, accepted in ((valid, True), (other, False)):
        headers = received.headers | {"webhook-signature": signatures}
        if accepted:
            verify(SECRET, headers, received.body, now=received.at, tolerance=TOLERANCE)
        else:
            with pytest.raises(Forged):
                verify(SECRET, headers, received.body, now=received.at, tolerance=TOLERANCE)
    assert shop.met() == [None, "rotated"]


def test_respaced(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("respaced")
    shop.place()
    shop.run()
    plain, respaced = subscriber.accepted
    assert plain.body == orjson.dumps(plain.payload)
    assert respaced.body != orjson.dumps(respaced.payload)
    assert list(respaced.payload["data"]) == list(plain.payload["data"])
    assert shop.met() == [None, "respaced"]


def test_entries_show_what_was_sent(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("rotated")
    shop.place()
    shop.run()
    for entry, received in zip(shop.journal(), subscriber.got, strict=True):
        headers = {"content-type": "application/json", **received.headers}
        sent = {name: value for name, value in headers.items() if name.startswith(("webhook-", "content-type"))}
        assert entry["request"]["headers"] == sent
        assert entry["request"]["body"]["data"]["order_number"] == ORDER
        assert SECRET not in json.dumps(entry)
        buyer = received.payload["data"]["buyer"]
        shown = entry["request"]["body"]["data"]["buyer"]
        assert set(shown) == set(buyer)
        assert all(value.startswith("[personal:") for value in shown.values())
