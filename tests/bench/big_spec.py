"""A large specification, as large shops publish them: 300 operations and 3 MB of YAML, with recursion and `allOf`."""

from __future__ import annotations

import random
from typing import Any

import yaml

WORDS = (
    "account address amount archive balance batch billing bundle campaign carrier cart catalog category "
    "channel charge checkout claim commission contact contract coupon credit currency customer delivery "
    "deposit discount dispute document draft event expense export fee file fulfilment gateway gift group "
    "import invoice item journal label lead ledger line location member merchant message note notice offer "
    "option order package parcel partner payment payout period plan policy price product profile project "
    "promotion purchase quote rate receipt record refund region report request return review role route rule "
    "sale schedule season section segment seller service session shipment shop slot source stage statement "
    "status stock store subscription supplier tag task tax team term ticket tier token tour transaction "
    "transfer trial unit usage user variant vendor version voucher warehouse webhook zone "
).split()


def big_spec(operations: int = 300, size: int = 3_000_000) -> str:
    """The YAML text of a specification with so many operations and at least so many bytes."""
    chance = random.Random(7)
    names = [f"{first}_{second}" for first in WORDS for second in WORDS if first != second]
    chance.shuffle(names)
    collections = names[: operations // 5]
    schemas: dict[str, Any] = {
        "Problem": {"type": "object", "properties": {"title": {"type": "string"}, "status": {"type": "integer"}}},
        "Stamps": {
            "type": "object",
            "properties": {stamp: {"type": "string", "format": "date-time"} for stamp in ("created_at", "updated_at")},
        },
    }
    paths: dict[str, Any] = {}
    for index, name in enumerate(collections):
        schemas[name] = _schema(chance, name, collections, index)
        paths |= _paths(name)
    document = {
        "openapi": "3.0.3",
        "info": {"title": "A large system", "version": "1.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }
    text = _dump(document)
    missing, prose = size - len(text), _sentence(chance, 60)
    extra = {
        f"part_{number}": {
            "type": "object",
            "description": prose,
            "properties": {
                f"{word}_{number}": {"type": "string", "maxLength": 100 + number, "description": _sentence(chance, 14)}
                for word in chance.sample(WORDS, 20)
            },
        }
        for number in range(max(missing, 0) // 4_300)
    }
    schemas |= extra
    for index, part in enumerate(extra):
        owner = schemas[collections[index % len(collections)]]
        owner["allOf"][1]["properties"][part] = {"$ref": f"#/components/schemas/{part}"}
    text = _dump(document)
    return text + "".join(f"# {_sentence(chance, 12)}\n" for _ in range(max(size - len(text), 0) // 90))


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    def ignore_aliases(self, data: Any) -> bool:
        """Nobody writes a specification with anchors."""
        return True


def _dump(document: dict[str, Any]) -> str:
    return str(yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120))


def _sentence(chance: random.Random, words: int) -> str:
    return " ".join(chance.choices(WORDS, k=words)).capitalize() + "."


def _schema(chance: random.Random, name: str, others: list[str], index: int) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": {"type": "string", "readOnly": True}, "name": {"type": "string", "maxLength": 200}}
    for word in chance.sample(WORDS, 25):
        fields[word] = chance.choice(
            (
                {"type": "string", "description": _sentence(chance, 12)},
                {"type": "integer", "minimum": 0, "description": _sentence(chance, 8)},
                {"type": "string", "enum": chance.sample(WORDS, 4)},
                {"type": "array", "items": {"type": "string", "format": "date"}},
                {"type": "boolean", "default": False},
            )
        )
    fields["parent"] = {"$ref": f"#/components/schemas/{name}"}
    fields["related"] = {"type": "array", "items": {"$ref": f"#/components/schemas/{others[index // 2]}"}}
    own = {"type": "object", "required": ["name"], "properties": fields}
    return {"allOf": [{"$ref": "#/components/schemas/Stamps"}, own]}


def _paths(name: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/schemas/{name}"}
    body = {"required": True, "content": {"application/json": {"schema": reference}}}
    one = {"description": "One", "content": {"application/json": {"schema": reference}}}
    rows = {"type": "object", "properties": {"data": {"type": "array", "items": reference}}}
    listed = {"description": "All", "content": {"application/json": {"schema": rows}}}
    problem = {"$ref": "#/components/schemas/Problem"}
    wrong = {"description": "Refused", "content": {"application/problem+json": {"schema": problem}}}
    limit = {"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}}

    def operation(verb: str, status: str, answer: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {"operationId": f"{verb}_{name}", **more, "responses": {status: answer, "default": wrong}}

    return {
        f"/{name}": {
            "get": operation("list", "200", listed, parameters=[limit]),
            "post": operation("create", "201", one, requestBody=body),
        },
        f"/{name}/{{id}}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": operation("get", "200", one),
            "put": operation("replace", "200", one, requestBody=body),
            "delete": operation("delete", "204", {"description": "Gone"}),
        },
    }
