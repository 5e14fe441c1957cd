"""Record, replay, weather and usage on systems of one's own, without a word more than on ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from sandbox.cli import main
from sandbox.project import Project
from sandbox.server import Server
from tests.cli.conftest import Sandbox, Up, serving
from tests.recorder import recording

SPECS = Path(__file__).parents[1] / "vendors" / "specs"
NAMES = ("helpdesk", "payments", "storefront")
GIVEN = [word for name in NAMES for word in ("--spec", str(SPECS / f"{name}.yaml"))]


@dataclass
class Caller:
    """Calls the systems at one place with the credentials of another."""

    url: str
    systems: Any

    def __call__(self, method: str, path: str, **more: Any) -> Any:
        own = self.systems[path.split("/")[1]]
        headers = {"X-Access-Token": own.get("api_key", ""), "Authorization": f"Bearer {own.get('token')}"}
        headers["X-App"] = own.get("app_api_key", "")
        key = {"api_key": own["api_key"]} if "app_api_key" in own else {}
        with httpx.Client(trust_env=False, timeout=30) as http:
            answer = http.request(method, self.url + path, headers=headers, params=key, **more)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by `sandbox init`, with a recording of some calls in it."""
    folder = tmp_path_factory.mktemp("own") / "project"
    assert (
        main(["init", str(folder), *(word for name in NAMES for word in ("--spec", str(SPECS / f"{name}.yaml")))]) == 0
    )
    upstream = Server(Project.load(folder), port=0)
    with upstream.running() as running:
        access = running.access()
        given = {name: str(access.systems[name]["url"]) for name in NAMES}
        with recording(folder, "--compare", "--out", "r.jsonl", **given) as recorder:
            call = Caller(recorder.url, access.systems)
            call("POST", "/helpdesk/users", json={"name": "Ada"})
            ticket = call("POST", "/helpdesk/tickets", json={"subject": "broken"})["data"]["id"]
            call("POST", f"/helpdesk/tickets/{ticket}/comments", json={"text": "why?"})
            call("POST", f"/helpdesk/tickets/{ticket}/close")
            call("PATCH", "/helpdesk/settings", json={"auto_close_days": 3})
            call("POST", "/payments/v1/customers", data={"metadata[order]": "7"})
            gone = call("POST", "/storefront/products.json", json={"product": {"title": "gone"}})["product"]["id"]
            call("POST", "/storefront/products.json", json={"product": {"title": "chair"}})
            call("DELETE", f"/storefront/products/{gone}.json")
            call("GET", "/storefront/products.json")
            departures = recorder.drift()
            code, _, err = recorder.stop()
    assert (code, departures, err) == (0, [], "")
    return folder


@pytest.fixture(scope="module")
def replayed(project: Path) -> Iterator[Up]:
    with serving(project, "--recording", "r.jsonl") as up:
        yield up


def test_a_world_begins_with_what_was_recorded(replayed: Up) -> None:
    call = Caller(replayed.url, replayed.said["systems"])
    (product,) = call("GET", "/storefront/products.json")["products"]
    assert product["title"] == "chair"
    assert call("GET", f"/storefront/products/{product['id']}.json")["product"] == product
    (customer,) = call("GET", "/payments/v1/customers")["data"]
    assert customer["metadata"] == {"order": "7"}
    (ticket,) = call("GET", "/helpdesk/tickets")["data"]
    assert (ticket["subject"], ticket["status"]) == ("broken", "closed")
    (comment,) = call("GET", f"/helpdesk/tickets/{ticket['id']}/comments")["data"]
    assert comment["text"] == "why?"
    assert call("GET", "/helpdesk/settings")["auto_close_days"] == 3
    assert call("POST", "/helpdesk/tickets", json={"subject": "next"})["data"]["id"] != ticket["id"]


def test_a_form_is_read_by_its_schema(project: Path, sandbox: Sandbox) -> None:
    """Whoever recorded it knew nothing but names and texts."""
    done = sandbox("contracts", "usage", str(project / "r.jsonl"), *GIVEN)
    assert (done.returncode, done.stderr) == (0, "")
    assert "each of 10 requests keeps to its target's spec" in done.stdout


def test_weather_of_a_profile(replayed: Up, sandbox: Sandbox) -> None:
    """Profiles strike whatever systems are served, and events where there are any."""
    httpx.post(f"{replayed.said['control']}/worlds", json={"name": "windy"}, trust_env=False).raise_for_status()
    done = sandbox("fault", "apply", "rate-limited", "--json", "--url", replayed.url, "--world", "windy")
    assert done.returncode == 0, done.stderr
    rules = json.loads(done.stdout)["weather"]
    assert sorted(rule["on"]["system"] for rule in rules) == sorted([*NAMES, *NAMES])
    own = replayed.said["systems"]["storefront"]
    url = f"{replayed.url}/w/windy/storefront/products.json"
    with httpx.Client(trust_env=False) as http:
        seen = [http.get(url, headers={"X-Access-Token": own["api_key"]}) for _ in range(60)]
    assert {answer.status_code for answer in seen} == {200, 429}
    assert all("retry-after" in answer.headers for answer in seen if answer.status_code == 429)


def test_a_profile_that_nothing_is_struck_by(sandbox: Sandbox) -> None:
    spec = f"{SPECS / 'storefront.yaml'}"
    done = sandbox("up", "--port", "0", "--spec", spec, "--faults", "lossy-webhooks")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no system of the project has any event" in done.stderr
