"""OpenAPI 3.0 schemas as validators: what is translated, and what the errors say."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.errors import SpecError
from sandbox.field_error import MAX_ERRORS, FieldError
from sandbox.schema import SchemaValidator, Translator, to_json_schema

DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Node": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/components/schemas/Node"}},
                },
            },
            "Stamped": {
                "type": "object",
                "required": ["id", "name"],
                "properties": {"id": {"$ref": "#/components/schemas/Id"}, "name": {"type": "string"}},
            },
            "Id": {"type": "string", "readOnly": True},
            "Strict": {
                "type": "object",
                "additionalProperties": False,
                "required": ["id", "name"],
                "properties": {"id": {"type": "string", "readOnly": True}, "name": {"type": "string"}},
            },
            "Secretive": {
                "type": "object",
                "required": ["secret"],
                "properties": {"secret": {"type": "string", "writeOnly": True}},
            },
            "NeedsId": {"type": "object", "required": ["id", "name"]},
        }
    }
}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def errors(schema: dict[str, Any], value: Any, direction: str = "request") -> list[tuple[str, str]]:
    validator = SchemaValidator(schema, document=DOCUMENT, direction=direction)  # type: ignore[arg-type]
    found = validator.errors(value)
    assert validator.is_valid(value) is (not found)
    return [(error.pointer, error.detail) for error in found]


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string", "nullable": True}, None, 1),
        ({"type": "string", "enum": ["a"], "nullable": True}, None, "b"),
        ({"allOf": [ref("Node")], "nullable": True}, None, 1),
        ({"type": "string"}, "a", None),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": True}, 0.01, 0),
        ({"type": "number", "minimum": 0, "exclusiveMinimum": False}, 0, -1),
        ({"type": "number", "maximum": 5, "exclusiveMaximum": True}, 4, 5),
        ({"type": "number", "multipleOf": 0.01}, 1290.07, 1290.071),
        ({"type": "integer", "format": "int32"}, 2**31 - 1, 2**31),
        ({"type": "integer", "format": "int64", "minimum": 0}, 2**63 - 1, 2**63),
        ({"type": "integer", "format": "int32", "minimum": 0}, 0, -1),
        ({"type": "number", "format": "float"}, 1e30, "1"),
        ({"type": "string", "format": "date"}, "2025-11-21", "2025-13-01"),
        ({"type": "string", "format": "date-time"}, "2025-11-21T10:00:00.123Z", "2025-11-21"),
        ({"type": "string", "format": "email"}, "a@example.com", "a"),
        ({"type": "string", "format": "uuid"}, "6f1c8f0a-6a5e-4b7e-9d0f-0a1b2c3d4e5f", "6f1c"),
        ({"type": "string", "format": "uri"}, "http://127.0.0.1:1/x", "no uri"),
        ({"type": "string", "format": "ipv4"}, "127.0.0.1", "300.0.0.1"),
        ({"type": "string", "format": "byte"}, "aGk=", "a*"),
        ({"type": "string", "format": "binary"}, "\x00", 1),
        ({"type": "string", "format": "sort-code"}, "anything", 1),
        ({"type": "object", "properties": {"a": ref("Node")}}, {"a": {}}, {"a": {"name": 1}}),
        ({"type": "object", "additionalProperties": ref("Node")}, {"x": {}}, {"x": 1}),
    ],
)
def test_openapi_words(schema: dict[str, Any], good: Any, bad: Any) -> None:
    assert errors(schema, good) == []
    assert len(errors(schema, bad)) == 1


def test_foreign_keywords_are_dropped() -> None:
    schema = {
        "type": "object",
        "title": "T",
        "example": {},
        "discriminator": {"propertyName": "t"},
        "xml": {},
        "externalDocs": {},
        "x-personal": ["delivery"],
        "deprecated": True,
        "properties": {"example": {"type": "string"}},
    }
    translated = to_json_schema(schema, document={}, direction="request")
    assert translated.keys() == {"$schema", "type", "properties"}
    assert translated["properties"] == {"example": {"type": "string"}}


def test_references_stay_local_and_recursion_works() -> None:
    translated = to_json_schema(ref("Node"), document=DOCUMENT, direction="request")
    assert translated["$ref"] == "#/$defs/Node"
    assert list(translated["$defs"]) == ["Node"]
    assert errors(ref("Node"), {"children": [{"children": [{"name": 1}]}]}) == [
        ("/children/0/children/0/name", "must be of type string")
    ]


def test_references_to_any_place() -> None:
    document = {"paths": {"/a b": {"x": {"type": "integer"}}, "/a_b": {"x": {"type": "string"}}}}
    schema = {"type": "array", "items": {"anyOf": [{"$ref": "#/paths/~1a%20b/x"}, {"$ref": "#/paths/~1a_b/x"}]}}
    validator = SchemaValidator(schema, document=document, direction="response")
    assert validator.is_valid([1, "a"])
    assert not validator.is_valid([1.5])


def test_a_deeply_nested_value_does_not_end_the_process() -> None:
    value: Any = {}
    for _ in range(50_000):
        value = {"children": [value]}
    assert errors(ref("Node"), value) == [("", "is nested too deeply")]
    assert errors({"type": "string"}, value) == [("", "is nested too deeply")]
    while value.get("children"):
        value = value["children"][0]


class TestReadOnly:
    def test_is_not_required_in_a_request(self) -> None:
        assert errors(ref("Stamped"), {"name": "a"}) == []
        assert errors(ref("Stamped"), {"name": "a"}, "response") == [("/id", "is required")]

    def test_sent_all_the_same_is_ignored(self) -> None:
        assert errors(ref("Stamped"), {"name": "a", "id": "7"}) == []
        assert errors(ref("Stamped"), {"name": "a", "id": 7}) == [("/id", "must be of type string")]

    def test_is_refused_where_unknown_fields_are(self) -> None:
        assert errors(ref("Strict"), {"name": "a", "id": "7"}) == [("/id", "is read-only and must not be sent")]
        assert errors(ref("Strict"), {"name": "a", "id": "7"}, "response") == []

    def test_is_not_required_by_a_sibling_in_all_of(self) -> None:
        composed = {"allOf": [ref("Stamped"), {"required": ["id"]}]}
        assert errors(composed, {"name": "a"}) == []
        assert errors(composed, {"name": "a"}, "response") != []
        assert errors({**composed, "required": ["id"]}, {"name": "a"}) == []

    def test_is_not_required_by_a_referenced_sibling(self) -> None:
        composed = {"allOf": [ref("Stamped"), ref("NeedsId")]}
        assert errors(composed, {"name": "a"}) == []
        # The same definition, used elsewhere, keeps its own meaning.
        assert errors(ref("NeedsId"), {"name": "a"}) == [("/id", "is required")]


def test_write_only_must_not_be_answered() -> None:
    assert errors(ref("Secretive"), {"secret": "s"}) == []
    assert errors(ref("Secretive"), {}) == [("/secret", "is required")]
    assert errors(ref("Secretive"), {}, "response") == []
    assert errors(ref("Secretive"), {"secret": "s"}, "response") == [
        ("/secret", "is write-only and must not be answered")
    ]


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "string", "nullable": True}, 1, ("", "must be of type string or null")),
        ({"enum": ["a", None]}, "c", ("", "must be one of a, null")),
        ({"minimum": 3}, 1, ("", "must be at least 3")),
        ({"maxLength": 1}, "ab", ("", "must have at most 1 characters")),
        ({"pattern": "^[a-z]+$"}, "A", ("", "must match the pattern ^[a-z]+$")),
        ({"type": "array", "uniqueItems": True}, [1, 1], ("", "must not hold the same item twice")),
        ({"properties": {"a/b~c": {"type": "string"}}}, {"a/b~c": 1}, ("/a~1b~0c", "must be of type string")),
        ({"properties": {}, "additionalProperties": False}, {"x": 1}, ("/x", "is not a known field")),
        ({"format": "date"}, "x", ("", "must be in the format date")),
        ({"not": {"type": "string"}}, "x", ("", "has a form that is not allowed")),
        ({"anyOf": [{"type": "string"}, {"type": "integer"}]}, [], ("", "must be of type integer or string")),
        (
            {"oneOf": [{"type": "integer"}, {"minimum": 1}]},
            3,
            ("", "must match exactly one of the allowed forms, not several"),
        ),
        (
            {"oneOf": [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["b"]}]},
            {},
            ("", "matches none of the allowed forms"),
        ),
        ({"nullable": True, "allOf": [ref("Node")]}, {"name": 1}, ("/name", "must be of type string")),
        ({"type": "number"}, float("nan"), ("", "must be of type number")),
    ],
)
def test_sentences(schema: dict[str, Any], value: Any, expected: tuple[str, str]) -> None:
    assert errors(schema, value) == [expected]


def test_errors_are_few_and_short_and_echo_no_value() -> None:
    schema = {
        "type": "object",
        "additionalProperties": False,
        "properties": {"a": {"type": "array", "items": {"type": "integer"}}},
    }
    found = errors(schema, {"a": ["private"] * 1000})
    assert len(found) == MAX_ERRORS
    assert not any("private" in detail for _, detail in found)
    ((pointer, _),) = errors(schema, {"k" * 10_000: 1})
    assert len(pointer) == 81


def test_what_json_cannot_say_is_an_error() -> None:
    assert errors({"type": "string", "minLength": 1, "pattern": "a"}, "\ud800") != []
    assert errors({"type": "object", "additionalProperties": False}, {1: 2}) != []


def test_compiles_on_first_use() -> None:
    validator = SchemaValidator({"type": "string", "pattern": "("}, document={}, direction="request")
    with pytest.raises(SpecError, match=r"cannot be compiled.*regex.* at /pattern"):
        validator.errors("a")


def test_a_reference_that_leads_nowhere() -> None:
    with pytest.raises(SpecError, match="#/components/schemas/Nothing leads nowhere"):
        to_json_schema(ref("Nothing"), document=DOCUMENT, direction="request")


def test_validators_are_shared_by_reference() -> None:
    translator = Translator(DOCUMENT, "response")
    assert translator.validator(ref("Node")) is translator.validator(ref("Node"))
    assert translator.validator(ref("Node")) is not translator.validator(ref("Strict"))


def test_a_field_error_as_json() -> None:
    assert FieldError("/a", "is required").to_json() == {"pointer": "/a", "detail": "is required"}
