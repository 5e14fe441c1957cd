"""`--db`: what was answered with 2xx is there after a kill -9, and everything goes on where it was."""

from __future__ import annotations

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest

Until = Callable[[Callable[[], Any]], Any]

DOCUMENT = {"customer": "Example Ltd", "amount_net": 1290.00, "currency": "EUR", "line_items": 3, "paid": True}
INVOICE = {
    "order_number": "2025-4471",
    "currency": "EUR",
    "customer": {
        "name": "Example Ltd",
        "billing_address": {
            "street": "12 Harbour Street",
            "postal_code": "BS1 4ND",
            "city": "Bristol",
            "country": "GB",
        },
    },
    "amount_net": 1290.00,
    "lines": [{"description": "Standing desk", "quantity": 2, "net_amount": 1290.00, "tax_rate": 19}],
}
SEARCH = {"email": "nobody@example.com"}


@dataclass
class Up:
    """A `sandbox up` of its own process."""

    process: subprocess.Popen[str]
    said: dict[str, Any]
    http: httpx.Client

    def call(self, system: str, method: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        reach = self.said["systems"][system]
        known = {
            "shop": {"X-Shop-Api-Key": reach.get("api_key", "")},
            "accounting": {"Authorization": f"Bearer {reach.get('token')}"},
        }.get(system, {})
        sent = known | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.request(method, reach["url"] + path, json=body, headers=sent)

    def order(self, number: str) -> httpx.Response:
        return self.call("shop", "POST", "/orders", DOCUMENT | {"order_number": number})

    def token(self) -> str:
        crm = self.said["systems"]["crm"]
        form = {"grant_type": "client_credentials"}
        answer = self.http.post(f"{crm['url']}/oauth/token", data=form, auth=(crm["client_id"], crm["client_secret"]))
        return str(answer.raise_for_status().json()["access_token"])

    def control(self, path: str, world: str = "default") -> Any:
        return self.http.get(f"{self.said['control']}/worlds/{world}{path}").raise_for_status().json()

    def post(self, path: str, body: Any = None, world: str = "default") -> httpx.Response:
        return self.http.post(f"{self.said['control']}/worlds/{world}{path}", json=body)

    def journal(self) -> list[Any]:
        return list(self.control("/journal?limit=10000")["entries"])

    def kill(self) -> None:
        self.process.kill()
        assert self.process.wait(10) == -signal.SIGKILL

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(10) == 0


Serve = Callable[..., Any]


@pytest.fixture
def up(checkout: Path, tmp_path: Path) -> Serve:
    """Serves from one and the same database, again and again."""

    @contextmanager
    def serve(*options: str, cwd: Path = tmp_path) -> Iterator[Up]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.cli", "up", "--port", "0", "--json", "--db", "world.db", *options],
            cwd=cwd,
            env=os.environ | {"PYTHONPATH": str(checkout)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                pytest.fail(f"it did not start: {process.communicate(timeout=10)[1]}")
            with httpx.Client(trust_env=False, verify=False, timeout=20) as http:
                yield Up(process, json.loads(line), http)
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate(timeout=10)

    return serve


CALLERS = 8


@pytest.mark.parametrize("options", [(), pytest.param(("--workers", "2"), marks=pytest.mark.slow)])
def test_killed_amid_orders(up: Serve, receiver: Any, until: Until, options: tuple[str, ...]) -> None:
    """Orders are placed by several callers without pause; the process dies somewhere in between."""
    answered: dict[str, bytes] = {}
    grown = threading.Condition()

    def place(sandbox: Up, name: str) -> None:
        with httpx.Client(trust_env=False, verify=False) as client:
            reach = sandbox.said["systems"]["shop"]
            for number in range(10_000):
                document = DOCUMENT | {"order_number": f"{name}-{number}"}
                headers = {"X-Shop-Api-Key": reach["api_key"], "Idempotency-Key": f"k-{name}-{number}"}
                try:
                    answer = client.post(f"{reach['url']}/orders", json=document, headers=headers)
                except httpx.HTTPError:
                    return
                assert answer.status_code == 201
                with grown:
                    answered[document["order_number"]] = answer.content
                    grown.notify()

    with up(*options) as sandbox:
        body = {"url": receiver.url, "events": ["order.paid"]}
        sandbox.call("shop", "POST", "/webhook-subscriptions", body).raise_for_status()
        threads = [threading.Thread(target=place, args=(sandbox, f"t{number}")) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        with grown:
            assert grown.wait_for(lambda: len(answered) >= 10 * CALLERS, 20)
        sandbox.kill()
        for thread in threads:
            thread.join()

    with up(*options) as sandbox:
        orders = sandbox.control("/state")["shop"]["orders"]
        numbers = [order["order_number"] for order in orders]
        assert answered.keys() <= set(numbers)
        assert len(set(numbers)) == len(numbers)
        # At most the calls that were on their way are there besides.
        assert len(numbers) <= len(answered) + CALLERS
        calls = [entry for entry in sandbox.journal() if entry["kind"] == "call"]
        applied = [entry for entry in calls if entry["effect"] == "applied"]
        created = [change["id"] for entry in applied for change in entry["changes"] if change["collection"] == "orders"]
        assert sorted(created) == sorted(numbers)
        # Who was answered finds that in the journal, too.
        told = {entry["address"]["key"] for entry in calls if entry["answer"] != "unknown"}
        assert answered.keys() <= told
        # Each was announced, none for ever lost: what had not been handed over is handed over now.
        receiver.wait(len(numbers))
        until(lambda: {each.json()["data"]["order_number"] for each in receiver.received} >= set(numbers))
        ids: dict[str, set[str]] = {}
        for each in receiver.received:
            ids.setdefault(each.json()["data"]["order_number"], set()).add(each.headers["webhook-id"])
        assert {len(found) for found in ids.values()} == {1}
        # And nobody had heard of an order that is not there.
        assert ids.keys() == set(numbers)
        # Each key is known with its answer.
        for number in list(answered)[-2 * CALLERS :]:
            again = sandbox.call(
                "shop", "POST", "/orders", DOCUMENT | {"order_number": number}, Idempotency_Key=f"k-{number}"
            )
            assert (again.content, again.headers["idempotent-replayed"]) == (answered[number], "true")


def attempt(sandbox: Up, until: Until, number: int) -> Any:
    """The only delivery, once its next attempt is this one."""

    def ask() -> Any:
        (delivery,) = sandbox.control("/deliveries")["deliveries"]
        return delivery if delivery["attempt"] == number else None

    return until(ask)


def test_everything_goes_on(up: Serve, receiver: Any, until: Until) -> None:
    """Keys, tokens, pending deliveries, subscriptions, worlds, occurrences, the journal's numbers, ids."""
    receiver.answers(503, 503, 503)
    with up() as sandbox:
        body = {"url": receiver.url, "events": ["order.paid"], "secret": f"whsec_{'QUJD' * 9}"}
        sandbox.call("shop", "POST", "/webhook-subscriptions", body).raise_for_status()
        sandbox.order("A-1").raise_for_status()
        attempt(sandbox, until, 2)
        sandbox.post("/clock/advance", {"seconds": 6}).raise_for_status()
        # The next one is due in five minutes, which is time enough to restart.
        pending = attempt(sandbox, until, 3)
        token = sandbox.token()
        first = sandbox.call("accounting", "POST", "/invoices", INVOICE, Idempotency_Key="k")
        refused = sandbox.call("accounting", "POST", "/invoices", INVOICE | {"amount_net": 1.0}, Idempotency_Key="r")
        sandbox.call("shop", "GET", "/orders/A-1")
        elsewhere = {"name": "elsewhere", "seed": 99}
        sandbox.http.post(f"{sandbox.said['control']}/worlds", json=elsewhere).raise_for_status()
        gone = {"name": "gone"}
        sandbox.http.post(f"{sandbox.said['control']}/worlds", json=gone).raise_for_status()
        sandbox.http.delete(f"{sandbox.said['control']}/worlds/gone").raise_for_status()
        before = sandbox.journal()
        state = sandbox.control("/state")
        sandbox.kill()

    with up() as sandbox:
        after = sandbox.journal()
        assert after == before
        assert sandbox.control("/state") == state
        assert sandbox.control("", world="elsewhere")["seed"] == 99
        assert sandbox.http.get(f"{sandbox.said['control']}/worlds/gone").status_code == 404

        # The token is valid, the next one is another.
        bearer = {"Authorization": f"Bearer {token}"}
        assert sandbox.call("crm", "POST", "/customers/search", SEARCH, **bearer).status_code == 200
        assert sandbox.token() != token

        # Keys replay.
        again = sandbox.call("accounting", "POST", "/invoices", INVOICE, Idempotency_Key="k")
        assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
        same = sandbox.call("accounting", "POST", "/invoices", INVOICE | {"amount_net": 1.0}, Idempotency_Key="r")
        assert (same.status_code, same.content) == (400, refused.content)
        assert sandbox.call("accounting", "POST", "/invoices", INVOICE, Idempotency_Key="r").status_code == 422

        # The order number is taken, and its next arrival is the second one.
        assert sandbox.order("A-1").status_code == 409
        entries = sandbox.journal()[len(before) :]
        assert [entry["seq"] for entry in entries] == list(
            range(before[-1]["seq"] + 1, before[-1]["seq"] + 1 + len(entries))
        )
        assert entries[-1]["address"] == {"system": "shop", "operation": "place_order", "key": "A-1", "occurrence": 2}

        # The pending delivery keeps its id and its turn.
        (due,) = sandbox.control("/deliveries")["deliveries"]
        assert due == pending
        sandbox.post("/clock/advance", {"seconds": 400}).raise_for_status()
        attempt(sandbox, until, 4)
        sandbox.post("/clock/advance", {"seconds": 2000}).raise_for_status()
        assert len({each.headers["webhook-id"] for each in receiver.wait(4)}) == 1

        # New events have ids of their own.
        sandbox.order("A-2").raise_for_status()
        assert len({each.headers["webhook-id"] for each in receiver.wait(5)}) == 2
        sandbox.stop()


def test_stopped_and_started(up: Serve) -> None:
    """An orderly end keeps all that a kill keeps, and the clock, advanced, does not run backwards."""
    with up() as sandbox:
        sandbox.order("B-1").raise_for_status()
        sandbox.call("shop", "PUT", "/products/DESK-180/stock", {"level": 1}).raise_for_status()
        sandbox.post("/clock/advance", {"seconds": 86400}).raise_for_status()
        sandbox.call("shop", "GET", "/orders/B-1")
        last = sandbox.journal()[-1]["at"]
        sandbox.stop()
    with up() as sandbox:
        assert sandbox.control("/clock")["now"] >= last
        assert [entry["seq"] for entry in sandbox.journal()] == [1, 2, 3]
        # The same fact again is another event.
        sandbox.call("shop", "PUT", "/products/DESK-180/stock", {"level": 2}).raise_for_status()
        events = [event for entry in sandbox.journal() for event in entry["events"]]
        assert len(set(events)) == len(events) == 4
        sandbox.order("B-2").raise_for_status()
        listed = sandbox.call("shop", "GET", "/orders").json()["orders"]
        assert [order["order_number"] for order in listed] == ["B-1", "B-2"]
        assert listed[0]["created_at"] < listed[1]["created_at"]
        sandbox.stop()


SPEC = """
    openapi: 3.0.3
    info: {title: Jobs, version: "1"}
    paths:
      /jobs:
        post:
          operationId: create_job
          requestBody: {content: {application/json: {schema: {type: object}}}}
          responses: {"201": {description: ok, content: {application/json: {schema: {type: object}}}}}
"""
MOCK = """
    from sandbox import System


    class Jobs(System):
        def create_job(self, body):
            return self.jobs.add(body)
"""
LATE = {
    "on": {"system": "jobs", "operation": "create_job", "occurrence": "any"},
    "inject": "slow",
    "with": {"delay": "1h"},
    "count": 1,
}


def test_call_whose_outcome_nobody_knows(
    up: Serve, until: Until, make_project: Callable[..., Path], tmp_path: Path
) -> None:
    """Killed between the commit and the note of how the call ended."""
    project = ("--project", str(make_project(SPEC, MOCK)))

    def call(sandbox: Up) -> None:
        with suppress(httpx.HTTPError):
            sandbox.call("jobs", "POST", "/jobs", {"id": "last"})

    with up(*project) as sandbox:
        sandbox.call("jobs", "POST", "/jobs", {"id": "fine"}).raise_for_status()
        sandbox.post("/faults", LATE).raise_for_status()
        calling = threading.Thread(target=call, args=(sandbox,))
        calling.start()
        until(lambda: len(sandbox.control("/state")["jobs"]["jobs"]) == 2)
        sandbox.kill()
        calling.join()
    with up(*project) as sandbox:
        fine, last = sandbox.journal()
        assert fine["answer"]["status"] == 201
        assert last["answer"] == "unknown"
        assert (last["effect"], last["changes"][0]["id"]) == ("applied", "last")
        assert [job["id"] for job in sandbox.control("/state")["jobs"]["jobs"]] == ["fine", "last"]
        sandbox.call("jobs", "POST", "/jobs", {"id": "next"}).raise_for_status()
        assert [entry["seq"] for entry in sandbox.journal()] == [1, 2, 3]
        # Who follows the journal is not kept waiting for an outcome that will never come.
        url = f"{sandbox.said['control']}/worlds/default/journal/stream"
        with sandbox.http.stream("GET", url) as stream:
            lines = (line for line in stream.iter_lines() if line.startswith("data: "))
            told = [json.loads(line.removeprefix("data: ")) for line in islice(lines, 3)]
        assert [entry["seq"] for entry in told] == [1, 2, 3]
        sandbox.stop()


LARGEST = 1_500_000


def test_a_full_disk(up: Serve, tmp_path: Path) -> None:
    """It says so in one line and ends; nobody was told of what is not in the file."""
    answered: set[str] = set()
    with up() as sandbox:
        size = (LARGEST, LARGEST)
        resource.prlimit(sandbox.process.pid, resource.RLIMIT_FSIZE, size)
        for number in range(1000):
            answer = sandbox.order(f"F-{number}")
            if answer.status_code != 201:
                break
            answered.add(f"F-{number}")
        assert answer.status_code == 500
        assert "world.db: cannot be written" in answer.json()["detail"]
        _, complaint = sandbox.process.communicate(timeout=20)
        assert sandbox.process.returncode == 2
        first, *hints = complaint.splitlines()
        assert first.startswith("error: world.db: cannot be written: ")
        assert len(hints) <= 1
    with closing(sqlite3.connect(tmp_path / "world.db")) as file:
        kept = {id_ for (id_,) in file.execute("SELECT id FROM records WHERE collection = 'shop.orders'")}
    assert kept == answered
    assert len(kept) > 10


def test_a_database_has_one_sandbox(up: Serve) -> None:
    with up(), pytest.raises(pytest.fail.Exception, match=r"world\.db: another process uses this database"), up():
        pass


def test_no_database(up: Serve, tmp_path: Path) -> None:
    (tmp_path / "world.db").write_text("this is no database, and long enough to be looked at as one. " * 20)
    with pytest.raises(pytest.fail.Exception, match=r"world\.db: cannot be used as a database"), up():
        pass
