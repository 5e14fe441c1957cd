"""Journals written by hand: an entry for each call, delivery and note, with what rules look at filled in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from sandbox.facts import facts_of
from sandbox.layout import load_specs
from sandbox.project import load_invariants
from sandbox.rules import RULES, Facts, Judgement, Rule, Run, Settings, Verdict
from sandbox.spec import Spec

ROOT = Path(__file__).resolve().parents[2]
START = 1_767_225_600.0
ORDER = "2025-4471"
OTHER = "2025-4472"
EMAIL = "[personal:3d6c98b9]"
SECRETS = {
    "shop": {"x-shop-api-key": "[secret:shop]"},
    "crm": {"authorization": "Bearer [secret:crm]"},
    "accounting": {"authorization": "Bearer [secret:accounting]"},
    "shipping": {"x-carrier-key": "[secret:shipping]"},
}

Record = dict[str, Any]


@cache
def specs() -> Mapping[str, Spec]:
    return load_specs(ROOT)


@cache
def facts() -> Facts:
    return facts_of(specs().values())


@cache
def all_rules() -> Mapping[str, Rule]:
    return {rule.id: rule for rule in (*load_invariants(ROOT), *RULES)}


class Journal:
    """Entries in the order in which they are added; times are seconds after the start."""

    def __init__(self) -> None:
        self.entries: list[Record] = []
        self._occurrences: dict[tuple[str, str, str], int] = {}

    def call(
        self,
        point: str,
        at: float = 0.0,
        *,
        about: str = ORDER,
        key: str | None = None,
        body: Any = None,
        path: str | None = None,
        query: str = "",
        headers: Mapping[str, str] | None = None,
        status: int | None = 200,
        applied: bool | None = None,
        inject: str = "",
        fault: Mapping[str, Any] | None = None,
        outcome: str = "sent",
        took: float = 0.0,
        left: float | None = None,
        answer: Any = None,
        answer_headers: Mapping[str, str] | None = None,
        changes: list[Record] | None = None,
        events: list[str] | None = None,
        scenario: bool = False,
        repeat_of: int | None = None,
        method: str | None = None,
    ) -> int:
        """Add a call; its method and path are the spec's when left out. Returns its place in the journal."""
        system, _, operation = point.partition(".")
        declared = specs()[system].operations.get(operation)
        place = system, operation, about
        self._occurrences[place] = self._occurrences.get(place, 0) + 1
        sent = {**SECRETS[system], "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01", **(headers or {})}
        if key is not None:
            sent["idempotency-key"] = key
        if scenario:
            sent["sandbox-actor"] = "scenario"
        if applied is None:
            writes = declared is not None and declared.method not in ("GET", "HEAD")
            applied = bool(writes and status is not None and 200 <= status < 300)
        entry: Record = {
            "seq": len(self.entries) + 1,
            "kind": "call",
            "at": START + at,
            "address": {
                "system": system,
                "operation": operation,
                "key": about,
                "occurrence": self._occurrences[place],
            },
            "request": {
                "method": method or (declared.method if declared else "GET"),
                "path": path or (declared.path.replace("{", "").replace("}", "") if declared else "/"),
                "query": query,
                "headers": sent,
                "body": body,
            },
            "effect": "applied" if applied else "none",
            "changes": changes or [],
            "events": events or [],
            "fault": {"on": {"system": system, "occurrence": 1}, "inject": inject, **(fault or {})} if inject else None,
            "answer": {
                "status": status,
                "headers": dict(answer_headers or {}),
                "body": answer,
                "at": START + at + took,
                "outcome": outcome,
            },
        }
        if left is not None:
            entry["left_at"] = START + left
        if repeat_of is not None:
            entry["repeat_of"] = repeat_of
        self.entries.append(entry)
        return len(self.entries)

    def lost(self, point: str, at: float = 0.0, *, applied: bool = True, after: float = 10.0, **given: Any) -> int:
        """A call whose answer was lost; its caller gave up after a while."""
        return self.call(
            point,
            at,
            status=201 if applied else None,
            applied=applied,
            inject="timeout",
            outcome="lost",
            left=at + after,
            **given,
        )

    def delivery(
        self,
        event: str,
        at: float = 0.0,
        *,
        about: str = ORDER,
        id: str = "evt_1",  # noqa: A002 - the field's own name
        status: int | None = 204,
        error: str = "",
        took: float = 0.0,
        attempt: int = 1,
        inject: str = "",
        fault: Mapping[str, Any] | None = None,
    ) -> int:
        answer: Record = {"at": START + at + took} | ({"status": status} if status else {"error": error})
        self.entries.append(
            {
                "seq": len(self.entries) + 1,
                "kind": "delivery",
                "at": START + at,
                "system": "shop",
                "address": {"event": event, "key": about, "occurrence": 1, "subscriber": "sub_1"},
                "event_id": id,
                "attempt": attempt,
                "request": {"url": "http://127.0.0.1:9000", "headers": {}, "body": {"type": event, "data": {}}},
                "fault": {"inject": inject, **(fault or {})} if inject else None,
                "answer": answer,
            }
        )
        return len(self.entries)

    def note(self, text: str, at: float = 0.0) -> int:
        self.entries.append({"seq": len(self.entries) + 1, "kind": "note", "at": START + at, "text": text})
        return len(self.entries)

    def killed(self, at: float) -> None:
        self.note("subject killed", at)
        self.note("subject restarted", at + 1.0)

    def run(self, state: Mapping[str, Any] | None = None, *, lasts: float | None = 1000.0, **settings: Any) -> Run:
        ended = None if lasts is None else START + lasts
        return Run(self.entries, state or {}, facts(), Settings(ended_at=ended, **settings))


def buyer() -> Record:
    return {"name": "Martha Klein", "email": "martha.klein@example-ltd.example", "phone": "+44 20 7946 0123"}


def address(street: str = "7 Quay Road") -> Record:
    return {"street": street, "postal_code": "BS1 6UT", "city": "Bristol", "country": "GB"}


class Books:
    """The final state of all systems, complete for one paid order; each test breaks what it needs broken."""

    def __init__(self, *numbers: str) -> None:
        self.state: Record = {
            "shop": {"orders": []},
            "crm": {"customers": [], "activities": []},
            "accounting": {"invoices": [], "credit_notes": []},
            "shipping": {"shipments": []},
        }
        self.customers.append({"customer_id": "cus_1", **{name: buyer()[name] for name in ("name", "email")}})
        for number in numbers or (ORDER,):
            self.order(number)
            self.complete(number)

    @property
    def orders(self) -> list[Record]:
        found: list[Record] = self.state["shop"]["orders"]
        return found

    @property
    def customers(self) -> list[Record]:
        found: list[Record] = self.state["crm"]["customers"]
        return found

    @property
    def activities(self) -> list[Record]:
        found: list[Record] = self.state["crm"]["activities"]
        return found

    @property
    def invoices(self) -> list[Record]:
        found: list[Record] = self.state["accounting"]["invoices"]
        return found

    @property
    def credit_notes(self) -> list[Record]:
        found: list[Record] = self.state["accounting"]["credit_notes"]
        return found

    @property
    def shipments(self) -> list[Record]:
        found: list[Record] = self.state["shipping"]["shipments"]
        return found

    def order(self, number: str = ORDER, **fields: Any) -> Record:
        lines = [(980.0, 19, 2), (310.0, 7, 1)]
        record = {
            "order_number": number,
            "customer": "Example Ltd",
            "amount_net": 1290.0,
            "currency": "EUR",
            "paid": True,
            "status": "paid",
            "paid_at": "2026-01-01T00:00:00.000Z",
            "buyer": buyer(),
            "billing_address": {"name": "Example Ltd", **address("12 Harbour Street")},
            "delivery_address": {"name": "Martha Klein", **address()},
            "items": [
                {"net_amount": net, "tax_rate": rate, "quantity": quantity, "status": "active"}
                for net, rate, quantity in lines
            ],
            "fulfilment": {"status": "in_progress"},
            **fields,
        }
        self.orders.append(record)
        return record

    def complete(self, number: str = ORDER) -> None:
        self.activity(number)
        self.invoice(number)
        self.shipment(number)

    def activity(self, number: str = ORDER, **fields: Any) -> Record:
        record = {
            "activity_id": f"act_{len(self.activities) + 1}",
            "customer_id": "cus_1",
            "type": "order_placed",
            "order_number": number,
            **fields,
        }
        self.activities.append(record)
        return record

    def invoice(self, number: str = ORDER, **fields: Any) -> Record:
        record = {
            "id": f"inv_{len(self.invoices) + 1}",
            "order_number": number,
            "status": "open",
            "currency": "EUR",
            "amount_net": 1290.0,
            "customer": {"name": "Example Ltd", "billing_address": address("12 Harbour Street")},
            "lines": [
                {"net_amount": 980.0, "tax_rate": 19.0, "quantity": 2},
                {"net_amount": 310.0, "tax_rate": 7.0, "quantity": 1},
            ],
            **fields,
        }
        self.invoices.append(record)
        return record

    def credit(self, invoice: Record, lines: list[Record]) -> Record:
        record = {
            "id": f"cn_{len(self.credit_notes) + 1}",
            "invoice_id": invoice["id"],
            "order_number": invoice["order_number"],
            "amount_net": sum(line["net_amount"] for line in lines),
            "lines": copy.deepcopy(lines),
        }
        self.credit_notes.append(record)
        return record

    def shipment(self, number: str = ORDER, **fields: Any) -> Record:
        record = {
            "shipment_id": f"shp_{len(self.shipments) + 1}",
            "reference": number,
            "status": "booked",
            "recipient": {"name": "Martha Klein", "address": address()},
            "created_at": "2026-01-01T00:00:01.000Z",
            **fields,
        }
        self.shipments.append(record)
        return record


@dataclass(frozen=True)
class Case:
    """A run, and what one rule must say about it."""

    rule: str
    verdict: Verdict
    build: Callable[[], Run]
    severity: str = "E"
    says: str = ""

    def __str__(self) -> str:
        return f"{self.rule}-{self.verdict}-{self.build.__name__}"

    def check(self) -> Judgement:
        """Judge, and compare."""
        run = self.build()
        found = all_rules()[self.rule].judge(run)
        sentences = [violation.sentence for violation in found.violations]
        assert found.verdict == self.verdict, (found.error, sentences)
        if self.verdict is Verdict.FAIL:
            assert found.severity == self.severity, sentences
            assert any(self.says in sentence for sentence in sentences), sentences
            known = {entry["seq"] for entry in run_entries(run)}
            assert all(set(violation.seqs) <= known for violation in found.violations)
        return found


def run_entries(run: Run) -> Iterator[Record]:
    for item in (*run.calls, *run.others, *run.deliveries):
        yield {"seq": item.seq}


class Cases(list[Case]):
    """Collects the cases of one module."""

    def fails(self, rule: str, says: str = "", severity: str = "E") -> Callable[[Callable[[], Run]], Callable[[], Run]]:
        return self._adder(rule, Verdict.FAIL, severity, says)

    def passes(self, rule: str) -> Callable[[Callable[[], Run]], Callable[[], Run]]:
        return self._adder(rule, Verdict.PASS)

    def idle(self, rule: str) -> Callable[[Callable[[], Run]], Callable[[], Run]]:
        return self._adder(rule, Verdict.NOT_EXERCISED)

    def _adder(
        self, rule: str, verdict: Verdict, severity: str = "E", says: str = ""
    ) -> Callable[[Callable[[], Run]], Callable[[], Run]]:
        def add(build: Callable[[], Run]) -> Callable[[], Run]:
            self.append(Case(rule, verdict, build, severity, says))
            return build

        return add
