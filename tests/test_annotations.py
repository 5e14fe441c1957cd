"""Where marked fields lie in bodies: through references, compositions, arrays, maps and recursion."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.annotations import PersonalMap, ReadOnlyMap

DOCUMENT: dict[str, Any] = {
    "schemas": {
        "Order": {
            "type": "object",
            "properties": {
                "order_number": {"type": "string"},
                "created_at": {"type": "string", "readOnly": True},
                "buyer": {"allOf": [{"$ref": "#/schemas/Person"}]},
                "people": {"type": "array", "items": {"$ref": "#/schemas/Person"}},
                "address": {"x-personal": ["delivery"], "type": "object"},
                "extras": {"type": "object", "additionalProperties": {"$ref": "#/schemas/Person"}},
            },
        },
        "Person": {
            "type": "object",
            "properties": {
                "id": {"type": "string", "readOnly": True},
                "name": {"type": "string", "x-personal": ["delivery", "billing"]},
                "loyalty": {"type": "integer"},
                "referrer": {"$ref": "#/schemas/Person"},
            },
        },
        "Text": {"type": "string"},
    }
}
ORDER = {"$ref": "#/schemas/Order"}


@pytest.fixture
def personal() -> PersonalMap:
    return PersonalMap([ORDER], DOCUMENT)


def test_paths_name_each_personal_field_once(personal: PersonalMap) -> None:
    both = ("delivery", "billing")
    assert dict(personal.paths) == {
        "/address": ("delivery",),
        "/buyer/name": both,
        "/buyer/referrer/name": both,
        "/people/*/name": both,
        "/people/*/referrer/name": both,
        "/extras/*/name": both,
        "/extras/*/referrer/name": both,
    }


def test_redaction_replaces_scalars_and_nothing_else(personal: PersonalMap) -> None:
    body: dict[str, Any] = {
        "order_number": "1",
        "buyer": {"name": "Ada", "loyalty": 3, "referrer": {"name": "Bob", "referrer": {"name": None}}},
        "people": [{"name": "Cy"}, "no person"],
        "address": {"street": "Way", "lines": ["a", 7]},
        "extras": {"any": {"name": ["Di"]}},
    }
    assert personal.redact(body, lambda text: f"<{text}>") == {
        "order_number": "1",
        "buyer": {"name": "<Ada>", "loyalty": 3, "referrer": {"name": "<Bob>", "referrer": {"name": None}}},
        "people": [{"name": "<Cy>"}, "no person"],
        "address": {"street": "<Way>", "lines": ["<a>", "<7>"]},
        "extras": {"any": {"name": ["<Di>"]}},
    }
    assert body["buyer"]["name"] == "Ada"
    assert personal.redact("no object", str.upper) == "no object"


def test_a_mark_beside_a_reference_and_in_any_alternative_counts() -> None:
    schema = {
        "oneOf": [
            {"properties": {"a": {"$ref": "#/schemas/Text", "x-personal": ["support"]}}},
            {"properties": {"a": {"type": "string"}}},
        ]
    }
    personal = PersonalMap([schema], DOCUMENT)
    assert personal.paths == (("/a", ("support",)),)
    assert personal.redact({"a": "x", "b": "y"}, str.upper) == {"a": "X", "b": "y"}


def test_without_marks_nothing_is_copied() -> None:
    none = PersonalMap([{"$ref": "#/schemas/Text"}], DOCUMENT)
    body = {"name": "Ada"}
    assert not none
    assert none.paths == ()
    assert none.redact(body, str.upper) is body


def test_deep_values_are_cut_off_rather_than_shown(personal: PersonalMap) -> None:
    value: Any = {"name": "Ada"}
    for _ in range(5000):
        value = {"referrer": value}
    redacted = personal.redact({"buyer": value}, lambda _: "*")
    depth = 0
    while isinstance(redacted, dict):
        redacted, depth = next(iter(redacted.values())), depth + 1
    assert redacted == "*"
    assert depth < 300
    while "referrer" in value:
        value = value["referrer"]


def test_read_only_fields_are_taken_out_at_any_depth() -> None:
    fields = ReadOnlyMap([ORDER], DOCUMENT)
    body = {"order_number": "1", "created_at": "x", "buyer": {"id": "p", "name": "A"}, "people": [{"id": "q"}, 3]}
    assert fields.drop(body) == {"order_number": "1", "buyer": {"name": "A"}, "people": [{}, 3]}
    assert fields.drop("no object") == "no object"
    assert ReadOnlyMap([{"$ref": "#/schemas/Text"}], DOCUMENT).drop(body) is body
