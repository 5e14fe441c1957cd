"""Requests per second beside others: one order read and placed at the sandbox, Prism, WireMock, Mockoon, bare uvicorn.

All run at the same time and are asked in turn, so that whatever else the machine does falls on all of them alike. The
sandbox has everything on: validation both ways, state, idempotency, faults armed, journal; and in the very process that
is measured it is shown that nothing was left out. `wrk` asks, from Debian; the others come from npm.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from tests.bench.figure import Figure, Missing, show
from tests.bench.honest import Honesty, lying_project
from tests.bench.mockoon import mockoon_data
from tests.bench.npm import program
from tests.bench.placing import ORDER
from tests.bench.serving import serving
from tests.bench.spent import spent
from tests.bench.startup import free_port

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 16
SECONDS = 3
ROUNDS = 3
READY_WITHIN = 90.0
# Each order has a number of its own, and each request a key of its own.
_SCRIPT = """
local n = 0
local run = "%s"
function request()
  n = n + 1
  local number = "B" .. run .. "-" .. n
  local body = '{"order_number":"' .. number .. '","customer":"Example Ltd","amount_net":1290.00,"currency":"EUR",'
    .. '"line_items":3,"paid":true}'
  return wrk.format("POST", nil, {["X-Shop-Api-Key"]="%s", ["Content-Type"]="application/json",
    ["Idempotency-Key"]=number}, body)
end
"""
_FAULT = {"on": {"system": "shop", "operation": "cancel_order", "key": "2025-0000"}, "inject": "timeout"}


@dataclass(frozen=True)
class Peer:
    """A server to ask.

    Attributes:
        process: Its process, or the one that leads its session.
        rates: Requests per second of each round: read, placed.
        each: Microseconds of processor time for a request in each round: read, placed.
    """

    name: str
    orders: str
    key: str
    process: int
    rates: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    each: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))

    @property
    def order(self) -> str:
        return _order(self.orders)

    def ask(self, number: int, folder: Path) -> tuple[int, int]:
        """Read and place as many orders as it can; how many requests of each there were."""
        script = folder / f"{self.name}-{number}.lua"
        script.write_text(_SCRIPT % (number, self.key), encoding="utf-8")
        options = ((self.order, "-H", f"X-Shop-Api-Key: {self.key}"), (self.orders, "-s", str(script)))
        counts = []
        for index, asked in enumerate(options):
            before = spent(self.process)
            rate, sent = _wrk(*asked)
            self.rates[index].append(rate)
            self.each[index].append((spent(self.process) - before) / sent * 1e6)
            counts.append(sent)
        return counts[0], counts[1]


def _order(orders: str) -> str:
    return f"{orders}/{ORDER['order_number']}"


def figures() -> Iterator[Figure]:
    if shutil.which("wrk") is None:
        raise Missing("wrk is not installed; it is in Debian's package of the same name")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = _ours(stack, folder)
        honesty = Honesty(ours.orders, ours.key)
        peers, absent = [ours], dict[str, Missing]()
        for name, start in _OTHERS.items():
            try:
                peers.append(start(stack, ours, folder))
            except Missing as reason:
                absent[name] = reason
        # The first round is not counted: what compiles while it runs is to have compiled.
        for number in range(ROUNDS + 1):
            for peer in peers:
                read, placed = peer.ask(number, folder)
                if peer is ours:
                    honesty.sent(read, f"B{number}-", placed)
        note = honesty.check(CONNECTIONS * 2 * (ROUNDS + 1))
    for name, reason in absent.items():
        yield Figure.without(f"GET and POST an order, ours to {name}", reason)
    yield from _ratios(ours, peers[1:])
    yield Figure("POST an order, in the process that was measured", _middle(ours.rates[1]), "/s", note=note)


def _ratios(ours: Peer, others: list[Peer]) -> Iterator[Figure]:
    bars = {"Prism": ((1.2, 2.0), (1.0, 1.5)), "bare uvicorn": ((0.20, 0.33), (0.15, 0.20))}
    for index, what in enumerate(("GET one order", "POST an order, fresh Idempotency-Key")):
        mine, spent_here = _middle(ours.rates[index]), _middle(ours.each[index])
        for peer in others:
            theirs, spent_there = _middle(peer.rates[index]), _middle(peer.each[index])
            least, aim = bars.get(peer.name, ((None, None),) * 2)[index]
            note = f"{mine:,.0f} and {theirs:,.0f}/s, {spent_here:,.0f} and {spent_there:,.0f} µs of processor time"
            yield Figure(f"{what}, ours to {peer.name}", mine / theirs, "x", note=note, least=least, aim=aim)


def _middle(rounds: list[float]) -> float:
    return statistics.median(rounds[1:])


def _ours(stack: ExitStack, folder: Path) -> Peer:
    """The reference project, but for a lie that is planted beside what is measured."""
    project = lying_project(ROOT, folder / "project")
    command = ("sandbox.cli", "up", "--port", "0", "--json", "--project", str(project))
    said = stack.enter_context(serving(*command))
    peer = Peer("sandbox", f"{said['systems']['shop']['url']}/orders", said["systems"]["shop"]["api_key"], said["pid"])
    _call(f"{said['url']}/_sandbox/worlds/default/faults", peer.key, _FAULT)
    _call(peer.orders, peer.key, ORDER)
    return peer


def _wrk(url: str, *options: str) -> tuple[float, int]:
    """Requests per second, and how many there were."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", *options, url]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in said:
        raise RuntimeError(f"{url} refused some of the requests:\n{said}")
    rate, sent = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    if rate is None or sent is None:
        raise RuntimeError(f"wrk said something unexpected:\n{said}")
    return float(rate[1]), int(sent[1])


def _call(url: str, key: str, body: Any = None) -> bytes:
    headers = {"X-Shop-Api-Key": key, "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with build_opener(ProxyHandler({})).open(Request(url, data, headers), timeout=10) as answer:
        content: bytes = answer.read()
        return content


@contextmanager
def _running(command: list[str], ready: str, key: str) -> Iterator[int]:
    # A session of its own: what comes from npm starts further processes, which are to end with it.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        began = monotonic()
        while True:
            try:
                _call(ready, key)
                break
            except (URLError, OSError):
                if monotonic() - began > READY_WITHIN or process.poll() is not None:
                    raise RuntimeError(f"{command[0]} does not answer at {ready}") from None
                sleep(0.05)
        yield process.pid
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _raw(stack: ExitStack, like: Peer, _: Path) -> Peer:
    """It answers with the very bytes of an order, and looks at nothing."""
    port = free_port()
    orders = f"http://127.0.0.1:{port}/orders"
    command = [sys.executable, "-m", "uvicorn", "tests.bench.raw:app", "--port", str(port), "--no-access-log"]
    process = stack.enter_context(_running([*command, "--log-level", "critical"], orders, like.key))
    return Peer("bare uvicorn", orders, like.key, process)


def _prism(stack: ExitStack, like: Peer, _: Path) -> Peer:
    port = free_port()
    orders = f"http://127.0.0.1:{port}/orders"
    command = [program("prism"), "mock", "-v", "silent", "--port", str(port), str(ROOT / "specs" / "shop.yaml")]
    process = stack.enter_context(_running(command, _order(orders), like.key))
    return Peer("Prism", orders, like.key, process)


def _wiremock(stack: ExitStack, like: Peer, folder: Path) -> Peer:
    """Without its journal of requests."""
    if shutil.which("java") is None:
        raise Missing("there is no Java")
    mappings = folder / "wiremock" / "mappings"
    mappings.mkdir(parents=True)
    for method, path, status in (("GET", "/orders/.*", 200), ("POST", "/orders", 201)):
        answer = {"status": status, "jsonBody": ORDER, "headers": {"Content-Type": "application/json"}}
        stub = {"request": {"method": method, "urlPathPattern": path}, "response": answer}
        (mappings / f"{method}.json").write_text(json.dumps(stub), encoding="utf-8")
    port = free_port()
    orders = f"http://127.0.0.1:{port}/orders"
    command = [program("wiremock"), "--port", str(port), "--root-dir", str(mappings.parent), "--no-request-journal"]
    process = stack.enter_context(_running([*command, "--disable-banner"], _order(orders), like.key))
    return Peer("WireMock", orders, like.key, process)


def _mockoon(stack: ExitStack, like: Peer, folder: Path) -> Peer:
    """With a route that keeps what is created, and does not validate."""
    port, data = free_port(), folder / "mockoon.json"
    data.write_text(json.dumps(mockoon_data(port, [ORDER])), encoding="utf-8")
    orders = f"http://127.0.0.1:{port}/orders"
    command = [program("mockoon-cli"), "start", "--data", str(data), "--repair", "--disable-log-to-file"]
    silent = ["--disable-admin-api", "--max-transaction-logs", "0"]
    process = stack.enter_context(_running([*command, *silent], _order(orders), like.key))
    return Peer("Mockoon", orders, like.key, process)


_OTHERS: dict[str, Callable[[ExitStack, Peer, Path], Peer]] = {
    "bare uvicorn": _raw,
    "Prism": _prism,
    "WireMock": _wiremock,
    "Mockoon": _mockoon,
}


def main() -> None:
    show(figures(), "python -m tests.bench.peers")


if __name__ == "__main__":
    main()
