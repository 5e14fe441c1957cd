"""Both transports tell the same story: the same orders through sockets and in memory leave the same journal.

Times aside (`sandbox.journal.without_times`), one thing differs and is left out of the comparison: the `host` header of
requests, because a server listens on a free port.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import pytest
import requests
from werkzeug.serving import make_server

from sandbox.clock import SystemClock
from sandbox.inprocess import InProcess
from sandbox.integrator import Config, Integrator
from sandbox.journal import without_times
from sandbox.project import Project
from sandbox.server import Server

Until = Callable[[Callable[[], Any]], Any]

SEED = 7
DOCUMENT = {
    "order_number": "2025-4471",
    "customer": "Example Ltd",
    "amount_net": 1290.00,
    "currency": "EUR",
    "line_items": 3,
    "paid": True,
}
ADDRESS = {"name": "Ada", "street": "1 New Street", "postal_code": "BS1 1AA", "city": "Bristol", "country": "GB"}


class Sockets:
    """A sandbox and an integrator, each behind a port of its own."""

    def __init__(self, project: Project, until: Until) -> None:
        self._stack = contextlib.ExitStack()
        self._until = until
        self.server = self._stack.enter_context(Server(project, port=0, seed=SEED).running())
        self.session = requests.Session()
        self.session.trust_env = False
        self.access = self.server.access()
        config = Config.from_env(self.access.environment() | {"DATA_FILE": ":memory:"})
        self.integrator = Integrator(config, SystemClock(), Random(1))
        web = make_server("127.0.0.1", 0, self.integrator.app, threaded=True)
        self.url = f"http://127.0.0.1:{web.server_port}/webhooks"
        thread = threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(web.server_close)
        self._stack.callback(web.shutdown)

    def journal(self) -> list[Any]:
        answer = self.session.get(f"{self.access.control}/worlds/default/journal?limit=10000")
        return list(answer.json()["entries"])

    def state(self) -> Any:
        return self.session.get(f"{self.access.control}/worlds/default/state").json()

    def settle(self) -> None:
        """Wait until all events so far have been handed over."""
        control = f"{self.access.control}/worlds/default/deliveries"
        self._until(
            lambda: all(each["state"] == "delivered" for each in self.session.get(control).json()["deliveries"])
        )

    def close(self) -> None:
        self._stack.close()
        self.integrator.close()
        self.session.close()


class Memory:
    """The same without sockets, on the virtual clock."""

    def __init__(self, project: Project, url: str) -> None:
        self.url = url
        self.sandbox = InProcess(project, seed=SEED)
        self.session = self.sandbox.session()
        self.access = self.sandbox.access()
        config = Config.from_env(self.access.environment() | {"DATA_FILE": ":memory:"})
        self.integrator = Integrator(config, self.sandbox.clock(), Random(1), self.sandbox.session)
        self.sandbox.mount(url, self.integrator.app)

    def journal(self) -> list[Any]:
        return self.sandbox.world().entries()

    def state(self) -> Any:
        return self.sandbox.world().state()

    def settle(self) -> None:
        self.sandbox.run(0)

    def close(self) -> None:
        self.integrator.close()
        self.sandbox.close()


def live(place: Any) -> None:
    """One order changes on its way, one is paid later, one is cancelled; and the shop makes mistakes."""
    place.integrator.subscribe(place.url)
    shop = place.access.systems["shop"]
    headers = {"X-Shop-Api-Key": shop["api_key"]}

    def clerk(method: str, path: str, body: Any = None, **more: str) -> Any:
        answer = place.session.request(method, shop["url"] + path, json=body, headers=headers | more)
        place.settle()
        place.integrator.worker.step()
        return answer

    order = clerk("POST", "/orders", DOCUMENT).json()
    clerk("POST", "/orders", DOCUMENT)
    clerk("POST", "/orders", DOCUMENT | {"order_number": "2025-4472", "paid": False})
    clerk("PUT", "/orders/2025-4471/delivery-address", ADDRESS)
    tag = clerk("GET", "/orders/2025-4471").headers["ETag"]
    clerk("PUT", "/orders/2025-4471/delivery-address", ADDRESS, **{"If-Match": tag})
    clerk("DELETE", f"/orders/2025-4471/line-items/{order['items'][0]['line_item_id']}")
    clerk("POST", "/orders/2025-4472/pay")
    clerk("POST", "/orders", DOCUMENT | {"order_number": "2025-4473", "amount_net": "1290.00"})
    clerk("POST", "/orders", DOCUMENT | {"order_number": "2025-4473", "customer": "Other GmbH"})
    clerk("POST", "/orders/2025-4473/cancel")
    clerk("GET", "/orders?limit=2")
    clerk("GET", "/nowhere")


def comparable(entries: list[Any]) -> list[Any]:
    """The entries without times and without the port of the server."""
    found = []
    for entry in entries:
        shown = without_times(entry)
        shown["request"]["headers"].pop("host", None)
        found.append(shown)
    return found


@pytest.fixture(scope="module")
def places(project: Project) -> Iterator[tuple[Sockets, Memory]]:
    def until(question: Callable[[], Any]) -> None:
        for _ in range(10_000):
            if question():
                return
        pytest.fail("the webhooks were not delivered")

    sockets = Sockets(project, until)
    memory = Memory(project, sockets.url)
    live(sockets)
    live(memory)
    yield sockets, memory
    sockets.close()
    memory.close()


def test_same_journal(places: tuple[Sockets, Memory]) -> None:
    over_sockets, in_memory = (comparable(place.journal()) for place in places)
    for one, other in zip(over_sockets, in_memory, strict=False):
        assert one == other
    assert len(over_sockets) == len(in_memory) > 50


def test_same_ids(places: tuple[Sockets, Memory]) -> None:
    over_sockets, in_memory = (
        [(entry["changes"], entry["events"]) for entry in place.journal() if entry["kind"] == "call"]
        for place in places
    )
    assert over_sockets == in_memory
    assert any(changes for changes, _ in over_sockets)


def test_same_state(places: tuple[Sockets, Memory]) -> None:
    over_sockets, in_memory = (without_times(place.state()) for place in places)
    assert over_sockets == in_memory


def test_the_order_arrived(places: tuple[Sockets, Memory]) -> None:
    """What is compared is worth comparing."""
    for place in places:
        state = place.state()
        assert len(state["crm"]["customers"]) == 2
        assert sorted(invoice["order_number"] for invoice in state["accounting"]["invoices"]) == [
            "2025-4471",
            "2025-4472",
            "2025-4473",
        ]
        assert sorted(shipment["status"] for shipment in state["shipping"]["shipments"]) == [
            "booked",
            "booked",
            "cancelled",
        ]
        assert len(state["accounting"]["credit_notes"]) == 1
        moved = next(each for each in state["shipping"]["shipments"] if each["reference"] == "2025-4471")
        assert moved["recipient"]["name"] == "Ada"


def test_same_seed_same_run(project: Project, places: tuple[Sockets, Memory]) -> None:
    again = Memory(project, places[1].url)
    live(again)
    assert again.journal() == places[1].journal()
    again.close()


def test_in_memory_nothing_sleeps(places: tuple[Sockets, Memory]) -> None:
    """A month passes at once, and everything that is due in it happens at its own time."""
    _, memory = places
    before, seen = memory.sandbox.now, len(memory.journal())
    for _ in range(4):
        memory.sandbox.run(7 * 86400)
        memory.integrator.worker.step()
    assert memory.sandbox.now == before + 28 * 86400
    assert len(memory.journal()) > seen
