"""What must be true of the four systems in the end: every paid order is one customer, one invoice, one shipment.

All counts are net of what was voided, credited or cancelled. Add your own below, or in a project of your own: a
function with the decorator `invariant`, an id, and a docstring that says what it demands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from sandbox import Call, NotExercised, Run, Violation, invariant

Record = Mapping[str, Any]
Line = tuple[Decimal, Decimal, int]
Lines = Counter[Line]

NOTHING = Decimal(0)
ADDRESS = ("additional_line", "street", "postal_code", "city", "country")
# Refusals by which a system says that the data are wrong.
REFUSED = (400, 403, 422)
# Who has not tried for this long, in seconds, has given up; it is as long as a run goes on when all is quiet.
QUIET = 300.0

PROMISE = "the promise of this project"


@dataclass(slots=True)
class Order:
    """An order, and what the other systems hold about it."""

    number: str
    record: Record
    customers: list[Record] = field(default_factory=list)
    activities: list[Record] = field(default_factory=list)
    invoices: list[Record] = field(default_factory=list)
    credit_notes: list[Record] = field(default_factory=list)
    shipments: list[Record] = field(default_factory=list)

    @property
    def paid(self) -> bool:
        return bool(self.record["paid"]) and not self.cancelled

    @property
    def cancelled(self) -> bool:
        return bool(self.record["status"] == "cancelled")

    @property
    def live_invoices(self) -> list[Record]:
        """The invoices that are neither void nor credited as a whole."""
        return [invoice for invoice in self.invoices if invoice["status"] != "void" and self.net(invoice) != NOTHING]

    @property
    def live_shipments(self) -> list[Record]:
        return [shipment for shipment in self.shipments if shipment["status"] != "cancelled"]

    def is_of(self, customer_id: str) -> bool:
        return any(customer["customer_id"] == customer_id for customer in self.customers)

    def credits(self, invoice: Record) -> list[Record]:
        return [note for note in self.credit_notes if note["invoice_id"] == invoice["id"]]

    def net(self, invoice: Record) -> Decimal:
        """What an invoice is still about."""
        return money(invoice["amount_net"]) - sum(
            (money(note["amount_net"]) for note in self.credits(invoice)), NOTHING
        )

    @property
    def missing(self) -> list[str]:
        """What a paid order lacks."""
        found = {
            "customer in the CRM": self.customers,
            "order_placed activity": self.activities,
            "invoice": self.live_invoices,
            "shipment": self.live_shipments,
        }
        return [name for name, records in found.items() if not records]

    @property
    def begun(self) -> bool:
        """Whether anything was done for it at all; its customer may be another order's, too."""
        return bool(self.activities or self.live_invoices or self.live_shipments)


def orders_of(run: Run) -> dict[str, Order]:
    """All orders of the shop with what belongs to them."""
    found = {
        str(record["order_number"]): Order(str(record["order_number"]), record)
        for record in run.records("shop", "orders")
    }
    by_email: dict[str, list[Record]] = {}
    for customer in run.records("crm", "customers"):
        by_email.setdefault(str(customer["email"]).lower(), []).append(customer)
    for order in found.values():
        order.customers = by_email.get(str(order.record["buyer"]["email"]).lower(), [])
    for activity in run.records("crm", "activities"):
        order_ = found.get(str(activity.get("order_number")))
        if order_ is not None and activity["type"] == "order_placed" and order_.is_of(activity["customer_id"]):
            order_.activities.append(activity)
    for collection in ("invoices", "credit_notes"):
        for record in run.records("accounting", collection):
            if (order_ := found.get(str(record["order_number"]))) is not None:
                getattr(order_, collection).append(record)
    for shipment in run.records("shipping", "shipments"):
        if (order_ := found.get(str(shipment["reference"]))) is not None:
            order_.shipments.append(shipment)
    return found


def excused(run: Run) -> frozenset[str]:
    """The orders of which nobody can demand that they are complete: a fault holds on, or their news never arrived."""
    found: set[str] = set()
    if run.settings.may_miss:
        found.update(delivery.key for delivery in run.deliveries if delivery.dropped)
    trying: dict[tuple[str, str], Call] = {}
    for call in run.calls:
        trying[call.system, call.key] = call
    for call in trying.values():
        lasting = call.fault.get("on", {}).get("occurrence") == "any" or call.inject == "outage"
        if lasting and not call.ok and call.ended > run.end - 0.9 * (run.settings.reconcile_every or QUIET):
            orders = run.orders if call.key not in run.orders else (call.key,)
            found.update(orders)
    return frozenset(found)


def incomplete(run: Run) -> list[Order]:
    """The paid orders that lack something and for which that has no good reason."""
    return [
        order
        for order in run.once(orders_of).values()
        if order.paid and order.missing and order.number not in run.parked and order.number not in run.once(excused)
    ]


def judged(run: Run) -> dict[str, Order]:
    """The orders that must have come to something.

    Raises:
        NotExercised: when no order was paid or cancelled.
    """
    orders = {number: order for number, order in run.once(orders_of).items() if order.paid or order.cancelled}
    if not orders:
        raise NotExercised
    return orders


def money(amount: float) -> Decimal:
    return Decimal(str(amount))


def listed(names: Iterable[str]) -> str:
    *front, last = names
    return f"{', '.join(front)} and {last}" if front else last


@invariant("F01", source=PROMISE)
def each_paid_order_once(run: Run) -> Iterator[Violation]:
    """Each paid order ends with one customer, order_placed activity, invoice, shipment; a cancelled one with none."""
    for number, order in judged(run).items():
        yield from doubled(run, order)
        if order.cancelled and number not in run.parked:
            left = [
                *(f"invoice {invoice['id']}" for invoice in order.live_invoices),
                *(f"shipment {shipment['shipment_id']}" for shipment in order.live_shipments),
            ]
            if left:
                yield Violation(f"order {number} is cancelled, but still has {listed(left)}", key=number)
    for order in incomplete(run):
        yield Violation(f"order {order.number} is paid and ended without {listed(order.missing)}", key=order.number)


def doubled(run: Run, order: Order) -> Iterator[Violation]:
    """What there is too much of; what was taken back again is only worth a warning."""
    kinds = (
        ("customers", "customer_id", order.customers, order.customers),
        ("order_placed activities", "activity_id", order.activities, order.activities),
        ("invoices", "id", order.invoices, order.live_invoices),
        ("shipments", "shipment_id", order.shipments, order.live_shipments),
    )
    for kind, id_field, ever, live in kinds:
        if len(live) > 1:
            ids = listed(str(record[id_field]) for record in live)
            seqs = created(run, {str(record[id_field]) for record in live})
            said = f"order {order.number} ended with {len(live)} {kind}: {ids}"
            yield Violation(said, seqs, order.number, excess=True)
        elif len(ever) > 1:
            repeated = [count for count in Counter(map(gist, ever)).values() if count > 1]
            if repeated:
                said = f"order {order.number} had {max(repeated)} equal {kind}; what was too much was taken back"
                seqs = created(run, {str(record[id_field]) for record in ever})
                yield Violation(said, seqs, order.number, "W")


def gist(record: Record) -> str:
    """What a document says; a new one that says something else is a correction, not a double."""
    if "recipient" in record:
        recipient = record["recipient"]
        return repr((recipient["name"], *(recipient["address"].get(name) for name in ADDRESS)))
    return repr(sorted(map(line_of, record["lines"])))


def line_of(line: Record) -> Line:
    """A line as all systems tell it; its wording is everybody's own."""
    return money(line["tax_rate"]), money(line["net_amount"]), int(line["quantity"])


def created(run: Run, ids: set[str]) -> tuple[int, ...]:
    """Where in the journal records were created."""
    return tuple(
        call.seq
        for call in (*run.calls, *run.others)
        if any(change["action"] == "create" and change["id"] in ids for change in call.changes)
    )


@invariant("F02", source=PROMISE)
def no_order_is_lost(run: Run) -> Iterator[Violation]:
    """No paid order is lost once faults have ended."""
    orders = [order for order in judged(run).values() if order.paid and order.number not in run.once(excused)]
    if not orders:
        raise NotExercised
    for order in incomplete(run):
        if not order.begun:
            yield Violation(f"order {order.number} is paid, but nothing was done for it", key=order.number)


@invariant("F03", source=PROMISE)
def nothing_without_an_order(run: Run) -> Iterator[Violation]:
    """No invoice and no shipment exists without its order."""
    found = [
        *(
            ("invoice", str(r["id"]), str(r["order_number"]))
            for r in run.records("accounting", "invoices")
            if r["status"] != "void"
        ),
        *(
            ("shipment", str(r["shipment_id"]), str(r["reference"]))
            for r in run.records("shipping", "shipments")
            if r["status"] != "cancelled"
        ),
    ]
    if not found:
        raise NotExercised
    orders = run.once(orders_of)
    for kind, id_, number in found:
        if number not in orders:
            said = f"{kind} {id_} is for order {number}, which the shop does not have"
            yield Violation(said, created(run, {id_}), number)


@invariant("F04", source=PROMISE)
def all_systems_agree(run: Run) -> Iterator[Violation]:
    """Amount, currency, lines and addresses are equal across systems."""
    orders = [
        order
        for order in run.once(orders_of).values()
        if order.paid and order.number not in run.parked and (order.live_invoices or order.live_shipments)
    ]
    if not orders:
        raise NotExercised
    for order in orders:
        # Of several, nobody can say which one is right: that is what F01 is about.
        if len(order.live_invoices) == 1:
            yield from invoice_differs(order, order.live_invoices[0])
        if len(order.live_shipments) == 1:
            yield from shipment_differs(run, order, order.live_shipments[0])


def invoice_differs(order: Order, invoice: Record) -> Iterator[Violation]:
    said = f"order {order.number} and invoice {invoice['id']} differ"
    if invoice["currency"] != order.record["currency"]:
        yield Violation(f"{said} in currency: {order.record['currency']}, {invoice['currency']}", key=order.number)
    if order.net(invoice) != money(order.record["amount_net"]):
        amounts = f"{money(order.record['amount_net']):.2f}, {order.net(invoice):.2f} net"
        yield Violation(f"{said} in amount: {amounts}", key=order.number)
    elif lines_differ(order, invoice):
        yield Violation(f"{said} in their lines", key=order.number)
    billed, wanted = invoice["customer"]["billing_address"], order.record["billing_address"]
    if fields := [name for name in ADDRESS if billed.get(name) != wanted.get(name)]:
        yield Violation(f"{said} in the billing address: {listed(fields)}", key=order.number)


def lines_differ(order: Order, invoice: Record) -> bool:
    """Whether what is billed, less what was credited, is not what the order consists of."""
    wanted = Counter(line_of(item) for item in order.record["items"] if item["status"] != "cancelled")
    billed = Counter(map(line_of, invoice["lines"]))
    credited = Counter(line_of(line) for note in order.credits(invoice) for line in note["lines"])
    if credited <= billed:
        return billed - credited != wanted
    # Credited in other portions than it was billed: then only the sums can be compared.
    left, taken = by_rate(billed), by_rate(credited)
    remaining = {rate: net - taken.get(rate, NOTHING) for rate, net in left.items()}
    return {rate: net for rate, net in remaining.items() if net != NOTHING} != by_rate(wanted)


def by_rate(lines: Lines) -> dict[Decimal, Decimal]:
    """Net sums by tax rate."""
    sums: dict[Decimal, Decimal] = {}
    for (rate, net, _), count in lines.items():
        sums[rate] = sums.get(rate, NOTHING) + count * net
    return sums


def shipment_differs(run: Run, order: Order, shipment: Record) -> Iterator[Violation]:
    recipient, wanted = shipment["recipient"], order.record["delivery_address"]
    fields = [name for name in ADDRESS if recipient["address"].get(name) != wanted.get(name)]
    if recipient["name"] != wanted["name"]:
        fields.insert(0, "name")
    if fields and not (shipment["status"] != "booked" and moved_too_late(run, order.number)):
        said = f"order {order.number} and shipment {shipment['shipment_id']} differ in the delivery address"
        yield Violation(f"{said}: {listed(fields)}", key=order.number)


def moved_too_late(run: Run, number: str) -> bool:
    """Whether the address changed after the driver had picked the parcel up."""
    applied = {call.operation: call.at for call in (*run.calls, *run.others) if call.key == number and call.applied}
    return applied.get("replace_delivery_address", 0.0) >= applied.get("dispatch_shipment", float("inf"))


@invariant("F05", source=PROMISE)
def partial_failures_come_to_an_end(run: Run) -> Iterator[Violation]:
    """A partial failure ends complete, compensated or parked: on hold with a reason, or as the parking probe says."""
    failed: dict[str, Call] = {}
    for call in run.unsafe:
        if not call.ok and not call.facts.token:
            failed.setdefault(call.key, call)
    if not failed:
        raise NotExercised
    for order in incomplete(run):
        if order.begun or order.customers:
            call = failed.get(order.number) or next(iter(failed.values()))
            said = f"after {call.name} got {call.result} (seq {call.seq}), order {order.number} was left"
            yield Violation(f"{said} without {listed(order.missing)} and was not parked", (call.seq,), order.number)
    for number, order in run.once(orders_of).items():
        half = bool(order.live_invoices) != bool(order.live_shipments)
        if order.cancelled and half and number not in run.parked and number in failed:
            left = "invoice" if order.live_invoices else "shipment"
            call = failed[number]
            said = f"after {call.name} got {call.result} (seq {call.seq}), cancelled order {number} kept its {left}"
            yield Violation(said, (call.seq,), number)


@invariant("F06", source=PROMISE)
def survives_being_killed(run: Run) -> Iterator[Violation]:
    """Killing and restarting the subject keeps F01 to F05."""
    if not run.kills:
        raise NotExercised
    killed = f"the subject was killed {run.when(run.kills[0])}, and in the end"
    seen: set[str] = set()
    for rule in (
        no_order_is_lost,
        partial_failures_come_to_an_end,
        each_paid_order_once,
        nothing_without_an_order,
        all_systems_agree,
    ):
        for found in rule(run):
            if (found.severity or rule.severity) == "E" and found.key not in seen:
                seen.add(found.key)
                yield Violation(f"{killed} {found.sentence}", found.seqs, found.key)


@invariant("F07", severity="W", source=PROMISE)
def nothing_ships_unpaid(run: Run) -> Iterator[Violation]:
    """Nothing ships before it is paid."""
    shipped = [(order, shipment) for order in run.once(orders_of).values() for shipment in order.shipments]
    if not shipped:
        raise NotExercised
    for order, shipment in shipped:
        paid_at = order.record.get("paid_at")
        if paid_at is None or shipment["created_at"] < paid_at:
            when = "never was" if paid_at is None else f"was at {paid_at}"
            said = f"shipment {shipment['shipment_id']} of order {order.number} was booked at {shipment['created_at']}"
            yield Violation(f"{said}, but paid it {when}", created(run, {str(shipment["shipment_id"])}), order.number)


@invariant("F08", source=PROMISE)
def one_poison_blocks_no_others(run: Run) -> Iterator[Violation]:
    """A poisoned order (valid by schema, refused by a business rule) does not block the others."""
    orders = run.once(orders_of)
    poisoned = {
        call.key: call
        for call in run.unsafe
        if call.seen in REFUSED and call.key in orders and not call.inject and call.problem != "validation"
    }
    if not poisoned or len(orders) <= len(poisoned):
        raise NotExercised
    faulty = {call.key for call in run.calls if call.inject}
    for order in incomplete(run):
        if order.number not in poisoned and order.number not in faulty:
            poison = next(iter(poisoned.values()))
            said = f"{poison.name} was refused with {poison.seen} (seq {poison.seq}), and order {order.number}"
            yield Violation(f"{said} ended without {listed(order.missing)}", (poison.seq,), order.number)
