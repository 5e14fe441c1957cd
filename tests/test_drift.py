"""Where a real API departs from its spec, or from our mock of it, the recorder says so: once, and with a count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.model import JSON, Answer, dump
from sandbox.record.departure import Departure, from_mock
from tests.recorder import Recording, recording, write_project
from tests.upstream import Api, serving

ORDER = {"number": "A-1", "status": "placed"}


@pytest.fixture(scope="module")
def served() -> Iterator[Api]:
    with serving() as running:
        yield running


@pytest.fixture
def api(served: Api) -> Api:
    served.routes.clear()
    return served


@pytest.fixture(scope="module")
def recorder(served: Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recording]:
    with recording(write_project(tmp_path_factory.mktemp("shop")), "--project", ".", shop=served.url) as running:
        yield running


@pytest.fixture
def shop(recorder: Recording) -> Recording:
    recorder.begin()
    return recorder


@pytest.mark.parametrize(
    ("status", "body", "kind", "found"),
    [
        (200, {"orders": [ORDER]}, "", []),
        (200, {"orders": [ORDER]}, "application/json; charset=utf-8", []),
        (200, {"orders": [ORDER | {"status": "lost"}]}, "", [("body", "/orders/0/status")]),
        (200, {"orders": [{"status": "paid"}]}, "", [("body", "/orders/0/number")]),
        (200, {}, "", [("body", "/orders")]),
        (200, b"{", "application/json", [("body", "")]),
        (200, b"<html>", "text/html", [("content_type", "")]),
        (200, None, "", [("content_type", "")]),
        (202, {"orders": []}, "", [("status", "")]),
        (503, b"", "", [("status", "")]),
    ],
)
def test_an_answer_against_the_spec(api: Api, shop: Recording, status: int, body: Any, kind: str, found: Any) -> None:
    api.on("GET /orders", status, body, kind=kind)
    assert shop.call("GET", "/shop/orders").status_code == status
    assert shop.drift() == found


def test_operations_that_the_spec_does_not_have(api: Api, shop: Recording) -> None:
    api.on("GET /refunds/17", 200, {})
    api.on("PATCH /orders/A-1", 200, {})
    api.on("DELETE /orders/A-1", 204, {"a": 1})
    shop.call("GET", "/shop/refunds/17")
    shop.call("PATCH", "/shop/orders/A-1")
    # A wrong request of the caller is no departure of the API.
    shop.call("GET", "/shop/nowhere")
    shop.call("HEAD", "/shop/orders")
    shop.call("DELETE", "/shop/orders/A-1")
    details = [found["detail"] for entry in shop.entries() for found in entry.get("drift", ())]
    assert details == [
        "GET /refunds/* is no operation of the spec, and was answered 200",
        "PATCH /orders/* is no operation of the spec, which has DELETE, GET, PUT there, and was answered 200",
    ]


def test_each_departure_is_told_once_and_counted(api: Api, tmp_path: Path) -> None:
    with recording(write_project(tmp_path), "--project", ".", shop=api.url) as running:
        for number in range(3):
            api.on("GET /orders", 200, {"orders": [ORDER] * number + [ORDER | {"status": "lost"}]})
            running.call("GET", "/shop/orders")
        api.on("GET /orders", 418, {})
        running.call("GET", "/shop/orders")
        _, said, _ = running.stop()
    told = [document["departure"] for document in said if "departure" in document]
    assert [(found["kind"], found["pointer"]) for found in told] == [("body", "/orders/*/status"), ("status", "")]
    counted = {found["kind"]: found["count"] for found in said[-1]["summary"]["departures"]}
    assert counted == {"body": 3, "status": 1}
    assert said[-1]["summary"]["calls"] == 4


@pytest.mark.parametrize(("status", "doubt"), [(200, "is it the spec of"), (404, "is http://127.0.0.1")])
def test_a_spec_of_another_server(api: Api, tmp_path: Path, status: int, doubt: str) -> None:
    api.on("*", status, b"hello", kind="text/plain")
    with recording(write_project(tmp_path), "--project", ".", shop=api.url) as running:
        for number in range(4):
            running.call("GET", f"/shop/{'orders' if status == 404 else 'api/things'}/{number}")
        (note,) = running.summary()["notes"]
    assert doubt in note["text"]


def test_against_our_mock(api: Api, tmp_path: Path) -> None:
    with recording(write_project(tmp_path), "--project", ".", "--compare", shop=api.url) as running:
        api.on("POST /orders", 201, ORDER | {"total": 1})
        running.call("POST", "/shop/orders", json=ORDER | {"total": 1}, headers={"X-Shop": "real"})
        assert running.drift() == []
        api.on("POST /orders", 400, {"title": "no"})
        running.call("POST", "/shop/orders", json=ORDER | {"number": "A-2"})
        api.on("POST /orders", 201, {"number": 3, "status": "placed", "extra": 1})
        running.call("POST", "/shop/orders", json=ORDER | {"number": "A-3", "note": "x"})
        # Our mock knows what the real API has shown so far, and answers as well.
        api.on("GET /orders/A-1", 200, ORDER | {"total": 1})
        running.call("GET", "/shop/orders/A-1")
        api.on("GET /orders/A-9", 200, ORDER | {"number": "A-9"})
        running.call("GET", "/shop/orders/A-9")
        entries = running.entries()
    found = [[(d["kind"], d["pointer"], d["detail"]) for d in entry.get("drift", ())] for entry in entries]
    assert found[1] == [("mock_status", "", "answers 400, our mock 201")]
    assert ("mock_field", "/extra", "is answered; our mock has no such field") in found[2]
    assert ("mock_field", "/note", "is not answered; our mock has it") in found[2]
    assert ("mock_field", "/number", "is of type number, in our mock of type string") in found[2]
    assert found[3:] == [[], []]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(404, 200), (409, 201), (401, 200), (429, 200), (500, 200), (200, 404), (200, 500), (201, 200), (400, 422)],
)
def test_what_depends_on_data_is_no_departure_from_our_mock(theirs: int, ours: int) -> None:
    assert from_mock(Answer(theirs), Answer(ours)) == []


@pytest.mark.parametrize(("theirs", "ours"), [(200, 400), (400, 201), (200, 409), (301, 200)])
def test_another_class_of_status_is_one(theirs: int, ours: int) -> None:
    assert [found.kind for found in from_mock(Answer(theirs), Answer(ours))] == ["mock_status"]


def test_only_the_shape_of_a_body_counts() -> None:
    def answer(body: Any) -> Answer:
        return Answer(200, (("content-type", JSON),), dump(body))

    theirs = {"a": 1, "b": [{"c": "x"}], "d": None, "e": [], "f": {"g": True}}
    assert (
        from_mock(answer(theirs), answer({"a": 2.5, "b": [{"c": "y"}] * 2, "d": 1, "e": [1], "f": {"g": False}})) == []
    )
    other = {"a": "1", "b": [{"z": 1}], "d": 1, "e": {}, "f": {"g": 0}}
    assert [found.pointer for found in from_mock(answer(theirs), answer(other))] == [
        "/a",
        "/b/0/c",
        "/b/0/z",
        "/e",
        "/f/g",
    ]
    assert Departure("body", "/a/0/b/12", "x").general.pointer == "/a/*/b/*"
