"""Faults on when and how often an event arrives, in virtual time; and what the journal says about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sandbox.errors import PlanError
from sandbox.faults.base import Delivery, DeliveryFault
from sandbox.faults.registry import build
from sandbox.plan import DeliveryPoint, Injection
from sandbox.project import Project
from tests.faults.subscribers import DEFAULT, ORDER, WEEK, Shop, Subscriber

OTHER = "2025-4472"


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


PLACED, PAID = ("order.placed", ORDER), ("order.paid", ORDER)


@pytest.mark.parametrize("fault", [None, "none"])
def test_without_a_fault(shop: Shop, subscriber: Subscriber, fault: str | None) -> None:
    if fault is not None:
        shop.fault(fault)
    shop.place()
    shop.run(WEEK)
    assert subscriber.story == [PLACED, PAID]
    assert len(subscriber.accepted) == 2
    assert shop.met() == [None, None]
    assert shop.states() == ["delivered", "delivered"]


def test_duplicate(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("duplicate", with_={"after": "3s"})
    shop.place()
    shop.run(WEEK)
    _, first, copy = subscriber.accepted
    assert (first.id, first.body) == (copy.id, copy.body)
    assert copy.at - first.at == 3
    assert int(copy.headers["webhook-timestamp"]) == int(copy.at)
    assert shop.met() == [None, None, "duplicate"]
    assert shop.states() == ["delivered", "delivered"]


def test_duplicate_several_times(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("duplicate", with_={"after": "10m", "times": 3})
    shop.place()
    shop.run(WEEK)
    paid = [received for received in subscriber.accepted if received.type == "order.paid"]
    assert [received.at - paid[0].at for received in paid] == [0, 600, 1200, 1800]
    assert len({received.id for received in paid}) == 1


def test_failed_duplicate_is_not_retried(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("duplicate", "order.placed", with_={"after": "1m"})
    subscriber.answers = [204, 204, 500]
    shop.place()
    shop.run(WEEK)
    assert subscriber.story == [PLACED, PAID, PLACED]
    assert shop.states() == ["delivered", "delivered"]


def test_duplicate_of_a_failed_event(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("duplicate", "order.placed", with_={"after": "1s"})
    subscriber.answers = [500]
    shop.place()
    shop.run(WEEK)
    assert subscriber.story == [PLACED, PAID, PLACED, PLACED]
    assert [entry["attempt"] for entry in shop.journal()] == [1, 1, 1, 2]
    assert shop.met() == [None, None, "duplicate", None]


def test_concurrent_duplicate(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("concurrent_duplicate")
    shop.place()
    shop.run(WEEK)
    _, first, copy = subscriber.accepted
    assert (first.id, first.body, first.at) == (copy.id, copy.body, copy.at)
    assert first.headers == copy.headers
    assert sorted(map(str, shop.met())) == ["None", "None", "concurrent_duplicate"]


def test_concurrent_duplicate_arrives_while_the_event_is_being_handled(shop: Shop) -> None:
    story: list[str] = []

    def handler(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        story.append("arrived")
        shop.status(f"/orders/{ORDER}")
        story.append("answered")
        start_response("204 No Content", [])
        return []

    shop.subscribe("order.paid")
    shop.sandbox.mount("http://127.0.0.1:9000/one", handler)
    shop.fault("concurrent_duplicate")
    shop.place()
    shop.run()
    assert story == ["arrived", "arrived", "answered", "answered"]


def test_delay(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("delay", "order.placed", with_={"by": "2h"})
    shop.place()
    placed = shop.now
    shop.run(7199)
    assert subscriber.story == [PAID]
    (waiting,) = [delivery for delivery in shop.deliveries() if delivery["state"] == "pending"]
    assert (waiting["event"], waiting["attempt"], waiting["due"]) == ("order.placed", 1, placed + 7200)
    shop.run(1)
    late = subscriber.accepted[-1]
    assert (late.type, late.at) == ("order.placed", placed + 7200)
    assert int(late.headers["webhook-timestamp"]) == int(late.at), "signed anew at its departure"
    assert shop.met() == [None, "delay"]


def test_delayed_event_is_retried(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("delay", with_={"by": 60})
    subscriber.answers = [204, 503]
    shop.place()
    shop.run(WEEK)
    assert subscriber.story == [PLACED, PAID, PAID]
    assert shop.met() == [None, "delay", None]
    assert [entry["attempt"] for entry in shop.journal()] == [1, 1, 2]


def test_reorder(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("reorder", "order.placed")
    shop.place()
    shop.run()
    assert subscriber.story == [PAID, PLACED]
    assert len(subscriber.accepted) == 2
    assert shop.met() == [None, "reorder"]
    shop.run(WEEK)
    assert len(subscriber.got) == 2
    assert shop.states() == ["delivered", "delivered"]


def test_reordered_event_leaves_right_after_the_next(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("reorder", "order.paid", key=ORDER)
    shop.place()
    shop.place(OTHER)
    shop.run()
    assert subscriber.story == [PLACED, ("order.placed", OTHER), PAID, ("order.paid", OTHER)]


def test_reorder_waits_until_the_newer_one_is_accepted(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("reorder", "order.placed", with_={"longest": "1h"})
    subscriber.answers = [500]
    shop.place()
    shop.run(3000)
    assert subscriber.story == [PAID, PAID, PLACED]


def test_a_retry_of_something_older_releases_nothing(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("reorder", with_={"longest": "1h"})
    subscriber.answers = [500]
    shop.place()
    shop.run(3599)
    assert subscriber.story == [PLACED, PLACED]
    shop.run(1)
    assert subscriber.story == [PLACED, PLACED, PAID]


def test_reorder_loses_nothing(shop: Shop, subscriber: Subscriber) -> None:
    for event in ("order.placed", "order.paid"):
        shop.fault("reorder", event, occurrence="any", with_={"longest": "90s"})
    shop.place()
    began = shop.now
    shop.run(89)
    assert subscriber.got == []
    assert {delivery["due"] for delivery in shop.deliveries()} == {began + 90}
    shop.run(1)
    assert sorted(subscriber.story) == [PAID, PLACED]
    shop.run(WEEK)
    assert len(subscriber.got) == 2


def test_reorder_for_each_subscriber(shop: Shop) -> None:
    _, one = shop.subscribe("order.placed", name="one")
    _, two = shop.subscribe("order.paid", name="two")
    shop.fault("reorder", "order.placed", with_={"longest": "1m"})
    shop.place()
    shop.run(59)
    assert (one.story, two.story) == ([], [PAID]), "what another subscriber got does not count"
    shop.run(1)
    assert one.story == [PLACED]


def test_drop(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("drop")
    shop.place()
    shop.run(WEEK)
    assert subscriber.story == [PLACED]
    assert shop.states() == ["delivered", "dropped"]
    dropped = shop.journal()[-1]
    assert dropped["fault"]["inject"] == "drop"
    assert dropped["answer"]["error"] == "dropped"
    assert dropped["request"]["headers"] == {}
    assert dropped["request"]["body"]["type"] == "order.paid"
    assert dropped["address"]["key"] == ORDER


def test_dropped_event_can_be_redelivered_by_hand(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("drop", occurrence="any")
    shop.place()
    shop.run()
    (dropped,) = [delivery for delivery in shop.deliveries() if delivery["state"] == "dropped"]
    shop.call("POST", f"{DEFAULT}/deliveries/{dropped['id']}/redeliver")
    shop.run(WEEK)
    assert subscriber.story == [PLACED, PAID]
    assert shop.states() == ["delivered", "delivered"]


def test_redelivery_by_hand_takes_the_place_of_a_late_one(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("delay", "order.placed", with_={"by": "1h"})
    shop.fault("reorder", "order.paid", with_={"longest": "1h"})
    shop.place()
    shop.run()
    for delivery in shop.deliveries():
        shop.call("POST", f"{DEFAULT}/deliveries/{delivery['id']}/redeliver")
    shop.run(WEEK)
    assert sorted(subscriber.story) == [PAID, PLACED]


@pytest.mark.parametrize("fault", ["respaced", "rotated", "concurrent_duplicate", "forged", "duplicate"])
def test_later_attempts_are_plain(shop: Shop, fault: str) -> None:
    _, subscriber = shop.subscribe("order.paid")
    shop.fault(fault, occurrence="any")
    subscriber.answers = [500]
    shop.place()
    shop.run(WEEK)
    retry = subscriber.got[-1]
    assert retry.body == orjson.dumps(retry.payload)
    assert len(retry.signatures) == 1
    assert (shop.journal()[-1]["attempt"], shop.met()[-1]) == (2, None)
    assert sum(met is not None for met in shop.met()) == 1
    assert shop.states() == ["delivered"]


def test_address(shop: Shop) -> None:
    one, first = shop.subscribe("order.paid", name="one")
    _, second = shop.subscribe("order.paid", name="two")
    shop.fault("drop", key=OTHER, subscriber=one)
    shop.place()
    shop.place(OTHER)
    shop.run(WEEK)
    assert first.story == [PAID]
    assert second.story == [PAID, ("order.paid", OTHER)]


@pytest.mark.parametrize("event", ["order.placed", "order.paid"])
def test_no_fault_on_a_subscription_that_ended(shop: Shop, event: str) -> None:
    id_, subscriber = shop.subscribe(event)
    shop.fault("delay", event, with_={"by": "1h"})
    shop.place()
    shop.run()
    shop.call("DELETE", f"/webhook-subscriptions/{id_}")
    shop.run(WEEK)
    assert subscriber.got == []
    assert shop.states() == ["cancelled"]


def test_fault_that_finds_no_subscriber_has_not_fired(shop: Shop) -> None:
    id_, subscriber = shop.subscribe("order.paid")
    shop.fault("drop")
    shop.place()
    shop.call("DELETE", f"/webhook-subscriptions/{id_}")
    shop.run(WEEK)
    assert (subscriber.got, shop.states(), shop.journal()) == ([], ["cancelled"], [])
    assert [armed.fired for armed in shop.sandbox.world().faults.all()] == [0]


class Broken(DeliveryFault):
    name = "broken"

    async def apply(self, delivery: Delivery) -> None:
        raise ZeroDivisionError


def test_fault_that_breaks_holds_nobody_up(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("drop", "order.placed")
    shop.sandbox.world().faults.all()[0].fault = Broken()
    shop.place()
    with pytest.raises(ZeroDivisionError):
        shop.run()
    shop.run()
    assert subscriber.story == [PAID]


def test_reset_world_sends_nothing_more(shop: Shop, subscriber: Subscriber) -> None:
    shop.fault("delay", "order.placed", with_={"by": "1m"})
    shop.fault("duplicate", "order.paid", with_={"after": "1m"})
    shop.place()
    shop.run()
    shop.call("POST", f"{DEFAULT}/reset")
    shop.run(WEEK)
    assert subscriber.story == [PAID]


BAD = [
    ("duplicate", {"times": 0}, "times"),
    ("duplicate", {"times": 1000}, "times"),
    ("duplicate", {"times": True}, "times"),
    ("duplicate", {"after": "soon"}, "after"),
    ("duplicate", {"by": "3s"}, "by"),
    ("concurrent_duplicate", {"after": "3s"}, "after"),
    ("delay", {"by": -1}, "by"),
    ("reorder", {"longest": None}, "longest"),
    ("forged", {"how": "badly"}, "unsigned"),
    ("forged", {"how": ["unsigned"]}, "unsigned"),
    ("forged", {"age": "old"}, "age"),
    ("drop", {"after": 1}, "after"),
]


@pytest.mark.parametrize(("fault", "parameters", "named"), BAD)
def test_bad_parameters(fault: str, parameters: dict[str, Any], named: str) -> None:
    with pytest.raises(PlanError) as caught:
        build(Injection(DeliveryPoint("order.paid"), fault, parameters=parameters))
    line = f"{caught.value.message}; {caught.value.hint}"
    assert named in line
    assert "\n" not in line


def test_same_again(project: Project) -> None:
    """Everything at once, and subscribers that fail: the same plan gives the same journal, byte for byte."""
    journals = []
    for _ in range(2):
        shop = Shop(project)
        subscribers = [shop.subscribe("order.placed", "order.paid", name=name)[1] for name in ("one", "two")]
        for subscriber in subscribers:
            subscriber.answers = [503, 204, 500, 429, 204, 502]
        for number, (fault, event) in enumerate(
            [
                ("duplicate", "order.placed"),
                ("concurrent_duplicate", "order.paid"),
                ("delay", "order.placed"),
                ("reorder", "order.paid"),
                ("drop", "order.placed"),
                ("forged", "order.paid"),
                ("rotated", "order.placed"),
                ("respaced", "order.paid"),
            ]
        ):
            shop.fault(fault, event, key=f"2025-{4471 + number // 2}")
        for number in range(4):
            shop.place(f"2025-{4471 + number}")
            shop.run(20)
        shop.run(WEEK)
        journals.append(orjson.dumps(shop.sandbox.world().entries()))
        assert len(set(shop.met())) == 9
        shop.sandbox.close()
    assert journals[0] == journals[1]
