"""Lost updates: `ETag`, `If-Match`, 412 and 428 (RFC 9110, RFC 6585)."""

from __future__ import annotations

from typing import Any

import pytest

ADDRESS = {"name": "Ada", "street": "1 New Street", "postal_code": "BS1 1AA", "city": "Bristol", "country": "GB"}
PATH = "/orders/2025-4471/delivery-address"


def etag(world: Any) -> str:
    return str(world.shop("GET", "/orders/2025-4471").headers["etag"])


def put(world: Any, tag: str | None, **changes: str) -> Any:
    headers = {} if tag is None else {"If_Match": tag}
    return world.shop("PUT", PATH, ADDRESS | changes, **headers)


@pytest.fixture
def order(world: Any) -> Any:
    return world.order()


def test_tag_names_the_version(world: Any, order: Any) -> None:
    first = etag(world)
    assert etag(world) == first
    assert first.startswith('"')
    changed = put(world, first)
    assert changed.status_code == 200
    assert changed.headers["etag"] == etag(world) != first


def test_missing(world: Any, order: Any) -> None:
    answer = put(world, None)
    assert answer.status_code == 428
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["errors"][0]["pointer"] == "If-Match"
    assert world.state("shop")["orders"][0]["delivery_address"] == order["delivery_address"]


def test_mismatch(world: Any, order: Any) -> None:
    old = etag(world)
    put(world, old).raise_for_status()
    refused = put(world, old, street="2 Late Street")
    assert refused.status_code == 412
    assert refused.headers["content-type"] == "application/problem+json"
    assert world.state("shop")["orders"][0]["delivery_address"] == ADDRESS
    assert world.journal(operation="replace_delivery_address")[-1]["effect"] == "none"
    # Nobody is told of what did not happen.
    assert world.journal(operation="replace_delivery_address")[-1]["events"] == []


def test_ones_own_lost_update(world: Any, order: Any) -> None:
    """RFC 9110, section 13.1.1: the state asked for is the present one."""
    old = etag(world)
    put(world, old).raise_for_status()
    again = put(world, old)
    assert again.status_code == 200
    assert again.headers["etag"] == etag(world)
    entries = world.journal(operation="replace_delivery_address")
    assert [(entry["effect"], len(entry["events"])) for entry in entries] == [("applied", 1), ("none", 0)]


@pytest.mark.parametrize("shape", ["*", "{}", '"other", {}', '{}, W/"x"', '"a","b",{}'])
def test_holds(world: Any, order: Any, shape: str) -> None:
    assert put(world, shape.replace("{}", etag(world))).status_code == 200


@pytest.mark.parametrize("shape", ["W/{}", '"nothing"', '"v999"'])
def test_does_not_hold(world: Any, order: Any, shape: str) -> None:
    assert put(world, shape.replace("{}", etag(world))).status_code == 412


@pytest.mark.parametrize("tag", ["v1", '"v1', "v1, v2", "W/v1", '"a" "b"'])
def test_malformed(world: Any, order: Any, tag: str) -> None:
    answer = put(world, tag)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["pointer"] == "If-Match"


def test_unknown_record(world: Any) -> None:
    assert put(world, None).status_code == 404
    assert put(world, '"v1"').status_code == 404


def test_business_refusal_goes_first(world: Any, order: Any) -> None:
    """RFC 9110, section 13.2.1: a condition says nothing about what would be refused anyway."""
    old = etag(world)
    world.shop("POST", "/orders/2025-4471/cancel").raise_for_status()
    assert put(world, old).status_code == 409


def test_optional(world: Any) -> None:
    made = world.crm("POST", "/customers", {"name": "Ada", "email": "ada@example.com"})
    path = f"/customers/{made.json()['customer_id']}"
    first = made.headers["etag"]
    changed = {"name": "Ada L.", "email": "ada@example.com"}
    assert world.crm("PUT", path, changed, If_Match=first).status_code == 200
    assert world.crm("PUT", path, changed, If_Match=first).status_code == 200
    assert world.crm("PUT", path, changed | {"name": "Bea"}, If_Match=first).status_code == 412
    assert world.crm("PUT", path, changed | {"name": "Bea"}).status_code == 200
    assert world.crm("GET", path).json()["name"] == "Bea"


def test_shipment(world: Any) -> None:
    address = {name: value for name, value in ADDRESS.items() if name != "name"}
    made = world.shipping("POST", "/shipments", {"reference": "R-1", "recipient": {"name": "Ada", "address": address}})
    path, first = f"/shipments/{made.json()['shipment_id']}/address", made.headers["etag"]
    assert world.shipping("PUT", path, address | {"street": "2 Quay"}, If_Match=first).status_code == 200
    assert world.shipping("PUT", path, address | {"street": "2 Quay"}, If_Match=first).status_code == 200
    assert world.shipping("PUT", path, address | {"street": "3 Quay"}, If_Match=first).status_code == 412
