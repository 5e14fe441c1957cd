"""The pytest plugin, seen by those who write tests with it: sessions of pytest within this one."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.pytest_sessions import Inner

pytest_plugins = ["pytester", "tests.pytest_sessions"]


def test_a_world_for_each_test(inner: Inner) -> None:
    result = inner.run(
        test_it="""
        import os
        import unittest

        import httpx
        import pytest

        from carrier import Carrier

        SEEN = []


        def test_invoice_is_written_once(sandbox):
            lost = sandbox.inject("accounting.create_invoice", "timeout", effect="applied")
            Carrier(sandbox.env).handle(sandbox.shop.place_order(paid=True))
            sandbox.check("F01")
            assert sandbox.accounting.invoices.count(order_number="2025-4471") == 1
            assert lost.fired == 1
            assert len(sandbox.calls("accounting.create_invoice")) == 2
            assert len(sandbox.calls("accounting.create_invoice", status=201)) == 1
            (first,) = sandbox.calls("accounting.create_invoice", fault="timeout", effect="applied")
            assert first.seen is None
            SEEN.append(sandbox.name)


        def test_everything_passes_without_faults(sandbox):
            Carrier(sandbox.env).handle(sandbox.shop.place_order(paid=True))
            sandbox.check(within="100ms")
            sandbox.expect("accounting.create_invoice", key="2025-4471", status=201)
            sandbox.expect("shipping", at_least=1, at_most=1)
            sandbox.expect("accounting.void_invoice", times=0)


        def test_worlds_are_apart_and_on_one_server(sandbox, sandbox_server):
            assert sandbox.name not in SEEN
            assert sandbox.url == f"{sandbox_server.url}/w/{sandbox.name}"
            assert sandbox.shop.orders.count() == 0
            assert sandbox.env["SHOP_URL"] == f"{sandbox.url}/shop" == sandbox.shop.url
            assert sandbox.env == sandbox_server.access(sandbox.name).environment()


        def test_systems_and_records(sandbox):
            assert [sandbox.shop.place_order()["order_number"] for _ in range(2)] == ["2025-4471", "2025-4472"]
            unpaid = sandbox.shop.place_order(order_number="X-1", paid=False)
            assert unpaid["paid"] is False
            assert sandbox.shop.pay_order(order_number="X-1")["paid"] is True
            moved = sandbox.shop.replace_delivery_address(order_number="X-1", city="Bonn")
            assert moved["delivery_address"]["city"] == "Bonn"
            assert sandbox.shop.orders.one({"/delivery_address/city": "Bonn"}, paid=True)["order_number"] == "X-1"
            assert len(sandbox.shop.orders.find(currency="EUR")) == 3
            assert sandbox.shop.list_orders(limit=1)["orders"][0]["order_number"] == "2025-4471"
            paid = sandbox.accounting.record_payment()
            assert sandbox.accounting.invoices.count() == 1, paid
            assert sandbox.crm.create_customer()["email"] != sandbox.crm.create_customer()["email"]
            assert sandbox.shipping.get_label().startswith(b"%PDF")
            assert sandbox.system("shop") is sandbox.shop
            assert sandbox.state()["shop"]["orders"] == sandbox.shop.orders.find()


        def test_the_tests_own_calls_are_not_the_programs(sandbox):
            sandbox.crm.create_customer(email="ada@example.com")
            assert sandbox.calls() == []
            assert [call.operation for call in sandbox.calls(own=True)] == ["issue_token", "create_customer"]
            sandbox.expect("crm.create_customer", body={"/email": "ada@example.com"}, own=True)
            assert [entry["address"]["operation"] for entry in sandbox.journal("crm")] == [
                "issue_token", "create_customer"]


        def test_webhooks_time_and_plans(sandbox):
            (subscription,) = sandbox.subscribe("http://127.0.0.1:9/webhooks", "order.paid")
            assert subscription["secret"] == sandbox.env["WEBHOOK_SECRET"]
            sandbox.clock.freeze()
            before = sandbox.clock.now()
            sandbox.clock.advance("10m")
            assert sandbox.clock.now() == before + 600
            sandbox.clock.resume()
            sandbox.shop.place_order(paid=True)
            assert [one["event"] for one in sandbox.deliveries()] == ["order.paid"]
            assert len(sandbox.subscribe("http://127.0.0.1:9/other")) == 2
            sandbox.apply("lost-answer")
            sandbox.apply({"faults": []})


        @pytest.mark.usefixtures("sandbox")
        class InTheOldStyle(unittest.TestCase):
            def setUp(self):
                self.order = self.sandbox.shop.place_order()

            def test_it(self):
                self.assertEqual(self.sandbox.shop.orders.count(), 1)


        @pytest.mark.anyio
        @pytest.mark.parametrize("anyio_backend", ["asyncio"])
        async def test_async(sandbox, anyio_backend):
            async with httpx.AsyncClient(trust_env=False) as http:
                key = {"X-Shop-Api-Key": sandbox.env["SHOP_API_KEY"]}
                answer = await http.get(f"{sandbox.env['SHOP_URL']}/orders", headers=key)
            assert answer.json() == {"orders": []}
            sandbox.expect("shop.list_orders", header={"accept": "*/*"})
        """,
    )
    result.assert_outcomes(passed=8)


def test_failures_say_why(inner: Inner) -> None:
    result = inner.run(
        test_it="""
        import pytest

        from carrier import Carrier


        def test_doubled(sandbox):
            sandbox.inject("shipping.create_shipment", "timeout", effect="applied")
            Carrier(sandbox.env, careful=False).handle(sandbox.shop.place_order(paid=True))
            sandbox.check("F01")


        def test_fault_that_never_struck(sandbox):
            sandbox.inject("accounting.create_invoice", "timeout", effect="applied", key="2025-9999")
            Carrier(sandbox.env).handle(sandbox.shop.place_order(paid=True))
            sandbox.check("F01")


        def test_nothing_happened(sandbox):
            sandbox.check("F01")


        def test_near_miss(sandbox):
            Carrier(sandbox.env).handle(sandbox.shop.place_order(paid=True))
            sandbox.expect("accounting.create_invoice", key="2025-4472", body={"/amount_net": 1290, "/vat": 1}, times=2)


        def test_too_often(sandbox):
            Carrier(sandbox.env).handle(sandbox.shop.place_order(paid=True))
            sandbox.expect("shipping.create_shipment", times=0)


        def test_own_calls(sandbox):
            sandbox.shop.place_order()
            sandbox.expect("shop.place_order")


        def test_no_such_record(sandbox):
            sandbox.shop.place_order()
            sandbox.shop.orders.one(order_number="2025-4472", status="paid")


        @pytest.fixture
        def broken(sandbox):
            sandbox.shop.place_order()
            raise RuntimeError("no more paper")


        def test_setup(broken):
            pass
        """,
    )
    result.assert_outcomes(failed=7, errors=1)
    shown = result.stdout.str()
    for expected in (
        "AssertionError: F01: order 2025-4471 ended with 2 shipments: ",
        "a fault never struck: timeout, effect applied, on {'system': 'accounting', 'operation': ",
        "nothing was judged: nothing happened that F01 speaks of, in 0 calls of the program under test",
        "expected 2 calls of accounting.create_invoice with key='2025-4472', body={'/amount_net': 1290, '/vat': 1}",
        "key: expected '2025-4472', is '2025-4471'",
        "body /vat: expected 1, is absent",
        "expected no call of shipping.create_shipment, there was 1",
        "1 more by the test itself not counted; own=True counts those too",
        "order_number: expected '2025-4472', is '2025-4471'",
        "fault: timeout, effect applied",
    ):
        assert expected in shown
    assert "body /amount_net: expected" not in shown
    assert "/work" not in shown.replace(str(inner.path), "").partition("rootdir")[0]
    # The timeline: one for each test, also where another fixture failed.
    assert shown.count("sandbox journal of world ") == 8
    result.stdout.fnmatch_lines(["*shop.place_order * 2025-4471 *201*create orders/2025-4471"])


def test_wrong_names_are_one_line(inner: Inner) -> None:
    result = inner.run(
        test_it="""
        def test_fault(sandbox):
            sandbox.inject("accounting.create_invoice", "timout")

        def test_point(sandbox):
            sandbox.calls("accounting.create_invoices")

        def test_rule(sandbox):
            sandbox.check("F0l")

        def test_system(sandbox):
            sandbox.shopp.place_order()

        def test_operation(sandbox):
            sandbox.shop.place_orders()

        def test_argument(sandbox):
            sandbox.shop.pay_order(order_numbr="1")

        def test_event(sandbox):
            sandbox.subscribe("http://127.0.0.1:9", "order.pait")

        def test_plan(sandbox):
            sandbox.apply("lost-anser")

        def test_refused(sandbox):
            sandbox.shop.place_order(line_items="many")

        def test_unknown_record(sandbox):
            sandbox.shop.pay_order(order_number="nobody")
        """,
    )
    result.assert_outcomes(failed=10)
    shown = result.stdout.str()
    for expected in (
        "PlanError: inject: there is no fault 'timout'; did you mean timeout?",
        "SandboxError: accounting has no operation 'create_invoices'; did you mean create_invoice?",
        "SandboxError: there is no rule 'F0l'; did you mean F08?",
        "AttributeError: there is no system 'shopp'; did you mean shop?",
        "AttributeError: shop has neither an operation nor a collection 'place_orders'; did you mean place_order?",
        "SandboxError: shop.pay_order takes no body, so no 'order_numbr'; did you mean order_number?",
        "SandboxError: no system has an event 'order.pait'; did you mean order.paid?",
        "PlanError: there is no failure, scenario or profile 'lost-anser'; did you mean lost-answer?",
        "Refused: shop.place_order was refused: 400 ",
        "Refused: shop.pay_order was refused: 404 ",
    ):
        assert expected in shown
    # Nothing of ours stands between the test and the message.
    assert "sandbox/testing/" not in shown


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("sandbox_project=nowhere", "there are no OpenAPI files; put one there: specs/NAME.yaml"),
        ("sandbox_seed=many", "sandbox_seed: 'many' is no seed; write a number from 0 to 4294967295"),
        ("sandbox_reconcile_every=soon", "sandbox_reconcile_every: 'soon' is not a span of time"),
    ],
)
def test_wrong_settings_are_one_line(inner: Inner, setting: str, expected: str) -> None:
    result = inner.run("-o", setting, test_it="def test_it(sandbox): pass")
    result.assert_outcomes(errors=1)
    assert expected in result.stdout.str()
    assert "Traceback" not in result.stdout.str()
    assert "settings.py" not in result.stdout.str()


def test_seed_and_project_of_the_command_line(inner: Inner, checkout: Path) -> None:
    result = inner.run(
        *("--sandbox-seed", "7", "--sandbox-project", str(checkout), "-o", "sandbox_project=nowhere"),
        test_it="""
        from sandbox.credentials import credentials, webhook_secret

        def test_it(sandbox, sandbox_server):
            assert sandbox_server.seed == 7
            assert sandbox.env["WEBHOOK_SECRET"] == webhook_secret(7)
        """,
    )
    result.assert_outcomes(passed=1)


def test_each_worker_has_its_own_server(inner: Inner) -> None:
    body = """
    import os

    import pytest

    @pytest.mark.parametrize("number", range(4))
    def test_it(sandbox, number, record_property):
        assert sandbox.shop.place_order()["order_number"] == "2025-4471"
        assert sandbox.shop.orders.count() == 1
    """
    inner.pytester.makepyfile(test_it=body)
    result = inner.pytester.runpytest_subprocess("-n", "2", "--dist", "each")
    result.assert_outcomes(passed=8)


def test_it_costs_others_nothing(outside: dict[str, str]) -> None:
    """What a session loads that does not use it: pytest, and no more of ours than the plugin itself."""
    program = """
    import sys
    import pytest
    before = set(sys.modules)
    import sandbox.pytest_plugin
    print(sorted(set(sys.modules) - before))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    shown = subprocess.run(command, env=outside, capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "['sandbox', 'sandbox.pytest_plugin']"
