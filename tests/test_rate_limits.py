"""Rate limits: 429 with a Retry-After that is true, and what is left told in time (RateLimit header fields draft)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project
from sandbox.server import Server

SPEC = """
    openapi: 3.0.3
    info: {title: Limited, version: "1"}
    security: [{key: []}]
    x-rate-limit: {requests: 3, per: 10}
    paths:
      /things:
        get:
          operationId: list_things
          responses:
            "200": {description: ok, content: {application/json: {schema: {type: array, items: {type: object}}}}}
        post:
          operationId: create_thing
          requestBody: {content: {application/json: {schema: {type: object, required: [a]}}}}
          responses: {"201": {description: ok, content: {application/json: {schema: {type: object}}}}}
      /things/{id}:
        parameters: [{name: id, in: path, required: true, schema: {type: string}}]
        get:
          operationId: get_thing
          x-rate-limit: {requests: 1, per: 0.5}
          responses: {"200": {description: ok, content: {application/json: {schema: {type: object}}}}}
    components:
      securitySchemes:
        key: {type: apiKey, in: header, name: X-Key}
"""


class Things:
    def __init__(self, sandbox: InProcess, world: str) -> None:
        self.sandbox, self.session = sandbox, sandbox.session()
        self.access = sandbox.access(world)
        self.url = self.access.systems["jobs"]["url"] + "/things"

    def get(self, path: str = "", principal: str = "integrator") -> Any:
        key = next(c for c in self.access.credentials if c.principal == principal).values["api_key"]
        return self.session.get(self.url + path, headers={"X-Key": key})


@pytest.fixture(scope="module")
def sandbox(make_project: Callable[..., Path]) -> Iterator[InProcess]:
    sandbox = InProcess(Project.load(make_project(SPEC)))
    yield sandbox
    sandbox.close()


@pytest.fixture
def things(sandbox: InProcess, world_name: str) -> Things:
    return Things(sandbox, world_name)


def test_what_is_left(things: Things) -> None:
    answers = [things.get() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert [answer.headers["RateLimit"] for answer in answers] == [f'"default";r={left};t=10' for left in (2, 1, 0, 0)]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"default";q=3;w=10'}
    assert ["Retry-After" in answer.headers for answer in answers] == [False, False, False, True]


def test_problem(things: Things) -> None:
    answer = [things.get() for _ in range(4)][-1]
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == 429
    assert problem["type"].endswith("quota-exceeded")


@pytest.mark.parametrize("elapsed", [0.0, 0.4, 3.0, 9.3, 9.999])
def test_retry_after_is_true(things: Things, elapsed: float) -> None:
    for _ in range(3):
        things.get()
    things.sandbox.run(elapsed)
    refused = things.get()
    assert refused.status_code == 429
    wait = int(refused.headers["Retry-After"])
    assert 0 <= wait - (10 - elapsed) <= 1
    things.sandbox.run(wait)
    assert things.get().status_code == 200


def test_too_early_is_too_early(things: Things) -> None:
    for _ in range(4):
        refused = things.get()
    things.sandbox.run(int(refused.headers["Retry-After"]) - 0.01)
    assert things.get().status_code == 429


def test_per_principal(things: Things) -> None:
    assert [things.get().status_code for _ in range(4)][-1] == 429
    assert things.get(principal="other").status_code == 200


def test_an_operation_may_have_its_own(things: Things) -> None:
    assert [things.get("/x").status_code for _ in range(2)] == [404, 429]
    assert things.get().status_code == 200
    things.sandbox.run(0.5)
    assert things.get("/x").status_code == 404


def test_refused_callers_use_up_nobodys_quota(things: Things) -> None:
    for _ in range(10):
        assert things.session.get(things.url, headers={"X-Key": "wrong"}).status_code == 401
    assert things.get().headers["RateLimit"].startswith('"default";r=2')


def test_limited_call_has_no_effect(things: Things) -> None:
    key = things.access.systems["jobs"]["api_key"]
    statuses = [things.session.post(things.url, json={"a": 1}, headers={"X-Key": key}).status_code for _ in range(5)]
    assert statuses == [201, 201, 201, 429, 429]
    things.sandbox.run(10)
    assert len(things.get().json()) == 3


def test_the_shipped_systems_have_limits(world: Any) -> None:
    for system, path in (("accounting", "/invoices"), ("shipping", "/shipments")):
        answer = world.call(system, "GET", path)
        assert answer.headers["ratelimit-policy"] == '"default";q=2000;w=10'
        assert re.fullmatch(r'"default";r=1999;t=(9|10)', answer.headers["ratelimit"])


def test_on_the_worlds_clock_over_sockets(make_project: Callable[..., Path], caller: Callable[..., Any]) -> None:
    with Server(Project.load(make_project(SPEC)), port=0).running() as server:
        limited = type(caller("unused"))(server, "w")
        key = limited.access.systems["jobs"]["api_key"]
        answers = [limited.call("jobs", "GET", "/things", X_Key=key) for _ in range(4)]
        assert answers[-1].status_code == 429
        limited.advance(int(answers[-1].headers["retry-after"]))
        assert limited.call("jobs", "GET", "/things", X_Key=key).status_code == 200
        limited.http.close()


def test_switched_off(make_project: Callable[..., Path], caller: Callable[..., Any]) -> None:
    with Server(Project.load(make_project(SPEC)), port=0, rate_limits=False).running() as server:
        unlimited = type(caller("unused"))(server, "w")
        key = unlimited.access.systems["jobs"]["api_key"]
        assert {unlimited.call("jobs", "GET", "/things", X_Key=key).status_code for _ in range(9)} == {200}
        unlimited.http.close()
