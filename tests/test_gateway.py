"""One port: every system, its Swagger UI and its document, in every world; control beside them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project
from sandbox.schema import SchemaValidator

SYSTEMS = ("shop", "crm", "accounting", "shipping")


def test_index(world: Any) -> None:
    index = world.http.get(f"{world.url}/").json()
    assert set(index["systems"]) == set(SYSTEMS)
    for system in index["systems"].values():
        assert world.http.get(world.url + system["ui"]).status_code == 200
    assert world.http.get(f"{world.url}{index['control']}/health").json()["status"] == "ok"


@pytest.mark.parametrize("system", [*SYSTEMS, "_sandbox"])
def test_swagger_ui_and_document(world: Any, system: str) -> None:
    page = world.http.get(f"{world.url}/{system}/ui/")
    assert page.status_code == 200
    assert "swagger-ui" in page.text
    document = world.http.get(f"{world.url}/{system}/openapi.json")
    assert document.json()["openapi"].startswith("3.0.")


@pytest.mark.parametrize("system", SYSTEMS)
def test_swagger_ui_leads_to_its_own_world(world: Any, system: str) -> None:
    """What is tried out there happens there."""
    base = world.access.systems[system]["url"]
    assert world.http.get(f"{base}/ui/").status_code == 200
    (server,) = world.http.get(f"{base}/openapi.json").json()["servers"]
    assert server["url"] == f"/w/{world.name}/{system}"


def test_nothing_elsewhere(world: Any) -> None:
    for path in ("/nowhere", "/w", "/w/", "/w/x", "/w/x/", "/w/x/nowhere", "//", "/shop", "/shop/"):
        answer = world.http.get(world.url + path)
        assert (path, answer.status_code) == (path, 404)
        assert answer.headers["content-type"] == "application/problem+json"


def test_methods(world: Any, caller: Callable[[str], Any]) -> None:
    answer = world.shop("DELETE", "/orders")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, POST")
    assert world.shop("OPTIONS", "/orders").status_code == 405
    head = world.shop("HEAD", "/orders")
    assert (head.status_code, head.content) == (405, b"")


def test_compiled_once(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second request of a kind finds everything ready, in whatever world."""
    sandbox = InProcess(project)
    session = sandbox.session()

    def order(world: str) -> None:
        shop = sandbox.access(world).systems["shop"]
        headers = {"X-Shop-Api-Key": shop["api_key"]}
        document = {"order_number": "1", "customer": "C", "amount_net": 9.0, "currency": "EUR"}
        answer = session.post(f"{shop['url']}/orders", json=document | {"line_items": 1, "paid": True}, headers=headers)
        assert answer.status_code == 201
        assert session.get(f"{shop['url']}/orders", headers=headers).status_code == 200

    order("first")
    compiled: list[Any] = []
    compiling = SchemaValidator.compile
    monkeypatch.setattr(SchemaValidator, "compile", lambda self: compiled.append(self) or compiling(self))
    order("second")
    assert compiled == []
    sandbox.close()
