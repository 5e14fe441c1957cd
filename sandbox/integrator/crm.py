"""What we tell the CRM: who the customer is, and that an order was placed."""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote

from sandbox.integrator.auth import StaticKey
from sandbox.integrator.client import Client
from sandbox.integrator.document import Json
from sandbox.integrator.failures import Refused, Transient, Unauthorized
from sandbox.integrator.order import Order

__all__ = ["Crm", "TokenEndpoint", "activity_request", "client_key", "customer_request"]


def customer_request(order: Order) -> Json:
    """The customer as customer relations need to know them: name and e-mail address."""
    return order.buyer


def activity_request(order: Order) -> Json:
    """The entry in the customer's timeline."""
    return {"type": "order_placed", "order_number": order.number}


def client_key(client_id: str, client_secret: str) -> StaticKey:
    """The client's own credential, as HTTP Basic (RFC 6749, section 2.3.1)."""
    pair = f"{quote(client_id, safe='')}:{quote(client_secret, safe='')}"
    return StaticKey("Authorization", f"Basic {b64encode(pair.encode()).decode()}")


class TokenEndpoint:
    """Where the client's credential is exchanged for an access token that expires."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def fetch(self) -> tuple[str, float]:
        """A new token and its lifetime in seconds; raises what `Client.call` raises."""
        try:
            answer = self._client.call("POST", "/oauth/token", form={"grant_type": "client_credentials"})
        except Refused as refusal:
            raise Unauthorized(str(refusal)) from refusal
        lifetime = answer.body.get("expires_in")
        return answer.text("access_token"), float(lifetime) if isinstance(lifetime, int | float) else 0.0


class Crm:
    """The CRM's API. All methods raise what `Client.call` raises."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def create_customer(self, request: Json, key: str) -> Json:
        """The id of the customer with this e-mail address, who is created unless the CRM knows them."""
        answer = self._client.call("POST", "/customers", request, key=key, expect=("duplicate-email",))
        if answer.problem and "customer_id" not in answer.body:
            return {"id": self._find_customer(request["email"])}
        return {"id": answer.text("customer_id")}

    def create_activity(self, customer_id: str, request: Json, key: str) -> Json:
        """The id of the new entry in a customer's timeline."""
        answer = self._client.call("POST", f"/customers/{customer_id}/activities", request, key=key)
        return {"id": answer.text("activity_id")}

    def find_activity(self, customer_id: str, request: Json) -> Json | None:
        """The id of the entry about this order, if there is one."""
        for page in self._client.pages(f"/customers/{customer_id}/activities", request):
            for activity in page.records("activities"):
                return {"id": activity.get("activity_id")}
        return None

    def _find_customer(self, email: str) -> str:
        answer = self._client.call("POST", "/customers/search", {"email": email})
        for customer in answer.records("customers"):
            if isinstance(customer.get("customer_id"), str):
                return str(customer["customer_id"])
        raise Transient(f"{answer.source}: a customer that exists was not found")
