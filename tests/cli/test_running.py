"""The commands against a sandbox that runs, as a person would use them."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.cli.conftest import COMMAND, TIME_LIMIT, Sandbox, Up, serving

ORDER = {
    "order_number": "2025-4471",
    "customer": "Example Ltd",
    "amount_net": 1290.00,
    "currency": "EUR",
    "line_items": 3,
    "paid": True,
}
SYSTEMS = {"shop", "crm", "accounting", "shipping"}


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    """Each command is a process here."""
    return sandbox_process


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `sandbox …` in the background; it is gone when the test ends."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [*COMMAND, *arguments],
                cwd=tmp_path,
                env=os.environ | environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return started[-1]

    yield start
    for child in started:
        if child.poll() is None:
            child.kill()
        child.communicate(timeout=TIME_LIMIT)


def environment_of(text: str) -> dict[str, str]:
    """Dotenv lines as a shell reads them."""
    return dict(shlex.split(line)[0].split("=", 1) for line in text.splitlines())


def test_up_says_where_everything_is(up: Up) -> None:
    assert up.said["url"].startswith("http://127.0.0.1:")
    assert set(up.said["systems"]) == SYSTEMS
    assert up.said["control"] == f"{up.url}/_sandbox"
    for name, system in up.said["systems"].items():
        assert system["url"] == f"{up.url}/{name}"


def test_up_serves_when_it_speaks(up: Up) -> None:
    assert httpx.get(f"{up.said['control']}/health").status_code == 200
    for system in up.said["systems"].values():
        page = httpx.get(system["ui"])
        assert page.status_code == 200
        assert "swagger" in page.text.lower()


def test_up_for_people(process: Callable[..., subprocess.Popen[str]]) -> None:
    running = process("up", "--port", "0")
    assert running.stderr is not None
    assert "sandbox order" in running.stderr.readline()
    running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=TIME_LIMIT)
    assert running.returncode == 0
    assert all(name in out for name in SYSTEMS)
    assert "\x1b" not in out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_up_stops_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path) as running:
        assert running.stop(number) == (0, "", "")


def test_a_taken_port(up: Up, sandbox: Sandbox) -> None:
    done = sandbox("up", "--port", up.url.rpartition(":")[2])
    assert done.returncode == 2
    assert done.stdout == ""
    message, hint = done.stderr.splitlines()
    assert message.startswith("error: cannot listen on 127.0.0.1:")
    assert "--port" in hint


def test_env_is_what_up_says(up: Up, sandbox: Sandbox) -> None:
    printed = environment_of(sandbox("env", "--port", up.url.rpartition(":")[2]).stdout)
    assert list(printed) == [
        *("ACCOUNTING_URL", "ACCOUNTING_TOKEN"),
        *("CRM_URL", "CRM_CLIENT_ID", "CRM_CLIENT_SECRET"),
        *("SHIPPING_URL", "SHIPPING_API_KEY"),
        *("SHOP_URL", "SHOP_API_KEY"),
        "WEBHOOK_SECRET",
    ]
    for name, system in up.said["systems"].items():
        said = {f"{name}_{field}".upper(): value for field, value in system.items() if field != "ui"}
        assert said.items() <= printed.items()


def test_env_follows_seed_and_world(sandbox: Sandbox) -> None:
    first, again, other = (sandbox("env", "--seed", seed, "--world", "w1").stdout for seed in ("1", "1", "2"))
    assert first == again
    assert environment_of(first)["SHOP_URL"] == "http://127.0.0.1:8420/w/w1/shop"
    assert environment_of(first)["SHOP_API_KEY"] != environment_of(other)["SHOP_API_KEY"]


def test_order_is_placed_once(up: Up, sandbox: Sandbox) -> None:
    at = ("--url", up.url, "--world", "once")
    first = sandbox("order", "--json", *at)
    assert first.returncode == 0
    assert ORDER.items() <= json.loads(first.stdout).items()
    again = sandbox("order", *at)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr.startswith("error: the shop refused: 409 Conflict")
    assert "2025-4471" in again.stderr


def test_order_for_people(up: Up, sandbox: Sandbox) -> None:
    done = sandbox("order", "--url", up.url, "--world", "people")
    assert done.returncode == 0
    assert done.stdout.startswith("order 2025-4471 placed")
    assert "sandbox journal --key 2025-4471" in done.stderr
    assert sandbox("order", "-q", "--url", up.url, "--world", "quiet").stderr == ""


def test_order_from_file_and_standard_input(up: Up, sandbox: Sandbox, tmp_path: Path) -> None:
    at = ("--json", "--url", up.url, "--world", "files")
    (tmp_path / "order.json").write_text(json.dumps(ORDER | {"order_number": "2025-1"}), encoding="utf-8")
    assert json.loads(sandbox("order", "order.json", *at).stdout)["order_number"] == "2025-1"
    piped = sandbox("order", "-", *at, stdin=json.dumps(ORDER | {"order_number": "2025-2"}))
    assert json.loads(piped.stdout)["order_number"] == "2025-2"


def test_a_refused_order_names_the_field(up: Up, sandbox: Sandbox) -> None:
    done = sandbox("order", "-", "--url", up.url, "--world", "refused", stdin=json.dumps(ORDER | {"paid": "yes"}))
    assert done.returncode == 1
    assert "400" in done.stderr
    assert "/paid" in done.stderr


def test_journal(up: Up, sandbox: Sandbox) -> None:
    at = ("--url", up.url, "--world", "journal")
    for number in ("2025-1", "2025-2"):
        sandbox("order", "-", *at, stdin=json.dumps(ORDER | {"order_number": number}))
    shown = sandbox("journal", *at).stdout.splitlines()
    assert shown[0].split()[0] == "SEQ"
    assert [line.split()[2:5] for line in shown[1:]] == [["shop.place_order", f"2025-{n}", "1"] for n in (1, 2)]
    lines = sandbox("journal", "--json", "--key", "2025-2", *at).stdout.splitlines()
    assert [json.loads(line)["address"]["key"] for line in lines] == ["2025-2"]
    assert sandbox("journal", "--system", "crm", *at).stdout == ""


def test_journal_follows(up: Up, sandbox: Sandbox, process: Callable[..., subprocess.Popen[str]]) -> None:
    at = ("--url", up.url, "--world", "follow")
    sandbox("order", "-", *at, stdin=json.dumps(ORDER | {"order_number": "2025-1"}))
    following = process("journal", "--follow", "--json", *at)
    assert following.stdout is not None
    seen = [json.loads(following.stdout.readline())]
    sandbox("order", "-", *at, stdin=json.dumps(ORDER | {"order_number": "2025-2"}))
    seen.append(json.loads(following.stdout.readline()))
    assert [entry["address"]["key"] for entry in seen] == ["2025-1", "2025-2"]
    following.send_signal(signal.SIGINT)
    _, err = following.communicate(timeout=TIME_LIMIT)
    assert following.returncode == 130
    assert "Traceback" not in err


def test_journal_ends_with_the_sandbox(
    tmp_path: Path, sandbox: Sandbox, process: Callable[..., subprocess.Popen[str]]
) -> None:
    with serving(tmp_path) as running:
        sandbox("order", "--url", running.url)
        following = process("journal", "--follow", "--json", "--url", running.url)
        assert following.stdout is not None
        following.stdout.readline()
        assert running.stop() == (0, "", "")
        out, err = following.communicate(timeout=TIME_LIMIT)
    assert (following.returncode, out, err) == (0, "", "the sandbox stopped\n")


def test_journal_of_a_system_that_is_none(up: Up, sandbox: Sandbox) -> None:
    done = sandbox("journal", "--system", "shpo", "--url", up.url)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: there is no system 'shpo'\n  there are: accounting, crm, shipping, shop\n"


def test_output_where_not_every_character_can_be_written(up: Up, sandbox: Sandbox) -> None:
    document = {"order_number": "A-1", "customer": "Zoë 🛒", "amount_net": 80.0, "currency": "EUR"}
    order = json.dumps(document | {"line_items": 1, "paid": False})
    options = ("--world", "ascii", "--url", up.url)
    placed = sandbox("order", "-", "--json", *options, stdin=order, PYTHONIOENCODING="ascii")
    assert placed.returncode == 0, placed.stderr
    assert json.loads(placed.stdout)["customer"] == "Zoë 🛒"
    shown = sandbox("state", "shop", *options, PYTHONIOENCODING="ascii")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "Zo\\xeb" in shown.stdout


def test_order_whose_answer_is_spoilt(up: Up, sandbox: Sandbox) -> None:
    options = ("--world", "spoilt", "--url", up.url)
    sandbox("order", "-", *options, stdin="{}")
    for number, fault, code, says in (
        (1, "malformed", 2, "the shop's answer 201 is no JSON object"),
        (2, "truncated", 2, "gave no proper answer"),
        (3, "redirect", 1, "the shop refused: 307"),
    ):
        document = {"order_number": f"S-{number}", "customer": "E", "amount_net": 8.0, "currency": "EUR"}
        assert sandbox("fault", "add", "shop.place_order", fault, "--key", f"S-{number}", *options).returncode == 0
        done = sandbox("order", "-", *options, stdin=json.dumps(document | {"line_items": 1, "paid": False}))
        assert (done.returncode, done.stdout) == (code, "")
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_state(up: Up, sandbox: Sandbox) -> None:
    at = ("--url", up.url, "--world", "state")
    sandbox("order", *at)
    whole: dict[str, Any] = json.loads(sandbox("state", "--json", *at).stdout)
    assert [order["order_number"] for order in whole["shop"]["orders"]] == ["2025-4471"]
    assert ["shop", "orders", "1"] in [line.split() for line in sandbox("state", *at).stdout.splitlines()]
    records = sandbox("state", "shop", *at).stdout
    assert "orders (1)" in records
    assert "2025-4471" in records


def test_state_of_nothing(up: Up, sandbox: Sandbox) -> None:
    wrong_system = sandbox("state", "shpo", "--url", up.url)
    assert wrong_system.returncode == 2
    assert wrong_system.stderr.splitlines()[0] == "error: there is no system 'shpo'"
    assert "accounting, crm, shipping, shop" in wrong_system.stderr
    wrong_world = sandbox("state", "--world", "nowhere", "--url", up.url)
    assert wrong_world.returncode == 2
    assert "there is no world nowhere; the first call to one of its systems makes it" in wrong_world.stderr


def test_a_database_survives_kill(tmp_path: Path, sandbox: Sandbox) -> None:
    with serving(tmp_path, "--db", "shop.db") as running:
        assert sandbox("order", "--url", running.url).returncode == 0
        running.process.kill()
        running.process.wait(TIME_LIMIT)
    with serving(tmp_path, "--db", "shop.db") as again:
        state = json.loads(sandbox("state", "shop", "--json", "--url", again.url).stdout)
    assert [order["order_number"] for order in state["shop"]["orders"]] == ["2025-4471"]


def test_integrator_carries_the_order(
    tmp_path: Path, sandbox: Sandbox, process: Callable[..., subprocess.Popen[str]]
) -> None:
    with serving(tmp_path, "--seed", "7") as running:
        integrator = process("integrator", "--port", "0", "--url", running.url)
        assert integrator.stdout is not None
        assert integrator.stdout.readline().startswith("integrator ready on http://127.0.0.1:")
        sandbox("order", "--url", running.url)
        following = process("journal", "-f", "--json", "--operation", "set_fulfilment", "--url", running.url)
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["answer"]["status"] == 200
        state = json.loads(sandbox("state", "--json", "--url", running.url).stdout)
        integrator.send_signal(signal.SIGINT)
        integrator.communicate(timeout=TIME_LIMIT)
    assert integrator.returncode == 0
    counted = [
        len(state[s][c]) for s, c in (("crm", "customers"), ("accounting", "invoices"), ("shipping", "shipments"))
    ]
    assert counted == [1, 1, 1]


def test_integrator_may_be_started_first(
    tmp_path: Path, sandbox: Sandbox, process: Callable[..., subprocess.Popen[str]]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = environment_of(sandbox("env", "--port", port).stdout)
    integrator = process("integrator", "--port", "0", "--url", f"http://127.0.0.1:{port}", **environment)
    assert integrator.stderr is not None
    assert integrator.stdout is not None
    assert "cannot subscribe yet" in integrator.stderr.readline()
    with serving(tmp_path, "--port", port):
        assert integrator.stdout.readline().startswith("integrator ready on http://127.0.0.1:")
        integrator.send_signal(signal.SIGINT)
        integrator.communicate(timeout=TIME_LIMIT)
    assert integrator.returncode == 0
