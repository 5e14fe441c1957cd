"""Requests per second beside others: one order read and placed at the sandbox, Prism, WireMock and bare uvicorn.

All run at the same time and are asked in turn, so that whatever else the machine does falls on all of them alike. The
sandbox has everything on: validation both ways, state, idempotency, faults armed, journal. `wrk` asks, from Debian; the
others come from npm into the user's cache folder; who cannot be had is left out.
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
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

from tests.bench.figure import Figure, show
from tests.bench.serving import serving
from tests.bench.startup import free_port

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "sandbox-bench"
PACKAGES = {"prism": "@stoplight/prism-cli@5", "wiremock": "wiremock@3"}
CONNECTIONS = 16
SECONDS = 3
ROUNDS = 3
READY_WITHIN = 90.0
ORDER = {
    "order_number": "2025-4471",
    "customer": "Example Ltd",
    "amount_net": 1290.00,
    "currency": "EUR",
    "line_items": 3,
    "paid": True,
}
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


@dataclass(frozen=True)
class Peer:
    """A server to ask."""

    name: str
    orders: str
    key: str

    @property
    def order(self) -> str:
        return f"{self.orders}/{ORDER['order_number']}"


def figures() -> Iterator[Figure]:
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is not installed; it is in Debian's package of the same name")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        said = stack.enter_context(serving())
        ours = Peer("sandbox", f"{said['systems']['shop']['url']}/orders", said["systems"]["shop"]["api_key"])
        kept = stack.enter_context(
            serving("sandbox.cli", "up", "--port", "0", "--json", "--db", str(folder / "shop.db"))
        )
        on_file = Peer("--db", f"{kept['systems']['shop']['url']}/orders", kept["systems"]["shop"]["api_key"])
        others = [peer for peer in (_raw(stack, ours), _prism(stack, ours), _wiremock(stack, ours, folder)) if peer]
        for peer in (ours, on_file):
            base = (said if peer is ours else kept)["url"]
            _call(f"{base}/_sandbox/worlds/default/faults", peer, _FAULT)
            _call(peer.orders, peer, ORDER)
        before = _answered(said["url"], ours)
        peers = [ours, on_file, *others]
        got: dict[str, list[float]] = {peer.name: [] for peer in peers}
        placed: dict[str, list[float]] = {peer.name: [] for peer in peers}
        requests = 0
        for round_ in range(ROUNDS):
            for peer in peers:
                rate, sent = _wrk(peer.order, "-H", f"X-Shop-Api-Key: {peer.key}")
                got[peer.name].append(rate)
                script = folder / f"{peer.name}-{round_}.lua"
                script.write_text(_SCRIPT % (round_, peer.key), encoding="utf-8")
                rate, also = _wrk(peer.orders, "-s", str(script))
                placed[peer.name].append(rate)
                if peer is ours:
                    requests += sent + also
        noted = _answered(said["url"], ours) - before
        assert requests <= noted <= requests + 2 * ROUNDS * CONNECTIONS, (requests, noted)
        _refuses_what_is_wrong(ours)
    middle = {name: (statistics.median(got[name]), statistics.median(placed[name])) for name in got}
    note = ", ".join(f"{name} {get:,.0f} and {post:,.0f}/s" for name, (get, post) in middle.items())
    bars = {"prism": (1.2, 1.0), "raw": (0.20, 0.15), "wiremock": (None, None)}
    for peer in others:
        for what, index in (("GET", 0), ("POST", 1)):
            ratio = middle["sandbox"][index] / middle[peer.name][index]
            least = bars[peer.name][index]
            yield Figure(f"{what} an order: ours to {peer.name}'s", ratio, "x", note=note, least=least)
            note = ""
    yield Figure("POST an order: --db to memory", middle["--db"][1] / middle["sandbox"][1], "x", least=0.7)


_FAULT = {"on": {"system": "shop", "operation": "cancel_order", "key": "2025-0000"}, "inject": "timeout"}


def _refuses_what_is_wrong(peer: Peer) -> None:
    """Nothing was left out to be fast: what is wrong is refused in the very process that was measured."""
    assert _status(peer.orders, peer, {**ORDER, "order_number": "X-1", "amount_net": "much"}) == 400
    assert _status(peer.orders, peer, {**ORDER, "order_number": "X-1"}, "again") == 201
    assert _status(peer.orders, peer, {**ORDER, "order_number": "X-2"}, "again") == 422
    assert _status(f"{peer.orders}/B{ROUNDS - 1}-7", peer) == 200


def _answered(url: str, peer: Peer) -> int:
    """How many calls the journal has seen."""
    world = json.loads(_call(f"{url}/_sandbox/worlds/default", peer))
    return int(world["entries"]) + int(world["dropped"])


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


def _status(url: str, peer: Peer, body: Any = None, key: str = "") -> int:
    try:
        _call(url, peer, body, key)
    except URLError as error:
        return int(getattr(error, "code", 0))
    return 200 if body is None else 201


def _call(url: str, peer: Peer, body: Any = None, key: str = "") -> bytes:
    headers = {"X-Shop-Api-Key": peer.key, "Content-Type": "application/json"}
    headers |= {"Idempotency-Key": key} if key else {}
    data = None if body is None else json.dumps(body).encode()
    with build_opener(ProxyHandler({})).open(Request(url, data, headers), timeout=10) as answer:
        content: bytes = answer.read()
        return content


@contextmanager
def _running(command: list[str], ready: str, key: str) -> Iterator[None]:
    # A session of its own: what comes from npm starts further processes, which are to end with it.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        began = monotonic()
        while True:
            try:
                _call(ready, Peer("", "", key))
                break
            except (URLError, OSError):
                if monotonic() - began > READY_WITHIN or process.poll() is not None:
                    raise RuntimeError(f"{command[0]} does not answer at {ready}") from None
                sleep(0.05)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _raw(stack: ExitStack, like: Peer) -> Peer:
    """Bare uvicorn, which answers with the very bytes of an order and looks at nothing."""
    port = free_port()
    orders = f"http://127.0.0.1:{port}/orders"
    command = [sys.executable, "-m", "uvicorn", "tests.bench.raw:app", "--port", str(port), "--no-access-log"]
    stack.enter_context(_running([*command, "--log-level", "critical"], orders, like.key))
    return Peer("raw", orders, like.key)


def _prism(stack: ExitStack, like: Peer) -> Peer | None:
    program = _from_npm("prism")
    if program is None:
        return None
    port = free_port()
    peer = Peer("prism", f"http://127.0.0.1:{port}/orders", like.key)
    command = [str(program), "mock", "-v", "silent", "--port", str(port), str(ROOT / "specs" / "shop.yaml")]
    stack.enter_context(_running(command, peer.order, like.key))
    return peer


def _wiremock(stack: ExitStack, like: Peer, folder: Path) -> Peer | None:
    program = _from_npm("wiremock")
    if program is None or shutil.which("java") is None:
        return None
    mappings = folder / "wiremock" / "mappings"
    mappings.mkdir(parents=True)
    for method, path, status in (("GET", "/orders/.*", 200), ("POST", "/orders", 201)):
        answer = {"status": status, "jsonBody": ORDER, "headers": {"Content-Type": "application/json"}}
        stub = {"request": {"method": method, "urlPathPattern": path}, "response": answer}
        (mappings / f"{method}.json").write_text(json.dumps(stub), encoding="utf-8")
    port = free_port()
    peer = Peer("wiremock", f"http://127.0.0.1:{port}/orders", like.key)
    command = [str(program), "--port", str(port), "--root-dir", str(mappings.parent), "--no-request-journal"]
    stack.enter_context(_running([*command, "--disable-banner"], peer.order, like.key))
    return peer


def _from_npm(name: str) -> Path | None:
    """A program of a package, installed once; None where there is no npm, or it has no way to the registry."""
    program = CACHE / "node_modules" / ".bin" / name
    if program.exists():
        return program
    npm = shutil.which("npm")
    if npm is None:
        return None
    CACHE.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(CACHE), "--no-audit", "--no-fund", "--silent", PACKAGES[name]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    return program if done.returncode == 0 and program.exists() else None


def main() -> None:
    show(figures())


if __name__ == "__main__":
    main()
