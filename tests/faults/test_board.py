"""Which armed fault a call or a delivery meets: points, keys, matches, counts and times to live."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sandbox.errors import PlanError
from sandbox.faults import Arrival, Board
from sandbox.inprocess import BASE_URL, InProcess
from sandbox.model import CallAddress, DeliveryAddress
from sandbox.plan import Injection, Plan
from sandbox.plan_document import read_fault, read_plan
from sandbox.project import Project
from sandbox.redaction import Redactor

INVOICE = {"system": "accounting", "operation": "create_invoice"}


class Time:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def board(time: Time) -> Board:
    return Board(seed=7, now=time, redactor=Redactor(b"7", {"tok_0123456789": "accounting"}))


def arm(board: Board, on: dict[str, Any], inject: str = "timeout", **fields: Any) -> str:
    return board.add(read_fault({"on": on, "inject": inject, **fields})).id


def call(board: Board, key: str = "2025-1", occurrence: int = 1, operation: str = "create_invoice", **seen: Any) -> Any:
    """The id of the fault that a call to accounting meets."""
    arrival = Arrival(seen.get("method", "POST"), tuple(seen.get("headers", {}).items()), seen.get("body"))
    met = board.for_call(CallAddress("accounting", operation, key, occurrence), seen.get("label"), lambda: arrival)
    return None if met is None else met.id


def deliver(
    board: Board, event: str = "order.paid", key: str = "2025-1", n: int = 1, to: str = "sub_1", body: bytes = b""
) -> Any:
    met = board.for_delivery(DeliveryAddress(event, key, n, to), body)
    return None if met is None else met.id


def test_an_empty_board_lets_everything_pass(board: Board) -> None:
    assert call(board) is None
    assert deliver(board) is None
    assert board.lifted_at == 0


@pytest.mark.parametrize(
    ("occurrence", "met"),
    [(None, [1]), (1, [1]), (3, [3]), ("2-3", [2, 3]), ("any", [1, 2, 3, 4, 5]), ("4", [4])],
)
def test_occurrences(board: Board, occurrence: Any, met: list[int]) -> None:
    on = INVOICE if occurrence is None else INVOICE | {"occurrence": occurrence}
    fault = arm(board, on)
    assert [n for n in range(1, 6) if call(board, occurrence=n) == fault] == met


def test_left_out_is_each_key_counted_by_itself(board: Board) -> None:
    fault = arm(board, INVOICE)
    assert [call(board, key) for key in ("2025-1", "2025-2", "-")] == [fault] * 3
    assert call(board, "2025-1", 2) is None
    assert board.all()[0].fired == 3


def test_a_key_picks_one(board: Board) -> None:
    fault = arm(board, INVOICE | {"key": "2025-2"})
    assert [call(board, key) for key in ("2025-1", "2025-2")] == [None, fault]


def test_the_operation_may_be_left_out(board: Board) -> None:
    fault = arm(board, {"system": "accounting"})
    assert call(board, operation="get_invoice") == call(board, operation="list_invoices") == fault
    assert board.for_call(CallAddress("shop", "get_order", "-", 1)) is None


def test_the_first_that_fits_is_met(board: Board) -> None:
    first = arm(board, INVOICE | {"key": "2025-1"})
    second = arm(board, INVOICE, inject="reset")
    assert call(board) == first
    assert call(board, "2025-2") == second
    assert board.remove(first)
    assert not board.remove(first)
    assert call(board) == second


def test_deliveries(board: Board) -> None:
    fault = arm(board, {"event": "order.paid"}, inject="drop")
    assert [deliver(board, to=to) for to in ("sub_1", "sub_2")] == [fault] * 2
    assert deliver(board, "order.placed") is deliver(board, n=2) is None
    assert call(board) is None
    board.clear()
    one = arm(board, {"event": "order.paid", "subscriber": "sub_2", "key": "2025-1", "occurrence": "any"}, "delay")
    assert [deliver(board, to=to, n=5) for to in ("sub_1", "sub_2")] == [None, one]


PERSON = "Ada.Lovelace@example.com"
LABEL = Redactor(b"7", {}).text(PERSON)


@pytest.mark.parametrize("written", [PERSON, PERSON.lower(), LABEL])
def test_a_personal_key_matches_as_it_is_and_as_the_journal_shows_it(board: Board, written: str) -> None:
    assert LABEL.startswith("[personal:")
    fault = arm(board, {"system": "crm", "key": written, "occurrence": "any"})
    event = arm(board, {"event": "order.paid", "key": written}, "drop")
    for key in (PERSON, PERSON.lower()):
        met = board.for_call(CallAddress("crm", "create_customer", key, 1), LABEL)
        assert met is not None
        assert met.id == fault
        assert met.entry()["on"]["key"] == LABEL
    assert deliver(board, key=PERSON) == event
    assert board.for_call(CallAddress("crm", "create_customer", "bob@example.com", 1)) is None


@pytest.mark.parametrize("written", ["Ada Lovelace", Redactor(b"7", {}).personal("Ada Lovelace")])
def test_a_name_matches_by_its_label_too(board: Board, written: str) -> None:
    arm(board, {"system": "crm", "key": written})
    label = Redactor(b"7", {}).personal("Ada Lovelace")
    met = board.for_call(CallAddress("crm", "search_customers", "Ada Lovelace", 1), label)
    assert met is not None
    assert "Lovelace" not in str(met.entry())


def test_a_header_match_sees_what_was_sent(board: Board) -> None:
    fault = arm(board, INVOICE | {"occurrence": "any"}, match={"header": {"Authorization": "Bearer tok_0123456789"}})
    assert call(board, headers={"authorization": "Bearer tok_0123456789"}) == fault
    assert call(board, headers={"authorization": "Bearer tok_9876543210"}) is None
    assert call(board) is None
    assert "tok_0123456789" not in str(board.all()[0].entry())
    assert board.for_call(CallAddress("accounting", "create_invoice", "-", 1)) is None


BODY = {"currency": "EUR", "lines": [{"sku": "A"}, {"sku": "B", "n": 1}], "a/b": {"~": None}, "paid": True, "net": 12.0}


@pytest.mark.parametrize(
    ("pointer", "value", "fits"),
    [
        ("/currency", "EUR", True),
        ("/currency", "USD", False),
        ("/lines/1/sku", "B", True),
        ("/lines/2/sku", "B", False),
        ("/lines/x", None, False),
        ("/lines/1", {"sku": "B", "n": 1}, True),
        ("/a~1b/~0", None, True),
        ("/missing", None, False),
        ("/currency/0", "E", False),
        ("/paid", True, True),
        ("/paid", 1, False),
        ("/lines/1/n", True, False),
        ("/net", 12, True),
        ("", BODY, True),
        ("", {}, False),
    ],
)
def test_a_body_match(board: Board, pointer: str, value: Any, fits: bool) -> None:
    fault = arm(board, INVOICE, match={"body": {pointer: value}})
    assert call(board, body=BODY) == (fault if fits else None)
    assert call(board, body=None) is None


def test_a_match_on_an_event(board: Board) -> None:
    fault = arm(board, {"event": "order.paid", "occurrence": "any"}, "drop", match={"body": {"/data/currency": "EUR"}})
    assert deliver(board, body=b'{"data": {"currency": "EUR"}}') == fault
    assert deliver(board, body=b'{"data": {"currency": "USD"}}') is None


def test_all_of_a_match_must_be_true(board: Board) -> None:
    fault = arm(board, INVOICE | {"occurrence": "any"}, match={"body": {"/a": 1, "/b": 2}, "header": {"x-try": "1"}})
    assert call(board, body={"a": 1, "b": 2}, headers={"X-Try": "1"}) == fault
    assert call(board, body={"a": 1, "b": 3}, headers={"X-Try": "1"}) is None
    assert call(board, body={"a": 1, "b": 2}, headers={"X-Try": "2"}) is None


def test_count(board: Board) -> None:
    fault = arm(board, INVOICE | {"occurrence": "any"}, count=2)
    later = arm(board, INVOICE | {"occurrence": "any"}, inject="reset", count=1)
    assert [call(board, occurrence=n) for n in range(1, 5)] == [fault, fault, later, None]


def test_a_call_that_does_not_match_is_not_counted(board: Board) -> None:
    fault = arm(board, INVOICE | {"occurrence": "any"}, count=1, match={"body": {"/a": 1}})
    assert [call(board, body={"a": n}) for n in (0, 0, 1, 1)] == [None, None, fault, None]


def test_time_to_live(board: Board, time: Time) -> None:
    time.now = 5000.0
    fault = arm(board, INVOICE | {"occurrence": "any"}, ttl="10m")
    assert call(board) == fault
    time.now += 599.9
    assert call(board) == fault
    assert board.lifted_at == 5600.0
    time.now = 5600.0
    assert call(board) is None
    assert [armed.fired for armed in board.all()] == [2]


def test_a_fault_on_reading_passes_by_what_writes(board: Board) -> None:
    fault = arm(board, {"system": "accounting", "occurrence": "any"}, "stale_read")
    assert call(board, method="POST") is None
    assert call(board, operation="get_invoice", method="GET") == fault


def test_what_an_outage_remembers_belongs_to_one_board(board: Board, time: Time) -> None:
    fault = read_fault({"on": INVOICE | {"key": "2025-7"}, "inject": "outage", "with": {"for": "10m"}})
    first, second = board.add(fault), Board(now=time).add(fault)
    assert first.fault is not second.fault
    assert call(board) is None
    assert call(board, "2025-7") == first.id


def test_ids_are_never_used_twice(board: Board) -> None:
    ids = [arm(board, INVOICE) for _ in range(2)]
    board.clear()
    ids.append(arm(board, INVOICE))
    board.apply(read_plan({"faults": [{"on": INVOICE, "inject": "reset"}]}))
    ids += [armed.id for armed in board.all()]
    assert len(set(ids)) == 4


def test_a_plan_is_armed_as_a_whole_or_not_at_all(board: Board) -> None:
    kept = arm(board, INVOICE)
    good = read_plan({"seed": 3, "faults": [{"on": INVOICE, "inject": "reset"}]})
    point = good.faults[0].on
    bad = Plan((Injection(point, "reset"), Injection(point, "timeout"), Injection(point, "no")))
    with pytest.raises(PlanError, match="there is no fault 'no'") as caught:
        board.apply(bad)
    assert caught.value.pointer == "/faults/2/inject"
    assert [armed.id for armed in board.all()] == [kept]
    assert board.seed == 7
    board.apply(good)
    assert [armed.injection.inject for armed in board.all()] == ["reset"]
    assert board.seed == 3
    board.clear()
    assert board.all() == board.weather() == []
    assert board.seed == 7


def test_there_may_be_a_thousand(board: Board) -> None:
    for _ in range(1000):
        arm(board, INVOICE)
    with pytest.raises(PlanError, match="1000 faults are armed"):
        arm(board, INVOICE)
    with pytest.raises(PlanError, match="2000 are too many"):
        board.apply(Plan(tuple(armed.injection for armed in board.all()) * 2))


# The same in a world: typed Python, checked against the project.


@pytest.fixture
def sandbox(project: Project) -> Iterator[InProcess]:
    started = InProcess(project)
    yield started
    started.close()


@pytest.fixture
def place(sandbox: InProcess) -> Callable[[str], int]:
    """Places an order and tells the status."""
    session, shop = sandbox.session(), sandbox.access().systems["shop"]

    def order(number: str) -> int:
        document = {"order_number": number, "customer": "Example Ltd", "amount_net": 1290.0, "currency": "EUR"}
        headers = {"X-Shop-Api-Key": shop["api_key"]}
        document |= {"line_items": 3, "paid": True}
        return session.post(f"{BASE_URL}/shop/orders", json=document, headers=headers).status_code

    return order


def test_inject(sandbox: InProcess, place: Callable[[str], int]) -> None:
    world = sandbox.world()
    armed = world.inject("shop.place_order", "server_error", key="2025-1", occurrence="1-2", status=503)
    assert [place("2025-1"), place("2025-2"), place("2025-1"), place("2025-1")] == [503, 201, 503, 201]
    assert armed.fired == 2
    assert armed.to_json() == {
        "id": armed.id,
        "on": {"system": "shop", "operation": "place_order", "key": "2025-1", "occurrence": "1-2"},
        "inject": "server_error",
        "with": {"status": 503},
        "fired": 2,
    }


def test_inject_takes_all_that_a_plan_can_say(sandbox: InProcess) -> None:
    world = sandbox.world()
    armed = world.inject(
        "order.paid", "duplicate", key="2025-1", subscriber="sub_1", match={"body": {"/data/currency": "EUR"}},
        count=2, ttl="10m", after="3s",
    )  # fmt: skip
    document = {name: value for name, value in armed.to_json().items() if name not in ("id", "fired")}
    assert read_fault(document) == armed.injection
    assert world.inject("accounting", "outage", for_="10m").injection.parameters == {"for": "10m"}
    assert world.inject("accounting.create_invoice", "truncated").injection.effect == "applied"


@pytest.mark.parametrize(
    ("point", "fault", "options", "reason", "hint"),
    [
        ("acounting.create_invoice", "timeout", {}, "there is no system 'acounting'", "did you mean accounting?"),
        ("accounting.create_invoce", "timeout", {}, "accounting has no operation", "did you mean create_invoice?"),
        ("accounting.create_invoice", "timout", {}, "there is no fault 'timout'", "did you mean timeout?"),
        ("order.payed", "drop", {}, "no system has an event 'order.payed'", "did you mean"),
        ("order.paid", "timeout", {}, "order.paid is an event", "such as duplicate"),
        ("shop.get_order", "drop", {}, "drop is a fault on deliveries", "on: {event: order.paid}"),
        ("accounting.create_invoice", "truncated", {"effect": "none"}, "cannot have effect: none", "applied"),
        ("accounting.create_invoice", "stale_read", {}, "a fault on reading", "list_invoices"),
        ("accounting.create_invoice", "timeout", {"after": "3s"}, "timeout takes no 'after'", "leave with: out"),
        ("accounting.create_invoice", "timeout", {"occurrence": 0}, "occurrence: 0", "a range"),
        ("accounting.create_invoice", "timeout", {"ttl": "soon"}, "ttl: 'soon'", "10m"),
    ],
)
def test_inject_refuses(
    sandbox: InProcess, point: str, fault: str, options: dict[str, Any], reason: str, hint: str
) -> None:
    with pytest.raises(PlanError) as caught:
        sandbox.world().inject(point, fault, **options)
    assert reason in caught.value.message
    assert caught.value.hint is not None
    assert hint in caught.value.hint
    assert sandbox.world().faults.all() == []


def test_a_plan_that_does_not_fit_the_project_changes_nothing(sandbox: InProcess) -> None:
    world = sandbox.world()
    kept = world.inject("shop.get_order", "timeout")
    with pytest.raises(PlanError, match="there is no system 'warehouse'"):
        world.apply(read_plan({"faults": [{"on": {"system": "warehouse"}, "inject": "reset"}]}))
    assert world.faults.all() == [kept]


def test_each_world_has_its_own(sandbox: InProcess, place: Callable[[str], int]) -> None:
    sandbox.world("other").inject("shop.place_order", "server_error", occurrence="any")
    assert place("2025-1") == 201


def test_the_journals_address_can_be_copied_into_a_plan(sandbox: InProcess, place: Callable[[str], int]) -> None:
    crm = sandbox.access().systems["crm"]
    session = sandbox.session()
    form = {"grant_type": "client_credentials", "client_id": crm["client_id"], "client_secret": crm["client_secret"]}
    token = session.post(f"{crm['url']}/oauth/token", data=form).json()["access_token"]

    def create(email: str) -> int:
        body, headers = {"name": "Ada Lovelace", "email": email}, {"Authorization": f"Bearer {token}"}
        return session.post(f"{crm['url']}/customers", json=body, headers=headers).status_code

    assert create("ada@example.com") == 201
    address = sandbox.world().entries()[-1]["address"]
    assert address["key"].startswith("[personal:")
    sandbox.world().apply(read_plan({"faults": [{"on": address | {"occurrence": 2}, "inject": "server_error"}]}))
    assert create("bob@example.com") == 201
    assert create("ada@example.com") == 500
    entry = sandbox.world().entries()[-1]
    assert entry["fault"] == {"on": address | {"occurrence": 2}, "inject": "server_error"}
    assert "ada@" not in str(entry)
