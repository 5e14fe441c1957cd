"""The integrator in front of the sandbox's own systems, so that neither side drifts away from the specs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from sandbox.inprocess import InProcess
from sandbox.integrator import Config, Integrator
from sandbox.project import Project

ORDER = {
    "order_number": "2025-4471",
    "customer": "Example Ltd",
    "amount_net": 1290.00,
    "currency": "EUR",
    "line_items": 3,
    "paid": True,
}
URL = "http://127.0.0.1:9000/webhooks"


class Trade:
    """A sandbox in memory, an integrator that is told of its orders, and a clerk in the shop."""

    def __init__(self, project: Project) -> None:
        self.sandbox = InProcess(project)
        env = self.sandbox.access().environment()
        config = Config.from_env(env | {"DATA_FILE": ":memory:"})
        self.integrator = Integrator(config, self.sandbox.clock(), Random(1), self.sandbox.session)
        self.sandbox.mount(URL, self.integrator.app)
        self.integrator.subscribe(URL)
        self._clerk = self.sandbox.session()
        self._clerk.headers["X-Shop-Api-Key"] = env["SHOP_API_KEY"]
        self._orders = f"{env['SHOP_URL']}/orders"

    def shop(self, method: str, path: str = "", body: Any = None, **headers: str) -> Any:
        """Do something in the shop, and let the integrator follow."""
        response = self._clerk.request(method, self._orders + path, json=body, headers=headers)
        assert response.ok, response.text
        self.sandbox.run(0)
        self.integrator.worker.step()
        return response.json()

    def state(self, system: str, collection: str) -> list[dict[str, Any]]:
        return self.sandbox.world().state(system).get(system, {}).get(collection, [])

    def refusals(self) -> list[Any]:
        """Calls that were answered with anything but success."""
        answers = [entry for entry in self.sandbox.world().entries() if entry["kind"] == "call"]
        return [
            (entry["address"]["operation"], entry["answer"]["status"])
            for entry in answers
            if entry["answer"]["status"] >= 300
        ]


@pytest.fixture(scope="module")
def project(checkout: Path) -> Project:
    return Project.load(checkout)


@pytest.fixture
def trade(project: Project) -> Iterator[Trade]:
    trade = Trade(project)
    yield trade
    trade.integrator.close()
    trade.sandbox.close()


def test_paid_order(trade: Trade) -> None:
    trade.shop("POST", body=ORDER)
    order = trade.shop("GET", "/2025-4471")
    (shipment,) = trade.state("shipping", "shipments")
    (invoice,) = trade.state("accounting", "invoices")
    (customer,) = trade.state("crm", "customers")
    (activity,) = trade.state("crm", "activities")
    assert order["fulfilment"]["status"] == "in_progress"
    assert order["fulfilment"]["tracking_number"] == shipment["tracking_number"]
    assert (invoice["order_number"], invoice["amount_net"], invoice["currency"]) == ("2025-4471", 1290.00, "EUR")
    assert (customer["name"], customer["email"]) == (order["buyer"]["name"], order["buyer"]["email"])
    assert (activity["type"], activity["order_number"]) == ("order_placed", "2025-4471")
    assert {"name": shipment["recipient"]["name"], **shipment["recipient"]["address"]} == order["delivery_address"]
    assert trade.refusals() == []


def test_changes_travel(trade: Trade) -> None:
    order = trade.shop("POST", body=ORDER)
    address = {
        "name": "Ada Example",
        "street": "1 New Street",
        "postal_code": "10115",
        "city": "Berlin",
        "country": "DE",
    }
    trade.shop("PUT", "/2025-4471/delivery-address", address | {"additional_line": "Gate 3"}, **{"If-Match": "*"})
    (shipment,) = trade.state("shipping", "shipments")
    assert shipment["recipient"]["name"] == "Ada Example"
    assert shipment["recipient"]["address"]["additional_line"] == "Gate 3"

    item = order["items"][0]
    trade.shop("DELETE", f"/2025-4471/line-items/{item['line_item_id']}")
    (note,) = trade.state("accounting", "credit_notes")
    assert note["amount_net"] == item["net_amount"]

    trade.shop("POST", "/2025-4471/cancel")
    assert [invoice["status"] for invoice in trade.state("accounting", "invoices")] == ["void"]
    assert [shipment["status"] for shipment in trade.state("shipping", "shipments")] == ["cancelled"]
    assert trade.refusals() == []


def test_two_orders_of_one_customer(trade: Trade) -> None:
    trade.shop("POST", body=ORDER | {"paid": False})
    assert trade.state("shipping", "shipments") == []
    trade.shop("POST", body=ORDER | {"order_number": "2025-4472"})
    trade.shop("POST", "/2025-4471/pay")
    assert len(trade.state("crm", "customers")) == 1
    assert len(trade.state("crm", "activities")) == 2
    assert len(trade.state("accounting", "invoices")) == 2
    assert len(trade.state("shipping", "shipments")) == 2
    assert trade.refusals() == [("create_customer", 409)]
