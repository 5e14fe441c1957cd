"""Mistakes in what is sent to whom: parts of the reference integrator, each wrong in one respect (rules P)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

from sandbox.integrator.accounting import Accounting
from sandbox.integrator.auth import AccessToken
from sandbox.integrator.client import Answer, Client
from sandbox.integrator.crm import Crm
from sandbox.integrator.document import Json, digest
from sandbox.integrator.failures import Refused, Transient, Unauthorized
from sandbox.integrator.journey import Journey
from sandbox.integrator.order import Order
from sandbox.integrator.shipping import Shipping
from sandbox.integrator.shop import Shop
from sandbox.integrator.steps import Steps

_LIMIT = 20
_INVOICE = frozenset(
    "id invoice_number order_number status currency customer lines taxes amount_net amount_tax amount_gross amount_paid"
    " amount_credited amount_open due_date created_at updated_at".split()
)


class RefreshesInALoop(Client):
    """As long as the answer is 401, it gets a new token and tries again at once."""

    def call(self, *args: Any, **options: Any) -> Answer:
        for _ in range(_LIMIT):
            try:
                return super().call(*args, **options)
            except Unauthorized:
                if not self._credential.renew():
                    raise
        return super().call(*args, **options)


class KeepsTheRefusedToken(AccessToken):
    """Tries again after a 401, with the token that was refused."""

    def renew(self) -> bool:
        return True


class RetriesARefusedKey(Client):
    """Tries again with the very key that was refused."""

    def call(self, *args: Any, **options: Any) -> Answer:
        try:
            return super().call(*args, **options)
        except Unauthorized as refusal:
            raise Transient(str(refusal)) from refusal


class TokenInTheUrl(Client):
    """Sends the token as a query parameter besides."""

    def call(self, *args: Any, params: Mapping[str, str] | None = None, **options: Any) -> Answer:
        token = getattr(self._credential, "_token", "")
        return super().call(*args, params={**(params or {}), "access_token": token} if token else params, **options)


class EmailInTheUrl(Crm):
    """Looks the customer up by e-mail address in the URL."""

    def create_customer(self, request: Json, key: str) -> Json:
        try:
            self._client.call("GET", f"/customers/{request['email']}")
        except Refused:
            return super().create_customer(request, key)
        return super().create_customer(request, key)


def every_credential(environment: Mapping[str, str]) -> dict[str, str]:
    """One set of headers for all systems."""
    return {
        "X-Shop-Api-Key": environment["SHOP_API_KEY"],
        "X-Carrier-Key": environment["SHIPPING_API_KEY"],
    }


class TellsTheCarrierTheBuyer(Journey):
    """Sends the carrier whatever it knows of the buyer."""

    def _ship(self, steps: Steps, order: Order) -> None:
        self._shipping.buyer = order.buyer  # type: ignore[attr-defined]
        super()._ship(steps, order)


class SendsTheBuyer(Shipping):
    """Adds the buyer's e-mail address to the recipient."""

    buyer: Json

    def create_shipment(self, request: Json, key: str) -> Json:
        recipient = request["recipient"]
        created = super().create_shipment({**request, "recipient": {**recipient, "email": self.buyer["email"]}}, key)
        return {**created, "recipient": digest(recipient)}


class InventsAField(Accounting):
    """Sends a field that the API does not have."""

    def create_invoice(self, request: Json, key: str) -> Json:
        return super().create_invoice({**request, "comment": "sent by the integrator"}, key)


class AmountsAsText(Accounting):
    """Sends amounts as text."""

    def create_invoice(self, request: Json, key: str) -> Json:
        return super().create_invoice({**request, "amount_net": f"{request['amount_net']:.2f}"}, key)


class KnowsEveryField(Accounting):
    """Refuses an answer that has a field it does not know."""

    def create_invoice(self, request: Json, key: str) -> Json:
        answer = self._client.call("POST", "/invoices", request, key=key)
        if unknown := set(answer.body) - _INVOICE:
            raise Refused(f"accounting answers with unknown fields: {', '.join(sorted(unknown))}")
        return {"id": answer.text("id"), "lines": request["lines"], "credit_notes": 0}


class LosesTheTrace(Client):
    """Passes no correlation id on."""

    def _transmit(self, request: requests.PreparedRequest) -> requests.Response:
        del request.headers["traceparent"]
        return super()._transmit(request)


class FollowsRedirects(Client):
    """Goes wherever an answer says, credentials and body in hand."""

    def _transmit(self, request: requests.PreparedRequest) -> requests.Response:
        request.prepare_cookies(None)
        return self._session.send(request, timeout=self._timeout, stream=True)


class ReportsTooMuch(Shop):
    """Reports fields to the shop that the shop has not asked for."""

    def set_fulfilment(self, order_number: str, fulfilment: Json) -> None:
        super().set_fulfilment(order_number, {**fulfilment, "parcels": 1})
