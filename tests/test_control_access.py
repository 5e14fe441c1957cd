"""Who may use the control API: whoever has its token; without one, only programs of this machine, no web page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import sandbox.server
from sandbox.control_access import ControlAccess, is_loopback, new_token
from sandbox.model import Problem
from sandbox.project import Project
from sandbox.server import Server

TOKEN = "let-me-in"


def scope(path: str = "/_sandbox/worlds", method: str = "GET", **headers: str) -> dict[str, Any]:
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": sent}


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost"},
        {"host": "LocalHost:8420"},
        {"host": "shop.localhost:8420"},
        {"host": "127.0.0.1:8420"},
        {"host": "127.1.2.3"},
        {"host": "[::1]:8420"},
        {"host": "sandbox:8420"},
        {"host": "127.0.0.1:8420", "origin": "http://127.0.0.1:8420"},
        {"host": "localhost:8420", "origin": "https://LOCALHOST:8420"},
    ],
)
def test_this_machine(headers: dict[str, str]) -> None:
    ControlAccess(hosts=["Sandbox"]).check(scope(**headers))


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"host": "evil.example"}, "foreign-host"),
        ({"host": "evil.example:8420"}, "foreign-host"),
        ({"host": "127.0.0.1.evil.example"}, "foreign-host"),
        ({"host": "localhost.evil.example"}, "foreign-host"),
        ({"host": "evil.example#localhost"}, "foreign-host"),
        ({"host": "localhost@evil.example"}, "foreign-host"),
        ({"host": "10.1.2.3:8420"}, "foreign-host"),
        ({"host": ""}, "foreign-host"),
        ({"host": "["}, "foreign-host"),
        ({"host": "127.0.0.1:8420", "origin": "https://evil.example"}, "foreign-origin"),
        ({"host": "127.0.0.1:8420", "origin": "http://127.0.0.1:3000"}, "foreign-origin"),
        ({"host": "127.0.0.1:8420", "origin": "http://localhost:8420"}, "foreign-origin"),
        ({"host": "127.0.0.1:8420", "origin": "null"}, "foreign-origin"),
        ({"host": "127.0.0.1:8420", "origin": ""}, "foreign-origin"),
        ({"origin": "null"}, "foreign-origin"),
        ({"origin": "http://["}, "foreign-origin"),
    ],
)
def test_web_pages_are_refused(headers: dict[str, str], kind: str) -> None:
    with pytest.raises(Problem) as refused:
        ControlAccess().check(scope(method="POST", **headers))
    assert (refused.value.status, refused.value.type) == (403, kind)


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"Bearer  {TOKEN} "])
def test_token(shown: str) -> None:
    # Whoever has it may come from anywhere, under any name.
    ControlAccess(TOKEN).check(scope(authorization=shown, host="sandbox.example", origin="https://x.example"))


@pytest.mark.parametrize(
    "shown", [None, "", TOKEN, "Bearer", f"Basic {TOKEN}", "Bearer x", f"Bearer {TOKEN}x", "Bearer é"]
)
def test_wrong_token(shown: str | None) -> None:
    headers = {} if shown is None else {"authorization": shown}
    with pytest.raises(Problem) as refused:
        ControlAccess(TOKEN).check(scope(**headers))
    assert refused.value.status == 401
    challenge = refused.value.headers["WWW-Authenticate"]
    assert challenge.startswith('Bearer realm="sandbox control"')
    assert ("invalid_token" in challenge) == (shown is not None)


@pytest.mark.parametrize("path", ["/_sandbox/ui/", "/_sandbox/ui/swagger-ui.css", "/_sandbox/openapi.json"])
def test_description_needs_no_token(path: str) -> None:
    ControlAccess(TOKEN).check(scope(path))
    with pytest.raises(Problem):
        ControlAccess(TOKEN).check(scope(path, "POST"))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        *(
            (host, True)
            for host in ("localhost", "LOCALHOST", "localhost.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1")
        ),
        *(
            (host, False)
            for host in ("", "0.0.0.0", "::", "10.0.0.1", "example.com", "localhost.example", "2130706433")
        ),
    ],
)
def test_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) == expected


def test_tokens_cannot_be_guessed() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) >= 32 for token in tokens)


@pytest.fixture(scope="module")
def guarded(project: Project) -> Iterator[Server]:
    with Server(project, port=0, control_token=TOKEN).running() as serving:
        yield serving


def test_server_asks_for_its_token(guarded: Server) -> None:
    with httpx.Client(base_url=guarded.url, trust_env=False) as client:
        refused = client.get("/_sandbox/worlds")
        assert refused.status_code == 401
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["detail"].startswith("the control token is missing")
        assert client.get("/_sandbox/worlds", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/_sandbox/ui/").status_code == 200
        assert client.get("/").status_code == 200
        key = {"X-Shop-Api-Key": guarded.access().systems["shop"]["api_key"]}
        assert client.get("/shop/orders", headers=key).status_code == 200


def test_server_refuses_a_rebound_name(server: Server) -> None:
    with httpx.Client(base_url=server.url, trust_env=False) as client:
        refused = client.post("/_sandbox/worlds", json={"name": "rebound"}, headers={"Host": "evil.example"})
        assert (refused.status_code, refused.json()["type"]) == (403, "/problems/foreign-host")
        assert "rebound" not in client.get("/_sandbox/worlds").text


def test_a_token_is_made_where_others_can_come(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real host would open a port to the network; it is enough to believe that the one of this test is none."""
    monkeypatch.setattr(sandbox.server, "is_loopback", lambda _: False)
    made = []
    for _ in range(2):
        with Server(project, port=0).running() as serving:
            made.append(serving.control_token)
            assert httpx.get(f"{serving.url}/_sandbox/health", trust_env=False).status_code == 401
    assert None not in made
    assert made[0] != made[1]
    with Server(project, port=0, control_token=TOKEN).running() as serving:
        assert serving.control_token == TOKEN


def test_no_token_on_loopback(server: Server) -> None:
    assert server.control_token is None
