"""A small integrator that shares nothing with the reference: one loop, one dict that survives, four kinds of calls.

The designs and mistakes that are independent of the reference are made of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sandbox.chaos.subject import Surroundings
from tests.zoo.http import Again, Api, Json, Refused, Unauthorized, signed

EVENTS = ("order.placed", "order.paid", "order.address_changed", "order.line_item_cancelled", "order.cancelled")
LINE = ("description", "quantity", "net_amount", "tax_rate")
ADDRESS = ("additional_line", "street", "postal_code", "city", "country")
_STATUS = {200: "200 OK", 204: "204 No Content", 401: "401 Unauthorized", 409: "409 Conflict", 503: "503 Unavailable"}
_LONGEST_DELAY = 60.0
_MENDING = 60.0
PATIENCE = 300.0

StartResponse = Callable[..., Any]


class Plain:
    """One life of it.

    Attributes:
        every: Seconds between two polls for changed orders; None when it never polls.
        events: What it subscribes to.
        disk: All that survives: `orders` by number, `seen` webhook ids, `poll` times.
    """

    every: float | None = 300.0
    events = EVENTS

    def __init__(self, surroundings: Surroundings) -> None:
        self.clock = surroundings.clock
        self.random = surroundings.random
        self.api = self.connect(surroundings)
        self.disk = surroundings.disk
        self.disk.setdefault("orders", {})
        self.disk.setdefault("seen", [])
        self._url = surroundings.environment["WEBHOOK_URL"]
        self._secret = surroundings.environment["WEBHOOK_SECRET"]
        self._subscribed = False
        self._subscribe_at = 0.0
        for memo in self.disk["orders"].values():
            # A new life may have a better credential.
            if memo.pop("unauthorized", False):
                memo["due"], memo["again"] = self.clock.now(), True

    def connect(self, surroundings: Surroundings) -> Api:
        return Api(surroundings)

    # From the shop to the disk.
    def app(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        """Take a webhook in."""
        body = environ["wsgi.input"].read()
        headers = {
            name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        status = self.receive(headers, json.loads(body), body) if self.trusts(headers, body) else 401
        start_response(_STATUS.get(status, f"{status} Failed"), [])
        return []

    def trusts(self, headers: dict[str, str], body: bytes) -> bool:
        return signed(self._secret, headers, body, self.clock.now())

    def receive(self, headers: dict[str, str], payload: Json, body: bytes) -> int:
        """Note what an event is about; returns the status of the answer."""
        webhook_id = headers["webhook-id"]
        if webhook_id not in self.disk["seen"]:
            self.disk["seen"].append(webhook_id)
            self.ask(payload["data"]["order_number"], payload["data"]["updated_at"])
        return 204

    def boot(self) -> None:
        """Subscribe, however long it takes."""
        tries = 0
        while not self._subscribed:
            try:
                self.subscribe()
            except Again as again:
                tries += 1
                self.clock.sleep(max(self.delay(tries), again.not_before - self.clock.now()))
            except Refused:
                # Only a person can mend that; until then the polls must do.
                self._subscribe_at = self.clock.now() + _MENDING
                return

    def subscribe(self) -> None:
        for known in self.api.pages("shop", "/webhook-subscriptions", "webhook_subscriptions", {}):
            if (known["url"], known["status"]) == (self._url, "active"):
                break
        else:
            wanted = {"url": self._url, "events": list(self.events), "secret": self._secret}
            self.api.call("shop", "POST", "/webhook-subscriptions", wanted)
        self._subscribed = True

    def poll(self) -> None:
        """Ask the shop what has changed since the last poll but one."""
        if self.every is None:
            return
        now = self.clock.now()
        poll = self.disk.setdefault("poll", {"last": None, "tries": 0})
        since = None if poll["last"] is None else poll["last"] - self.every
        try:
            if not self._subscribed and now >= self._subscribe_at:
                self.subscribe()
            for order in self.api.pages("shop", "/orders", "orders", self.changed(since)):
                memo = self.disk["orders"].get(order["order_number"])
                if memo is None or memo["done"] != order["updated_at"]:
                    self.ask(order["order_number"], order["updated_at"])
        except (Again, KeyError, TypeError) as error:
            poll["tries"] += 1
            poll["due"] = max(now + self.delay(poll["tries"]), getattr(error, "not_before", 0.0))
        except Refused:
            poll["due"] = now + self.every
        else:
            poll |= {"last": now, "tries": 0, "due": now + self.every}

    def changed(self, since: float | None) -> dict[str, str]:
        """The query for orders that changed since a time."""
        return {} if since is None else {"updated_since": f"{datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}"}

    # From the disk to the systems.
    def ask(self, number: str, newest: str = "") -> None:
        """Have an order looked at, in no version older than the one that was heard of."""
        fresh = {"number": number, "due": None, "tries": 0, "newest": "", "done": "", "hold": "", "again": False}
        memo = self.disk["orders"].setdefault(number, {**fresh, "steps": {}})
        memo["newest"], memo["again"] = max(memo["newest"], newest), True
        if memo["due"] is None and not memo.get("unauthorized"):
            memo["due"] = self.clock.now()

    def step(self) -> float | None:
        """Do what is due; returns when the next thing is."""
        while True:
            now = self.clock.now()
            if self.poll_due() <= now:
                self.poll()
            elif (number := self.next_order(now)) is not None:
                self.attend(number)
            else:
                waiting = [memo["due"] for memo in self.disk["orders"].values() if memo["due"] is not None]
                return min([*waiting, self.poll_due()])

    def poll_due(self) -> float:
        return float("inf") if self.every is None else float(self.disk.get("poll", {}).get("due", 0.0))

    def next_order(self, now: float) -> str | None:
        """The order whose turn it is; fresh ones first."""
        due = [
            (memo["tries"], memo["due"], number)
            for number, memo in self.disk["orders"].items()
            if memo["due"] is not None and memo["due"] <= now
        ]
        return min(due)[2] if due else None

    def attend(self, number: str) -> None:
        """Carry an order as far as it goes now."""
        memo = self.disk["orders"][number]
        self.api.about = number
        try:
            if memo["hold"]:
                held = {"status": "on_hold", "reason": memo["hold"]}
                self.api.call("shop", "PUT", f"/orders/{number}/fulfilment", held)
                memo["hold"] = ""
                self.rest(memo)
                return
            memo["again"] = False
            order = self.read(number, memo["newest"])
            memo["done"] = order["updated_at"]
            self.carry(order, memo)
        except Again as again:
            self.retry(memo, again.not_before)
        except (KeyError, TypeError):
            # An answer that lacks what we need may be a better one next time.
            self.retry(memo)
        except Refused as refusal:
            self.park(memo, refusal)
        else:
            self.rest(memo)

    def rest(self, memo: Json) -> None:
        """All is done, unless somebody has asked meanwhile."""
        memo |= {"tries": 0, "due": self.clock.now() if memo["again"] and not memo.get("unauthorized") else None}

    def retry(self, memo: Json, not_before: float = 0.0) -> None:
        """Try again in a while."""
        memo["tries"] += 1
        memo["due"] = max(self.clock.now() + self.delay(memo["tries"]), not_before)

    def park(self, memo: Json, refusal: Refused) -> None:
        """Leave an order to a person, who will see it in the shop."""
        if memo["hold"]:
            # The shop does not even take the note: where it does not know us, a person may mend that.
            later = self.clock.now() + PATIENCE if isinstance(refusal, Unauthorized) else None
            memo |= {"hold": memo["hold"] if later else "", "tries": 0, "due": later}
            return
        memo |= {"hold": str(refusal), "tries": 0, "due": self.clock.now()}
        if isinstance(refusal, Unauthorized):
            memo |= {"unauthorized": True, "again": False}

    def delay(self, tries: int) -> float:
        """Exponential backoff with full jitter."""
        return self.random.uniform(0.0, min(_LONGEST_DELAY, 0.5 * 2.0 ** min(tries, 20)))

    def read(self, number: str, newest: str) -> Json:
        """The order as it stands now."""
        try:
            order = self.api.call("shop", "GET", f"/orders/{number}")
        except Unauthorized:
            raise
        except Refused as refusal:
            raise Again(f"an order that is not there yet: {refusal}") from refusal
        if "updated_at" not in order or order["updated_at"] < newest:
            raise Again("an order that is older than its change")
        return order

    def carry(self, order: Json, memo: Json) -> None:
        """Do what is missing."""
        if order["status"] == "cancelled":
            self.undo(memo)
        elif order["paid"]:
            self.register(order, memo)
            self.bill(order, memo)
            self.ship(order, memo)

    def register(self, order: Json, memo: Json) -> None:
        customer = self.once(memo, "customer", "crm", "/customers", pick(order["buyer"], ("name", "email")))
        activity = {"type": "order_placed", "order_number": order["order_number"]}
        self.once(memo, "activity", "crm", f"/customers/{customer['customer_id']}/activities", activity)

    def bill(self, order: Json, memo: Json) -> None:
        invoice = self.once(memo, "invoice", "accounting", "/invoices", invoice_of(order))
        while gone := minus(memo.setdefault("billed", self.sent(memo, "invoice")["lines"]), lines_of(order)):
            name = f"credit-{len(memo['billed'])}"
            note = {"invoice_id": invoice["id"], "order_number": order["order_number"], "reason": "Cancelled"}
            self.once(memo, name, "accounting", "/credit-notes", {**note, "lines": gone})
            memo["billed"] = minus(memo["billed"], self.sent(memo, name)["lines"])

    def ship(self, order: Json, memo: Json) -> None:
        number, wanted = order["order_number"], recipient_of(order)
        shipment = self.once(memo, "shipment", "shipping", "/shipments", {"reference": number, "recipient": wanted})
        if memo.setdefault("sent_to", self.sent(memo, "shipment")["recipient"]) != wanted:
            memo["sent_to"] = None
            moved = {"name": wanted["name"], **wanted["address"]}
            self.api.call("shipping", "PUT", f"/shipments/{shipment['shipment_id']}/address", moved)
            memo["sent_to"] = wanted
        report = {"status": "in_progress", **pick(shipment, ("carrier", "tracking_number"))}
        if not report.items() <= order["fulfilment"].items():
            self.api.call("shop", "PUT", f"/orders/{number}/fulfilment", report)

    def undo(self, memo: Json) -> None:
        """Take back what was done for a cancelled order."""
        shipment = self.settled(memo, "shipment", "shipping", "/shipments")
        if shipment is not None and not memo.get("recalled"):
            self.api.call("shipping", "POST", f"/shipments/{shipment['shipment_id']}/cancel")
            memo["recalled"] = True
        invoice = self.settled(memo, "invoice", "accounting", "/invoices")
        if invoice is not None and not memo.get("void"):
            self.api.call("accounting", "POST", f"/invoices/{invoice['id']}/void")
            memo["void"] = True

    def settled(self, memo: Json, name: str, system: str, path: str) -> Json | None:
        """The result of a step, brought to its end first if that is unknown; None if it was never taken."""
        step = memo["steps"].get(name, {"refused": ""})
        return None if "refused" in step else self.once(memo, name, system, path, step["body"])

    def sent(self, memo: Json, name: str) -> Json:
        """What was sent for a step."""
        body: Json = memo["steps"][name]["body"]
        return body

    def once(self, memo: Json, name: str, system: str, path: str, body: Json) -> Json:
        """Create something once, however often it is asked for; its body and key are on the disk before they leave."""
        step = memo["steps"].get(name)
        if step is not None and step.get("refused") == digest(body):
            raise Refused(step["reason"])
        if step is None or "refused" in step:
            step = memo["steps"][name] = {"body": body, "key": self.key(memo["number"], name, body)}
        if "result" not in step:
            try:
                result = self.create(system, path, step["body"], step["key"])
            except Unauthorized:
                raise
            except Refused as refusal:
                memo["steps"][name] = {"refused": digest(step["body"]), "reason": str(refusal)}
                raise
            self.check(name, result)
            step["result"] = result
        done: Json = step["result"]
        return done

    def create(self, system: str, path: str, body: Json, key: str) -> Json:
        return self.api.call(system, "POST", path, body, key=key)

    def key(self, number: str, name: str, body: Json) -> str:
        return f"{number}.{name}.{digest(body)[:12]}"

    def check(self, name: str, result: Json) -> None:
        """An answer that lacks what we need is no answer."""
        needed = {"customer": ("customer_id",), "invoice": ("id",)}
        needed["shipment"] = ("shipment_id", "carrier", "tracking_number")
        if any(field not in result for field in needed.get(name, ())):
            raise Again(f"{name}: an answer that lacks a field")


def digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def pick(record: Json, names: tuple[str, ...]) -> Json:
    return {name: record[name] for name in names if name in record}


def lines_of(order: Json) -> list[Json]:
    return [pick(item, LINE) for item in order["items"] if item["status"] == "active"]


def minus(lines: list[Json], others: list[Json]) -> list[Json]:
    """The lines that are not among the others."""
    left, found = list(others), []
    for line in lines:
        if line in left:
            left.remove(line)
        else:
            found.append(line)
    return found


def recipient_of(order: Json) -> Json:
    to = order["delivery_address"]
    return {"name": to["name"], "address": pick(to, ADDRESS)}


def invoice_of(order: Json) -> Json:
    to = order["billing_address"]
    return {
        "order_number": order["order_number"],
        "currency": order["currency"],
        "customer": {"name": to["name"], "billing_address": pick(to, ADDRESS)},
        "lines": lines_of(order),
        "amount_net": order["amount_net"],
    }


class Kind:
    """Integrators of one design, as a subject."""

    def __init__(self, name: str, process: type[Plain]) -> None:
        self.name = name
        self.process = process
        self.reconcile_every = process.every

    def start(self, surroundings: Surroundings) -> Plain:
        return self.process(surroundings)
