"""Somebody who calls the systems of a sandbox in memory."""

from __future__ import annotations

from typing import Any

import requests

from sandbox.inprocess import InProcess
from sandbox.world import World

KEY = "2025-4471"
SEED = 3
MARK = "Sandbox-Fault"
ORDER = {
    "order_number": KEY,
    "customer": "Example Ltd",
    "amount_net": 60.00,
    "currency": "EUR",
    "line_items": 1,
    "paid": False,
}
ADDRESS = {"street": "Musterweg 3", "postal_code": "10115", "city": "Berlin", "country": "DE"}
INVOICE = {
    "order_number": KEY,
    "currency": "EUR",
    "customer": {"name": "Ada Example", "billing_address": ADDRESS},
    "lines": [{"description": "Desk lamp", "quantity": 1, "net_amount": 60.00, "tax_rate": 19}],
    "amount_net": 60.00,
}
CUSTOMER = {"name": "Ada Example", "email": "ada@example.com"}


class Desk:
    """A sandbox in memory, begun anew, and somebody who calls its systems."""

    def __init__(self, sandbox: InProcess) -> None:
        self.sandbox = sandbox
        self.sandbox.restart(SEED)
        self.env = self.sandbox.access().environment()
        self.http = self.sandbox.session()
        self._token: str | None = None

    @property
    def world(self) -> World:
        return self.sandbox.world()

    def call(self, method: str, system: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        headers = self.credential(system) | options.pop("headers", {})
        options = {"timeout": 30, "allow_redirects": False} | options
        return self.http.request(
            method, self.env[f"{system.upper()}_URL"] + path, json=body, headers=headers, **options
        )

    def credential(self, system: str) -> dict[str, str]:
        if system == "shop":
            return {"X-Shop-Api-Key": self.env["SHOP_API_KEY"]}
        if system == "shipping":
            return {"X-Carrier-Key": self.env["SHIPPING_API_KEY"]}
        if system == "crm" and self._token is None:
            self._token = self.token().json()["access_token"]
        return {"Authorization": f"Bearer {self._token if system == 'crm' else self.env['ACCOUNTING_TOKEN']}"}

    def token(self) -> requests.Response:
        client = {"client_id": self.env["CRM_CLIENT_ID"], "client_secret": self.env["CRM_CLIENT_SECRET"]}
        form = {"grant_type": "client_credentials"} | client
        return self.http.post(f"{self.env['CRM_URL']}/oauth/token", data=form, timeout=30)

    def invoice(self, key: str = KEY, **options: Any) -> requests.Response:
        options = {"headers": {"Idempotency-Key": f"invoice-{key}"}} | options
        return self.call("POST", "accounting", "/invoices", INVOICE | {"order_number": key}, **options)

    def order(self, **options: Any) -> requests.Response:
        return self.call("POST", "shop", "/orders", ORDER, **options)

    def entries(self, operation: str) -> list[dict[str, Any]]:
        return [entry for entry in self.world.entries() if (entry["address"] or {}).get("operation") == operation]
