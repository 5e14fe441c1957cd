"""Specs as people publish them: 2.0, 3.0 and 3.1, in several files; all served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.document import Document
from sandbox.spec import Spec
from sandbox.spec_check import check
from tests.reading.served import Served, Write

MODERN = """
    openapi: 3.1.0
    info: {title: Modern, version: "1", summary: new}
    jsonSchemaDialect: https://spec.openapis.org/oas/3.1/dialect/base
    paths:
      /things:
        get:
          operationId: list_things
          responses: {'200': {description: all, content: {application/json: {schema: {
            type: array, items: {$ref: '#/components/schemas/Thing'}}}}}}
        post:
          operationId: create_thing
          requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Thing'}}}}
          responses: {'201': {description: one, content: {application/json: {schema: {
            $ref: '#/components/schemas/Thing'}}}}}
    webhooks:
      thing.created:
        post:
          requestBody: {content: {application/json: {schema: {type: object, required: [id], properties: {
            id: {type: string}}}}}}
          responses: {'200': {description: taken}}
    components:
      schemas:
        Thing:
          type: object
          required: [kind]
          properties:
            id: {type: string, readOnly: true}
            kind: {const: thing}
            note: {type: [string, 'null'], examples: [a note]}
            grade: {type: [string, 'null'], enum: [a, b]}
            size: {type: [integer, string]}
            rate: {type: number, exclusiveMinimum: 0, exclusiveMaximum: 1}
            pair: {type: array, prefixItems: [{type: string}, {type: integer}], items: false}
            limited: {$ref: '#/components/schemas/Text', maxLength: 3}
            local: {$ref: '#/components/schemas/Thing/$defs/Code'}
            named: {$ref: 'https://example.com/code'}
            labels: {type: object, patternProperties: {'^x-': {type: integer}}, additionalProperties: false}
            card: {type: object, dependentRequired: {number: [month]}}
            odd: {if: {type: integer}, then: {minimum: 10}}
          $defs:
            Code: {$id: 'https://example.com/code', type: string, pattern: '^[A-Z]+$'}
          unevaluatedProperties: false
        Text: {type: string, minLength: 2}
"""


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("kind", ["thing"], ["other", None]),
        ("note", ["x", None], [3]),
        ("grade", ["a"], [None, "c"]),
        ("size", [3, "big"], [None, 1.5]),
        ("rate", [0.5], [0, 1]),
        ("pair", [["a", 1]], [[1], ["a", 1, 2]]),
        ("limited", ["abc"], ["a", "abcd"]),
        ("local", ["AB"], ["ab"]),
        ("named", ["AB"], ["ab"]),
        ("labels", [{"x-a": 1}], [{"x-a": "1"}, {"y": 1}]),
        ("card", [{"number": 1, "month": 2}, {}], [{"number": 1}]),
        ("odd", [10, "text"], [9]),
        ("unknown", [], [1]),
    ],
)
def test_3_1_is_validated_by_its_own_dialect(write: Write, field: str, good: list[Any], bad: list[Any]) -> None:
    body = Spec.load(write(MODERN)).operations["create_thing"].body
    assert body is not None
    validator = body.content["application/json"].validator
    assert validator is not None
    for value in good:
        assert validator.errors({"kind": "thing", field: value}) == []
    for value in bad:
        assert validator.errors({"kind": "thing", field: value}), value


def test_3_1_is_served_and_shown_as_3_1(write: Write, serve: Callable[[Path], Served]) -> None:
    served = serve(write(MODERN))
    assert served.call("POST", "/things", json={"kind": "thing", "note": None}).status_code == 201
    assert served.call("POST", "/things", json={"kind": "wrong"}).status_code == 400
    assert [thing["kind"] for thing in served.call("GET", "/things").json()] == ["thing"]
    shown = served.call("GET", "/openapi.json").json()
    assert shown["openapi"] == "3.1.0"
    properties = shown["components"]["schemas"]["Thing"]["properties"]
    assert properties["note"]["type"] == ["string", "null"]
    assert served.spec.events["thing.created"].errors({}) != []
    assert check(served.spec).findings == ()


OLD = """
    swagger: "2.0"
    info: {title: Old, version: "1"}
    host: api.example.com
    basePath: /v2
    schemes: [https]
    consumes: [application/json]
    produces: [application/json, application/xml]
    securityDefinitions:
      key: {type: apiKey, in: header, name: X-Key}
      basic: {type: basic}
      oauth: {type: oauth2, flow: application, tokenUrl: 'https://api.example.com/token', scopes: {read: all}}
    paths:
      /pets:
        get:
          operationId: list_pets
          parameters:
            - {name: tags, in: query, type: array, items: {type: string}, collectionFormat: csv}
            - {name: size, in: query, type: integer, maximum: 10, default: 5}
          responses:
            200:
              description: all
              schema: {type: array, items: {$ref: '#/definitions/Pet'}}
              headers: {X-Total: {type: integer}}
              examples: {application/json: [{name: Rex}]}
        post:
          operationId: create_pet
          parameters: [{$ref: '#/parameters/Pet'}]
          responses: {201: {$ref: '#/responses/Pet'}}
      /pets/{id}/photo:
        post:
          operationId: upload_photo
          consumes: [multipart/form-data]
          parameters:
            - {name: id, in: path, required: true, type: string}
            - {name: photo, in: formData, required: true, type: file}
            - {name: caption, in: formData, type: string, maxLength: 5}
          responses: {204: {description: taken}}
    parameters:
      Pet: {name: pet, in: body, required: true, schema: {$ref: '#/definitions/Pet'}}
    responses:
      Pet: {description: one, schema: {$ref: '#/definitions/Pet'}}
    definitions:
      Pet:
        type: object
        required: [name]
        discriminator: kind
        properties: {id: {type: string}, name: {type: string}, owner: {type: string, x-nullable: true}}
"""


def test_2_0(write: Write, serve: Callable[[Path], Served]) -> None:
    served = serve(write(OLD))
    spec = served.spec
    assert (spec.source.version, spec.down, spec.defects) == ("2.0", {}, ())
    assert spec.document["servers"] == [{"url": "https://api.example.com/v2"}]
    kinds = {name: (scheme["type"], scheme.get("scheme")) for name, scheme in spec.security_schemes.items()}
    assert kinds == {"key": ("apiKey", None), "basic": ("http", "basic"), "oauth": ("oauth2", None)}
    assert spec.security_schemes["oauth"]["flows"]["clientCredentials"]["tokenUrl"] == "https://api.example.com/token"
    assert served.call("POST", "/pets", json={"name": "Rex", "owner": None}).status_code == 201
    assert served.call("POST", "/pets", json={}).json()["errors"][0]["pointer"] == "/name"
    assert [pet["name"] for pet in served.call("GET", "/pets?tags=a,b").json()] == ["Rex"]
    assert served.call("GET", "/pets?size=11").status_code == 400
    assert served.call("POST", "/pets/1/photo", files={"photo": b"x"}, data={"caption": "too long"}).status_code == 400
    assert spec.operations["list_pets"].responses["200"].headers == {"x-total"}
    assert served.call("GET", "/openapi.json").json()["components"]["schemas"].keys() == {"Pet"}


def test_2_0_is_told_where_it_was_written(write: Write) -> None:
    wrong = OLD.replace("maximum: 10", "maximum: ten").replace("name: {type: string}, owner", "name: a name, owner")
    found = {finding.pointer: finding.line for finding in check(Spec.load(write(wrong))).findings}
    lines = wrong.splitlines()
    (size,) = [number for number, line in enumerate(lines, 1) if "maximum: ten" in line]
    assert found["/paths/~1pets/get/parameters/1/maximum"] == size
    assert found["/definitions/Pet/properties/name"] == len(lines)


SPLIT = {
    "spec.yaml": """
        openapi: 3.0.3
        info: {title: Split, version: "1"}
        paths:
          /orders: {$ref: paths/orders.yaml}
          /orders/{id}: {$ref: 'paths/orders.yaml#/~1item'}
    """,
    "paths/orders.yaml": """
        get:
          operationId: list_orders
          responses: {'200': {description: all, content: {application/json: {schema: {
            type: array, items: {$ref: ../schemas/order.json}}}}}}
        post:
          operationId: create_order
          requestBody: {content: {application/json: {schema: {$ref: ../schemas/order.json}}}}
          responses: {'201': {$ref: '../parts.yaml#/answers/Order'}}
        /item:
          get:
            operationId: get_order
            responses: {'200': {$ref: '../parts.yaml#/answers/Order'}, '404': {$ref: '../parts.yaml#/answers/Lost'}}
    """,
    "parts.yaml": """
        answers:
          Order: {description: one, content: {application/json: {schema: {$ref: schemas/order.json}}}}
          Lost: {$ref: '#/shared/Lost'}
        shared:
          Lost: {description: lost}
    """,
    "schemas/order.json": """
        {"type": "object", "required": ["total"], "properties": {
          "id": {"type": "string"}, "total": {"type": "integer"},
          "parent": {"$ref": "order.json"}, "lines": {"type": "array", "items": {"$ref": "line.yaml#/Line"}}}}
    """,
    "schemas/line.yaml": """
        Line: {type: object, properties: {order: {$ref: order.json}, price: {type: number, minimum: '0'}}}
    """,
}


def test_several_files(write: Write, serve: Callable[[Path], Served]) -> None:
    texts = dict(SPLIT)
    path = write(texts.pop("spec.yaml"), **texts)
    served = serve(path)
    assert served.spec.down == {}
    assert list(served.spec.operations) == ["list_orders", "create_order", "get_order"]
    made = served.call("POST", "/orders", json={"total": 3, "lines": [{"price": 2, "order": {"total": 1}}]})
    assert made.status_code == 201
    assert served.call("GET", f"/orders/{made.json()['id']}").json()["total"] == 3
    assert served.call("POST", "/orders", json={"total": 3, "lines": [{"price": -1}]}).status_code == 400
    places = {finding.file: (finding.line, finding.pointer) for finding in check(served.spec).findings}
    assert places[str(path.parent / "schemas/line.yaml")] == (2, "/Line/properties/price/minimum")


INDEXED = {
    "spec.yaml": """
        openapi: 3.0.3
        info: {title: Indexed, version: "1"}
        paths: {$ref: paths.yaml}
        components:
          schemas: {$ref: schemas/index.yaml}
    """,
    "paths.yaml": """
        /orders:
          get: {$ref: list.yaml}
          post: {$ref: nowhere.yaml}
    """,
    "list.yaml": """
        operationId: list_orders
        parameters: {$ref: 'parameters.yaml#/usual'}
        responses: {$ref: 'parameters.yaml#/answers'}
    """,
    "parameters.yaml": """
        usual: [{name: limit, in: query, schema: {type: integer, maximum: 5}}]
        answers: {'200': {description: all, content: {application/json: {schema: {
          type: array, items: {$ref: 'spec.yaml#/components/schemas/Order'}}}}}}
    """,
    "schemas/index.yaml": "Order: {$ref: order.yaml}",
    "schemas/order.yaml": "{type: object, properties: {$ref: fields.yaml}}",
    "schemas/fields.yaml": "{id: {type: string}, total: {type: integer}}",
}


def test_maps_lists_and_operations_by_reference(write: Write, serve: Callable[[Path], Served]) -> None:
    """OpenAPI allows none there; those who keep an index of files write them all the same."""
    texts = dict(INDEXED)
    served = serve(write(texts.pop("spec.yaml"), **texts))
    assert list(served.spec.operations) == ["list_orders"]
    assert served.call("GET", "/orders?limit=6").status_code == 400
    assert all(order.keys() <= {"id", "total"} for order in served.call("GET", "/orders").json())
    assert served.call("POST", "/orders").status_code == 501
    collection = served.spec.collections["orders"]
    assert collection.fields.keys() == {"id", "total"}


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("missing.yaml", "missing.yaml cannot be read"),
        ("../outside.yaml", "it leaves the folder"),
        ("/etc/hostname", "it is not relative"),
        ("file:///etc/hostname", "references by file: are not followed"),
        ("https://example.com/a.yaml", "refused without --allow-remote-refs"),
        ("#/nowhere", "leads nowhere"),
        ("broken.yaml", "not YAML"),
    ],
)
def test_a_reference_that_leads_nowhere_takes_down_its_operation(
    write: Write, serve: Callable[[Path], Served], target: str, says: str
) -> None:
    text = f"""
        openapi: 3.0.3
        info: {{title: T, version: "1"}}
        paths:
          /good: {{get: {{operationId: good, responses: {{'200': {{description: fine}}}}}}}}
          /bad:
            get:
              operationId: bad
              responses: {{'200': {{description: a, content: {{application/json: {{schema: {{$ref: '{target}'}}}}}}}}}}
    """
    path = write(text, **{"broken.yaml": "a: ["})
    (path.parent / "sub").mkdir()
    path = path.rename(path.parent / "sub/spec.yaml")
    (path.parent / "broken.yaml").write_text("a: [")
    served = serve(path)
    assert served.call("GET", "/good").status_code == 200
    answer = served.call("GET", "/bad")
    assert (answer.status_code, answer.headers["content-type"]) == (501, "application/problem+json")
    problem = answer.json()
    assert says in problem["detail"]
    assert "/paths/~1bad/get/responses/200/content/application~1json/schema" in problem["errors"][0]["pointer"]
    assert "spec.yaml:9" in problem["detail"]
    assert served.call("POST", "/bad").status_code == 405
    assert check(served.spec).down == 1


def test_remote_references_are_followed_where_that_is_allowed(write: Write) -> None:
    text = """
        openapi: 3.0.3
        info: {title: T, version: "1"}
        paths: {/a: {get: {responses: {'200': {$ref: 'https://example.com/api/a.yaml#/Good'}}}}}
    """
    served = {
        "https://example.com/api/a.yaml": b"Good: {$ref: 'b.yaml'}",
        "https://example.com/api/b.yaml": b"description: from afar",
    }
    document = Document.read(write(text), remote=served.__getitem__)
    assert document.down == {}
    assert Spec.of(document).operations["get_a"].responses.keys() == {"200"}
