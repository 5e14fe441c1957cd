"""The CRM: one customer per e-mail address, searches that need no URL, activities of a customer."""

from __future__ import annotations

from typing import Any

import pytest

MARTHA = {"name": "Martha Klein", "email": "martha.klein@example.com"}


def refused(answer: Any, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


def create(world: Any, **fields: Any) -> Any:
    answer = world.crm("POST", "/customers", MARTHA | fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def search(world: Any, **criteria: Any) -> list[Any]:
    return list(world.crm("POST", "/customers/search", criteria).raise_for_status().json()["customers"])


def test_create_and_read(world: Any) -> None:
    answer = world.crm("POST", "/customers", MARTHA | {"loyalty": {"points": 7}})
    customer = answer.json()
    assert (MARTHA | {"loyalty": {"points": 7}}).items() <= customer.items()
    assert answer.headers["location"].endswith(f"/crm/customers/{customer['customer_id']}")
    assert world.crm("GET", f"/customers/{customer['customer_id']}").json() == customer


@pytest.mark.parametrize("email", ["martha.klein@example.com", "Martha.Klein@EXAMPLE.com"])
def test_duplicate_names_the_one_who_has_it(world: Any, email: str) -> None:
    first = create(world)
    problem = refused(world.crm("POST", "/customers", MARTHA | {"email": email}), 409)
    assert problem["type"] == "/problems/duplicate-email"
    assert problem["customer_id"] == first["customer_id"]
    assert problem["existing"] == f"/customers/{first['customer_id']}"
    assert problem["errors"][0]["pointer"] == "/email"
    assert world.crm("GET", problem["existing"]).json() == first
    assert len(world.state("crm")["customers"]) == 1


def test_search(world: Any) -> None:
    first = create(world, external_reference="K-1")
    second = create(world, email="other@example.com", external_reference="K-2")
    both = sorted([first, second], key=lambda customer: customer["customer_id"])
    assert search(world, email="MARTHA.klein@example.com") == [first]
    assert search(world, external_reference="K-2") == [second]
    assert search(world, name="Martha Klein") == both
    assert search(world, name="Martha Klein", email="other@example.com") == [second]
    assert search(world, name="martha klein") == []
    assert search(world) == both
    refused(world.crm("POST", "/customers/search", {"mail": "x"}), 400)


def test_search_by_pages(world: Any) -> None:
    made = sorted(create(world, email=f"c{number}@example.com")["customer_id"] for number in range(5))
    found: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = world.crm("POST", "/customers/search", {"limit": 2, **cursor}).json()
        found += [customer["customer_id"] for customer in page["customers"]]
        if "next_cursor" not in page:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert found == made


def test_replace(world: Any) -> None:
    customer = create(world, loyalty=7, phone="+44 20 7946 0123")
    path = f"/customers/{customer['customer_id']}"
    replaced = world.crm("PUT", path, {"name": "Martha Berger", "email": "Berger@example.com"}).json()
    assert (replaced["name"], replaced["email"]) == ("Martha Berger", "berger@example.com")
    assert not {"loyalty", "phone"} & replaced.keys()
    assert replaced["created_at"] == customer["created_at"]
    assert search(world, email=MARTHA["email"]) == []
    assert search(world, email="berger@example.com") == [replaced]


def test_patch(world: Any) -> None:
    customer = create(world, loyalty=7)
    path = f"/customers/{customer['customer_id']}"
    patched = world.crm("PATCH", path, {"name": "Martha Berger"}).json()
    assert patched == customer | {"name": "Martha Berger", "updated_at": patched["updated_at"]}
    assert world.crm("PATCH", path, {"customer_id": "cus_aaaaaaaaaaaa"}).status_code in (200, 400)
    assert world.crm("GET", path).status_code == 200


def test_address_of_another(world: Any) -> None:
    create(world)
    other = create(world, email="other@example.com")
    path = f"/customers/{other['customer_id']}"
    refused(world.crm("PUT", path, MARTHA), 409)
    refused(world.crm("PATCH", path, {"email": MARTHA["email"].upper()}), 409)
    assert world.crm("GET", path).json() == other
    assert world.crm("PATCH", path, {"email": "other@example.com"}).status_code == 200


def test_erasing_frees_the_address(world: Any) -> None:
    customer = create(world)
    path = f"/customers/{customer['customer_id']}"
    world.crm("POST", f"{path}/activities", {"type": "mail_sent"}).raise_for_status()
    assert world.crm("DELETE", path).status_code == 204
    for method in ("GET", "DELETE"):
        refused(world.crm(method, path), 404)
    refused(world.crm("GET", f"{path}/activities"), 404)
    assert world.state("crm").get("activities", []) == []
    assert create(world)["customer_id"] != customer["customer_id"]


def test_activities(world: Any) -> None:
    customer, other = create(world), create(world, email="other@example.com")
    path = f"/customers/{customer['customer_id']}/activities"
    placed = world.crm("POST", path, {"type": "order_placed", "order_number": "2025-4471"})
    assert placed.status_code == 201
    assert placed.json()["customer_id"] == customer["customer_id"]
    mail = world.crm("POST", path, {"type": "mail_sent", "order_number": "2025-4472", "note": "hello"}).json()
    assert world.crm("GET", path).json() == {"activities": [placed.json(), mail]}
    assert world.crm("GET", f"{path}?type=mail_sent").json() == {"activities": [mail]}
    assert world.crm("GET", f"{path}?order_number=2025-4471").json() == {"activities": [placed.json()]}
    assert world.crm("GET", f"{path}/{mail['activity_id']}").json() == mail
    refused(world.crm("GET", f"/customers/{other['customer_id']}/activities/{mail['activity_id']}"), 404)
    assert world.crm("GET", f"/customers/{other['customer_id']}/activities").json() == {"activities": []}
    refused(world.crm("POST", path, {"type": "order_placed"}), 400)


def test_repeated_activity_is_a_second_one_unless_it_has_a_key(world: Any) -> None:
    path = f"/customers/{create(world)['customer_id']}/activities"
    activity = {"type": "mail_sent", "note": "hello"}
    for headers in ({}, {}, {"Idempotency_Key": "a"}, {"Idempotency_Key": "a"}):
        assert world.crm("POST", path, activity, **headers).status_code == 201
    assert len(world.state("crm")["activities"]) == 3
