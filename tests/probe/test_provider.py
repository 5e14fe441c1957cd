"""A provider that is not ours: its limits are obeyed, what is wrong is one sentence, nothing is written unasked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sandbox.clock import Clock
from sandbox.errors import ProviderError
from sandbox.probe import Provider, Request, provider
from sandbox.probe.provider import real_credentials
from sandbox.probe.suite import preflight
from sandbox.project import Project

Answer = Callable[[BaseHTTPRequestHandler], None]
KEY = {"SHOP_API_KEY": "key-of-the-shop"}


class Elsewhere:
    """A server that answers by a script."""

    def __init__(self) -> None:
        self.script: list[Answer] = []
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(f"{self.command} {self.path}")
                outer.script.pop(0)(self)

            def log_message(self, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def says(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    """Answers so; header names take an underscore for a dash."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in ({"content_type": "application/json"} | headers).items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class Patient(Clock):
    """Waits for nothing, and remembers how long it would have."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    there = Elsewhere()
    yield there
    there.close()


@pytest.fixture
def clock() -> Patient:
    return Patient()


@pytest.fixture
def shop(project: Project, elsewhere: Elsewhere, clock: Patient) -> Iterator[Provider]:
    spec = project.specs["shop"]
    real = Provider(spec, elsewhere.url, real_credentials(spec, KEY), writable=False, clock=clock)
    yield real
    real.close()


def products(shop: Provider) -> Request:
    return Request(shop.spec.operations["list_products"], "/products")


def test_its_rate_limit_is_obeyed(shop: Provider, elsewhere: Elsewhere, clock: Patient) -> None:
    elsewhere.script = [says(429, retry_after="7"), says(200)]
    assert shop.send(products(shop)).status == 200
    assert clock.slept == [7]


def test_nobody_waits_for_ever(shop: Provider, elsewhere: Elsewhere, clock: Patient) -> None:
    elsewhere.script = [says(429, retry_after="86400")]
    assert shop.send(products(shop)).status == 429
    assert clock.slept == []


def test_a_huge_answer(shop: Provider, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider, "LARGEST", 1 << 20)
    elsewhere.script = [says(200, b"x" * (2 << 20))]
    with pytest.raises(ProviderError, match="list_products answers with more than 1 MiB"):
        shop.send(products(shop))


def test_nothing_is_written_unasked(shop: Provider, elsewhere: Elsewhere) -> None:
    with pytest.raises(ProviderError, match="would change something") as refused:
        shop.send(Request(shop.spec.operations["place_order"], "/orders", body={}))
    assert refused.value.hint == "allow it with --write"
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (says(401), "refuses our credentials"),
        (says(404), "is what shop.yaml describes"),
        (says(200, b"<html>", content_type="text/html"), "is what shop.yaml describes"),
    ],
)
def test_what_is_wrong_with_all_of_it_is_said_first(
    project: Project, elsewhere: Elsewhere, answer: Answer, said: str
) -> None:
    elsewhere.script = [answer] * 5
    with pytest.raises(ProviderError, match=said):
        preflight(project, {"shop": elsewhere.url}, KEY)
