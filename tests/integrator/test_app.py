"""What comes in from outside."""

from __future__ import annotations

import json
import sqlite3
from base64 import b64encode
from typing import Any

import pytest

PAYLOAD = {
    "type": "order.paid",
    "timestamp": "2026-01-01T00:00:00.000Z",
    "data": {"order_number": "2025-4471", "updated_at": "2026-01-01T00:00:00.000Z"},
}
BODY = json.dumps(PAYLOAD).encode()
OTHER_SECRET = f"whsec_{b64encode(b'another secret, 24 bytes').decode()}"


def due(rig: Any) -> int:
    count: int = rig.web.get("/health").json["orders"]["due"]
    return count


def post(rig: Any, headers: dict[str, str], body: bytes = BODY) -> int:
    status: int = rig.web.post("/webhooks", data=body, headers=headers).status_code
    return status


def test_webhook_is_stored(rig: Any) -> None:
    assert post(rig, rig.signed("evt_1", BODY)) == 204
    assert due(rig) == 1


def test_stored_before_it_is_answered(rig: Any) -> None:
    rig.systems.place()
    assert post(rig, rig.signed("evt_1", BODY)) == 204
    rig.restart()
    rig.work()
    assert len(rig.systems.shipments) == 1


def test_not_acknowledged_when_it_cannot_be_stored(rig: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> int:
        raise sqlite3.OperationalError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(rig.database, "execute", full)
        assert post(rig, rig.signed("evt_1", BODY)) == 500
    assert post(rig, rig.signed("evt_1", BODY)) == 204
    assert due(rig) == 1


def test_same_webhook_twice_counts_once(rig: Any) -> None:
    rig.systems.place()
    assert post(rig, rig.signed("evt_1", BODY)) == 204
    rig.work()
    assert post(rig, rig.signed("evt_1", BODY, at=rig.clock.now() + 5)) == 204
    assert due(rig) == 0
    assert post(rig, rig.signed("evt_2", BODY)) == 204
    assert due(rig) == 1


def test_forged_webhooks_are_refused_without_effect(rig: Any) -> None:
    unsigned = {"webhook-id": "evt_1", "webhook-timestamp": str(int(rig.clock.now()))}
    wrongly = rig.signed("evt_2", BODY, secret=OTHER_SECRET)
    old = rig.signed("evt_3", BODY, at=rig.clock.now() - 301)
    for headers in ({}, unsigned, wrongly, old):
        assert post(rig, headers) == 401
    assert post(rig, rig.signed("evt_4", BODY), BODY + b" ") == 401
    assert due(rig) == 0


def test_rotated_secret(rig: Any) -> None:
    headers = rig.signed("evt_1", BODY)
    headers["webhook-signature"] = (
        f"{rig.signed('evt_1', BODY, secret=OTHER_SECRET)['webhook-signature']} " + headers["webhook-signature"]
    )
    assert post(rig, headers) == 204


def test_body_with_other_white_space(rig: Any) -> None:
    spaced = json.dumps(PAYLOAD, indent=4).encode()
    assert post(rig, rig.signed("evt_1", spaced), spaced) == 204


def test_events_about_other_things_are_taken_and_let_be(rig: Any) -> None:
    body = json.dumps(PAYLOAD | {"type": "stock.changed", "data": {"sku": "DESK-180", "level": 3}}).encode()
    assert post(rig, rig.signed("evt_1", body), body) == 204
    assert due(rig) == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"data": 1}', b'{"data": {"order_number": "1", "updated_at": "x"}}']
)
def test_signed_nonsense(rig: Any, body: bytes) -> None:
    assert post(rig, rig.signed("evt_1", body), body) == 400


def test_too_large(rig: Any) -> None:
    assert post(rig, {}, b" " * 2_000_000) == 413


def test_trace_of_the_webhook_goes_on(rig: Any) -> None:
    rig.systems.place()
    trace_id = "4bf92f3577b34da6a3ce929d0e0e4736"
    post(rig, rig.signed("evt_1", BODY) | {"traceparent": f"00-{trace_id}-00f067aa0ba902b7-01"})
    rig.work()
    assert trace_id in rig.systems.called("create_invoice")[0].headers["traceparent"]


def test_health_counts_parked_orders(rig: Any) -> None:
    rig.systems.answer("create_invoice", 400)
    rig.carry()
    assert rig.web.get("/health").json == {"status": "ok", "orders": {"known": 1, "due": 0, "parked": 1}}


def test_log_and_reasons_hold_no_personal_data(rig: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", logger="sandbox.integrator")
    rig.systems.place("2025-1", email="ada@example.com")
    rig.systems.change("2025-1", currency="XXX")
    rig.deliver(number="2025-1")
    rig.systems.lose("create_customer", times=9)
    rig.carry(seconds=400)
    post(rig, {})
    assert "2025-1" in caplog.text
    for secret in ("ada@", "martha@", "Martha", "Quay", "Harbour", "-key", "whsec_", "-secret"):
        assert secret not in caplog.text.replace("accounting-token", "-key")
