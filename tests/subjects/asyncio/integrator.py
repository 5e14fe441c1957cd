"""Carries each paid order of the shop through CRM, accounting and shipping: Starlette, httpx and one task per order.

What was heard and done stands in an SQLite file, so that a restart goes on where the last process was killed.
MISTAKE=<name> switches one common mistake on, for those who want to see it caught.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import logging
import os
import random
import re
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from store import Store
from systems import BACKOFF_BASE, TIMEOUT, Crm, Json, Refused, System, TryAgain, pick

MISTAKES = ("", "new-key-on-retry", "no-deduplication", "acknowledges-before-storing", "ignores-retry-after")
MISTAKE = os.environ.get("MISTAKE", "")
FORGETFUL = MISTAKE == "no-deduplication"
RECONCILE = int(os.environ.get("RECONCILE_MS", "2000")) / 1000
BACKOFF_CAP = float(os.environ.get("BACKOFF_CAP", "2"))
MAX_ATTEMPTS = int(os.environ.get("MAX_ATTEMPTS", "8"))
PATIENT_CAP = 30.0  # where nobody waits for the outcome
TOLERANCE = 300  # seconds that a webhook's timestamp may be off
MAX_BODY = 1 << 20

log = logging.getLogger("integrator")


def delay(failures: int, failure: Exception, cap: float = BACKOFF_CAP) -> float:
    """Full jitter, but never before the time that a system named."""
    wait = random.uniform(0.0, min(cap, BACKOFF_BASE * 2.0 ** min(failures - 1, 30)))
    not_before = getattr(failure, "not_before", 0.0)
    return max(wait, not_before - time.time() + random.uniform(0.0, BACKOFF_BASE)) if not_before else wait


def without(lines: list[Json], others: list[Json]) -> list[Json]:
    left = list(others)
    return [line for line in lines if line not in left or left.remove(line)]


def parse(document: Json) -> Json:
    """What the other systems need to know of an order, each only its share."""
    order = pick(document, "status", "paid", "currency", "items", "buyer", "billing_address", "delivery_address")
    billing, delivery = order["billing_address"], order["delivery_address"]
    address = ("street", "postal_code", "city", "country")
    active = [item for item in order["items"] if item["status"] != "cancelled"]
    return {
        "status": order["status"],
        "paid": order["paid"],
        "currency": order["currency"],
        "lines": [pick(item, "description", "quantity", "net_amount", "tax_rate") for item in active],
        "buyer": pick(order["buyer"], "name", "email"),
        "customer": pick(billing, "name") | {"billing_address": pick(billing, *address, optional=("additional_line",))},
        "recipient": pick(delivery, "name") | {"address": pick(delivery, *address, optional=("additional_line",))},
    }


def digest(order: Json) -> str:
    return hashlib.sha256(json.dumps(order, sort_keys=True).encode()).hexdigest()


class Integrator:
    def __init__(self, http: httpx.AsyncClient) -> None:
        environ = os.environ
        self.shop = System(http, "shop", {"X-Shop-Api-Key": environ["SHOP_API_KEY"]})
        self.crm = Crm(http)
        self.accounting = System(http, "accounting", {"Authorization": f"Bearer {environ['ACCOUNTING_TOKEN']}"})
        self.shipping = System(http, "shipping", {"X-Carrier-Key": environ["SHIPPING_API_KEY"]})
        self.store = Store("integrator.sqlite3", forgetful=FORGETFUL)
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.failures: dict[str, int] = {}

    def drive(self, number: str) -> None:
        if number not in self.tasks:
            self.tasks[number] = asyncio.create_task(self._drive(number))

    async def _drive(self, number: str) -> None:
        self.failures[number] = 0
        try:
            while (order := self.store.order(number))["status"] in {"open", "parking"}:
                await self._advance(order)
        finally:
            del self.tasks[number]

    async def _advance(self, order: sqlite3.Row) -> None:
        parking = order["status"] == "parking"
        try:
            await (self._show(order) if parking else self._carry(order))
        except (TryAgain, Refused) as failure:
            log.info("%s: %s", order["number"], failure)
            await self._set_aside(order, failure, parking=parking)
        except Exception as failure:  # a mistake of ours in one order must not lose it either
            log.exception("%s: a mistake", order["number"])
            await self._set_aside(order, failure, parking=parking)

    async def _set_aside(self, order: sqlite3.Row, failure: Exception, *, parking: bool) -> None:
        number = order["number"]
        self.failures[number] += getattr(failure, "sent", True)
        final = isinstance(failure, Refused)
        if parking and final:
            self.store.update(number, status="parked")  # the shop will not show it; the log has the reason
        elif parking or not (final or self.failures[number] >= MAX_ATTEMPTS):
            await asyncio.sleep(delay(self.failures[number], failure, PATIENT_CAP if parking else BACKOFF_CAP))
        else:
            reason = re.sub(r"[^ -~]", " ", str(failure))[:500]
            self.store.update(number, status="parking", reason=reason, handled=order["news"])

    async def _show(self, order: sqlite3.Row) -> None:
        await self._report(order["number"], {"status": "on_hold", "reason": order["reason"]})
        self.failures[order["number"]] = 0
        news = self.store.order(order["number"])["news"] != order["handled"]
        self.store.update(order["number"], status="open" if news else "parked", handled=order["news"])

    async def _report(self, number: str, body: Json) -> None:
        await self.shop.call("PUT", f"/orders/{quote(number, safe='')}/fulfilment", body, order=number)

    async def _carry(self, known: sqlite3.Row) -> None:
        number = known["number"]
        answer = await self.shop.call("GET", f"/orders/{quote(number, safe='')}", order=number, expect=404)
        document = pick(answer.json(), "updated_at", "fulfilment", optional=tuple(answer.json()))
        if document["updated_at"] < known["changed"]:
            raise TryAgain("shop: the order is older than its announcement")
        order = parse(document)
        self.store.update(number, fingerprint=digest(order))
        if order["status"] == "cancelled":
            await self._take_back(number)
        elif order["paid"]:
            await self._fulfil(number, order, document["fulfilment"])
        if self.store.order(number)["news"] == known["news"]:  # else something was heard meanwhile: another round
            self.store.update(number, status="settled")

    async def _once(self, number: str, name: str, body: Json, send: Callable[[Json, str], Awaitable[Json]]) -> Json:
        """A step has its effect once: until its outcome is known, the same body is sent with the same key."""
        step = self.store.step(number, name)
        if step is None or (step["refused"] and step["body"] != body):
            self.store.begin(number, name, body, step["revision"] + 1 if step else 1)
            step = self.store.step(number, name)
        if step["refused"]:
            raise Refused(step["refused"])
        if step["result"] is None:
            try:
                key = str(uuid.uuid4()) if MISTAKE == "new-key-on-retry" else step["key"]
                step["result"] = await send(step["body"], key)
            except Refused as refusal:
                if refusal.status != 401:
                    self.store.end(number, name, None, str(refusal))
                raise
            self.store.end(number, name, step["result"])
            self.failures[number] = 0
        return step["result"]

    def _post(self, system: System, path: str, number: str, *names: str) -> Callable[[Json, str], Awaitable[Json]]:
        async def send(body: Json, key: str) -> Json:
            sent = None if FORGETFUL and system is self.shipping else key
            return pick((await system.call("POST", path, body, order=number, key=sent)).json(), *names)

        return send

    async def _customer(self, body: Json, key: str) -> Json:
        async def find() -> list[Json]:
            answer = await self.crm.call("POST", "/customers/search", {"email": body["email"]})
            return pick(answer.json(), "customers")["customers"]

        if found := await find():
            return pick(found[0], "customer_id")
        answer = (await self.crm.call("POST", "/customers", body, key=key, expect="duplicate-email")).json()
        return pick(answer if "customer_id" in answer else next(iter(await find()), None), "customer_id")

    def _book(self, number: str, body: Json) -> Awaitable[Json]:
        return self._once(number, "invoice", body, self._post(self.accounting, "/invoices", number, "id"))

    def _ship(self, number: str, body: Json) -> Awaitable[Json]:
        names = ("shipment_id", "carrier", "tracking_number")
        return self._once(number, "shipment", body, self._post(self.shipping, "/shipments", number, *names))

    async def _fulfil(self, number: str, order: Json, fulfilment: Json) -> None:
        customer = await self._once(number, "customer", order["buyer"], self._customer)
        path = f"/customers/{customer['customer_id']}/activities"
        activity = {"type": "order_placed", "order_number": number}
        await self._once(number, "activity", activity, self._post(self.crm, path, number, "activity_id"))

        amount = float(sum(Decimal(str(line["net_amount"])) for line in order["lines"]))
        shared = {name: order[name] for name in ("currency", "customer", "lines")}
        invoice = await self._book(number, {"order_number": number, "amount_net": amount, **shared})
        await self._credit(number, invoice["id"], order["lines"], "Line item cancelled")

        shipment = await self._ship(number, {"reference": number, "recipient": order["recipient"]})
        await self._readdress(number, shipment["shipment_id"], order["recipient"])
        report = {"status": "in_progress", **pick(shipment, "carrier", "tracking_number")}
        if fulfilment.get("status") not in {"shipped", "delivered"} and not report.items() <= fulfilment.items():
            await self._report(number, report)

    async def _credit(self, number: str, invoice_id: str, wanted: list[Json], reason: str) -> None:
        billed = self.store.step(number, "invoice")["body"]["lines"]
        send = self._post(self.accounting, "/credit-notes", number, "id")
        name = "credit-note-1"
        while (surplus := without(billed, wanted)) or self.store.step(number, name):
            note = {"invoice_id": invoice_id, "order_number": number, "reason": reason, "lines": surplus}
            await self._once(number, name, note, send)
            billed = without(billed, self.store.step(number, name)["body"]["lines"])
            name = f"credit-note-{int(name.rpartition('-')[2]) + 1}"
        if without(wanted, billed):
            raise Refused("the invoice lacks lines of the order")

    async def _readdress(self, number: str, shipment_id: str, recipient: Json) -> None:
        async def send(body: Json, _key: str) -> Json:
            body = {"name": body["name"], **body["address"]}
            return (await self.shipping.call("PUT", f"/shipments/{shipment_id}/address", body, order=number)).json()

        last = self.store.step(number, "address")
        booked = last["body"] if last else self.store.step(number, "shipment")["body"]["recipient"]
        if booked != recipient:
            self.store.begin(number, "address", recipient, 1)
        if last or booked != recipient:
            await self._once(number, "address", recipient, send)

    async def _take_back(self, number: str) -> None:
        """What was begun is brought to its end first, so that there is an id to take back."""
        if (step := self.store.step(number, "shipment")) and not step["refused"]:
            path = f"/shipments/{(await self._ship(number, step['body']))['shipment_id']}/cancel"
            await self._once(number, "cancel", {}, lambda *_: self._undo(self.shipping, path, number))
        if (step := self.store.step(number, "invoice")) and not step["refused"]:
            invoice = (await self._book(number, step["body"]))["id"]
            path = f"/invoices/{invoice}/void"
            void = await self._once(number, "void", {}, lambda *_: self._undo(self.accounting, path, number))
            if void["status"] == 409:
                await self._credit(number, invoice, [], "Order cancelled")

    async def _undo(self, system: System, path: str, number: str) -> Json:
        return {"status": (await system.call("POST", path, order=number, expect="invoice-paid")).status_code}

    async def reconcile(self) -> None:
        failures = 0
        while True:
            try:
                await self._poll()
                failures, wait = 0, RECONCILE
            except (TryAgain, Refused) as failure:
                log.info("poll: %s", failure)
                failures += 1
                wait = PATIENT_CAP if isinstance(failure, Refused) else delay(failures, failure, PATIENT_CAP)
            await asyncio.sleep(wait)

    async def _poll(self) -> None:
        began, (last,) = time.time(), self.store.db.execute("SELECT max(since) FROM polls").fetchone()
        params = {"limit": "100"}
        if last:  # two periods early, so that neither a stale list nor a clock that is a little off loses an order
            since = datetime.fromtimestamp(last - 2 * RECONCILE, tz=UTC)
            params["updated_since"] = since.strftime("%Y-%m-%dT%H:%M:%S.000Z")
        while True:
            page = await self.shop.call("GET", "/orders", params=params)
            for document in pick(page.json(), "orders")["orders"]:
                self._notice(document)
            cursor = parse_qs(urlsplit(page.links.get("next", {}).get("url", "")).query).get("cursor")
            if not cursor:
                break
            params["cursor"] = cursor[0]
        self.store.db.execute("DELETE FROM polls")
        self.store.db.execute("INSERT INTO polls VALUES (?)", (began,))

    def _notice(self, document: Json) -> None:
        number, known = document.get("order_number", ""), self.store.order(document.get("order_number", ""))
        try:
            same = known and known["fingerprint"] == digest(parse(document))
        except (TryAgain, KeyError):
            same = False  # one order that cannot be read must not hide the others; who looks at it will park it
        if known is None or not (same or known["status"] in {"open", "parking"}):
            self.store.hear(number, document.get("updated_at", ""))
            self.drive(number)

    def receive(self, webhook: str, event: Json) -> None:
        data = event.get("data") or {}
        seen = self.store.db.execute("SELECT 1 FROM webhooks WHERE id = ?", (webhook,)).fetchone()
        if FORGETFUL:  # it begins anew with each payment that it hears of
            seen = event.get("type") == "order.placed"
            if event.get("type") == "order.paid":
                self.store.db.execute("DELETE FROM steps WHERE number = ?", (data["order_number"],))
        if not seen and "order_number" in data:
            self.store.hear(data["order_number"], data.get("updated_at", ""), webhook)
            self.drive(data["order_number"])


def verified(request: Request, raw: bytes) -> bool:
    key = base64.b64decode(os.environ["WEBHOOK_SECRET"].removeprefix("whsec_"))
    webhook, timestamp, signatures = (request.headers.get(f"webhook-{x}", "") for x in ("id", "timestamp", "signature"))
    if not (webhook and timestamp.isdecimal()) or abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    mac = hmac.digest(key, f"{webhook}.{timestamp}.".encode() + raw, "sha256")
    expected = b"v1," + base64.b64encode(mac)
    return any(hmac.compare_digest(expected, given.encode()) for given in signatures.split())


async def take_webhook(request: Request) -> Response:
    if int(request.headers.get("content-length", MAX_BODY)) >= MAX_BODY:
        return Response(status_code=413)
    raw = await request.body()
    if not verified(request, raw):
        return Response(status_code=401)
    integrator, webhook, event = request.app.state.integrator, request.headers["webhook-id"], json.loads(raw)
    if MISTAKE == "acknowledges-before-storing":
        asyncio.get_running_loop().call_later(0.25, integrator.receive, webhook, event)
    else:
        integrator.receive(webhook, event)
    return Response(status_code=204)


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    async with httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=TIMEOUT) as http:
        app.state.integrator = integrator = Integrator(http)
        for row in integrator.store.db.execute("SELECT number FROM orders").fetchall():
            integrator.drive(row["number"])
        if MISTAKE not in {"no-deduplication", "acknowledges-before-storing"}:
            integrator.tasks["reconcile"] = asyncio.create_task(integrator.reconcile())
        yield
        for task in integrator.tasks.values():
            task.cancel()


routes = [Route("/health", lambda _: Response("ready")), Route("/webhooks", take_webhook, methods=["POST"])]
app = Starlette(routes=routes, lifespan=lifespan)

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if MISTAKE not in MISTAKES:
        raise SystemExit(f"MISTAKE is none of{' '.join(MISTAKES)}")
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), access_log=False)
