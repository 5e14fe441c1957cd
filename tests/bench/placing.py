"""`wrk` reads and places orders at several sandboxes in turn: requests per second, and the processor time of each.

Processor time does not suffer from what else the machine does, as the rate does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.serving import Caller, serving

CONNECTIONS = 16
SECONDS = 3
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
  local number = run .. "-" .. n
  local body = '{"order_number":"' .. number .. '","customer":"Example Ltd","amount_net":1290.00,"currency":"EUR",'
    .. '"line_items":3,"paid":true}'
  return wrk.format("POST", nil, {["X-Shop-Api-Key"]="%s", ["Content-Type"]="application/json",
    ["Idempotency-Key"]=number}, body)
end
"""
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Load:
    """What a sandbox did under load.

    Attributes:
        rates: Requests per second of each round.
        sent: How many requests there were.
        spent: Seconds of processor time, by process: the one that was started, then its children in their order.
    """

    rates: list[float] = field(default_factory=list)
    sent: int = 0
    spent: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def each(self) -> list[float]:
        """Microseconds of processor time for each request, by process."""
        return [seconds / self.sent * 1e6 for seconds in self.spent]

    @property
    def said(self) -> str:
        return f"{self.rate:,.0f}/s at {' + '.join(f'{micro:,.0f}' for micro in self.each)} µs"


class Sandbox:
    """A `sandbox up` with one order in it."""

    def __init__(self, said: dict[str, Any]) -> None:
        self.said = said
        shop = said["systems"]["shop"]
        self.key, self.orders, self.pid = shop["api_key"], f"{shop['url']}/orders", int(said["pid"])
        self.reads, self.places = Load(), Load()
        with Caller(said["url"]) as caller:
            caller.call("POST", "/shop/orders", {"X-Shop-Api-Key": self.key}, ORDER)

    def read(self) -> None:
        self._ask(self.reads, f"{self.orders}/{ORDER['order_number']}", "-H", f"X-Shop-Api-Key: {self.key}")

    def place(self, run: str) -> None:
        with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
            script.write(_SCRIPT % (run, self.key))
            script.flush()
            self._ask(self.places, self.orders, "-s", script.name)

    def check(self) -> None:
        """Whether it did what it was measured for: each request is in the journal, and orders are there.

        Raises:
            AssertionError: when not.
        """
        with Caller(self.said["url"]) as caller:
            world = json.loads(caller.call("GET", "/_sandbox/worlds/default"))
            # The first request of a script is for wrk itself to look at; it is not sent.
            caller.call("GET", "/shop/orders/r0-2", {"X-Shop-Api-Key": self.key})
        noted, sent = int(world["entries"]) + int(world["dropped"]), self.reads.sent + self.places.sent
        # wrk leaves when the time is up, with a request on each connection.
        runs = len(self.reads.rates) + len(self.places.rates)
        assert sent < noted <= sent + 1 + runs * CONNECTIONS, (sent, noted)

    def _ask(self, load: Load, url: str, *options: str) -> None:
        before = _spent(self.pid)
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", *options, url]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        rate, sent = re.search(r"Requests/sec:\s+([\d.]+)", text), re.search(r"(\d+) requests in", text)
        if rate is None or sent is None or "Non-2xx" in text:
            raise RuntimeError(f"wrk says of {url}:\n{text}")
        spent = [after - former for former, after in zip(before, _spent(self.pid), strict=True)]
        load.rates.append(float(rate[1]))
        load.sent += int(sent[1])
        load.spent = [sum(pair) for pair in zip(load.spent or [0.0] * len(spent), spent, strict=True)]


def sandboxes(stack: ExitStack, *options: tuple[str, ...]) -> list[Sandbox]:
    """A sandbox for each set of options, all at once, so that they can be asked in turn."""
    if shutil.which("wrk") is None:
        raise RuntimeError("wrk is not installed; it is in Debian's package of the same name")
    plain = ("sandbox.cli", "up", "--port", "0", "--json")
    return [Sandbox(stack.enter_context(serving(*plain, *more))) for more in options]


def in_turn(asked: list[Sandbox], rounds: int) -> None:
    """Let each read and place orders, and again."""
    for round_ in range(rounds):
        for sandbox in asked:
            sandbox.read()
            sandbox.place(f"r{round_}")
    for sandbox in asked:
        sandbox.check()


def _spent(pid: int) -> list[float]:
    return [_of_process(each) for each in (pid, *_children(pid))]


def _of_process(pid: int) -> float:
    # What stands behind the name, which may hold anything.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def _children(pid: int) -> Iterator[int]:
    for task in sorted(Path(f"/proc/{pid}/task").iterdir()):
        for child in (task / "children").read_text(encoding="utf-8").split():
            yield int(child)
