"""Shipping: a parcel's life, its label, and that a repeat without a key is a second parcel."""

from __future__ import annotations

from typing import Any

import pytest

ADDRESS = {"street": "7 Quay Road", "postal_code": "BS1 6UT", "city": "Bristol", "country": "GB"}
SHIPMENT = {"reference": "2025-4471", "recipient": {"name": "Martha Klein", "address": ADDRESS}}


def refused(answer: Any, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def book(world: Any, **changes: Any) -> Any:
    answer = world.shipping("POST", "/shipments", SHIPMENT | changes)
    assert answer.status_code == 201, answer.text
    return answer.json()


def step(world: Any, shipment: Any, name: str) -> Any:
    return world.shipping("POST", f"/shipments/{shipment['shipment_id']}/{name}")


def test_book_and_read(world: Any) -> None:
    shipment = book(world)
    assert (shipment["status"], shipment["service"], shipment["parcels"]) == ("booked", "standard", [{}])
    assert shipment["tracking_number"]
    assert world.shipping("GET", f"/shipments/{shipment['shipment_id']}").json() == shipment


def test_repeat_without_key_is_a_second_parcel(world: Any) -> None:
    first, second = book(world), book(world)
    assert first["shipment_id"] != second["shipment_id"]
    assert first["tracking_number"] != second["tracking_number"]
    listed = world.shipping("GET", "/shipments?reference=2025-4471").json()["shipments"]
    assert listed == [first, second]


def test_repeat_with_key_is_the_same_parcel(world: Any) -> None:
    answers = [world.shipping("POST", "/shipments", SHIPMENT, Idempotency_Key="k") for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert len(world.state("shipping")["shipments"]) == 1


def test_list(world: Any) -> None:
    first, second = book(world), book(world, reference="2025-4472")
    step(world, second, "cancel").raise_for_status()
    ids = [each["shipment_id"] for each in world.shipping("GET", "/shipments?status=cancelled").json()["shipments"]]
    assert ids == [second["shipment_id"]]
    assert world.shipping("GET", "/shipments?reference=2025-4471&status=booked").json() == {"shipments": [first]}


def test_life(world: Any) -> None:
    shipment = book(world)
    refused(step(world, shipment, "deliver"), 409)
    assert step(world, shipment, "dispatch").json()["status"] == "picked_up"
    assert step(world, shipment, "dispatch").status_code == 200
    refused(step(world, shipment, "cancel"), 409)
    refused(world.shipping("PUT", f"/shipments/{shipment['shipment_id']}/address", ADDRESS), 409)
    assert step(world, shipment, "deliver").json()["status"] == "delivered"
    refused(step(world, shipment, "dispatch"), 409)
    events = [len(entry["events"]) for entry in world.journal() if entry["address"]["operation"].endswith("_shipment")]
    assert events == [0, 0, 1, 0, 0, 1, 0]


def test_cancel(world: Any) -> None:
    shipment = book(world)
    cancelled = step(world, shipment, "cancel").json()
    assert cancelled["status"] == "cancelled"
    assert step(world, shipment, "cancel").json() == cancelled
    refused(step(world, shipment, "dispatch"), 409)
    refused(world.shipping("GET", f"/shipments/{shipment['shipment_id']}/label"), 409)


def test_address(world: Any) -> None:
    shipment = book(world, recipient={"name": "Martha", "address": ADDRESS | {"additional_line": "Gate 3"}})
    path = f"/shipments/{shipment['shipment_id']}/address"
    moved = world.shipping("PUT", path, ADDRESS | {"street": "2 Quay"}).json()
    assert moved["recipient"] == {"name": "Martha", "address": ADDRESS | {"street": "2 Quay"}}
    renamed = world.shipping("PUT", path, ADDRESS | {"name": "Ada"}).json()
    assert renamed["recipient"]["name"] == "Ada"


@pytest.mark.parametrize("name", ["Martha Klein", "Zoë (Müller) \\ Œuvre", "名前", "x" * 200])
def test_label(world: Any, name: str) -> None:
    shipment = book(world, recipient={"name": name, "address": ADDRESS})
    path = f"/shipments/{shipment['shipment_id']}/label"
    label = world.shipping("GET", path)
    assert label.status_code == 200
    assert label.headers["content-type"] == "application/pdf"
    assert label.content.startswith(b"%PDF-1.4\n")
    assert label.content.endswith(b"%%EOF\n")
    # The cross-reference table leads to the objects.
    start = int(label.content.rpartition(b"startxref\n")[2].split(b"\n")[0])
    assert label.content[start:].startswith(b"xref\n")
    entries = label.content[start:].split(b"\n")[3:8]
    assert [label.content[int(entry[:10]) :].split(b" ")[0] for entry in entries] == [b"1", b"2", b"3", b"4", b"5"]
    assert b"2025-4471" in label.content
    assert world.shipping("GET", path).content == label.content


def test_unknown_shipment(world: Any) -> None:
    for method, path in (
        ("GET", ""),
        ("GET", "/label"),
        ("POST", "/cancel"),
        ("POST", "/dispatch"),
        ("PUT", "/address"),
    ):
        body = ADDRESS if method == "PUT" else None
        refused(world.shipping(method, f"/shipments/shp_aaaaaaaaaaaa{path}", body), 404)


def test_more_than_the_carrier_needs_is_taken_but_not_kept(world: Any) -> None:
    shipment = book(world, internal_margin=0.4)
    assert "internal_margin" not in shipment
