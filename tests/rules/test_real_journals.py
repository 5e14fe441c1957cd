"""The reference integrator's own journals, without faults and with one each: no rule about errors may fire."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest

from sandbox.inprocess import InProcess
from sandbox.integrator import Config, Integrator
from sandbox.project import Project
from sandbox.rules import Judgement, Run, Settings, Verdict, judge, verdict_of_run
from tests.rules.journals import ORDER, ROOT, all_rules, facts

URL = "http://127.0.0.1:9000/webhooks"
PLACED = {
    "order_number": ORDER,
    "customer": "Example Ltd",
    "amount_net": 1290.00,
    "currency": "EUR",
    "line_items": 3,
    "paid": True,
}
EVERY = 300.0


class Trade:
    """A sandbox in memory, an integrator that is told of its orders, and a customer of the shop."""

    def __init__(self, sandbox: InProcess) -> None:
        self.sandbox = sandbox
        sandbox.restart(seed=0)
        environment = self.sandbox.access().environment()
        config = Config.from_env(environment | {"DATA_FILE": ":memory:"})
        self.integrator = Integrator(config, self.sandbox.clock(), Random(1), self.sandbox.session)
        self.sandbox.mount(URL, self.integrator.app)
        self.integrator.subscribe(URL)
        self._customer = self.sandbox.session()
        self._customer.headers.update({"X-Shop-Api-Key": environment["SHOP_API_KEY"], "sandbox-actor": "scenario"})
        self._orders = f"{environment['SHOP_URL']}/orders"

    def shop(self, method: str, path: str = "", body: Any = None) -> Any:
        response = self._customer.request(method, self._orders + path, json=body, headers={"If-Match": "*"})
        assert response.ok, response.text
        return response.json()

    def work(self, seconds: float) -> None:
        """Let the integrator do what is due, for a while."""
        end = self.sandbox.now + seconds
        while self.sandbox.now < end:
            due = self.integrator.worker.step() or end
            self.sandbox.run(min(max(due - self.sandbox.now, 0.0), end - self.sandbox.now) + 0.001)

    def judge(self) -> dict[str, Judgement]:
        world = self.sandbox.world()
        settings = Settings(reconcile_every=EVERY, ended_at=self.sandbox.now)
        run = Run(world.entries(), world.state(), facts(), settings)
        return {found.rule.id: found for found in judge(run, all_rules().values())}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[InProcess]:
    sandbox = InProcess(Project.load(ROOT))
    yield sandbox
    sandbox.close()


@pytest.fixture
def trade(sandbox: InProcess) -> Iterator[Trade]:
    trade = Trade(sandbox)
    yield trade
    trade.integrator.close()


def complaints(judgements: dict[str, Judgement]) -> list[str]:
    """All that is wrong, and all that crashed."""
    return [
        f"{found.rule.id} {found.error}{[violation.sentence for violation in found.violations]}"
        for found in judgements.values()
        if found.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE)
    ]


def test_without_faults(trade: Trade) -> None:
    trade.shop("POST", body=PLACED)
    trade.work(1000.0)
    judgements = trade.judge()
    assert complaints(judgements) == []
    assert verdict_of_run(judgements.values()) == 0
    passed = {found.rule.id for found in judgements.values() if found.verdict is Verdict.PASS}
    assert passed == {
        *("F01", "F02", "F03", "F04", "F07", "H01", "H08"),
        *("P02", "P03", "P04", "P05", "P07", "R06", "R07"),
    }


def test_changes(trade: Trade) -> None:
    order = trade.shop("POST", body=PLACED)
    trade.work(10.0)
    address = {
        "name": "Ada Example",
        "street": "1 New Street",
        "postal_code": "10115",
        "city": "Berlin",
        "country": "DE",
    }
    trade.shop("PUT", f"/{ORDER}/delivery-address", address)
    trade.work(10.0)
    trade.shop("DELETE", f"/{ORDER}/line-items/{order['items'][0]['line_item_id']}")
    trade.work(10.0)
    assert complaints(trade.judge()) == []
    trade.shop("POST", f"/{ORDER}/cancel")
    trade.work(400.0)
    assert complaints(trade.judge()) == []


FAULTS: list[tuple[str, str, dict[str, Any], str]] = [
    ("accounting.create_invoice", "timeout", {"effect": "applied"}, "R04 R05 R15 R16 F05"),
    ("accounting.create_invoice", "timeout", {}, "R03 R04 R15 R16 F05"),
    ("shipping.create_shipment", "reset", {"effect": "applied"}, "R03 R04 R05 R15"),
    ("shipping.create_shipment", "server_error", {"effect": "applied", "status": 502}, "R03 R04 R15"),
    ("crm.create_activity", "truncated", {}, "R03 R04 R15"),
    ("crm.create_activity", "malformed", {}, "R03 R04"),
    ("crm.create_customer", "rate_limited", {"retry_after": 30}, "R01 R15"),
    ("shop.get_order", "rate_limited", {"retry_after": 30, "format": "http-date"}, "R15"),
    ("accounting.create_invoice", "conflict", {}, "R08"),
    ("crm.create_customer", "unauthorized", {}, "P01"),
    ("accounting.create_invoice", "unauthorized", {}, "P01"),
    ("accounting.create_invoice", "unauthorized", {"occurrence": "any"}, "P01"),
    ("accounting.create_invoice", "schema_drift", {"add": {"/surprise": 1}}, "P06"),
    ("shipping.create_shipment", "redirect", {}, "P08"),
    ("shipping.create_shipment", "slow", {"delay": "5s"}, "R16"),
    ("shipping.create_shipment", "repeated_request", {}, "F01"),
    ("accounting.create_invoice", "outage", {"for_": "10m"}, "R10 R15 F05"),
    ("shop.set_fulfilment", "server_error", {"status": 503}, "R15"),
    ("order.paid", "duplicate", {"after": "3s"}, "H02"),
    ("order.paid", "concurrent_duplicate", {}, "H02"),
    ("order.paid", "drop", {}, "H07"),
    ("order.placed", "drop", {}, "H07"),
    ("order.placed", "reorder", {}, "H05"),
    ("order.paid", "forged", {"how": "unsigned"}, "H03"),
    ("order.paid", "forged", {"how": "old_timestamp"}, "H03"),
    ("order.paid", "rotated", {}, "H04"),
    ("order.paid", "respaced", {}, "H04"),
]


@pytest.mark.parametrize(("point", "fault", "given", "exercised"), FAULTS, ids=lambda value: str(value)[:40])
def test_with_a_fault(trade: Trade, point: str, fault: str, given: dict[str, Any], exercised: str) -> None:
    trade.sandbox.world().inject(point, fault, **given)
    trade.shop("POST", body=PLACED)
    trade.work(1500.0)
    judgements = trade.judge()
    assert complaints(judgements) == []
    idle = [name for name in exercised.split() if judgements[name].verdict is not Verdict.PASS]
    assert idle == []


def test_poison(trade: Trade) -> None:
    antarctica = {
        "name": "Halley",
        "street": "1 Ice Shelf Road",
        "postal_code": "BIQQ 1ZZ",
        "city": "Halley",
        "country": "AQ",
    }
    trade.shop("POST", body=PLACED | {"delivery_address": antarctica})
    trade.shop("POST", body=PLACED | {"order_number": "2025-4472", "customer": "Another Ltd"})
    trade.work(1000.0)
    judgements = trade.judge()
    assert complaints(judgements) == []
    assert [judgements[name].verdict for name in ("F05", "F08", "R02")] == [Verdict.PASS] * 3
