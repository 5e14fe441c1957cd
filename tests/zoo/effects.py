"""Mistakes in what is done for an order: parts of the reference integrator, each wrong in one respect (rules F)."""

from __future__ import annotations

from sandbox.integrator.accounting import Accounting
from sandbox.integrator.agenda import Agenda, Job
from sandbox.integrator.crm import Crm
from sandbox.integrator.document import Json
from sandbox.integrator.failures import Failure
from sandbox.integrator.journey import Journey
from sandbox.integrator.ledger import Ledger, State, Step
from sandbox.integrator.order import Order
from sandbox.integrator.shipping import Shipping
from sandbox.integrator.steps import Find, Send, Steps
from sandbox.integrator.worker import Worker


class _MarkingSteps(Steps):
    def take(self, name: str, request: Json, send: Send, find: Find | None = None) -> Json:
        if name != "activity":
            return super().take(name, request, send, find)
        if name in self._steps:
            return {}
        step = self._begin(name, request)
        self._ledger.finish(step, {"id": ""})
        try:
            return send(step.request, step.key)
        except Failure:
            self._ledger.forget(step)  # type: ignore[attr-defined]
            raise


class ForgettingLedger(Ledger):
    """A ledger whose steps can be taken out again."""

    def forget(self, step: Step) -> None:
        self._database.execute(
            "DELETE FROM steps WHERE order_number = ? AND name = ?", step.order_number, step.name
        )  # fmt: skip


class MarksBeforeWriting(Journey):
    """Notes that the activity is recorded, and records it then; it takes the note back if that fails."""

    def advance(self, order: Order) -> None:
        look_first = order.created_at < self._began_at
        steps = _MarkingSteps(self._ledger, order, look_first=look_first, progressed=self._progressed)
        if order.cancelled:
            self._take_back(steps, order)
        elif order.paid:
            self._register(steps, order)
            self._invoice(steps, order)
            self._ship(steps, order)


class KeysInMemory(Ledger):
    """Draws a key for each step and does not write it down; it is another one after a restart."""

    def steps(self, order_number: str) -> dict[str, Step]:
        return {name: self._known(step) for name, step in super().steps(order_number).items()}

    def begin(self, order_number: str, name: str, request: Json, before: Step | None) -> Step:
        return self._known(super().begin(order_number, name, request, before))

    def _known(self, step: Step) -> Step:
        if "_life" not in self.__dict__:
            self._life = (self._database.setting("lives") or 0.0) + 1
            self._database.remember("lives", self._life)
        return _Keyed.of_life(step, self._life) if step.state is State.BEGUN else step


class _Keyed(Step):
    life: float

    @classmethod
    def of_life(cls, step: Step, life: float) -> _Keyed:
        keyed = cls(**vars(step))
        object.__setattr__(keyed, "life", life)
        return keyed

    @property
    def key(self) -> str:
        return f"{super().key}-{self.life:.0f}"


class FloatMoney(Accounting):
    """Cuts amounts to the cent with float arithmetic."""

    def create_invoice(self, request: Json, key: str) -> Json:
        lines = [line | {"net_amount": int(line["net_amount"] * 100) / 100} for line in request["lines"]]
        total = round(sum(line["net_amount"] for line in lines), 2)
        invoice = super().create_invoice({**request, "lines": lines, "amount_net": total}, key)
        return {**invoice, "lines": request["lines"]}


class AlwaysEuro(Accounting):
    """Has never met another currency."""

    def create_invoice(self, request: Json, key: str) -> Json:
        return super().create_invoice({**request, "currency": "EUR"}, key)


class KeepsTheFirstAddress(Shipping):
    """Does not tell the carrier when the customer moves."""

    def replace_address(self, shipment_id: str, request: Json) -> None:
        pass


class ForgetsCancelledLines(Journey):
    """Does not credit a line item that was cancelled after the invoice."""

    def _credit(self, steps: Steps, order: Order, invoice: Json, lines: list[Json]) -> Json:
        return {**invoice, "lines": order.lines}


class LeavesTheInvoice(Accounting):
    """Takes the parcel of a cancelled order back, but not the invoice."""

    def void_invoice(self, invoice_id: str, key: str) -> Json:
        return {"void": True}


class LeavesTheParcel(Shipping):
    """Takes the invoice of a cancelled order back, but not the parcel."""

    def cancel_shipment(self, shipment_id: str, key: str) -> Json:
        return {"cancelled": True}


class UsesItsOwnReference(Shipping):
    """Gives the carrier a reference of its own instead of the order's number."""

    def create_shipment(self, request: Json, key: str) -> Json:
        return super().create_shipment({**request, "reference": f"P{request['reference'].replace('-', '')}"}, key)


class ShipsBeforePaid(Journey):
    """Books the parcel as soon as the order is placed."""

    def advance(self, order: Order) -> None:
        super().advance(order)
        if not order.paid and not order.cancelled:
            self._ship(Steps(self._ledger, order, look_first=False, progressed=self._progressed), order)


class NewCustomerForEachOrder(Crm):
    """Makes the e-mail address unique, so that the CRM always takes it."""

    def create_customer(self, request: Json, key: str) -> Json:
        local, _, domain = request["email"].partition("@")
        order_number = key.removeprefix("order-").removesuffix("-customer-1")
        return super().create_customer({**request, "email": f"{local}+{order_number}@{domain}"}, key)


class NoActivity(Crm):
    """Thinks that a customer is enough."""

    def create_activity(self, customer_id: str, request: Json, key: str) -> Json:
        return {"id": ""}


class ParksInSilence(Worker):
    """Parks an order, and tells nobody."""

    def _show_parked(self, job: Job) -> None:
        self._agenda.marked(job)


class FirstComeFirstServed(Agenda):
    """Takes the orders one after the other; the next one has to wait until the one before is done."""

    def next_job(self, now: float) -> Job | None:
        job = self._job(
            "SELECT * FROM jobs WHERE due_at IS NOT NULL OR parked IS NOT NULL ORDER BY order_number LIMIT 1"
        )
        due = (
            None
            if job is None
            else self._database.row("SELECT due_at FROM jobs WHERE order_number = ?", job.order_number)
        )
        return job if due is not None and due["due_at"] is not None and due["due_at"] <= now else None

    def next_due(self) -> float | None:
        mark = self._database.row("SELECT min(mark_due_at) AS due FROM jobs")
        head = self._database.row(
            "SELECT due_at AS due FROM jobs WHERE due_at IS NOT NULL OR parked IS NOT NULL"
            " ORDER BY order_number LIMIT 1"
        )
        return min((row["due"] for row in (mark, head) if row is not None and row["due"] is not None), default=None)


class GivesUpInSilence(Worker):
    """Forgets an order after the third failure in a row."""

    def _set_aside(self, job: Job, failure: Failure, order: Order | None) -> None:
        if self._agenda.attempts(job.order_number) + 1 < 3:
            super()._set_aside(job, failure, order)
        else:
            self._agenda.settle(job, order.fingerprint if order else "", self._clock.now())
