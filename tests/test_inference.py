"""What paths, methods and schemas are read as, and which business object a call is about."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from sandbox.expression import Expression, as_text
from sandbox.inference import Inference, Meaning, Route, business_key, fields_of

THING = {"type": "object", "properties": {"id": {"type": "string"}, "name": {"type": "string"}, "created_at": {}}}


def listed(name: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "array", "items": item}, "next_cursor": {"type": "string"}}}


def route(method: str, path: str, answer: dict[str, Any] | None = None, status: int = 200, **more: Any) -> Route:
    return Route(f"{method} {path}", method, path, status, answer, more.pop("body", None), **more)


def infer(*routes: Route, document: dict[str, Any] | None = None) -> dict[str, tuple[str, str | None, str | None]]:
    meanings = Inference(routes, document or {}).meanings
    return {name: (meaning.action, meaning.collection, meaning.id_parameter) for name, meaning in meanings.items()}


def test_a_flat_collection() -> None:
    assert infer(
        route("POST", "/things", THING, 201),
        route("GET", "/things", listed("data", THING)),
        route("GET", "/things/{id}", THING),
        route("PUT", "/things/{id}", THING),
        route("PATCH", "/things/{id}", THING),
        route("DELETE", "/things/{id}", status=204),
        route("POST", "/things/{id}", THING),
        route("DELETE", "/things", status=204),
    ) == {
        "POST /things": ("create", "things", None),
        "GET /things": ("list", "things", None),
        "GET /things/{id}": ("read", "things", "id"),
        "PUT /things/{id}": ("replace", "things", "id"),
        "PATCH /things/{id}": ("patch", "things", "id"),
        "DELETE /things/{id}": ("delete", "things", "id"),
        "POST /things/{id}": ("patch", "things", "id"),
        "DELETE /things": ("clear", "things", None),
    }


def test_actions_and_sub_resources_know_their_record() -> None:
    assert infer(
        route("GET", "/orders/{order_number}", THING),
        route("POST", "/orders/{order_number}/pay", THING),
        route("PUT", "/orders/{order_number}/delivery-address", THING),
        route("DELETE", "/orders/{order_number}/line-items/{line_item_id}", THING),
        route("POST", "/orders/search", listed("orders", THING)),
    ) == {
        "GET /orders/{order_number}": ("read", "orders", "order_number"),
        "POST /orders/{order_number}/pay": ("act", "orders", "order_number"),
        "PUT /orders/{order_number}/delivery-address": ("act", "orders", "order_number"),
        "DELETE /orders/{order_number}/line-items/{line_item_id}": ("act", "orders", "order_number"),
        "POST /orders/search": ("search", "orders", None),
    }


def test_a_nested_collection_whose_records_name_their_parent() -> None:
    activity = {"type": "object", "properties": {"id": {}, "customer_id": {"type": "string"}}}
    inference = Inference(
        [
            route("GET", "/customers/{customer_id}", THING),
            route("GET", "/customers/{customer_id}/activities", listed("activities", activity)),
            route("POST", "/customers/{customer_id}/activities", activity, 201),
            route("GET", "/customers/{customer_id}/activities/{activity_id}", activity),
        ],
        {},
    )
    create = inference.meanings["POST /customers/{customer_id}/activities"]
    assert (create.action, create.collection, create.id_parameter) == ("create", "activities", None)
    assert create.parent is not None
    assert (create.parent.collection, create.parent.parameter, create.parent.field) == (
        "customers",
        "customer_id",
        "customer_id",
    )
    assert create.addressed == ("customers", "customer_id")
    read = inference.meanings["GET /customers/{customer_id}/activities/{activity_id}"]
    assert (read.action, read.addressed) == ("read", ("activities", "activity_id"))
    assert read.parent == create.parent


def test_a_nested_list_without_the_parents_id_keeps_it_out_of_sight() -> None:
    note = {"type": "object", "properties": {"text": {}}}
    inference = Inference(
        [
            route("GET", "/customers/{customer_id}", THING),
            route("GET", "/customers/{customer_id}/notes", listed("notes", note)),
        ],
        {},
    )
    meaning = inference.meanings["GET /customers/{customer_id}/notes"]
    assert (meaning.action, meaning.collection, meaning.addressed) == ("list", "notes", ("customers", "customer_id"))
    assert meaning.parent is not None
    assert meaning.parent.field == "@customer_id"
    # Nothing creates customers here, so none can be missing.
    assert not meaning.parent.strict


def test_nested_collections_of_one_name_are_kept_apart() -> None:
    def note(parent: str) -> dict[str, Any]:
        return {"type": "object", "properties": {f"{parent}_id": {}}}

    meanings = infer(
        route("GET", "/orders/{order_id}", THING),
        route("GET", "/orders/{order_id}/notes", listed("notes", note("order"))),
        route("GET", "/customers/{customer_id}", THING),
        route("GET", "/customers/{customer_id}/notes", listed("notes", note("customer"))),
    )
    assert meanings["GET /orders/{order_id}/notes"] == ("list", "notes", None)
    assert meanings["GET /customers/{customer_id}/notes"] == ("list", "customers_notes", None)


def test_paths_without_a_collection() -> None:
    assert infer(
        route("GET", "/settings", THING),
        route("POST", "/login", THING),
        route("POST", "/events", THING, 201),
        route("POST", "/oauth/token", THING, is_token=True),
    ) == {
        "GET /settings": ("read", "settings", None),
        "POST /login": ("answer", None, None),
        "POST /events": ("create", "events", None),
        "POST /oauth/token": ("token", None, None),
    }


def test_x_collection_names_the_collection() -> None:
    inference = Inference(
        [
            route("POST", "/webhooks", THING, 201, explicit=("subscriptions", None)),
            route("GET", "/webhooks/{id}", THING),
            route("POST", "/find", THING, explicit=("subscriptions", None)),
        ],
        {},
    )
    assert [meaning.collection for meaning in inference.meanings.values()] == ["subscriptions"] * 3
    assert [meaning.action for meaning in inference.meanings.values()] == ["create", "read", "answer"]


def test_x_collection_makes_a_part_a_record_of_its_own() -> None:
    stock = {"type": "object", "properties": {"sku": {}, "level": {}}}
    explicit = ("stock_levels", "sku")
    inference = Inference(
        [
            route("GET", "/products/{sku}", THING),
            route("GET", "/products/{sku}/stock", stock, explicit=explicit),
            route("PUT", "/products/{sku}/stock", stock, explicit=explicit),
        ],
        {},
    )
    put = inference.meanings["PUT /products/{sku}/stock"]
    assert (put.action, put.collection, put.id_parameter, put.id_field) == ("replace", "stock_levels", "sku", "sku")
    assert set(inference.collections["stock_levels"].fields) == {"sku", "level"}


def test_x_collection_of_the_parent_keeps_a_part_a_part() -> None:
    explicit = ("orders", "order_number")
    assert infer(
        route("GET", "/orders/{order_number}", THING, explicit=explicit),
        route("PUT", "/orders/{order_number}/delivery-address", THING, explicit=explicit),
    )["PUT /orders/{order_number}/delivery-address"] == ("act", "orders", "order_number")


@pytest.mark.parametrize(
    ("answer", "envelope"),
    [
        (listed("things", THING), "things"),
        (listed("results", THING), "results"),
        ({"type": "array", "items": THING}, None),
        (None, None),
        ({"type": "object", "properties": {"errors": {"type": "array"}, "data": {"type": "array"}}}, "data"),
    ],
)
def test_envelopes(answer: dict[str, Any] | None, envelope: str | None) -> None:
    inference = Inference([route("GET", "/things", answer), route("GET", "/things/{id}", THING)], {})
    meaning = inference.meanings["GET /things"]
    assert (meaning.action, meaning.envelope) == ("list", envelope)


class TestCollection:
    def test_the_id_is_the_path_parameters_field_if_there_is_one(self) -> None:
        order = {"type": "object", "properties": {"order_number": {}, "id": {}}}
        collections = Inference(
            [route("GET", "/orders/{order_number}", order), route("GET", "/things/{thing_id}", THING)], {}
        ).collections
        assert (collections["orders"].id_field, collections["things"].id_field) == ("order_number", "id")
        assert "created_at" in collections["things"].fields
        assert "updated_at" not in collections["things"].fields

    def test_fields_come_through_references_and_all_of(self) -> None:
        document = {"components": {"schemas": {"Base": {"properties": {"id": {"type": "string"}}}}}}
        schema = {"allOf": [{"$ref": "#/components/schemas/Base"}, {"properties": {"name": {}}}]}
        assert set(fields_of(schema, document)) == {"id", "name"}

    def test_the_item_schema_falls_back_to_what_is_sent(self) -> None:
        collections = Inference([route("POST", "/things", None, 201, body=THING)], {}).collections
        assert "name" in collections["things"].fields

    def test_the_key_field_is_what_create_names(self) -> None:
        expressions = (Expression.parse("$request.body#/order_number"),)
        inference = Inference([route("POST", "/things", THING, 201, expressions=expressions)], {})
        assert inference.collections["things"].key_field == "order_number"
        assert inference.meanings["POST /things"].key_field == "order_number"


@dataclass
class Addressed:
    meaning: Meaning
    expressions: tuple[Expression, ...] = field(default=())


def key(operation: Addressed, **given: Any) -> str | None:
    return business_key(operation, **{"path": {}, "query": {}, "body": None, "record": None, **given})


class TestBusinessKey:
    def test_the_first_expression_that_resolves_wins(self) -> None:
        texts = ("$record#/order_number", "$request.body#/order/number", "$request.header.X-Order")
        operation = Addressed(Meaning("none", None, None, None, ""), tuple(map(Expression.parse, texts)))
        assert key(operation, record={"order_number": "1"}, body={"order": {"number": "2"}}) == "1"
        assert key(operation, body={"order": {"number": 2}}, headers={"x-order": "3"}) == "2"
        assert key(operation, body=["no object"], headers={"x-order": "3"}) == "3"
        assert key(operation, path={"id": "4"}) is None

    def test_inferred_from_the_key_field(self) -> None:
        meaning = Meaning("read", "invoices", "invoice_id", None, "", "id", "order_number")
        operation = Addressed(meaning)
        assert key(operation, path={"invoice_id": "i1"}, record={"order_number": "2025-1"}) == "2025-1"
        assert key(operation, path={"invoice_id": "i1"}, query={"order_number": "2025-2"}) == "2025-2"
        assert key(operation, path={"invoice_id": "i1"}) == "i1"

    def test_inferred_from_the_id(self) -> None:
        create = Addressed(Meaning("create", "products", None, None, "", "sku"))
        assert key(create, body={"sku": "A-1"}) == "A-1"
        assert key(create, body={}) is None
        assert key(create, body="no object") is None

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            ("a", "a"),
            ("", None),
            (7, "7"),
            (True, "true"),
            (1.5, "1.5"),
            (None, None),
            ({}, None),
            ("x" * 999, "x" * 255),
        ],
    )
    def test_values_as_text(self, value: Any, text: str | None) -> None:
        assert as_text(value) == text


@pytest.mark.parametrize(
    "text", ["", "order_number", "$request.path.", "$request.body#order", "$response.body#/id", "$record", "$url"]
)
def test_expressions_that_cannot_be_resolved(text: str) -> None:
    with pytest.raises(ValueError, match=r"no expression|no JSON pointer"):
        Expression.parse(text)


def test_every_meaning_says_why() -> None:
    inference = Inference(
        [
            route("GET", "/things", listed("things", THING)),
            route("GET", "/things/{id}", THING),
            route("GET", "/x", THING),
        ],
        {},
    )
    assert all(meaning.why for meaning in inference.meanings.values())
