"""What callers of OData, JSON:API and HAL rely on: orders, filters, links, what is embedded, headers, refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.inference.asking import filter_of, order_of
from sandbox.inprocess import InProcess
from sandbox.project import Project
from tests.vendors.walk import Walker


@pytest.fixture(scope="module")
def sandbox() -> Iterator[InProcess]:
    sandbox = InProcess(Project.load(Path(__file__).parent))
    yield sandbox
    sandbox.close()


@pytest.fixture
def call(request: pytest.FixtureRequest, sandbox: InProcess, world_name: str) -> Any:
    """Calls an operation of the system that a test names; the body of its success."""
    walker = Walker(sandbox.project.specs[request.param], sandbox, world_name)

    def call(operation: str, body: Any = None, query: Any = None, status: int = 200, **path: Any) -> Any:
        answer = walker.call(walker.spec.operations[operation], body, query, **path)
        assert answer.status_code == status, answer.text
        return answer

    return call


def on(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("call", [name], indirect=True)


ARTICLES = [
    {"Number": "A-1", "Description": "chair", "Price": 30},
    {"Number": "A-2", "Description": "desk", "Price": 290.5},
    {"Number": "A-3", "Description": "lamp", "Price": 30},
]


@on("erp")
def test_a_put_of_several_creates_and_changes(call: Any) -> None:
    assert call("Articles_Upsert", ARTICLES).json() == ARTICLES
    changed = call("Articles_Upsert", [{"Number": "A-1", "Description": "stool"}]).json()
    assert changed == [{"Number": "A-1", "Description": "stool", "Price": 30}]
    assert call("Articles_Get", Number="A-1").json() == changed[0]
    assert len(call("Articles_List").json()["value"]) == 3


@on("erp")
def test_odata(call: Any) -> None:
    call("Articles_Upsert", ARTICLES)
    first = call("Articles_List", query={"$orderby": "Price desc", "$top": 1, "$count": "true"}).json()
    assert [one["Number"] for one in first["value"]] == ["A-2"]
    assert first["@odata.count"] == 3
    assert "%24skip=1" in first["@odata.nextLink"]
    dear = call("Articles_List", query={"$filter": "Price gt 100 and Description eq 'desk'"}).json()["value"]
    assert [one["Number"] for one in dear] == ["A-2"]
    assert call("Orders_Create", {"Customer": "Ada"}, status=201).json()["OrderId"] == 1
    assert call("Orders_Get", OrderId=1).json()["Customer"] == "Ada"
    assert call("Orders_Get", OrderId="'1'").json()["Customer"] == "Ada"


@on("subscriptions")
def test_json_api(call: Any) -> None:
    for name, price, interval in (("b", 5, "month"), ("a", 9, "year"), ("c", 7, "year")):
        attributes = {"name": name, "price_cents": price, "interval": interval}
        made = call("createPlan", {"data": {"type": "plans", "attributes": attributes}}, status=201).json()["data"]
    assert made["links"]["self"].endswith(f"/subscriptions/v2/plans/{made['id']}")
    names, cursor = [], {"sort": "-price_cents", "page[size]": 2}
    for number in (1, 2):
        page = call("listPlans", query={**cursor, "page[number]": number}).json()
        names += [one["attributes"]["name"] for one in page["data"]]
        assert (page["links"]["next"] is None, page["meta"]["page_count"]) == (number == 2, 2)
    assert names == ["a", "c", "b"]
    (monthly,) = call("listPlans", query={"filter[interval]": "month"}).json()["data"]
    assert monthly["attributes"]["name"] == "b"
    changes = {"data": {"type": "plans", "id": made["id"], "attributes": {"name": "z"}}}
    assert call("changePlan", changes, plan_id=made["id"]).json()["data"]["attributes"]["price_cents"] == 7
    (error,) = call("getPlan", plan_id="nobody", status=404).json()["errors"]
    assert error == {"status": "404", "title": "Not Found", "detail": "there is no plan 'nobody'"}


@on("bookings")
def test_hal(call: Any) -> None:
    answer = call("createGuest", {"name": "Ada"}, status=201)
    guest = answer.json()
    assert guest["_links"]["self"]["href"].endswith(f"/bookings/guests/{guest['id']}")
    assert len(answer.headers["x-request-id"]) == 36
    assert int(answer.headers["x-revision"]) >= 1
    assert (answer.headers["etag"], answer.headers["location"].count("/guests/")) == ('"v1"', 1), "only the engine's"
    other = call("createGuest", {"name": "Bea"}, status=201)
    assert other.headers["x-request-id"] != answer.headers["x-request-id"]
    page = call("listGuests", query={"size": 1}).json()
    assert page["page"] == {"size": 1, "totalElements": 2, "totalPages": 2, "number": 1}
    assert page["_links"]["next"]["href"].endswith("/bookings/guests?size=1&page=2")


@on("bookings")
def test_what_is_pointed_at_is_embedded_where_it_is_asked_for(call: Any) -> None:
    guest = call("createGuest", {"name": "Ada"}, status=201).json()
    booking = {"guest": guest["id"], "arrival": "2026-05-01", "nights": 3}
    made = call("createBooking", booking, {"expand": "guest"}, status=201).json()
    assert (made["guest"]["id"], made["guest"]["name"]) == (guest["id"], "Ada")
    assert call("getBooking", bookingId=made["id"]).json()["guest"] == guest["id"]
    assert call("getBooking", query={"expand": "guest"}, bookingId=made["id"]).json()["guest"]["name"] == "Ada"
    listed = call("listBookings", query={"expand": "guest"}).json()["_embedded"]["bookings"]
    assert [one["guest"]["name"] for one in listed] == ["Ada"]
    call("createBooking", booking | {"guest": "5e0b0b26-0000-4000-8000-000000000000"}, status=422)


@on("bookings")
def test_an_order_goes_on_from_page_to_page(call: Any) -> None:
    guest = call("createGuest", {"name": "Ada"}, status=201).json()["id"]
    for nights in (2, 9, 4):
        call("createBooking", {"guest": guest, "arrival": "2026-05-01", "nights": nights}, status=201)
    pages = [call("listBookings", query={"sort": "nights:desc", "size": 2, "page": n}).json() for n in (1, 2)]
    assert [one["nights"] for page in pages for one in page["_embedded"]["bookings"]] == [9, 4, 2]


@pytest.mark.parametrize(
    ("asked", "direction", "order"),
    [
        ("-created", None, (("created_at", True),)),
        ("created:desc,name", None, (("created_at", True), ("name", False))),
        ("name ASC", "desc", (("name", False),)),
        ("name", "DESC", (("name", True),)),
        (["-name", "+created_at"], None, (("name", True), ("created_at", False))),
        ({"name": "desc"}, None, (("name", True),)),
        ("CREATED_AT_DESC", None, (("created_at", True),)),
        (None, "desc", (("", True),)),
        ("nonsense", None, ()),
    ],
)
def test_ways_to_write_an_order(asked: Any, direction: Any, order: Any) -> None:
    assert order_of(asked, direction, ["id", "name", "created_at"]) == order


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Status eq 'Open'", True),
        ("Status ne 'Open'", False),
        ('Status=="Open" AND Total>=10', True),
        ("Total lt 10.50", False),
        ("Total eq 10.5", True),
        ("Total gt 10.5 or Contact.Name eq 'O''Hara'", True),
        ("contains(Contact/Name, 'hara') and Paid eq false", True),
        ("Missing eq null", True),
        ("(Total gt 1", None),
        ("Total gt", None),
        ("", None),
    ],
)
def test_filters(text: str, kept: bool | None) -> None:
    record = {"Status": "Open", "Total": 10.5, "Paid": False, "Contact": {"Name": "O'Hara"}}
    keeps = filter_of(text)
    assert (None if keeps is None else keeps(record)) is kept


@on("ledgers")
def test_records_of_a_kind_that_the_path_names(call: Any) -> None:
    desk = call("createObject", {"properties": {"name": "desk"}}, objectType="assets", status=201).json()
    call("createObject", {"properties": {"name": "Ada"}}, objectType="people", status=201)
    assert call("listObjects", objectType="assets").json() == {"results": [desk]}
    where = {"objectType": "assets", "objectId": desk["id"]}
    assert call("getObject", **where).json() == desk
    assert call("changeObject", {"properties": {"size": "2"}}, **where).json()["properties"]["size"] == "2"
    call("getObject", objectType="people", objectId=desk["id"], status=404)


@on("ledgers")
def test_every_id_is_there_that_nothing_could_have_told(call: Any) -> None:
    payout = call("getPayout", payout_id="ABC123").json()
    assert (payout["payout_id"], payout["status"]) == ("ABC123", "open")
    assert call("getPayout", payout_id="ABC123").json() == payout
    assert call("cancelPayout", payout_id="ABC123").json() == payout | {"status": "cancelled"}
    assert call("getPayout", payout_id="ABC123").json()["status"] == "cancelled"


@on("ledgers")
def test_a_look_up_by_another_field(call: Any) -> None:
    tag = call("createTag", {"label": "new", "external_id": "x-1"}, status=201).json()
    assert tag["colour"] == "grey"
    assert call("getTagByExternalId", external_id="x-1").json() == tag
    error = call("getTagByExternalId", external_id="x-2", status=404).json()
    assert error["code"] == "not_found"


@on("ledgers")
def test_what_is_attached_is_what_it_was(call: Any) -> None:
    tag = call("createTag", {"label": "new"}, status=201).json()
    case = call("createCase", {"title": "a leak"}, status=201).json()
    for _ in range(2):
        assert call("attachTag", {"id": tag["id"]}, id=case["id"]).json() == tag
    assert call("listTagsOfCase", id=case["id"]).json() == [tag]


@on("ledgers")
def test_two_collections_of_one_name(call: Any) -> None:
    call("createCase", {"title": "a leak"}, status=201)
    assert call("listLegalCases").json() == []
