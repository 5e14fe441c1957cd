"""`sandbox up --workers N`: several processes speak HTTP, and what happens is what happens with one."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.project import Project
from sandbox.server import Server
from tests.cli.conftest import Done, Up, serving
from tests.faults.site import INVOICE, PATIENCE, Line, Site

Until = Callable[[Callable[[], Any]], Any]

# One of the processes holds the state.
PROCESSES = 3
WORKERS = PROCESSES - 1
CALLERS = 20
CALLS = 200
KEYS = 8
SLOW = {
    "on": {"system": "accounting", "operation": "create_invoice", "occurrence": 1},
    "inject": "timeout",
    "effect": "applied",
}


def children(process: int) -> list[int]:
    """The processes that a process has started and that run."""
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return sorted(int(child) for task in tasks for child in task.read_text().split() if runs(int(child)))


def runs(process: int) -> bool:
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # Where nobody waits for orphans, what has ended stays as a zombie.
    return status.rpartition(")")[2].split()[0] != "Z"


@pytest.fixture(scope="module")
def running(checkout: Path) -> Iterator[Site]:
    with Server(Project.load(checkout), port=0, workers=PROCESSES).running() as server, closing(Site(server)) as site:
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    running.begin()
    return running


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    with serving(tmp_path, "--workers", str(PROCESSES)) as sandbox:
        yield sandbox


def test_few_keys_make_few_invoices(site: Site) -> None:
    """Each is made once, whoever asked first and through whichever process."""
    start = threading.Barrier(CALLERS)

    def book(caller: int) -> list[requests.Response]:
        with requests.Session() as session:
            session.trust_env = False
            start.wait(PATIENCE)
            found = []
            for number in range(CALLS // CALLERS):
                key = f"k{(caller + number) % KEYS}"
                headers = {"Idempotency-Key": key, "Authorization": f"Bearer {site.env['ACCOUNTING_TOKEN']}"}
                url, body = f"{site.env['ACCOUNTING_URL']}/invoices", INVOICE | {"order_number": key}
                found.append(session.post(url, json=body, headers=headers, timeout=PATIENCE))
            return found

    with ThreadPoolExecutor(CALLERS) as callers:
        answers = [answer for found in callers.map(book, range(CALLERS)) for answer in found]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == KEYS
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == KEYS
    assert sorted(site.invoices()) == [f"k{number}" for number in range(KEYS)]
    entries = site.control("GET", "/journal", params={"limit": 1000})["entries"]
    assert [entry["seq"] for entry in entries] == list(range(1, CALLS + 1))
    assert sum(entry["effect"] == "applied" for entry in entries) == KEYS
    for key in site.invoices():
        occurrences = [entry["address"]["occurrence"] for entry in site.entries(key)]
        assert occurrences == list(range(1, len(occurrences) + 1))


@pytest.mark.parametrize(
    ("fault", "more", "times"),
    [
        ("rate_limited", {}, 3),
        ("reset", {"effect": "applied"}, 3),
        ("truncated", {}, 3),
        ("slow", {"with": {"drip": "1ms"}}, 3),
        ("repeated_request", {}, 3),
    ],
)
def test_a_fault_strikes_as_often_as_it_is_told(site: Site, fault: str, more: dict[str, Any], times: int) -> None:
    """Many call at once; the count is one for all processes."""
    on = {"system": "accounting", "operation": "create_invoice", "occurrence": "any"}
    site.control("POST", "/faults", json={"on": on, "inject": fault, "count": times} | more)

    def book(number: int) -> None:
        headers = {"Idempotency-Key": f"i{number}", "Authorization": f"Bearer {site.env['ACCOUNTING_TOKEN']}"}
        url, body = f"{site.env['ACCOUNTING_URL']}/invoices", INVOICE | {"order_number": f"o{number}"}
        with requests.Session() as session:
            session.trust_env = False
            # One caller alone may meet all of the faults.
            for _ in range(times + 1):
                try:
                    session.post(url, json=body, headers=headers, timeout=PATIENCE)
                except requests.RequestException:
                    continue

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(book, range(CALLERS)))
    entries = site.control("GET", "/journal", params={"limit": 1000})["entries"]
    assert [entry["seq"] for entry in entries] == list(range(1, len(entries) + 1))
    assert [entry["fault"]["inject"] for entry in entries if entry["fault"]] == [fault] * times
    assert len(site.invoices()) == CALLERS


def test_a_large_body_comes_in_pieces(site: Site) -> None:
    """More than travels at once, and more than is allowed."""
    url, headers = f"{site.env['ACCOUNTING_URL']}/invoices", {"Authorization": f"Bearer {site.env['ACCOUNTING_TOKEN']}"}
    lines = [{"description": "x" * 180, "quantity": 1, "net_amount": 1.00, "tax_rate": 19}] * 1000
    body = json.dumps(INVOICE | {"lines": lines, "amount_net": 1000.00}).encode()
    sent = {"Idempotency-Key": "large", "Content-Type": "application/json"} | headers
    whole = requests.post(url, body, headers=sent, timeout=PATIENCE)
    pieces = requests.post(url, iter([body[:100_000], body[100_000:]]), headers=sent, timeout=PATIENCE)
    assert (whole.status_code, pieces.content) == (201, whole.content)
    assert pieces.headers["Idempotent-Replayed"] == "true"
    assert len(body) > 200_000
    with site.line() as line:
        line.send(site.head("POST", "/invoices", "Content-Type: application/json", "Content-Length: 5000000"))
        # It need not come to be refused.
        assert line.answer().status == 413


def test_what_is_asked_for_first_is_let_in(site: Site) -> None:
    """Expect: 100-continue (RFC 9110, section 10.1.1)."""
    request = site.booking()
    head, _, body = request.partition(b"\r\n\r\n")
    with site.line() as line:
        line.send(head + b"\r\nExpect: 100-continue\r\n\r\n")
        assert line.socket.recv(65536).startswith(b"HTTP/1.1 100")
        line.send(body)
        assert line.answer().status == 201


def test_a_killed_worker_is_followed_by_another_and_none_stays_behind(up: Up, until: Until) -> None:
    """Its callers lose their connections, as after any reset; nothing else is lost."""
    token = up.said["systems"]["accounting"]["token"]
    faults = f"{up.url}/_sandbox/worlds/default/faults"
    assert requests.post(faults, json=SLOW, timeout=PATIENCE).ok
    before = children(up.process.pid)
    assert len(before) == WORKERS
    with ExitStack() as stack:
        lines = [stack.enter_context(Line(int(up.url.rpartition(":")[2]))) for _ in range(8)]
        for number, line in enumerate(lines):
            body = json.dumps(INVOICE | {"order_number": f"o{number}"}).encode()
            head = f"POST /accounting/invoices HTTP/1.1\r\nHost: sandbox\r\nAuthorization: Bearer {token}\r\n"
            fields = f"Idempotency-Key: {number}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            line.send(f"{head}{fields}\r\n".encode() + body)
        until(lambda: len(journal(up)) == len(lines))
        for killed in before:
            os.kill(killed, signal.SIGKILL)
            until(lambda killed=killed: killed not in children(up.process.pid))
            until(lambda: len(children(up.process.pid)) == WORKERS)
        for line in lines:
            assert line.rest() == b""
        # The journal knows that they left, and each invoice stands.
        entries = until(lambda: entries_left(up, len(lines)))
    assert {(entry["effect"], entry["answer"]["outcome"]) for entry in entries} == {("applied", "lost")}
    assert [entry["seq"] for entry in journal(up)] == list(range(1, len(lines) + 1))
    started = children(up.process.pid)
    # Ctrl-C in a terminal goes to a group of processes, and they are in none of it.
    assert [os.getpgid(worker) for worker in started] == started
    code, _, complaints = up.stop()
    assert code == 0
    assert not [process for process in started if runs(process)]
    assert [line.partition("worker ")[2].partition(" (")[2] for line in complaints.splitlines()] == [
        "SIGKILL); another takes its place"
    ] * 2


def journal(up: Up) -> list[dict[str, Any]]:
    found = requests.get(f"{up.url}/_sandbox/worlds/default/journal?limit=1000", timeout=PATIENCE).json()
    entries: list[dict[str, Any]] = found["entries"]
    return entries


def entries_left(up: Up, number: int) -> list[dict[str, Any]]:
    """The entries, once so many callers are known to have left."""
    entries = journal(up)
    return entries if sum("left_at" in entry for entry in entries) == number else []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_callers_are_let_go(up: Up, number: signal.Signals) -> None:
    """Those that a fault holds, too, although the workers hear of the end as well."""
    faults = f"{up.url}/_sandbox/worlds/default/faults"
    on = {"system": "accounting", "operation": "list_invoices", "occurrence": "any"}
    assert requests.put(faults, json={"faults": [{"on": on, "inject": "timeout"}]}, timeout=PATIENCE).ok
    started, port = children(up.process.pid), int(up.url.rpartition(":")[2])
    assert len(started) == WORKERS
    with Line(port) as idle, Line(port) as held:
        held.send(b"GET /accounting/invoices HTTP/1.1\r\nHost: sandbox\r\n\r\n")
        for worker in started:
            os.kill(worker, number)
        assert held.silent()
        assert up.stop(number) == (0, "", "")
        assert held.rest() == idle.rest() == b""
    assert not [process for process in started if runs(process)]


def test_they_end_with_the_one_that_holds_the_state(up: Up, until: Until) -> None:
    started = children(up.process.pid)
    up.process.kill()
    up.process.wait(PATIENCE)
    until(lambda: not [process for process in started if runs(process)])


@pytest.mark.parametrize("number", ["0", "-1", "many", "66"])
def test_a_number_that_is_none(sandbox: Callable[..., Done], number: str) -> None:
    done = sandbox("up", "--workers", number)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--workers" in done.stderr
    assert "Traceback" not in done.stderr
