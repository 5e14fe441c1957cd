"""The integrator as a process of its own, over real sockets."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from standardwebhooks import Webhook

SECRET = "whsec_YSBzZWNyZXQgb2YgMjQgYnl0ZXMuLi4u"


class Shop(BaseHTTPRequestHandler):
    """A shop without orders that takes subscriptions, and one made to refuse them."""

    protocol_version = "HTTP/1.1"
    subscriptions: list[dict[str, Any]]

    def do_GET(self) -> None:
        listed = {"webhook_subscriptions": self.subscriptions, "orders": []}
        self._answer(200, listed)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path.startswith("/refusing"):
            self._answer(403, {"title": "Forbidden"})
            return
        self.subscriptions.append(body | {"status": "active"})
        self._answer(201, body)

    def _answer(self, status: int, body: Any) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def shop() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    subscriptions: list[dict[str, Any]] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneShop", (Shop,), {"subscriptions": subscriptions}))
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", subscriptions
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def start(**env: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "sandbox.integrator"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "NO_PROXY": "*"} | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def environment(shop_url: str, **more: str) -> dict[str, str]:
    names = ("SHOP_API_KEY", "CRM_CLIENT_ID", "CRM_CLIENT_SECRET", "ACCOUNTING_TOKEN", "SHIPPING_API_KEY")
    urls = {f"{system}_URL": shop_url for system in ("SHOP", "CRM", "ACCOUNTING", "SHIPPING")}
    return urls | dict.fromkeys(names, "hush-hush") | {"WEBHOOK_SECRET": SECRET, "PORT": "0"} | more


def outcome(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, errors = process.communicate(timeout=30)
    return process.returncode, errors


def ready(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("integrator ready on http://127.0.0.1:")
    return line.split()[-1]


@pytest.mark.parametrize("stopped_by", [signal.SIGTERM, signal.SIGINT])
def test_serves_subscribes_once_and_stops_cleanly(start: Any, shop: Any, stopped_by: signal.Signals) -> None:
    url, subscriptions = shop
    webhook_url = "http://127.0.0.1:9/webhooks"
    for _ in range(2):
        process = start(**environment(url, WEBHOOK_URL=webhook_url))
        assert requests.get(f"{ready(process)}/health", timeout=10).json()["status"] == "ok"
        process.send_signal(stopped_by)
        code, errors = outcome(process)
        assert (code, "Traceback" in errors) == (0, False), errors
    assert [(known["url"], known["secret"]) for known in subscriptions] == [(webhook_url, SECRET)]


def test_a_signal_that_another_thread_is_handed(start: Any, shop: Any) -> None:
    tgkill = getattr(ctypes.CDLL(None), "tgkill", None)
    if tgkill is None or not Path("/proc/self/task").is_dir():
        pytest.skip("no way to hand a signal to one thread of another process")
    process = start(**environment(shop[0]))
    ready(process)
    threads = {int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()} - {process.pid}
    assert tgkill(process.pid, min(threads), signal.SIGTERM) == 0
    code, errors = outcome(process)
    assert (code, "Traceback" in errors) == (0, False), errors


def test_subscribes_its_own_address_by_default(start: Any, shop: Any) -> None:
    url, subscriptions = shop
    own = ready(start(**environment(url)))
    assert subscriptions[0]["url"] == f"{own}/webhooks"


def test_what_was_answered_with_2xx_survives_a_kill(start: Any, shop: Any) -> None:
    env = environment(shop[0], DATA_FILE="one.db")
    process = start(**env)
    own = ready(process)
    body = json.dumps({"data": {"order_number": "2025-4471", "updated_at": "2026-01-01T00:00:00Z"}})
    now = datetime.now(tz=UTC)
    headers = {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("evt_1", now, body),
    }
    assert requests.post(f"{own}/webhooks", data=body, headers=headers, timeout=10).status_code == 204
    process.kill()
    process.wait(10)
    again = ready(start(**env))
    assert requests.get(f"{again}/health", timeout=10).json()["orders"]["due"] == 1


def test_missing_environment(start: Any) -> None:
    code, errors = outcome(start())
    assert code == 2
    assert errors.count("\n") == 1
    assert "SHOP_URL" in errors


def test_taken_port(start: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        code, errors = outcome(start(**environment("http://127.0.0.1:9", PORT=port)))
    assert code == 2
    assert errors.count("\n") == 1
    assert port in errors


def test_data_file_in_use(start: Any, shop: Any) -> None:
    ready(start(**environment(shop[0], DATA_FILE="one.db")))
    code, errors = outcome(start(**environment(shop[0], DATA_FILE="one.db")))
    assert code == 2
    assert errors.count("\n") == 1
    assert "DATA_FILE" in errors


def test_shop_that_refuses_the_subscription(start: Any, shop: Any) -> None:
    code, errors = outcome(start(**environment(f"{shop[0]}/refusing")))
    assert code == 2
    assert "403" in errors
    assert "Traceback" not in errors
