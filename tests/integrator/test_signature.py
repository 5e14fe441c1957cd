"""Standard Webhooks 1.0.0, against the package that implements it."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook

from sandbox.integrator.signature import Forged, verify

NOW = 1_767_225_600.0
SECRET = f"whsec_{b64encode(b'a secret of 24 bytes....').decode()}"
BODY = b'{"type": "order.paid"}'


def headers(at: float = NOW, **changes: str) -> dict[str, str]:
    signature = Webhook(SECRET).sign("evt_1", datetime.fromtimestamp(at, tz=UTC), BODY.decode())
    signed = {"webhook-id": "evt_1", "webhook-timestamp": str(int(at)), "webhook-signature": signature}
    return signed | {f"webhook-{name}": value for name, value in changes.items()}


def check(given: dict[str, str], body: bytes = BODY) -> str:
    return verify(SECRET, given, body, now=NOW, tolerance=300.0)


def test_returns_the_id() -> None:
    assert check(headers()) == "evt_1"


def test_header_names_in_any_case() -> None:
    assert check({name.title(): value for name, value in headers().items()}) == "evt_1"


@pytest.mark.parametrize("age", [-300, -1, 1, 300])
def test_age_is_checked_against_the_given_clock(age: int) -> None:
    assert check(headers(at=NOW + age)) == "evt_1"


@pytest.mark.parametrize("age", [-86400, -301, 301, 86400])
def test_too_far_from_the_present(age: int) -> None:
    with pytest.raises(Forged, match="timestamp"):
        check(headers(at=NOW + age))


@pytest.mark.parametrize("timestamp", ["", "now", "1e9", "-1", "٣", "9" * 400])
def test_timestamp_that_is_none(timestamp: str) -> None:
    with pytest.raises(Forged, match="timestamp"):
        check(headers(timestamp=timestamp))


def test_any_of_several_signatures() -> None:
    valid = headers()["webhook-signature"]
    assert check(headers(signature=f"v1,AAAA v1a,{valid} {valid}")) == "evt_1"


@pytest.mark.parametrize("signature", ["v1,", "v1", "v1,AAAA", "v2,AAAA", ",", "ä", "v1,AAAA v1,BBBB"])
def test_no_valid_signature(signature: str) -> None:
    with pytest.raises(Forged, match="signature"):
        check(headers(signature=signature))


@pytest.mark.parametrize("name", ["id", "signature", "timestamp"])
def test_missing_header(name: str) -> None:
    with pytest.raises(Forged, match="missing"):
        check(headers(**{name: ""}))


def test_other_id() -> None:
    with pytest.raises(Forged):
        check(headers(id="evt_2"))


@pytest.mark.parametrize("body", [BODY + b" ", b"", b"\xff\xfe"])
def test_other_body(body: bytes) -> None:
    with pytest.raises(Forged):
        check(headers(), body)
