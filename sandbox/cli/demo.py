"""`sandbox demo`: the whole story in fifteen seconds."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import click
import httpx

from sandbox.cli import output
from sandbox.cli.options import example, project_option, seed_option, verbosity_options
from sandbox.cli.order import DOCUMENT
from sandbox.cli.timeline import HEADING, line
from sandbox.errors import ProjectError, ServeError
from sandbox.project import Project
from sandbox.server import Server

FIRST: Final = DOCUMENT["order_number"]
SECOND: Final = "2025-4472"
_SYSTEMS: Final = frozenset({"shop", "crm", "accounting", "shipping"})
_PATIENCE: Final = 30.0
_FAULTS: Final = (
    {
        "on": {"system": "accounting", "operation": "create_invoice", "key": SECOND},
        "inject": "timeout",
        "effect": "applied",
    },
    {"on": {"event": "order.paid", "key": SECOND}, "inject": "duplicate", "with": {"after": "1s"}},
)
# The integrator's patience is what the demo waits for; ten seconds would be long to watch.
_HASTE: Final = {"READ_TIMEOUT": "1", "BACKOFF_BASE": "0.2"}


@click.command(epilog=example("sandbox demo"))
@seed_option
@project_option
@verbosity_options
@click.pass_context
def demo(context: click.Context, seed: int, project_path: Path | None) -> None:
    """Watch an order travel through all four systems, and a second one survive a lost answer.

    Starts everything on free ports and leaves nothing running.
    """
    # Asked to end, it must take its integrator along.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    project = Project.find(project_path)
    if missing := sorted(_SYSTEMS - project.specs.keys()):
        raise ProjectError(
            f"the demo needs the systems of the reference project; here there is no {', '.join(missing)}",
            "stand outside of your project, or name another with --project",
        )
    server = Server(project, port=0, seed=seed)
    with tempfile.TemporaryDirectory(prefix="sandbox-demo-") as folder, server.running(), _integrator(server, folder):
        context.exit(_Demo(server).run())


@contextlib.contextmanager
def _integrator(server: Server, folder: str) -> Iterator[None]:
    """The reference integrator as a process of its own, knowing nothing but what `sandbox env` prints."""
    environment = os.environ | server.access().environment() | _HASTE
    environment |= {"PORT": "0", "DATA_FILE": str(Path(folder) / "integrator.db")}
    command = [sys.executable, "-m", "sandbox.integrator"]
    log = Path(folder) / "integrator.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=errors)
        try:
            assert process.stdout is not None  # noqa: S101 - it was asked for
            if not process.stdout.readline().startswith(b"integrator ready"):
                raise ServeError(f"the integrator did not start: {log.read_text().strip()[-500:]}")
            yield
        finally:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass
class _Demo:
    server: Server
    seen: list[dict[str, Any]] = field(default_factory=list)
    grown: threading.Condition = field(default_factory=threading.Condition)

    def run(self) -> int:
        access = self.server.access()
        control = f"{access.control}/worlds/default"
        follower = threading.Thread(target=self._follow, args=(f"{control}/journal/stream",), daemon=True)
        follower.start()
        with httpx.Client(headers={"X-Shop-Api-Key": access.systems["shop"]["api_key"]}, trust_env=False) as client:
            say = output.out().print
            say(f"[bold]Order {FIRST} is placed and paid: {json.dumps(DOCUMENT)}")
            say(HEADING, style="bold")
            self._order(client, DOCUMENT)
            arrived = self._wait(lambda: self._fulfilled(FIRST))
            for fault in _FAULTS:
                client.post(f"{control}/faults", json=fault).raise_for_status()
            say(
                f"\n[bold]Order {SECOND} of the same customer: accounting books its invoice but the answer is lost, "
                "and its webhook comes twice."
            )
            say(HEADING, style="bold")
            self._order(client, DOCUMENT | {"order_number": SECOND})
            arrived = self._wait(lambda: self._fulfilled(SECOND) and self._delivered(SECOND) >= 2) and arrived
            state = client.get(f"{control}/state").raise_for_status().json()
            fired = [fault["fired"] for fault in client.get(f"{control}/faults").raise_for_status().json()["faults"]]
        return self._judge(state, fired, arrived)

    def _order(self, client: httpx.Client, document: dict[str, Any]) -> None:
        client.post(f"{self.server.access().systems['shop']['url']}/orders", json=document).raise_for_status()

    def _follow(self, url: str) -> None:
        with (
            contextlib.suppress(httpx.HTTPError),
            httpx.Client(trust_env=False, timeout=httpx.Timeout(5, read=None)) as client,
            client.stream("GET", url) as stream,
        ):
            for text in stream.iter_lines():
                if text.startswith("data: "):
                    entry = json.loads(text.removeprefix("data: "))
                    output.out().print(line(entry))
                    with self.grown:
                        self.seen.append(entry)
                        self.grown.notify_all()

    def _wait(self, condition: Callable[[], bool]) -> bool:
        with self.grown:
            return self.grown.wait_for(condition, _PATIENCE)

    def _fulfilled(self, key: str) -> bool:
        return any(
            entry["kind"] == "call"
            and entry["address"] | {"occurrence": 0}
            == {"system": "shop", "operation": "set_fulfilment", "key": key, "occurrence": 0}
            and entry["answer"]["status"] == 200
            and "tracking_number" in entry["request"]["body"]
            for entry in self.seen
        )

    def _delivered(self, key: str) -> int:
        return sum(
            entry["kind"] == "delivery"
            and entry["address"]["event"] == "order.paid"
            and entry["address"]["key"] == key
            and 200 <= entry["answer"].get("status", 0) < 300
            for entry in self.seen
        )

    def _judge(self, state: dict[str, Any], fired: list[int], arrived: bool) -> int:
        orders = [order["order_number"] for order in state["shop"]["orders"]]
        customers = len(state.get("crm", {}).get("customers", []))
        invoices = [invoice["order_number"] for invoice in state.get("accounting", {}).get("invoices", [])]
        shipments = [shipment["reference"] for shipment in state.get("shipping", {}).get("shipments", [])]
        exact = customers == 1 and sorted(invoices) == sorted(shipments) == sorted(orders) == [FIRST, SECOND]
        good = arrived and exact and fired == [1, 1]
        counted = f"{len(orders)} orders, {customers} customer{'' if customers == 1 else 's'}"
        each = ", ".join(
            f"{order}: {invoices.count(order)} invoice{'s' * (invoices.count(order) != 1)}, "
            f"{shipments.count(order)} shipment{'s' * (shipments.count(order) != 1)}"
            for order in orders
        )
        verdict = "none lost, none doubled" if good else "this is not as it should be"
        output.out().print(
            f"\n[bold {'green' if good else 'red'}]{counted}; {each}; "
            f"{sum(fired)} of {len(_FAULTS)} faults fired: {verdict}."
        )
        return 0 if good else 1
