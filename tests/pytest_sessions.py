"""Sessions of pytest within this one, for the tests of the plugin: a plugin of theirs with the fixture `inner`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpcore
import pytest

# Loaded by httpx when it is first used, and forgotten with all modules that a session within this one loads; httpx
# would go on to wait for the exceptions of the first copy.
assert httpcore

# An integrator as a test of one might have it: it carries an order through all systems, and may forget its keys.
CARRIER = """
import itertools

import httpx

from sandbox.integrator.accounting import invoice_request
from sandbox.integrator.crm import activity_request, customer_request
from sandbox.integrator.order import Order
from sandbox.integrator.shipping import shipment_request


class Carrier:
    def __init__(self, env, careful=True):
        self.env, self.careful, self.keys = env, careful, itertools.count()
        self.http = httpx.Client(trust_env=False, timeout=0.3)

    def handle(self, document):
        order = Order.parse(document)
        env = self.env
        basic = httpx.BasicAuth(env["CRM_CLIENT_ID"], env["CRM_CLIENT_SECRET"])
        form = {"grant_type": "client_credentials"}
        token = self.http.post(f"{env['CRM_URL']}/oauth/token", data=form, auth=basic).json()["access_token"]
        crm = {"authorization": f"Bearer {token}"}
        customer = self.post(f"{env['CRM_URL']}/customers", customer_request(order), "customer", crm)
        activities = f"{env['CRM_URL']}/customers/{customer['customer_id']}/activities"
        self.post(activities, activity_request(order), f"activity-{order.number}", crm)
        accounting = {"authorization": f"Bearer {env['ACCOUNTING_TOKEN']}"}
        self.post(f"{env['ACCOUNTING_URL']}/invoices", invoice_request(order), f"invoice-{order.number}", accounting)
        shipping = {"x-carrier-key": env["SHIPPING_API_KEY"]}
        self.post(f"{env['SHIPPING_URL']}/shipments", shipment_request(order), f"shipment-{order.number}", shipping)
        self.http.close()

    def post(self, url, body, key, headers):
        for _ in range(3):
            headers = {**headers, "idempotency-key": key if self.careful else f"{key}-{next(self.keys)}"}
            try:
                return self.http.post(url, json=body, headers=headers).raise_for_status().json()
            except httpx.TimeoutException:
                continue
        raise TimeoutError(url)
"""

SUBJECTS = """
from sandbox.chaos.reference import ReferenceSubject


class Impatient(ReferenceSubject):
    '''Asks once and never looks again.'''

    name = "impatient"

    def __init__(self):
        super().__init__({"MAX_ATTEMPTS": "1", "RECONCILE_EVERY": "100000"})
"""


@dataclass(frozen=True)
class Inner:
    """A folder in which sessions of pytest run within this one."""

    pytester: pytest.Pytester

    @property
    def path(self) -> Path:
        return self.pytester.path

    def run(self, *arguments: str, **files: str) -> pytest.RunResult:
        """Write test files and run a session."""
        if files:
            self.pytester.makepyfile(**files)
        return self.pytester.runpytest_inprocess(*arguments)


@pytest.fixture
def inner(pytester: pytest.Pytester, checkout: Path) -> Inner:
    """A folder with settings of its own, in which warnings are errors."""
    pytester.makeini(
        f"""
        [pytest]
        addopts = -p no:cacheprovider -p no:randomly --strict-markers --strict-config -ra
        filterwarnings = error
        sandbox_project = {checkout}
        pythonpath = .
        """
    )
    pytester.makepyfile(carrier=CARRIER, subjects=SUBJECTS)
    return Inner(pytester)
