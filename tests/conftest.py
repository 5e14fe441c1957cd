"""What every test may use, whatever it is about."""

from __future__ import annotations

import base64
import gc
import hashlib
import hmac
import itertools
import json
import math
import os
import re
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from sandbox.project import Project
from sandbox.server import Server

CHECKOUT = Path(__file__).resolve().parents[1]
DEADLINE = pytest.StashKey[float]()
_NUMBERS = itertools.count(1)
LONGEST = {"test_schemathesis", "test_hunt", "test_mutants", "test_reference", "test_control_schemathesis"}


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sandbox", "the long checks")
    group.addoption("--shard", type=_shard, default=(1, 1), metavar="k/n", help="run the k-th of n parts of the tests")
    group.addoption(
        "--budget", type=float, default=math.inf, metavar="SECONDS", help="start no further test once this is used up"
    )


def _shard(text: str) -> tuple[int, int]:
    number, _, total = text.partition("/")
    if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise pytest.UsageError(f"--shard {text}: expected k/n with 1 <= k <= n, for example 2/4")
    return int(number), int(total)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[DEADLINE] = time.monotonic() + config.getoption("budget")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # What takes longest begins first, so that at the end no worker waits for another.
    items.sort(key=lambda item: item.path.stem not in LONGEST)
    number, total = config.getoption("shard")
    if total == 1:
        return
    chosen = items[number - 1 :: total]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def pytest_collection_finish() -> None:
    # What the tests share is large and stays; looking through it for garbage again and again took a tenth of the time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() > item.config.stash[DEADLINE]:
        pytest.skip(f"not covered: the budget of {item.config.getoption('budget'):.0f} s was used up")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have to tell besides their outcome: `record_property("told", text)`."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    told = [text for report in reports for name, text in report.user_properties if name == "told"]
    if told:
        terminalreporter.section("told")
        terminalreporter.write("".join(f"{text}\n" for text in sorted(told)))


@pytest.fixture
def time_left(request: pytest.FixtureRequest) -> float:
    """Seconds until the budget is used up; infinite without `--budget`. For tests that can do more or less."""
    return request.config.stash[DEADLINE] - time.monotonic()


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of this repository, which is the reference project."""
    return CHECKOUT


@pytest.fixture(scope="session", autouse=True)
def only_loopback() -> Iterator[None]:
    """Keeps a proxy of the machine away from the tests' own servers."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        patch.setenv("NO_PROXY", "*")
        yield


@pytest.fixture
def outside(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment for subprocesses without anything that makes the checkout importable; moves to a fresh folder."""
    monkeypatch.chdir(tmp_path)
    dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {
        name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("SANDBOX_")
    }


Json = Any


class Caller:
    """A program with valid credentials in one world of a sandbox; header names take an underscore for a dash."""

    def __init__(self, server: Server, world: str) -> None:
        self.name = world
        self.url = server.url
        self.access = server.access(world)
        self.http = httpx.Client(trust_env=False, timeout=30, verify=False)
        self._token = ""

    def credentials(self, system: str) -> dict[str, str]:
        """The headers that say who is calling."""
        match system:
            case "shop":
                return {"X-Shop-Api-Key": self.access.systems["shop"]["api_key"]}
            case "crm":
                self._token = self._token or self.token()
                return {"Authorization": f"Bearer {self._token}"}
            case "accounting":
                return {"Authorization": f"Bearer {self.access.systems['accounting']['token']}"}
            case "shipping":
                return {"X-Carrier-Key": self.access.systems["shipping"]["api_key"]}
        return {}

    def token(self) -> str:
        crm = self.access.systems["crm"]
        form = {"grant_type": "client_credentials", **{name: crm[name] for name in ("client_id", "client_secret")}}
        return str(self.http.post(f"{crm['url']}/oauth/token", data=form).raise_for_status().json()["access_token"])

    def call(
        self, system: str, method: str, path: str, body: Json = None, *, known: bool = True, **headers: str
    ) -> httpx.Response:
        """A request; bytes are sent as they are, anything else as JSON; `known=False` leaves the credentials out."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        if content is not None:
            sent = {"content-type": "application/json"} | sent
        sent = (self.credentials(system) if known else {}) | sent
        return self.http.request(method, self.access.systems[system]["url"] + path, content=content, headers=sent)

    def shop(self, method: str, path: str, body: Json = None, **headers: str) -> httpx.Response:
        return self.call("shop", method, path, body, **headers)

    def crm(self, method: str, path: str, body: Json = None, **headers: str) -> httpx.Response:
        return self.call("crm", method, path, body, **headers)

    def accounting(self, method: str, path: str, body: Json = None, **headers: str) -> httpx.Response:
        return self.call("accounting", method, path, body, **headers)

    def shipping(self, method: str, path: str, body: Json = None, **headers: str) -> httpx.Response:
        return self.call("shipping", method, path, body, **headers)

    def order(self, number: str = "2025-4471", **changes: Json) -> Json:
        """Place the order of the README."""
        document = {"order_number": number, "customer": "Example Ltd", "amount_net": 1290.00, "currency": "EUR"}
        document |= {"line_items": 3, "paid": True, **changes}
        return self.shop("POST", "/orders", document).raise_for_status().json()

    def control(self, method: str, path: str = "", body: Json = None) -> httpx.Response:
        """A request to the control API, about this world."""
        return self.http.request(method, f"{self.access.control}/worlds/{self.name}{path}", json=body)

    def journal(self, **wanted: str | int) -> list[Json]:
        answer = self.control("GET", f"/journal?{urlencode({'limit': 10000, **wanted})}").raise_for_status()
        return list(answer.json()["entries"])

    def state(self, system: str) -> dict[str, list[Json]]:
        return dict(self.control("GET", f"/state?system={system}").raise_for_status().json().get(system, {}))

    def subscribe(self, url: str, *events: str, **more: str) -> Json:
        """Have the shop hand events over to a URL."""
        body = {"url": url, "events": list(events or ["order.paid"]), **more}
        return self.shop("POST", "/webhook-subscriptions", body).raise_for_status().json()

    def deliveries(self) -> list[Json]:
        return list(self.control("GET", "/deliveries").raise_for_status().json()["deliveries"])

    def delivery(self, state: str, attempt: int) -> Json | None:
        """The only delivery, if it stands like this."""
        (only,) = self.deliveries()
        return only if (only["state"], only["attempt"]) == (state, attempt) else None

    def frozen(self) -> Caller:
        """Stop the world's time, so that it moves only when told."""
        self.shop("GET", "/orders").raise_for_status()
        self.control("POST", "/clock/freeze").raise_for_status()
        return self

    def advance(self, seconds: float) -> None:
        self.control("POST", "/clock/advance", {"seconds": seconds}).raise_for_status()


@dataclass(frozen=True)
class Received:
    """A request that a receiver got."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Json:
        return json.loads(self.body)

    def signed_with(self, secret: str) -> bool:
        """Whether the signature is right, as the text of Standard Webhooks 1.0.0 has it."""
        key = base64.b64decode(secret.removeprefix("whsec_"))
        content = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        signature = base64.b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
        return f"v1,{signature}" in self.headers["webhook-signature"].split(" ")


Answering = Callable[[BaseHTTPRequestHandler], None]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Many worlds call at once; the five that may wait by default are too few on a busy machine.
    request_queue_size = 128


class Receiver:
    """An HTTP server that keeps what is posted to it; it answers 204, or what `script` says next."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.script: deque[Answering] = deque()
        self.released = threading.Event()
        self._grown = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                with receiver._grown:
                    receiver.received.append(Received(self.path, headers, body))
                    answer = receiver.script.popleft() if receiver.script else Receiver.status(204)
                    receiver._grown.notify_all()
                answer(self)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}/webhooks"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @staticmethod
    def status(status: int, **headers: str) -> Answering:
        """Answers with a status and no body; header names take an underscore for a dash."""

        def answer(handler: BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            for name, value in headers.items():
                handler.send_header(name.replace("_", "-"), value)
            handler.send_header("content-length", "0")
            handler.end_headers()

        return answer

    def silence(self) -> Answering:
        """Answers nothing until the test is over."""
        return lambda _: self.released.wait(60) and None

    def answers(self, *script: Answering | int) -> None:
        self.script.extend(self.status(answer) if isinstance(answer, int) else answer for answer in script)

    def wait(self, number: int) -> list[Received]:
        """The requests so far, once there are so many."""
        with self._grown:
            assert self._grown.wait_for(lambda: len(self.received) >= number, 20), f"got {len(self.received)}"
            return list(self.received)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture(scope="session")
def project(checkout: Path) -> Project:
    """The reference project."""
    return Project.load(checkout)


@pytest.fixture(scope="module")
def server(project: Project) -> Iterator[Server]:
    """A sandbox on a free port; each test uses a world of its own."""
    with Server(project, port=0).running() as serving:
        yield serving


@pytest.fixture
def caller(server: Server) -> Iterator[Callable[[str], Caller]]:
    """Makes callers of worlds, by name."""
    made: list[Caller] = []

    def make(world: str) -> Caller:
        made.append(Caller(server, world))
        return made[-1]

    yield make
    for used in made:
        used.http.close()


@pytest.fixture
def world_name(request: pytest.FixtureRequest) -> str:
    """The name of a world that no other test uses."""
    return re.sub(r"[^A-Za-z0-9_]+", "-", f"t{next(_NUMBERS)}-{request.node.name}")[:60]


@pytest.fixture
def world(caller: Callable[[str], Caller], world_name: str) -> Caller:
    """A caller in a world that no other test uses."""
    return caller(world_name)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes webhooks."""
    taking = Receiver()
    yield taking
    taking.close()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Asks again and again until the answer is true, and returns it."""

    def ask(question: Callable[[], Any]) -> Any:
        deadline = time.monotonic() + 20
        while not (answer := question()):
            assert time.monotonic() < deadline, "it never became true"
        return answer

    return ask


@pytest.fixture(scope="session")
def make_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a project with one system, `jobs`: its spec, and if given its mock."""

    def make(spec: str, mock: str | None = None) -> Path:
        root = tmp_path_factory.mktemp("project")
        (root / "specs").mkdir()
        (root / "specs" / "jobs.yaml").write_text(textwrap.dedent(spec))
        if mock is not None:
            (root / "mocks").mkdir()
            (root / "mocks" / "jobs.py").write_text(textwrap.dedent(mock))
        return root

    return make
