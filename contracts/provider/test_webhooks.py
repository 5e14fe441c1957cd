"""Webhooks as Standard Webhooks 1.0.0 has them; the receiver here is written from its text alone."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time

import pytest

from sandbox.pointer import lookup
from sandbox.probe import Provider, Receiver, Workbench
from sandbox.probe.receiver import Received
from sandbox.probe.workbench import Impossible

TOLERANCE = 5 * 60
AN_HOUR, A_DAY = 3600.0, 24 * 3600.0
# A failed attempt is noted a moment after it was answered, so the first hour may pass too soon.
ROUNDS = 6

pytestmark = [
    pytest.mark.systems(lambda spec: bool(spec.subscribe_operations)),
    pytest.mark.mock_only("a real provider cannot reach this machine"),
]


def verified(secret: str, webhook: Received, now: float) -> bool:
    """Whether a webhook is from who knows the secret, and fresh."""
    signed = f"{webhook.headers['webhook-id']}.{webhook.headers['webhook-timestamp']}.".encode() + webhook.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    given = [text.partition(",")[2] for text in webhook.headers["webhook-signature"].split(" ") if text[:3] == "v1,"]
    fresh = abs(now - int(webhook.headers["webhook-timestamp"])) <= TOLERANCE
    return fresh and any(hmac.compare_digest(expected, signature) for signature in given)


def subscribe(provider: Provider, bench: Workbench, receiver: Receiver) -> str:
    """Ask for all events; returns the secret they are signed with."""
    (operation, *_) = provider.spec.subscribe_operations
    request = bench.request(operation)
    assert isinstance(request.body, dict)
    body = {**request.body, "url": receiver.url}
    if "events" in body:
        body["events"] = list(provider.spec.events)
    answer = provider.http.post(f"{provider.url}{request.path}", json=body, headers=_credentials(provider))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["secret"])


def _credentials(provider: Provider) -> dict[str, str]:
    headers: dict[str, str] = {}
    operation = provider.spec.operations[provider.spec.subscribe_operations[0]]
    provider._identify(operation, "integrator", headers, {})
    return headers


def tour(provider: Provider, bench: Workbench) -> None:
    """Call each operation that changes something once."""
    for operation in provider.spec.operations.values():
        if operation.method == "GET" or operation.id in provider.spec.subscribe_operations:
            continue
        if operation.meaning.collection == "webhook_subscriptions":
            continue
        try:
            bench.perform(operation)
        except Impossible as reason:
            if reason.blames:
                raise


def kinds(received: list[Received]) -> set[str]:
    return {json.loads(webhook.body)["type"] for webhook in received}


def test_every_callback_is_delivered_signed_and_valid(provider: Provider, bench: Workbench, receiver: Receiver) -> None:
    secret = subscribe(provider, bench, receiver)
    tour(provider, bench)
    declared = set(provider.spec.events)
    received = receiver.wait(lambda so_far: kinds(so_far) >= declared)
    assert kinds(received) == declared, "no operation made the missing ones"
    for webhook in received:
        assert verified(secret, webhook, time.time()), (
            f"{webhook.headers['webhook-id']} is not signed as the standard says"
        )
        event = json.loads(webhook.body)
        assert not provider.spec.events[event["type"]].errors(event)
        assert webhook.headers["content-type"].startswith("application/json")


def an_event(provider: Provider, bench: Workbench) -> None:
    """Have one operation make an event."""
    for operation in provider.spec.operations.values():
        if operation.events and operation.id not in provider.spec.subscribe_operations:
            bench.perform(operation)
            return
    tour(provider, bench)


def delivered(provider: Provider, state: str) -> bool:
    assert provider.world is not None
    return any(delivery["state"] == state for delivery in provider.world.deliveries())


def test_a_failed_delivery_comes_again(provider: Provider, bench: Workbench, receiver: Receiver) -> None:
    assert provider.world is not None
    bench.request(provider.spec.subscribe_operations[0])
    provider.world.freeze()
    subscribe(provider, bench, receiver)
    receiver.answers.extend([500, 503])
    an_event(provider, bench)
    (first, *_) = receiver.wait(bool)
    same: list[Received] = []
    for number in (2, 3):
        # The pause grows, so each retry is waited for before time goes on.
        same = retried(provider, receiver, first, number)
    assert len({webhook.headers["webhook-id"] for webhook in same}) == 1
    assert len({webhook.body for webhook in same}) == 1, "a retry has another body"
    times = [int(webhook.headers["webhook-timestamp"]) for webhook in same]
    assert times == sorted(set(times)), "each attempt is signed anew, with its own time"


def retried(provider: Provider, receiver: Receiver, first: Received, number: int) -> list[Received]:
    """The tries of one event, once there are so many."""

    def tries(so_far: list[Received]) -> list[Received]:
        return [one for one in so_far if one.headers["webhook-id"] == first.headers["webhook-id"]]

    assert provider.world is not None
    for _ in range(ROUNDS):
        so_far = tries(receiver.wait(lambda so_far: len(tries(so_far)) >= number, patience=0.5))
        if len(so_far) >= number:
            return so_far
        provider.world.advance(AN_HOUR)
    pytest.fail(f"try {number} of a failed delivery never came")


def test_gone_ends_the_subscription(provider: Provider, bench: Workbench, receiver: Receiver) -> None:
    assert provider.world is not None
    subscribe(provider, bench, receiver)
    receiver.answers.append(410)
    an_event(provider, bench)
    (first, *_) = receiver.wait(bool)
    for _ in range(100):
        if delivered(provider, "unsubscribed"):
            break
        receiver.wait(lambda _: False, patience=0.05)
    assert delivered(provider, "unsubscribed"), "after 410 the subscription is still there"
    before = len(receiver.received)
    provider.world.advance(A_DAY)
    assert first.headers["webhook-id"] not in {one.headers["webhook-id"] for one in receiver.received[before:]}


def test_a_subscription_that_ended_gets_nothing(provider: Provider, bench: Workbench, receiver: Receiver) -> None:
    ends = [one for one in provider.spec.operations.values() if one.meaning.action == "delete"]
    ends = [one for one in ends if one.meaning.collection == "webhook_subscriptions"]
    if not ends:
        pytest.skip("subscriptions have no end here")
    request, made = bench.perform(provider.spec.subscribe_operations[0])
    assert isinstance(request.body, dict)
    assert provider.world is not None
    subscribe(provider, bench, receiver)
    mine = next(
        record
        for record in provider.world.state(provider.name)["webhook_subscriptions"]
        if record["url"] == receiver.url
    )
    id_field = provider.spec.collections["webhook_subscriptions"].id_field
    template = ends[0].path
    path = template[: template.index("{")] + str(lookup(mine, f"/{id_field}"))
    gone = provider.http.delete(f"{provider.url}{path}", headers=_credentials(provider))
    assert gone.status_code == 204
    an_event(provider, bench)
    assert receiver.wait(bool, patience=0.5) == []
    assert made.status == 201
