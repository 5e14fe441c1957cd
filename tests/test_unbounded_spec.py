"""Bad input to a system whose spec bounds nothing and that has no mock: still never a 500."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.inprocess import InProcess
from sandbox.project import Project

SPEC = """
    openapi: 3.0.3
    info: {title: Things, version: "1"}
    paths:
      /things:
        get:
          operationId: list_things
          parameters:
            - {name: size, in: query, schema: {type: integer}}
            - {name: weight, in: query, schema: {type: number}}
            - {name: name, in: query, schema: {type: string}}
            - {name: tags, in: query, schema: {type: array, items: {type: string}}}
            - {name: limit, in: query, schema: {type: string}}
            - {name: cursor, in: query, schema: {type: string}}
            - {name: updated_since, in: query, schema: {type: string}}
          responses: {"200": {description: ok, content: {application/json: {schema: {
            type: object, properties: {things: {type: array, items: {$ref: "#/components/schemas/Thing"}}}}}}}}
        post:
          operationId: create_thing
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}}
          responses: {"201": {$ref: "#/components/responses/Thing"}}
      /things/{id}:
        parameters: [{name: id, in: path, required: true, schema: {type: integer}}]
        get: {operationId: get_thing, responses: {"200": {$ref: "#/components/responses/Thing"}}}
        put:
          operationId: replace_thing
          parameters: [{name: If-Match, in: header, schema: {type: string}}]
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}}
          responses: {"200": {$ref: "#/components/responses/Thing"}}
        patch:
          operationId: update_thing
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}}
          responses: {"200": {$ref: "#/components/responses/Thing"}}
        delete: {operationId: delete_thing, responses: {"204": {description: gone}}}
    components:
      responses:
        Thing:
          description: ok
          headers: {Location: {schema: {type: string}}, ETag: {schema: {type: string}}}
          content: {application/json: {schema: {$ref: "#/components/schemas/Thing"}}}
      schemas:
        Thing:
          type: object
          properties:
            id: {type: integer}
            size: {type: integer}
            weight: {type: number}
            name: {type: string}
            tags: {type: array, items: {type: string}}
            any: {}
"""
GIANT = "9" * 90
QUERIES = (
    f"size={GIANT}", f"size=-{GIANT}", "size=1.0", "size=1e300", "weight=1e308", "weight=1e999", "weight=NaN",
    f"weight={GIANT}", "name=%00", f"name={'x' * 5000}", "tags=", "tags=a&tags=b", "cursor=", "cursor=f", "limit=",
)  # fmt: skip
REFUSED = {
    "limit": (GIANT + "x", "-5", "0", "many", "1e9", "%00"),
    "cursor": ("first", "0", "0" * 16),
    "updated_since": ("yesterday", "2016-12-31T23:59:60Z", "0000-01-01T00:00:00Z", "2025-02-30T00:00:00Z", "%00"),
}
BODIES = (
    b'{"id":18446744073709551616}', b'{"id":-9223372036854775808}', b'{"id":1.0}', b'{"id":null}', b'{"weight":1e308}',
    b'{"size":%s}' % GIANT.encode(), b'{"any":18446744073709551615}', b'{"":1}', b'{"name":"\\u0000"}',
    b'{"any":' + b"[" * 60 + b"]" * 60 + b"}", b"[]", b"null", b'"x"', b"{}",
)  # fmt: skip


class Things:
    """The system, in memory."""

    def __init__(self, project: Path) -> None:
        self._sandbox = InProcess(Project.load(project))
        self._session = self._sandbox.session()
        self._url = self._sandbox.access().systems["jobs"]["url"]
        self.close = self._sandbox.close

    def reset(self) -> None:
        self._sandbox.worlds.reset(self._sandbox.world().name)

    def call(self, method: str, path: str, body: bytes | None = None) -> requests.Response:
        headers = {"Content-Type": "application/json", "If-Match": '"v1"'}
        answer = self._session.request(method, f"{self._url}/things{path}", data=body, headers=headers)
        assert answer.status_code < 500, f"{method} {path[:80]} {(body or b'')[:80]!r}: {answer.text}"
        return answer


@pytest.fixture(scope="module")
def system(make_project: Callable[..., Path]) -> Iterator[Things]:
    system = Things(make_project(SPEC))
    yield system
    system.close()


@pytest.fixture
def things(system: Things) -> Things:
    """The system with one record."""
    system.reset()
    system.call("POST", "", b'{"id": 1, "name": "first"}').raise_for_status()
    return system


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_a_query_that_finds_nothing(things: Things, query: str) -> None:
    answer = things.call("GET", f"?{query}")
    assert answer.status_code == 400 or answer.json()["things"] in ([], [{"id": 1, "name": "first"}])


@pytest.mark.parametrize("name", REFUSED)
def test_pages_that_are_none(things: Things, name: str) -> None:
    for value in REFUSED[name]:
        answer = things.call("GET", f"?{name}={value}")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (400, name), value


def test_a_page_beyond_all_reason_is_a_large_one(things: Things) -> None:
    assert things.call("GET", f"?limit={GIANT}").json() == {"things": [{"id": 1, "name": "first"}]}


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_body_of_extremes(things: Things, body: bytes) -> None:
    for method, path in (("POST", ""), ("PUT", "/1"), ("PATCH", "/1"), ("PUT", f"/{GIANT}"), ("PATCH", "/2")):
        things.call(method, path, body)
    found: Any = things.call("GET", "").json()["things"]
    assert all(things.call("GET", f"/{thing['id']}").status_code in (200, 400, 404) for thing in found)


@pytest.mark.parametrize("id_", [GIANT, f"-{GIANT}", "-1", "1.0", "1e400", "%00", "%ff", "1%2f1", "x" * 5000, "١"])
def test_an_id_that_is_none(things: Things, id_: str) -> None:
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        assert things.call(method, f"/{id_}", b"{}").status_code in (400, 404, 412)
    assert things.call("GET", "/1").json()["name"] == "first"
