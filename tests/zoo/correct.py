"""Correct integrators, each of another design than the reference; no rule of severity E may find anything in them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sandbox.chaos.subject import Surroundings
from tests.zoo.base import PATIENCE, Plain, invoice_of, minus, pick, recipient_of
from tests.zoo.http import Again, Api, Json, Refused, Unauthorized


class LooksBeforeItCreates(Plain):
    """Keeps no record of what it did: each time it looks what there is, and creates what there is not.

    Only accounting gets a key, because it wants one. What it saw once must not be gone: such a look-up lags behind.
    """

    def register(self, order: Json, memo: Json) -> None:
        number, buyer = order["order_number"], order["buyer"]
        found = self.api.call("crm", "POST", "/customers/search", {"email": buyer["email"]})["customers"]
        customer = found[0] if found else self.api.call("crm", "POST", "/customers", pick(buyer, ("name", "email")))
        path, activity = f"/customers/{customer['customer_id']}/activities", {"type": "order_placed"}
        if not self.seen(memo, self.api.pages("crm", path, "activities", {**activity, "order_number": number}), path):
            self.api.call("crm", "POST", path, {**activity, "order_number": number})

    def bill(self, order: Json, memo: Json) -> None:
        number = order["order_number"]
        body = invoice_of(order)
        invoices = self.seen(memo, self.invoices(number), "invoice")
        invoice = invoices[0] if invoices else self.book("/invoices", body, self.key(number, "invoice", body))
        left = invoice["lines"]
        query = {"order_number": number, "invoice_id": invoice["id"]}
        for note in self.api.pages("accounting", "/credit-notes", "credit_notes", query):
            left = minus(left, note["lines"])
        if gone := minus(left, body["lines"]):
            note = {"invoice_id": invoice["id"], "order_number": number, "reason": "Cancelled", "lines": gone}
            self.book("/credit-notes", note, self.key(number, "credit", note))

    def ship(self, order: Json, memo: Json) -> None:
        number, wanted = order["order_number"], recipient_of(order)
        shipments = self.seen(memo, self.shipments(number), "shipment")
        if shipments:
            shipment = shipments[0]
        else:
            shipment = self.refusable(memo, "shipping", "/shipments", {"reference": number, "recipient": wanted})
        if pick(shipment["recipient"], ("name", "address")) != wanted:
            moved = {"name": wanted["name"], **wanted["address"]}
            self.api.call("shipping", "PUT", f"/shipments/{shipment['shipment_id']}/address", moved)
        report = {"status": "in_progress", **pick(shipment, ("carrier", "tracking_number"))}
        if not report.items() <= order["fulfilment"].items():
            self.api.call("shop", "PUT", f"/orders/{number}/fulfilment", report)

    def undo(self, memo: Json) -> None:
        for shipment in self.shipments(memo["number"]):
            self.api.call("shipping", "POST", f"/shipments/{shipment['shipment_id']}/cancel")
        for invoice in self.invoices(memo["number"]):
            self.api.call("accounting", "POST", f"/invoices/{invoice['id']}/void")

    def seen(self, memo: Json, found: list[Json], kind: str) -> list[Json]:
        """What was found, unless it had been found before and is not any more."""
        if not found and kind in memo.setdefault("found", []):
            raise Again(f"a look-up without the {kind} that there is")
        memo["found"] += [kind] if found and kind not in memo["found"] else []
        return found

    def invoices(self, number: str) -> list[Json]:
        found = self.api.pages("accounting", "/invoices", "invoices", {"order_number": number})
        return [invoice for invoice in found if invoice["status"] != "void"]

    def shipments(self, number: str) -> list[Json]:
        found = self.api.pages("shipping", "/shipments", "shipments", {"reference": number})
        return [shipment for shipment in found if shipment["status"] != "cancelled"]

    def book(self, path: str, body: Json, key: str) -> Json:
        return self.api.call("accounting", "POST", path, body, key=key)

    def refusable(self, memo: Json, system: str, path: str, body: Json) -> Json:
        """Create something, unless this very thing was refused before."""
        if memo.get("refused") == body:
            raise Refused(memo["reason"])
        try:
            return self.api.call(system, "POST", path, body)
        except Refused as refusal:
            memo |= {"refused": body, "reason": str(refusal)}
            raise


class RefetchesEverything(LooksBeforeItCreates):
    """Keeps no ids of webhooks: each event, seen before or not, has its order looked at anew in all systems."""

    def receive(self, headers: dict[str, str], payload: Json, body: bytes) -> int:
        self.ask(payload["data"]["order_number"], payload["data"]["updated_at"])
        return 204


class LeansOnRedelivery(Plain):
    """Works while the shop waits, and answers 500 when that failed; the shop will come again.

    Two events of one order at the same time would disturb each other, so the second one is asked to come later.
    """

    every = 3600.0

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.busy: set[str] = set()

    def connect(self, surroundings: Surroundings) -> Api:
        # Three slow calls must not use up the time that the shop waits for an answer.
        return Api(surroundings, timeout=4.0)

    def receive(self, headers: dict[str, str], payload: Json, body: bytes) -> int:
        number, webhook_id = payload["data"]["order_number"], headers["webhook-id"]
        if webhook_id in self.disk["seen"]:
            return 204
        self.ask(number, payload["data"]["updated_at"])
        status = self.work(number)
        if status == 204:
            self.disk["seen"].append(webhook_id)
        return status

    def work(self, number: str) -> int:
        """Carry an order as far as it goes; returns the status of the answer."""
        memo = self.disk["orders"][number]
        if number in self.busy:
            return 503
        self.busy.add(number)
        try:
            while memo["due"] is not None and not memo["failed"]:
                self.attend(number)
        finally:
            self.busy.discard(number)
        return 500 if memo["failed"] else 204

    def ask(self, number: str, newest: str = "") -> None:
        super().ask(number, newest)
        self.disk["orders"][number]["failed"] = False

    def retry(self, memo: Json, not_before: float = 0.0) -> None:
        memo["failed"] = True

    def next_order(self, now: float) -> str | None:
        return None

    def step(self) -> float | None:
        """Poll, and work off what the poll brought up."""
        if self.poll_due() <= self.clock.now():
            self.poll()
            for number, memo in list(self.disk["orders"].items()):
                if memo["due"] is not None:
                    memo["failed"] = False
                    self.work(number)
        return self.poll_due()


class PollsOnly(Plain):
    """Takes no webhooks; it asks the shop every minute."""

    every = 60.0

    def boot(self) -> None:
        pass

    def subscribe(self) -> None:
        pass


class BreaksTheCircuit(Plain):
    """Leaves a system alone for a while, and longer each time, after it has failed three times in a row."""

    def connect(self, surroundings: Surroundings) -> Api:
        return _BreakingApi(surroundings)


class _BreakingApi(Api):
    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._failures: dict[str, int] = {}
        self._random = surroundings.random

    def failed(self, system: str) -> None:
        count = self._failures[system] = self._failures.get(system, 0) + 1
        if count >= 3:
            rest = min(5.0 * 2.0 ** (count - 3), 60.0) * self._random.uniform(0.75, 1.25)
            self.closed[system] = max(self.closed.get(system, 0.0), self.clock.now() + rest)

    def succeeded(self, system: str) -> None:
        self._failures.pop(system, None)


class NaturalKeys(Plain):
    """Relies on what makes things one of a kind anyway: the customer's e-mail address, and the order's number."""

    def create(self, system: str, path: str, body: Json, key: str) -> Json:
        return self.api.call(system, "POST", path, body, key=None if path == "/customers" else key)

    def key(self, number: str, name: str, body: Json) -> str:
        steps = self.disk["orders"][number]["steps"]
        # What was refused once needs another key when it is sent with another body.
        again = "-again" if name in steps else ""
        return f"{number}-{name.partition('-')[2]}{again}".rstrip("-")


class QueuesBetweenSteps(Plain):
    """Hands a message about each order from queue to queue, one for each system; all of them lie on the disk."""

    following: Mapping[str, str] = MappingProxyType({"register": "bill", "bill": "ship", "ship": "", "hold": ""})

    def __init__(self, surroundings: Surroundings) -> None:
        refused = [n for n, memo in surroundings.disk.get("orders", {}).items() if memo.get("unauthorized")]
        super().__init__(surroundings)
        self.queues = self.disk.setdefault("queues", {stage: [] for stage in self.following})
        for number in refused:
            self.ask(number)

    def ask(self, number: str, newest: str = "") -> None:
        super().ask(number, newest)
        if not self.disk["orders"][number].get("unauthorized"):
            self.put("register", number)

    def put(self, stage: str, number: str, reason: str = "") -> None:
        self.queues[stage].append({"number": number, "due": self.clock.now(), "tries": 0, "reason": reason})

    def step(self) -> float | None:
        while True:
            now = self.clock.now()
            waiting = [(m["due"], stage, m) for stage, queue in self.queues.items() for m in queue]
            due = min((entry for entry in waiting if entry[0] <= now), key=lambda entry: entry[:2], default=None)
            if self.poll_due() <= now:
                self.poll()
            elif due is None:
                return min([entry[0] for entry in waiting] + [self.poll_due()])
            else:
                self.work(due[1], due[2])

    def work(self, stage: str, message: Json) -> None:
        """Deal with one message, and hand it on."""
        number, reason = message["number"], ""
        memo = self.disk["orders"][number]
        self.api.about = number
        try:
            following = self.take(stage, memo, message["reason"])
        except (Again, KeyError, TypeError) as error:
            self.retry(message, getattr(error, "not_before", 0.0))
            return
        except Refused as refusal:
            if stage == "hold" and isinstance(refusal, Unauthorized):
                message["due"] = self.clock.now() + PATIENCE
                return
            following, reason = ("" if stage == "hold" else "hold"), str(refusal)
            if isinstance(refusal, Unauthorized):
                memo["unauthorized"] = True
                self.withdraw(number)
        if message in self.queues[stage]:
            self.queues[stage].remove(message)
        if following:
            self.put(following, number, reason)

    def withdraw(self, number: str) -> None:
        """Take the messages about an order out of all queues."""
        for queue in self.queues.values():
            queue[:] = [message for message in queue if message["number"] != number]

    def take(self, stage: str, memo: Json, reason: str) -> str:
        """Do the work of one stage; returns the next one."""
        if stage == "hold":
            held = {"status": "on_hold", "reason": reason}
            self.api.call("shop", "PUT", f"/orders/{memo['number']}/fulfilment", held)
            return ""
        order = self.read(memo["number"], memo["newest"])
        memo["done"] = order["updated_at"]
        if order["status"] == "cancelled":
            self.undo(memo)
        elif order["paid"]:
            getattr(self, stage)(order, memo)
            return self.following[stage]
        return ""
