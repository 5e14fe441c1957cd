"""Broken integrators that share nothing with the reference; each has one mistake."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256

import requests

from sandbox.chaos.subject import Surroundings
from tests.zoo.base import EVENTS, Plain, pick
from tests.zoo.correct import LeansOnRedelivery, LooksBeforeItCreates
from tests.zoo.http import Again, Api, Json, Refused, Unauthorized


class PatientHandler(LeansOnRedelivery):
    """Works while the shop waits, and waits for others longer than the shop does."""

    def connect(self, surroundings: Surroundings) -> Api:
        return Api(surroundings, timeout=30.0)


class SwallowsFailures(LeansOnRedelivery):
    """Works while the shop waits, and answers 204 whatever came of it."""

    def receive(self, headers: dict[str, str], payload: Json, body: bytes) -> int:
        super().receive(headers, payload, body)
        return 204

    def retry(self, memo: Json, not_before: float = 0.0) -> None:
        super().retry(memo, not_before)
        memo["due"] = None


class OncePerDelivery(Plain):
    """Books an order whenever it is told that it was paid, and is told more than once."""

    events = tuple(event for event in EVENTS if event != "order.placed")

    def receive(self, headers: dict[str, str], payload: Json, body: bytes) -> int:
        self.ask(payload["data"]["order_number"], payload["data"]["updated_at"])
        if payload["type"] == "order.paid":
            memo = self.disk["orders"][payload["data"]["order_number"]]
            memo["told"] = memo.get("told", 0) + 1
            memo["steps"] = {} if memo["told"] > 1 else memo["steps"]
        return 204

    def key(self, number: str, name: str, body: Json) -> str:
        return f"{super().key(number, name, body)}.{self.disk['orders'][number].get('told', 0)}"


class OncePerBody(LeansOnRedelivery):
    """Knows an event that came before by its body, and bodies differ in white space."""

    events = tuple(event for event in EVENTS if event != "order.placed")

    def receive(self, headers: dict[str, str], payload: Json, body: bytes) -> int:
        mark, number = sha256(body).hexdigest()[:12], payload["data"]["order_number"]
        if payload["type"] == "order.paid":
            self.ask(number, payload["data"]["updated_at"])
            memo = self.disk["orders"][number]
            memo["steps"] = memo["steps"] if memo.get("mark", mark) == mark else {}
            memo["mark"] = mark
        return super().receive({**headers, "webhook-id": mark}, payload, body)

    def key(self, number: str, name: str, body: Json) -> str:
        return f"{super().key(number, name, body)}.{self.disk['orders'][number].get('mark', '')}"


class ChecksThenActs(LooksBeforeItCreates):
    """Looks and creates in each webhook's own thread, so that two can look before either has created."""

    def receive(self, headers: dict[str, str], payload: Json, body: bytes) -> int:
        number = payload["data"]["order_number"]
        if headers["webhook-id"] not in self.disk["seen"]:
            self.ask(number, payload["data"]["updated_at"])
            self.disk["orders"][number]["due"] = None
            self.attend(number)
            self.disk["seen"].append(headers["webhook-id"])
        return 204


class QueuesInMemory(Plain):
    """Notes on the disk that it has the order in hand, but keeps in memory what is to be done."""

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.queue: list[str] = []

    def receive(self, headers: dict[str, str], payload: Json, body: bytes) -> int:
        if headers["webhook-id"] not in self.disk["seen"]:
            self.disk["seen"].append(headers["webhook-id"])
            number, changed = payload["data"]["order_number"], payload["data"]["updated_at"]
            self.ask(number, changed)
            self.disk["orders"][number] |= {"due": None, "done": changed}
            self.queue.append(number)
        return 204

    def step(self) -> float | None:
        while True:
            self.clock.sleep(0.05 if self.queue else 0.0)
            while self.queue:
                self.disk["orders"][self.queue.pop(0)]["due"] = self.clock.now()
            due = super().step()
            if not self.queue:
                return due


class WorksInTheBackground(LeansOnRedelivery):
    """Notes that the event is dealt with, answers 204, and deals with it then."""

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self.background: list[str] = []

    def receive(self, headers: dict[str, str], payload: Json, body: bytes) -> int:
        number, changed = payload["data"]["order_number"], payload["data"]["updated_at"]
        if headers["webhook-id"] not in self.disk["seen"]:
            self.disk["seen"].append(headers["webhook-id"])
            self.ask(number, changed)
            self.disk["orders"][number] |= {"due": None, "done": changed}
            self.background.append(number)
        return 204

    def step(self) -> float | None:
        while self.background:
            self.clock.sleep(0.05)
            number = self.background.pop(0)
            self.disk["orders"][number]["due"] = self.clock.now()
            self.work(number)
        return super().step()


class BelievesEvents(Plain):
    """Takes the order from the event, in the state of whichever came last."""

    def receive(self, headers: dict[str, str], payload: Json, body: bytes) -> int:
        if headers["webhook-id"] not in self.disk["seen"]:
            self.disk["seen"].append(headers["webhook-id"])
            self.ask(payload["data"]["order_number"])
            self.disk["orders"][payload["data"]["order_number"]]["order"] = payload["data"]
        return 204

    def ask(self, number: str, newest: str = "") -> None:
        super().ask(number, newest)
        if newest:
            # What a poll brings up is read anew.
            self.disk["orders"][number]["order"] = None

    def read(self, number: str, newest: str) -> Json:
        order = self.disk["orders"][number].get("order")
        # What it says about the parcel was true before the parcel was booked.
        return {**order, "fulfilment": {}} if order is not None else super().read(number, newest)


class BelievesAnybody(BelievesEvents):
    """Takes the order from the event, and events from anybody."""

    def trusts(self, headers: dict[str, str], body: bytes) -> bool:
        return True


class TellsTheCarrierEverything(Plain):
    """Hands the whole buyer to the carrier: e-mail address, telephone number, date of birth."""

    def ship(self, order: Json, memo: Json) -> None:
        memo["buyer"] = pick(order["buyer"], ("email", "phone", "date_of_birth"))
        super().ship(order, memo)

    def create(self, system: str, path: str, body: Json, key: str) -> Json:
        if path == "/shipments":
            buyer = self.disk["orders"][body["reference"]]["buyer"]
            body = {**body, "recipient": {**buyer, **body["recipient"]}}
        return super().create(system, path, body, key)


class OneAfterTheOther(Plain):
    """Takes the orders in the order in which they came, and the next one only when the one before is done."""

    def next_order(self, now: float) -> str | None:
        for number, memo in self.disk["orders"].items():
            if memo["due"] is not None or memo.get("parked"):
                return number if memo["due"] is not None and memo["due"] <= now else None
        return None

    def step(self) -> float | None:
        due = super().step()
        heads = [memo for memo in self.disk["orders"].values() if memo["due"] is not None or memo.get("parked")]
        if heads and heads[0]["due"] is None:
            return self.poll_due()
        return due

    def park(self, memo: Json, refusal: Refused) -> None:
        super().park(memo, refusal)
        memo["parked"] = True


class HurriesAlong(Plain):
    """Tries again soon, and again, and again."""

    def delay(self, tries: int) -> float:
        return 0.5


class RemembersInMemory(Plain):
    """Keeps on the disk which orders there are, but in memory what it did for them."""

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        lives = self.disk["lives"] = self.disk.get("lives", 0) + 1
        self.life = f"{lives}"
        for memo in self.disk["orders"].values():
            memo["steps"] = {}
            memo.pop("billed", None)
            memo.pop("sent_to", None)

    def key(self, number: str, name: str, body: Json) -> str:
        return f"{super().key(number, name, body)}.{self.life}"


class ShipsWhatIsNotPaid(Plain):
    """Books the parcel when the order is placed, to be quick."""

    def carry(self, order: Json, memo: Json) -> None:
        if order["status"] != "cancelled" and not order["paid"]:
            self.ship(order, memo)
        super().carry(order, memo)


class GivesUp(Plain):
    """Tries three times; what did not work then is forgotten."""

    def retry(self, memo: Json, not_before: float = 0.0) -> None:
        super().retry(memo, not_before)
        if memo["tries"] >= 3:
            memo |= {"due": None, "tries": 0}


class KnocksAgain(Plain):
    """Takes a refused key for a failure that may pass."""

    def connect(self, surroundings: Surroundings) -> Api:
        return _KnockingApi(surroundings)


class _KnockingApi(Api):
    def judge(self, system: str, source: str, response: requests.Response) -> Json:
        try:
            return super().judge(system, source, response)
        except Unauthorized as refusal:
            raise Again(str(refusal)) from refusal


class FreshKeys(Plain):
    """Makes a new key for each request."""

    def create(self, system: str, path: str, body: Json, key: str) -> Json:
        return super().create(system, path, body, f"{key}.{self.random.getrandbits(64):016x}")


class EmailInThePath(Plain):
    """Looks a customer up by a URL that holds the e-mail address."""

    def register(self, order: Json, memo: Json) -> None:
        with suppress(Refused):
            self.api.call("crm", "GET", f"/customers/{order['buyer']['email']}")
        super().register(order, memo)


class OneKeyRing(Plain):
    """Sends all keys to all systems, each will pick its own."""

    def connect(self, surroundings: Surroundings) -> Api:
        return _KeyRingApi(surroundings)


class _KeyRingApi(Api):
    def credential(self, system: str) -> dict[str, str]:
        return {**super().credential("shop"), **super().credential("shipping"), **super().credential(system)}


class ForgetsToCancel(Plain):
    """Takes no notice of a cancelled order."""

    def undo(self, memo: Json) -> None:
        pass


class ForgetsTheAddress(Plain):
    """Takes no notice of a new address."""

    def ship(self, order: Json, memo: Json) -> None:
        address = memo.setdefault("first_address", order["delivery_address"])
        super().ship({**order, "delivery_address": address}, memo)
