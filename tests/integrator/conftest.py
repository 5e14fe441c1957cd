"""Four small systems in memory, and an integrator in front of them: no sockets, no waiting, any failure on demand."""

from __future__ import annotations

import copy
import io
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from random import Random
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from standardwebhooks import Webhook
from werkzeug.test import Client

from sandbox.clock import Clock
from sandbox.integrator import Config, Database, Integrator

Document = dict[str, Any]

START = 1_767_225_600.0
SECRET = f"whsec_{b64encode(b'a secret of 24 bytes....').decode()}"
ADDRESS = {
    "name": "Martha Klein",
    "street": "7 Quay Road",
    "postal_code": "BS1 6UT",
    "city": "Bristol",
    "country": "GB",
}
OPERATIONS = {
    "list_orders": r"GET /shop/orders",
    "get_order": r"GET /shop/orders/([^/]+)",
    "set_fulfilment": r"PUT /shop/orders/([^/]+)/fulfilment",
    "list_subscriptions": r"GET /shop/webhook-subscriptions",
    "subscribe": r"POST /shop/webhook-subscriptions",
    "issue_token": r"POST /crm/oauth/token",
    "create_customer": r"POST /crm/customers",
    "search_customers": r"POST /crm/customers/search",
    "create_activity": r"POST /crm/customers/([^/]+)/activities",
    "list_activities": r"GET /crm/customers/([^/]+)/activities",
    "create_invoice": r"POST /accounting/invoices",
    "list_invoices": r"GET /accounting/invoices",
    "void_invoice": r"POST /accounting/invoices/([^/]+)/void",
    "create_credit_note": r"POST /accounting/credit-notes",
    "list_credit_notes": r"GET /accounting/credit-notes",
    "create_shipment": r"POST /shipping/shipments",
    "list_shipments": r"GET /shipping/shipments",
    "replace_address": r"PUT /shipping/shipments/([^/]+)/address",
    "cancel_shipment": r"POST /shipping/shipments/([^/]+)/cancel",
}
CREATED = HTTPStatus.CREATED
OK = HTTPStatus.OK


class ManualClock(Clock):
    """Time that passes when told."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += max(0.0, seconds)


class Crash(BaseException):
    """The process dies here."""


@dataclass(frozen=True)
class Answer:
    """What a system answers, or does instead."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """What happens to a call instead of its answer; `applied` says whether it has its effect first."""

    answer: Answer | BaseException
    applied: bool = False


@dataclass(frozen=True)
class Call:
    """A request as a system saw it."""

    operation: str
    at: float
    url: str
    headers: Mapping[str, str]
    body: Any

    @property
    def key(self) -> str | None:
        return self.headers.get("Idempotency-Key")


def problem(status: int, kind: str = "about:blank", headers: Mapping[str, str] | None = None, **more: Any) -> Answer:
    return Answer(status, {"type": kind, "title": HTTPStatus(status).phrase, "status": status, **more}, headers or {})


class FakeSystems(BaseAdapter):
    """Shop, CRM, accounting and shipping, as far as the integrator can tell."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock
        self.calls: list[Call] = []
        self.faults: dict[str, list[Fault | None]] = {}
        self.valid_tokens: set[str] = set()
        self.tokens = 0
        self.orders: dict[str, Document] = {}
        self.subscriptions: list[Document] = []
        self.customers: list[Document] = []
        self.activities: list[Document] = []
        self.invoices: list[Document] = []
        self.credit_notes: list[Document] = []
        self.shipments: list[Document] = []
        self._answered: dict[tuple[str, str], tuple[Any, Answer]] = {}

    def lose(self, operation: str, times: int = 1) -> None:
        """Let the next calls have their effect and lose their answers."""
        self._fail(operation, times, Fault(requests.ConnectionError("connection lost"), applied=True))

    def silence(self, operation: str, times: int = 1) -> None:
        """Let the next calls have no effect and no answer."""
        self._fail(operation, times, Fault(requests.ReadTimeout("read timed out")))

    def answer(
        self,
        operation: str,
        status: int,
        headers: Mapping[str, str] | None = None,
        *,
        kind: str = "about:blank",
        times: int = 1,
    ) -> None:
        """Answer the next calls with a problem, without effect."""
        self._fail(operation, times, Fault(problem(status, kind, headers)))

    def garble(self, operation: str, content: Any = b'{"id": "in', times: int = 1) -> None:
        """Let the next calls have their effect, and answer something else."""
        self._fail(operation, times, Fault(Answer(OK, content), applied=True))

    def crash(self, operation: str, *, applied: bool) -> None:
        """Let the integrator die during the next call, before or after its effect."""
        self._fail(operation, 1, Fault(Crash(), applied=applied))

    def let_pass(self, operation: str, times: int = 1) -> None:
        """Let the next calls be as they should, before those that were told to fail after this."""
        self.faults.setdefault(operation, []).extend([None] * times)

    def _fail(self, operation: str, times: int, fault: Fault) -> None:
        self.faults.setdefault(operation, []).extend([fault] * times)

    def called(self, operation: str) -> list[Call]:
        return [call for call in self.calls if call.operation == operation]

    @property
    def timestamp(self) -> str:
        return f"{datetime.fromtimestamp(self.clock.now(), tz=UTC):%Y-%m-%dT%H:%M:%S.%f}Z"

    def place(self, number: str = "2025-4471", *, paid: bool = True, email: str = "martha@example.com") -> Document:
        """An order over 490.00 and 150.00."""
        items = [("Oak desk chair", 2, 490.0, 19), ("Handbook", 5, 150.0, 7)]
        self.orders[number] = {
            "order_number": number,
            "customer": "Example Ltd",
            "currency": "EUR",
            "amount_net": 640.0,
            "paid": paid,
            "status": "paid" if paid else "placed",
            "items": [
                {"line_item_id": f"li_{at}", "sku": "X", "description": name, "quantity": quantity,
                 "unit_price_net": net / quantity, "net_amount": net, "tax_rate": rate, "status": "active"}
                for at, (name, quantity, net, rate) in enumerate(items)
            ],
            "buyer": {"name": "Martha Klein", "email": email, "phone": "+44 20 1", "date_of_birth": "1984-02-17"},
            "billing_address": ADDRESS | {"name": "Example Ltd", "street": "12 Harbour Street"},
            "delivery_address": ADDRESS | {"additional_line": "Gate 3"},
            "fulfilment": {"status": "open"},
            "created_at": self.timestamp,
            "updated_at": self.timestamp,
        }  # fmt: skip
        return self.orders[number]

    def change(self, number: str = "2025-4471", **fields: Any) -> Document:
        self.orders[number] |= fields | {"updated_at": self.timestamp}
        return self.orders[number]

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        url = urlsplit(request.url or "")
        line = f"{request.method} {url.path}"
        operation, path = next(
            (name, found) for name, pattern in OPERATIONS.items() if (found := re.fullmatch(pattern, line))
        )
        raw = request.body or b""
        text = raw if isinstance(raw, str) else bytes(raw).decode()
        body = json.loads(text) if request.headers.get("Content-Type") == "application/json" else text
        call = Call(operation, self.clock.now(), request.url or "", request.headers, body or {})
        self.calls.append(call)

        fault = self.faults[operation].pop(0) if self.faults.get(operation) else None
        answer = self._carry_out(call, *path.groups()) if fault is None or fault.applied else Answer()
        if fault is not None:
            if isinstance(fault.answer, BaseException):
                raise fault.answer
            answer = fault.answer
        return self._response(request, answer)

    def close(self) -> None:
        pass

    def _response(self, request: requests.PreparedRequest, answer: Answer) -> requests.Response:
        content = b"" if answer.body is None else answer.body
        response = requests.Response()
        response.status_code = answer.status
        response.headers = CaseInsensitiveDict(answer.headers)
        response.raw = io.BytesIO(content if isinstance(content, bytes) else json.dumps(content).encode())
        response.url = request.url or ""
        response.request = request
        return response

    def _carry_out(self, call: Call, *ids: str) -> Answer:
        system = urlsplit(call.url).path.split("/")[1]
        if not self._authorized(system, call):
            return problem(401)
        if call.key is None:
            return self._answer(call, *ids)
        known = self._answered.get((call.operation, call.key))
        if known is None:
            known = call.body, self._answer(call, *ids)
            self._answered[call.operation, call.key] = known
        return known[1] if known[0] == call.body else problem(422, "/problems/idempotency-key-reused")

    def _authorized(self, system: str, call: Call) -> bool:
        authorization = call.headers.get("Authorization", "")
        if call.operation == "issue_token":
            return b64decode(authorization.removeprefix("Basic ")) == b"client:client-secret"
        expected = {
            "shop": ("X-Shop-Api-Key", "shop-key"),
            "accounting": ("Authorization", "Bearer accounting-token"),
            "shipping": ("X-Carrier-Key", "shipping-key"),
        }
        if system == "crm":
            return authorization.removeprefix("Bearer ") in self.valid_tokens
        name, value = expected[system]
        return call.headers.get(name) == value

    def _answer(self, call: Call, *ids: str) -> Answer:
        query = {name: values[0] for name, values in parse_qs(urlsplit(call.url).query).items()}
        handler: Callable[..., Answer] = getattr(self, f"_{call.operation}")
        # What is answered is a copy: later changes of a record are no changes of an answer.
        return copy.deepcopy(handler(*ids, call.body, query))

    def _list_orders(self, _: Any, query: Mapping[str, str]) -> Answer:
        found = [order for order in self.orders.values() if order["updated_at"] >= query.get("updated_since", "")]
        first = int(query.get("cursor", "0"))
        link = {"Link": f'</shop/orders?cursor={first + 2}&limit=2>; rel="next"'} if first + 2 < len(found) else {}
        return Answer(OK, {"orders": found[first : first + 2]}, link)

    def _get_order(self, number: str, *_: Any) -> Answer:
        return Answer(OK, self.orders[number]) if number in self.orders else problem(404)

    def _set_fulfilment(self, number: str, body: Document, _: Any) -> Answer:
        self.change(number, fulfilment=body)
        return Answer(OK, body)

    def _list_subscriptions(self, *_: Any) -> Answer:
        return Answer(OK, {"webhook_subscriptions": self.subscriptions})

    def _subscribe(self, body: Document, _: Any) -> Answer:
        self.subscriptions.append(body | {"status": "active"})
        return Answer(CREATED, body)

    def _issue_token(self, *_: Any) -> Answer:
        self.tokens += 1
        self.valid_tokens.add(f"token-{self.tokens}")
        return Answer(OK, {"access_token": f"token-{self.tokens}", "token_type": "Bearer", "expires_in": 3600})

    def _create_customer(self, body: Document, _: Any) -> Answer:
        for known in self.customers:
            if known["email"] == body["email"]:
                return problem(409, "/problems/duplicate-email", customer_id=known["customer_id"])
        self.customers.append(body | {"customer_id": f"cus_{len(self.customers)}"})
        return Answer(CREATED, self.customers[-1])

    def _search_customers(self, body: Document, _: Any) -> Answer:
        return Answer(OK, {"customers": [known for known in self.customers if known["email"] == body["email"]]})

    def _create_activity(self, customer_id: str, body: Document, _: Any) -> Answer:
        self.activities.append(body | {"customer_id": customer_id, "activity_id": f"act_{len(self.activities)}"})
        return Answer(CREATED, self.activities[-1])

    def _list_activities(self, _customer_id: str, _: Any, query: Mapping[str, str]) -> Answer:
        found = [known for known in self.activities if known["order_number"] == query["order_number"]]
        return Answer(OK, {"activities": found})

    def _create_invoice(self, body: Document, _: Any) -> Answer:
        if body["currency"] == "XXX":
            return problem(400, "/problems/currency", errors=[{"pointer": "/currency", "detail": "unknown to Martha"}])
        self.invoices.append(body | {"id": f"inv_{len(self.invoices)}", "status": "open"})
        return Answer(CREATED, self.invoices[-1])

    def _list_invoices(self, _: Any, query: Mapping[str, str]) -> Answer:
        return Answer(OK, {"invoices": [i for i in self.invoices if i["order_number"] == query["order_number"]]})

    def _void_invoice(self, invoice_id: str, *_: Any) -> Answer:
        invoice = next(known for known in self.invoices if known["id"] == invoice_id)
        if invoice["status"] == "paid":
            return problem(409, "/problems/invoice-paid")
        invoice["status"] = "void"
        return Answer(OK, invoice)

    def _create_credit_note(self, body: Document, _: Any) -> Answer:
        self.credit_notes.append(body | {"id": f"cn_{len(self.credit_notes)}"})
        return Answer(CREATED, self.credit_notes[-1])

    def _list_credit_notes(self, _: Any, query: Mapping[str, str]) -> Answer:
        found = [note for note in self.credit_notes if note["invoice_id"] == query["invoice_id"]]
        return Answer(OK, {"credit_notes": found})

    def _create_shipment(self, body: Document, _: Any) -> Answer:
        number = len(self.shipments)
        more = {"shipment_id": f"shp_{number}", "carrier": "Van", "tracking_number": f"PW{number}", "status": "booked"}
        self.shipments.append(copy.deepcopy(body) | more)
        return Answer(CREATED, self.shipments[-1])

    def _list_shipments(self, _: Any, query: Mapping[str, str]) -> Answer:
        return Answer(OK, {"shipments": [s for s in self.shipments if s["reference"] == query["reference"]]})

    def _replace_address(self, shipment_id: str, body: Document, _: Any) -> Answer:
        return self._move(shipment_id, recipient={"name": body.pop("name"), "address": body})

    def _cancel_shipment(self, shipment_id: str, *_: Any) -> Answer:
        return self._move(shipment_id, status="cancelled")

    def _move(self, shipment_id: str, **fields: Any) -> Answer:
        shipment = next(known for known in self.shipments if known["shipment_id"] == shipment_id)
        if shipment["status"] == "picked_up":
            return problem(409, "/problems/wrong-status")
        shipment |= fields
        return Answer(OK, shipment)


class Rig:
    """An integrator in front of the fake systems, and the hands that move both."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.systems = FakeSystems(self.clock)
        self.config = make_config()
        self.database = Database(":memory:")
        self.events = 0
        self.restart()

    def restart(self) -> None:
        """Start the integrator again; it keeps its database and nothing else."""
        self.integrator = Integrator(self.config, self.clock, Random(1), self.session, self.database)

    def lose_database(self) -> None:
        self.database.close()
        self.database = Database(":memory:")
        self.restart()

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("http://", self.systems)
        return session

    @property
    def web(self) -> Client:
        return Client(self.integrator.app)

    def deliver(self, event: str = "order.paid", number: str = "2025-4471") -> int:
        """Hand over a webhook about the order as it is now; returns the status that answers it."""
        self.events += 1
        payload = {"type": event, "timestamp": self.systems.timestamp, "data": self.systems.orders[number]}
        body = json.dumps(payload).encode()
        return self.web.post("/webhooks", data=body, headers=self.signed(f"evt_{self.events}", body)).status_code

    def signed(self, webhook_id: str, body: bytes, *, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
        timestamp = int(self.clock.now() if at is None else at)
        signature = Webhook(secret).sign(webhook_id, datetime.fromtimestamp(timestamp, tz=UTC), body.decode())
        return {"webhook-id": webhook_id, "webhook-timestamp": str(timestamp), "webhook-signature": signature}

    def work(self, seconds: float = 0.0) -> None:
        """Let the integrator do all that comes due within a span; a crash restarts it."""
        end = self.clock.now() + seconds
        while True:
            try:
                due = self.integrator.worker.step()
            except Crash:
                self.restart()
                continue
            assert due is not None
            if due > end:
                self.clock.time = end
                return
            self.clock.time = due

    def carry(self, number: str = "2025-4471", seconds: float = 0.0) -> None:
        """Place a paid order, tell the integrator, and let it work."""
        self.systems.place(number)
        self.deliver(number=number)
        self.work(seconds)


def make_config(**changes: Any) -> Config:
    settings = {
        "shop_url": "http://systems/shop",
        "shop_api_key": "shop-key",
        "crm_url": "http://systems/crm",
        "crm_client_id": "client",
        "crm_client_secret": "client-secret",
        "accounting_url": "http://systems/accounting",
        "accounting_token": "accounting-token",
        "shipping_url": "http://systems/shipping",
        "shipping_api_key": "shipping-key",
        "webhook_secret": SECRET,
        "data_file": ":memory:",
    }
    return Config(**settings | changes)


@pytest.fixture
def settings() -> Callable[..., Config]:
    """Makes a configuration that leads to the fake systems."""
    return make_config


@pytest.fixture
def rig() -> Iterator[Rig]:
    rig = Rig()
    yield rig
    rig.integrator.close()
