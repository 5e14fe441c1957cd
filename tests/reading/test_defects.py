"""Specs with defects: what is wrong is named, what can be served is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.document import Document
from sandbox.spec import Spec
from sandbox.spec_check import check
from tests.reading.served import Served, Write

PLANTED = """
    openapi: 3.0.3
    security: [{nobody: []}]
    paths:
      /orders:
        get:
          operationId: orders
          parameters: 3
          responses: {'200': {description: all, content: {application/json: {schema: {
            type: array, items: {$ref: '#/components/schemas/Order'}}}}}}
        post:
          operationId: orders
          requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
          responses: {'201': {description: one, content: {application/json: {schema: {
            $ref: '#/components/schemas/Order'}}}}}
      /orders/{id}/{part}:
        get:
          parameters: [{name: id, in: path, schema: {type: string}}, {name: other, in: path, schema: {type: string}}]
          responses: {'200': {description: fine}, ok: {description: no status}}
      /late:
        get: {operationId: late}
        put: a sentence
      /none:
    components:
      schemas:
        Order:
          type: object
          required: true
          properties:
            id: {type: string, description: The id}
            total: {type: integer, example: a lot, default: 1.5}
            state: {type: string, enum: null}
            kind: {type: string, enum: [1, 2]}
            tags: {type: array, enum: [a, b], items: {type: string}}
            note: A description where a schema is due
            when: {type: datetime, format: whenever}
            code: {type: string, pattern: '(unclosed'}
            name: {type: string, pattern: '^[\\p{L} ]+$'}
            slug: {type: string, pattern: '/^[a-z]+$/i'}
            back: {type: string, pattern: '(?<=a)b'}
            size: {type: Integer, minimum: "1", maxLength: -3}
            gone: {$ref: '#/components/schemas/Gone'}
            self: {$ref: '#/components/schemas/Animal'}
        Animal: {oneOf: [{$ref: '#/components/schemas/Cat'}]}
        Cat: {allOf: [{$ref: '#/components/schemas/Animal'}, {type: object, properties: {lives: {type: integer}}}]}
"""
NAMED = (
    "the document has no 'info'",
    "the security scheme nobody is not declared",
    "'parameters' must be a list, not 3",
    "the operationId orders is taken",
    "the path parameter part is not declared",
    "has no {other}",
    "the path parameter id must be required",
    "has no operationId; served as get_orders_by_id_by_part",
    "'ok' is no status",
    "the operation declares no answers",
    "an operation must be an object, not 'a sentence'",
    "a path item must be an object, not nothing",
    "'required' must list names",
    "the example does not keep its schema",
    "the default does not keep its schema",
    "'enum' must list values, not be nothing",
    "the values are not of the type string",
    "the values are those of an item",
    "a schema is due here, not 'A description",
    "'datetime' is no type; taken as string",
    "the format 'whenever' is unknown",
    "'(unclosed' is no regular expression",
    "taken as '^[a-z]+$'",
    "'Integer' is no type; taken as integer",
    "minimum is the text '1'",
    "maxLength must be a whole number from 0",
    "#/components/schemas/Gone leads nowhere; it is taken for anything",
    "the schema contains itself by oneOf",
)


def test_planted_defects_are_named_with_their_lines(write: Write) -> None:
    report = check(Spec.load(write(PLANTED)))
    found = [finding.message for finding in report.findings]
    for said in NAMED:
        assert any(said in message for message in found), said
    assert all(finding.line and finding.line <= len(PLANTED.splitlines()) for finding in report.findings)
    assert (report.operations, report.down) == (5, 1)
    lines = {finding.pointer: finding.line for finding in report.findings}
    assert (
        lines["/components/schemas/Order/properties/note"]
        == PLANTED.splitlines().index("            note: A description where a schema is due") + 1
    )


def test_planted_defects_are_served(write: Write, serve: Callable[[Path], Served]) -> None:
    served = serve(write(PLANTED))
    order = {"total": 3, "kind": "1", "tags": ["a"], "name": "Ärger", "slug": "abc", "back": "ab", "size": 1}
    made = served.call("POST", "/orders", json=order | {"self": {"allOf": 1}})
    assert made.status_code == 201, made.text
    assert order.items() <= made.json().items()
    assert [one["total"] for one in served.call("GET", "/orders").json()] == [3]
    for field, value in (("name", "1"), ("slug", "A B"), ("back", "b"), ("size", 0), ("kind", 1), ("tags", ["c"])):
        assert served.call("POST", "/orders", json={field: value}).status_code == 400, field
    assert served.call("GET", "/late").status_code == 200
    assert served.call("PUT", "/late").status_code == 501
    assert served.call("GET", "/orders/1/lines").status_code < 500


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", ":1: the file is empty"),
        (b"  \n\n", ":1: the file is empty"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", ":1: not a text"),
        (b"openapi: 3.0.3\ninfo: \xe4", ":2: not UTF-8"),
        (b"openapi: 3.0.3\npaths:\n\t/a: {}\n", ":3: not YAML"),
        (b'{"openapi": "3.0.3",\n "paths": {,}}', ":2: not JSON"),
        (b'{"openapi": ' + b"[" * 5000, ":1: "),
        (b"openapi: 3.0.3\n? [a]\n: b\n", ":2: not YAML: a key must be a plain string"),
        (b"openapi: 3.0.3\nx: " + b"9" * 5000, ":2: not YAML: a number has too many digits"),
        (b"just a text", ":1: not an OpenAPI document"),
        (b"swagger: '3.0'\n", ":1: OpenAPI 3.0 is not supported"),
    ],
)
def test_what_is_no_spec_is_one_line_with_its_line(tmp_path: Path, raw: bytes, says: str) -> None:
    path = tmp_path / "a.json" if raw[:1] == b"{" else tmp_path / "a.yaml"
    path.write_bytes(raw)
    with pytest.raises(Exception, match=r"a[.](json|yaml):[0-9]+: ") as caught:
        Spec.load(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_paths_of_its_own_that_begin_as_swagger_ui_does(write: Write, serve: Callable[[Path], Served]) -> None:
    text = """
        openapi: 3.0.3
        info: {title: T, version: "1"}
        paths:
          /uid: {get: {responses: {'204': {description: fine}}}}
          /ui/themes: {get: {responses: {'204': {description: fine}}}}
    """
    served = serve(write(text))
    assert [served.call("GET", path).status_code for path in ("/uid", "/ui/themes", "/ui/")] == [204, 204, 200]


def test_yaml_words(write: Write) -> None:
    text = """
        openapi: 3.0.3
        paths: {}
        x-all: &base {day: 2025-11-21, no: no, hex: 0x1F, empty: , tilde: ~, time: 12:30:45, exp: 1e3, q: '1', n: -7}
        x-more: {<<: *base, no: yes}
        x-tagged: !!str 12
        x-own: !thing word
        x-many: [*base, *base]
    """
    data = Document.read(write(text)).data
    assert data["x-all"] == {
        "day": "2025-11-21", "no": "no", "hex": 31, "empty": None, "tilde": None, "time": "12:30:45", "exp": 1000.0,
        "q": "1", "n": -7,
    }  # fmt: skip
    assert data["x-more"] == data["x-all"] | {"no": "yes"}
    assert (data["x-tagged"], data["x-own"]) == ("12", "word")
    assert data["x-many"] == [data["x-all"]] * 2
