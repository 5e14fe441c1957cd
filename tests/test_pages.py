"""Pages: `limit`, an opaque `cursor`, `Link: rel="next"` (RFC 8288), stable under inserts."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from requests.utils import parse_header_links

from sandbox.inprocess import InProcess
from sandbox.project import Project

SPEC = """
    openapi: 3.0.3
    info: {title: Notes, version: "1"}
    paths:
      /folders/{folder}/notes:
        parameters: [{name: folder, in: path, required: true, schema: {type: string}}]
        post:
          operationId: create_note
          requestBody: {content: {application/json: {schema: {type: object}}}}
          responses:
            "201":
              description: ok
              headers: {Location: {schema: {type: string}}}
              content: {application/json: {schema: {$ref: "#/components/schemas/Note"}}}
        get:
          operationId: list_notes
          parameters:
            - {name: limit, in: query, schema: {type: integer, minimum: 1, maximum: 100}}
            - {name: cursor, in: query, schema: {type: string}}
            - {name: word, in: query, schema: {type: string}}
            - {name: updated_since, in: query, schema: {type: string}}
          responses:
            "200":
              description: ok
              headers: {Link: {schema: {type: string}}}
              content:
                application/json:
                  schema: {type: object, properties: {notes: {type: array, items: {$ref: "#/components/schemas/Note"}}}}
      /folders/{folder}/notes/{note_id}:
        parameters:
          - {name: folder, in: path, required: true, schema: {type: string}}
          - {name: note_id, in: path, required: true, schema: {type: string}}
        delete: {operationId: delete_note, responses: {"204": {description: gone}}}
        get:
          operationId: get_note
          responses: {"200": {$ref: "#/components/responses/Note"}}
      /folders:
        post:
          operationId: create_folder
          requestBody: {content: {application/json: {schema: {type: object}}}}
          responses: {"201": {$ref: "#/components/responses/Folder"}}
      /folders/{folder}:
        parameters: [{name: folder, in: path, required: true, schema: {type: string}}]
        get:
          operationId: get_folder
          responses: {"200": {$ref: "#/components/responses/Folder"}}
    components:
      responses:
        Note: {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Note"}}}}
        Folder: {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Folder"}}}}
      schemas:
        Folder: {type: object, properties: {folder: {type: string}}}
        Note:
          type: object
          required: [note_id, folder]
          properties: {note_id: {type: string}, folder: {type: string}, word: {type: string}}
"""


def following(answer: Any) -> str | None:
    """Where the next page is, as the Link header says."""
    links = [link for link in parse_header_links(answer.headers.get("link", "")) if link.get("rel") == "next"]
    return links[0]["url"] if links else None


def pages(world: Any, path: str, number: int = 100) -> list[list[str]]:
    """The order numbers, page by page."""
    found: list[list[str]] = []
    target: str | None = world.access.systems["shop"]["url"] + path
    while target is not None and len(found) < number:
        answer = world.http.get(target, headers=world.credentials("shop")).raise_for_status()
        found.append([order["order_number"] for order in answer.json()["orders"]])
        link = following(answer)
        # A reference to the same host, relative as RFC 8288 allows.
        target = None if link is None else world.url + link
    return found


def numbers(world: Any, path: str) -> list[str]:
    return [number for page in pages(world, path) for number in page]


def orders(world: Any, first: int, last: int, **changes: Any) -> list[str]:
    return [world.order(f"N-{number:03}", **changes)["order_number"] for number in range(first, last + 1)]


def test_all_of_them_once(world: Any) -> None:
    made = orders(world, 1, 25)
    for limit in (1, 7, 25, 100):
        found = pages(world, f"/orders?limit={limit}")
        assert [number for page in found for number in page] == made
        assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert [len(page) for page in pages(world, "/orders")] == [20, 5]


def test_no_link_on_the_last_page(world: Any) -> None:
    orders(world, 1, 4)
    assert following(world.shop("GET", "/orders?limit=4")) is None
    assert following(world.shop("GET", "/orders?limit=3")) is not None


def test_stable_under_inserts(world: Any) -> None:
    made = orders(world, 1, 6)
    first = world.shop("GET", "/orders?limit=4")
    made += orders(world, 7, 9)
    link = following(first)
    rest = []
    while link is not None:
        answer = world.http.get(world.url + link, headers=world.credentials("shop"))
        rest += [order["order_number"] for order in answer.json()["orders"]]
        link = following(answer)
    assert [order["order_number"] for order in first.json()["orders"]] + rest == made


def test_filters_go_along(world: Any) -> None:
    paid = orders(world, 1, 5)
    orders(world, 6, 9, paid=False)
    answer = world.shop("GET", "/orders?status=paid&limit=2")
    query = dict(parse_qsl(urlsplit(following(answer) or "").query))
    assert {name: query[name] for name in ("status", "limit")} == {"status": "paid", "limit": "2"}
    assert numbers(world, "/orders?status=paid&limit=2") == paid
    assert numbers(world, "/orders?status=cancelled") == []


def test_stable_while_records_leave_the_filter(world: Any) -> None:
    """Cancelling what the first page listed makes nobody skip an order."""
    made = orders(world, 1, 6)
    first = world.shop("GET", "/orders?status=paid&limit=2")
    for number in made[:2]:
        world.shop("POST", f"/orders/{number}/cancel").raise_for_status()
    answer = world.http.get(world.url + (following(first) or ""), headers=world.credentials("shop"))
    assert [order["order_number"] for order in answer.json()["orders"]] == made[2:4]


def test_updated_since(world: Any) -> None:
    made = orders(world, 1, 4)
    world.control("POST", "/clock/freeze").raise_for_status()
    world.advance(60)
    world.shop("PUT", f"/orders/{made[1]}/fulfilment", {"status": "in_progress"}).raise_for_status()
    changed = world.shop("GET", f"/orders/{made[1]}").json()["updated_at"]
    assert numbers(world, f"/orders?updated_since={changed}") == [made[1]]
    world.advance(60)
    world.shop("POST", f"/orders/{made[0]}/cancel").raise_for_status()
    assert numbers(world, f"/orders?updated_since={changed}&limit=1") == [made[0], made[1]]
    created = world.shop("GET", f"/orders/{made[3]}").json()["created_at"]
    assert made[3] in numbers(world, f"/orders?updated_since={created}")
    # What changes nothing is no change.
    world.advance(60)
    world.shop("POST", f"/orders/{made[2]}/pay").raise_for_status()
    later = world.control("GET", "/clock").json()["time"]
    assert numbers(world, f"/orders?updated_since={later}") == []


@pytest.mark.parametrize(
    ("moment", "status"),
    [
        ("2026-01-01T00:00:00Z", 200),
        ("2026-01-01t00:00:00+23:59", 200),
        ("2026-01-01T00:00:00", 200),
        ("2026-01-01", 200),
        ("0001-01-01T00:00:00+23:59", 200),
        ("0001-01-01T00:00:00", 200),
        ("9999-12-31T23:59:59.999999-23:59", 200),
        ("2026-01-01T00:00:00+24:00", 400),
        ("2016-12-31T23:59:60Z", 400),
        ("0000-01-01T00:00:00Z", 400),
        ("10000-01-01T00:00:00Z", 400),
        ("2026-02-30T00:00:00Z", 400),
        ("now", 400),
        ("", 400),
        ("\x00", 400),
        ("ẞ🕐", 400),
    ],
)
def test_odd_moments(notes: InProcess, moment: str, status: int) -> None:
    session, url = notes.session(), notes.access("moments").systems["jobs"]["url"]
    session.post(f"{url}/folders", json={"folder": "in"})
    answer = session.get(f"{url}/folders/in/notes?updated_since={quote(moment, safe='')}")
    assert answer.status_code == status, answer.text
    if status == 400:
        assert answer.json()["errors"][0]["pointer"].startswith("updated_since")


def test_a_moment_without_an_offset_is_utc_wherever_the_machine_stands(
    notes: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    try:
        session, url = notes.session(), notes.access("zones").systems["jobs"]["url"]
        session.post(f"{url}/folders", json={"folder": "in"}).raise_for_status()
        session.post(f"{url}/folders/in/notes", json={}).raise_for_status()
        hour_ahead = datetime.fromtimestamp(notes.world("zones").clock.now() + 3600, UTC)
        answer = session.get(f"{url}/folders/in/notes?updated_since={hour_ahead:%Y-%m-%dT%H:%M:%S}")
        assert answer.json()["notes"] == []
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("cursor", ["nonsense", "MQ", "0", "-1", "_" * 200, "YWZ0ZXI6LTE"])
def test_foreign_cursor(world: Any, cursor: str) -> None:
    answer = world.shop("GET", f"/orders?cursor={cursor}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "cursor"


@pytest.mark.parametrize("limit", ["0", "101", "-1", "many", "1.5", ""])
def test_wrong_limit(world: Any, limit: str) -> None:
    answer = world.shop("GET", f"/orders?limit={limit}")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"].startswith("limit")


def test_every_list_has_pages(world: Any) -> None:
    """Catalogue, activities and invoices, too."""
    first = world.shop("GET", "/products?limit=5")
    skus = [product["sku"] for product in first.json()["products"]]
    rest = world.http.get(world.url + (following(first) or ""), headers=world.credentials("shop")).json()["products"]
    assert len({*skus, *(product["sku"] for product in rest)}) == 10


@pytest.fixture(scope="module")
def notes(make_project: Callable[..., Path]) -> InProcess:
    return InProcess(Project.load(make_project(SPEC)))


def test_removed_records_make_nobody_miss_new_ones(notes: InProcess) -> None:
    session, url = notes.session(), notes.access("removed").systems["jobs"]["url"]
    session.post(f"{url}/folders", json={"folder": "in"}).raise_for_status()
    made = [session.post(f"{url}/folders/in/notes", json={}).json()["note_id"] for _ in range(4)]
    link = following(session.get(f"{url}/folders/in/notes?limit=3"))
    for note in made[2:]:
        assert session.delete(f"{url}/folders/in/notes/{note}").status_code == 204
    new = session.post(f"{url}/folders/in/notes", json={}).json()["note_id"]
    page = session.get("http://127.0.0.1:8420" + (link or "")).json()["notes"]
    assert [note["note_id"] for note in page] == [new]


def test_links_are_uris_whatever_the_path_holds(notes: InProcess) -> None:
    session, url = notes.session(), notes.access("uris").systems["jobs"]["url"]
    name = "Zürich & co/?"
    session.post(f"{url}/folders", json={"folder": name.replace("/", "")}).raise_for_status()
    path = f"{url}/folders/Z%C3%BCrich%20%26%20co%3F/notes"
    created = [session.post(path, json={"word": "ä b"}) for _ in range(3)]
    for answer in created:
        location = answer.headers["Location"]
        assert location.isascii()
        assert " " not in location
        assert session.get("http://127.0.0.1:8420" + location).json() == answer.json()
    link = following(session.get(f"{path}?limit=2&word=%C3%A4%20b"))
    assert link is not None
    assert link.isascii()
    assert len(session.get("http://127.0.0.1:8420" + link).json()["notes"]) == 1
