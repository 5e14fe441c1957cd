"""Authorization servers that a spec only names: several flows, the implicit one, and a discovery document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project

FLOWS = {
    "password": {"tokenUrl": "https://login.example/password", "scopes": {}},
    "clientCredentials": {"tokenUrl": "https://login.example/machines", "scopes": {}},
    "implicit": {"authorizationUrl": "https://login.example/consent", "scopes": {}},
}
SCHEMES = {
    "flows": {"type": "oauth2", "flows": FLOWS},
    "openid": {"type": "openIdConnect", "openIdConnectUrl": "https://id.example/me/.well-known/openid-configuration"},
    "implicit": {"type": "oauth2", "flows": {"implicit": FLOWS["implicit"]}},
}


def spec(scheme: str) -> dict[str, Any]:
    answer = {"description": "it", "content": {"application/json": {"schema": {"type": "object"}}}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Tiny", "version": "1"},
        "security": [{scheme: []}],
        "paths": {"/me": {"get": {"operationId": "get_me", "responses": {"200": answer}}}},
        "components": {"securitySchemes": {scheme: SCHEMES[scheme]}},
    }


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    folder = tmp_path_factory.mktemp("authorization")
    (folder / "specs").mkdir()
    for name in SCHEMES:
        (folder / "specs" / f"{name}.json").write_text(json.dumps(spec(name)))
    sandbox = InProcess(Project.load(folder))
    yield sandbox
    sandbox.close()


def allowed(sandbox: InProcess, system: str, token: str) -> bool:
    url = sandbox.access().systems[system]["url"]
    with sandbox.session() as session:
        return bool(session.get(f"{url}/me", headers={"Authorization": f"Bearer {token}"}).status_code == 200)


def client(given: dict[str, str]) -> dict[str, str]:
    return {name: given[name] for name in ("client_id", "client_secret")}


def test_each_flow_has_its_endpoint(sandbox: InProcess) -> None:
    given = sandbox.access().systems["flows"]
    assert given["token_url"].endswith("/flows/password")
    assert given["client_credentials_token_url"].endswith("/flows/machines")
    assert sandbox.access().environment()["FLOWS_CLIENT_CREDENTIALS_TOKEN_URL"] == given["client_credentials_token_url"]
    with sandbox.session() as session:
        form = {"grant_type": "client_credentials", **client(given)}
        answer = session.post(given["client_credentials_token_url"], data=form)
    assert allowed(sandbox, "flows", answer.json()["access_token"])


@pytest.mark.parametrize("system", ["flows", "implicit"])
def test_the_implicit_flow(sandbox: InProcess, system: str) -> None:
    given = sandbox.access().systems[system]
    asked = {"response_type": "token", "redirect_uri": "http://127.0.0.1/back", "state": "s1"}
    with sandbox.session() as session:
        answer = session.get(given["authorize_url"], params=asked, allow_redirects=False)
        refused = session.get(given["authorize_url"], allow_redirects=False)
    told = {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).fragment).items()}
    assert (answer.status_code, told["state"], told["token_type"]) == (302, "s1", "Bearer")
    assert allowed(sandbox, system, told["access_token"])
    assert refused.status_code == 400


def test_discovery(sandbox: InProcess) -> None:
    given = sandbox.access().systems["openid"]
    with sandbox.session() as session:
        found = session.get(given["openid_url"]).json()
        asked = {"response_type": "code", "redirect_uri": "http://127.0.0.1/back"}
        back = session.get(found["authorization_endpoint"], params=asked, allow_redirects=False)
        (code,) = parse_qs(urlsplit(back.headers["location"]).query)["code"]
        form = {"grant_type": "authorization_code", "code": code, **client(given)}
        token = session.post(found["token_endpoint"], data=form).json()["access_token"]
    assert found["issuer"] == given["url"]
    assert found["token_endpoint"] == given["token_url"]
    assert given["openid_url"].endswith("/openid/me/.well-known/openid-configuration")
    assert allowed(sandbox, "openid", token)
    assert not allowed(sandbox, "openid", "nonsense")
