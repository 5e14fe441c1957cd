"""One exchange: what is sent, how long it is waited for, and where the next page is."""

from __future__ import annotations

import io
from typing import Any

import pytest
import requests

from sandbox.integrator import new_session
from sandbox.integrator.client import Answer, Client
from sandbox.integrator.failures import Transient
from sandbox.integrator.trace import Trace, trace_id_of


class Dripping(io.BytesIO):
    """A body that arrives byte by byte."""

    def __init__(self, content: bytes, clock: Any) -> None:
        super().__init__(content)
        self._clock = clock

    def read1(self, _: int | None = -1, /) -> bytes:
        self._clock.time += 9.0
        return super().read1(1)


@pytest.fixture
def client(rig: Any) -> Client:
    client: Client = rig.integrator._systems.shop._client
    return client


def test_answer_that_drips_is_given_up(rig: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    respond = rig.systems._response

    def drip(*args: Any) -> requests.Response:
        response: requests.Response = respond(*args)
        response.raw = Dripping(response.raw.read(), rig.clock)
        return response

    monkeypatch.setattr(rig.systems, "_response", drip)
    with pytest.raises(Transient, match="TimeoutError"):
        client.call("GET", "/orders")
    assert rig.clock.now() - rig.systems.calls[0].at < 60


def test_every_call_has_time_limits(rig: Any, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    send = rig.systems.send
    monkeypatch.setattr(rig.systems, "send", lambda request, **more: (seen.append(more), send(request, **more))[1])
    client.call("GET", "/orders")
    assert seen[0]["timeout"] == (10.0, 10.0)


def test_redirects_are_not_followed(rig: Any, client: Client) -> None:
    rig.systems.answer("list_orders", 307, {"Location": "http://elsewhere/shop/orders"})
    with pytest.raises(Transient):
        client.call("GET", "/orders")
    assert len(rig.systems.calls) == 1


@pytest.mark.parametrize("content", [b"{", b"[]", b"<html>", b"\xff", b'"text"'])
def test_body_that_is_no_json_object(rig: Any, client: Client, content: bytes) -> None:
    rig.systems.garble("list_orders", content)
    with pytest.raises(Transient):
        client.call("GET", "/orders")


def test_answer_without_body(rig: Any, client: Client) -> None:
    rig.systems.garble("list_orders", b"")
    assert client.call("GET", "/orders").body == {}


def test_pages_take_the_cursor_only(rig: Any, client: Client) -> None:
    for number in range(5):
        rig.systems.place(f"2025-{number}")
    numbers = [order["order_number"] for page in client.pages("/orders", {}) for order in page.records("orders")]
    assert numbers == [f"2025-{number}" for number in range(5)]
    assert {call.url.partition("?")[0] for call in rig.systems.calls} == {"http://systems/shop/orders"}


@pytest.mark.parametrize("value", [None, 1, {}])
def test_text_that_is_none(value: Any) -> None:
    with pytest.raises(Transient, match="without id"):
        Answer("crm POST /customers", 201, {}, {"id": value}).text("id")


@pytest.mark.parametrize("value", [None, {}, "text", [1]])
def test_records_that_are_none(value: Any) -> None:
    with pytest.raises(Transient, match="without orders"):
        Answer("shop GET /orders", 200, {}, {"orders": value}).records("orders")


def test_environment_replaces_no_credentials() -> None:
    assert new_session().trust_env is False


@pytest.mark.parametrize(
    ("header", "trace_id"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
        ("4bf92f3577b34da6a3ce929d0e0e4736", None),
        (None, None),
    ],
)
def test_trace_id_of(header: str | None, trace_id: str | None) -> None:
    assert trace_id_of(header) == trace_id


def test_traceparent_is_valid(rig: Any) -> None:
    trace = Trace(rig.integrator._backoff.random)
    assert trace_id_of(trace.parent()) is not None
