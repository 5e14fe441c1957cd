"""Loading an OpenAPI file: what the engine gets of it, and what a broken one says."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.document import Document
from sandbox.errors import SpecError
from sandbox.pointer import join, lookup, split
from sandbox.spec import RateLimit, Spec, python_name
from sandbox.spec_check import check

BOMB = "openapi: 3.0.3\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
SHOP = """\
openapi: 3.0.3
info: {title: Shop, version: "1.2"}
security: [{api_key: []}]
x-rate-limit: {requests: 100, per: 10}
paths:
  /orders:
    post:
      operationId: place_order
      x-idempotency: required
      x-business-key: $request.body#/order_number
      x-purpose: [delivery]
      x-event: [order.placed]
      parameters:
        - {name: Idempotency-Key, in: header, required: true, schema: {type: string, maxLength: 255}}
        - {name: Authorization, in: header, schema: {type: string}}
      requestBody:
        required: true
        content:
          application/json; charset=utf-8:
            schema: {$ref: '#/components/schemas/Order'}
      responses:
        200: {description: repeated}
        '201':
          description: placed
          headers: {ETag: {schema: {type: string}}, Location: {schema: {type: string}}}
          content:
            application/json: {schema: {$ref: '#/components/schemas/Order'}}
        4XX: {$ref: '#/components/responses/Problem'}
        default: {$ref: '#/components/responses/Problem'}
    get:
      operationId: list_orders
      x-rate-limit: {requests: 5, per: 1.5}
      parameters:
        - {name: limit, in: query, schema: {type: integer, minimum: 1}}
        - {name: tag, in: query, schema: {type: array, items: {type: integer}}}
        - {name: code, in: query, explode: false, schema: {type: array, items: {type: string}}}
      responses:
        '200':
          description: a page
          content:
            application/json:
              schema:
                type: object
                properties:
                  orders: {type: array, items: {$ref: '#/components/schemas/Order'}}
  /orders/search:
    post:
      operationId: search_orders
      responses: {'200': {description: found}}
  /orders/{order_number}:
    parameters:
      - {name: order_number, in: path, required: true, schema: {type: string}}
      - {name: If-Match, in: header, schema: {type: string}}
    get:
      operationId: get_order
      security: []
      responses:
        '200': {description: one, content: {application/json: {schema: {$ref: '#/components/schemas/Order'}}}}
    put:
      operationId: replace_order
      parameters:
        - {name: if-match, in: header, required: true, schema: {type: string}}
      responses: {'200': {description: replaced}}
  /orders/{order_number}/label.{format}:
    get:
      operationId: get_label
      parameters:
        - {name: order_number, in: path, required: true, schema: {type: string}}
        - {name: format, in: path, required: true, schema: {type: string}}
      responses:
        '200': {description: bytes, content: {application/pdf: {schema: {type: string, format: binary}}}}
  /hooks:
    post:
      operationId: subscribe
      responses: {'201': {description: subscribed}}
      callbacks:
        order.placed:
          '{$request.body#/url}':
            post:
              requestBody:
                content:
                  application/json:
                    schema:
                      type: object
                      required: [type, data]
                      properties:
                        type: {type: string, enum: [order.placed]}
                        data: {$ref: '#/components/schemas/Order'}
              responses: {'204': {description: taken}}
  /v1/token:
    post:
      operationId: issue_token
      security: []
      responses: {'200': {description: a token}}
components:
  securitySchemes:
    api_key: {type: apiKey, in: header, name: X-Key}
    oauth: {type: oauth2, flows: {clientCredentials: {tokenUrl: '/shop/v1/token', scopes: {}}}}
  responses:
    Problem:
      description: refused
      content: {application/problem+json: {schema: {type: object, properties: {status: {type: integer}}}}}
  schemas:
    Order:
      type: object
      required: [order_number, created_at]
      properties:
        order_number: {type: string, example: 2025-11-21}
        created_at: {type: string, format: date-time, readOnly: true}
        secret: {type: string, writeOnly: true}
        buyer:
          allOf: [{$ref: '#/components/schemas/Person'}]
        people: {type: array, items: {$ref: '#/components/schemas/Person'}}
        address:
          x-personal: [delivery]
          type: object
          properties: {street: {type: string}, lines: {type: array, items: {type: string}}}
        extras: {type: object, additionalProperties: {$ref: '#/components/schemas/Person'}}
    Person:
      type: object
      properties:
        name: {type: string, x-personal: [delivery, billing]}
        loyalty: {type: integer}
        referrer: {$ref: '#/components/schemas/Person'}
"""

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "shop.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def shop(write: Write) -> Spec:
    return Spec.load(write(SHOP))


class TestSpec:
    def test_the_document(self, shop: Spec, write: Write) -> None:
        assert (shop.name, shop.title, shop.version, shop.path.name) == ("shop", "Shop", "1.2", "shop.yaml")
        assert Spec.load(write(SHOP), "store").name == "store"
        assert shop.rate_limit == RateLimit(100, 10.0)
        assert shop.token_operation == "issue_token"
        assert shop.subscribe_operations == ("subscribe",)
        assert set(shop.security_schemes) == {"api_key", "oauth"}
        assert shop.collections["orders"].id_field == "order_number"

    def test_extensions(self, shop: Spec) -> None:
        place, listing = shop.operations["place_order"], shop.operations["list_orders"]
        assert place.idempotency == "required"
        assert place.business_key == ("$request.body#/order_number",)
        assert (place.purposes, place.events) == (("delivery",), ("order.placed",))
        assert place.rate_limit == RateLimit(100, 10.0)
        assert listing.rate_limit == RateLimit(5, 1.5)
        assert (listing.meaning.action, listing.meaning.envelope) == ("list", "orders")

    def test_security(self, shop: Spec) -> None:
        assert shop.operations["place_order"].security == ({"api_key": []},)
        assert shop.operations["get_order"].security == ()

    def test_preconditions_come_from_the_operation_or_its_path(self, shop: Spec) -> None:
        found = {name: (o.accepts_if_match, o.requires_if_match) for name, o in shop.operations.items()}
        assert found["get_order"] == (True, False)
        assert found["replace_order"] == (True, True)
        assert found["place_order"] == (False, False)

    def test_idempotency_is_inferred_from_the_header(self, write: Write) -> None:
        bare = SHOP.replace("      x-idempotency: required\n", "")
        assert Spec.load(write(bare)).operations["place_order"].idempotency == "required"
        optional = bare.replace(
            "in: header, required: true, schema: {type: string, max", "in: header, schema: {type: string, max"
        )
        assert Spec.load(write(optional)).operations["place_order"].idempotency == "optional"

    def test_bodies_by_media_type(self, shop: Spec) -> None:
        body = shop.operations["place_order"].body
        assert body is not None
        assert body.required
        media = body.media("Application/JSON;charset=x")
        assert media is not None
        assert media.validator is not None
        assert [e.pointer for e in media.validator.errors({})] == ["/order_number"]
        assert body.media("text/plain") is None
        assert shop.operations["get_order"].body is None

    def test_responses(self, shop: Spec) -> None:
        place = shop.operations["place_order"]
        assert place.success_status == 200
        assert shop.operations["subscribe"].success_status == 201
        created = place.response_for(201)
        assert created is not None
        assert created.headers == {"etag", "location"}
        assert place.response_for(404) is place.responses["4XX"]
        assert place.response_for(503) is place.responses["default"]
        assert shop.operations["get_order"].response_for(404) is None
        pdf = shop.operations["get_label"].responses["200"].content["application/pdf"]
        assert pdf.validator is None
        assert pdf.schema == {"type": "string", "format": "binary"}

    def test_equal_references_share_a_validator(self, shop: Spec) -> None:
        responses = shop.operations["place_order"].responses
        problem = "application/problem+json"
        assert responses["4XX"].content[problem].validator is responses["default"].content[problem].validator

    def test_events_are_answers_of_ours(self, shop: Spec) -> None:
        validate = shop.events["order.placed"].errors
        data = {"order_number": "1", "created_at": "2025-11-21T10:00:00Z"}
        assert validate({"type": "order.placed", "data": data}) == []
        assert [e.pointer for e in validate({"type": "order.placed", "data": {"order_number": "1"}})] == [
            "/data/created_at"
        ]
        assert validate({"type": "order.placed", "data": {**data, "secret": "s"}}) != []

    def test_all_validators_compile(self, shop: Spec) -> None:
        pointers = [pointer for pointer, validator in shop.validators() if validator.compile()]
        assert "/paths/~1orders/post/requestBody/content/application~1json/schema" in pointers
        assert "/paths/~1hooks/post/callbacks/order.placed" in pointers

    def test_yaml_keeps_what_was_written(self, shop: Spec) -> None:
        assert lookup(shop.document, "/components/schemas/Order/properties/order_number/example") == "2025-11-21"
        assert "200" in shop.document["paths"]["/orders"]["post"]["responses"]

    def test_json_is_read_too(self, tmp_path: Path) -> None:
        path = tmp_path / "tiny.json"
        path.write_text('{"openapi": "3.0.0", "info": {"title": "T"}, "paths": {}}')
        assert Spec.load(path).name == "tiny"
        path.write_text('{"openapi": "3.0.0",\n "info": }')
        with pytest.raises(SpecError, match=r"tiny\.json:2: not JSON"):
            Spec.load(path)
        path.write_text('{"openapi": "3.0.0",\n "a": 1, "paths": {},\n "a": 2}')
        assert [finding.what for finding in check(Spec.load(path)).findings if "twice" in finding.what] == [
            "the key 'a' stands twice (line 3); the later one counts"
        ]


class TestParameters:
    def test_own_ones_replace_those_of_the_path(self, shop: Spec) -> None:
        names = [(p.name, p.location) for p in shop.operations["replace_order"].parameters]
        assert names == [("order_number", "path"), ("if-match", "header")]

    def test_standard_headers_are_ignored(self, shop: Spec) -> None:
        assert [p.name for p in shop.operations["place_order"].parameters] == ["Idempotency-Key"]

    @pytest.mark.parametrize(
        ("name", "values", "expected", "valid"),
        [
            ("limit", ["3"], 3, True),
            ("limit", ["-3"], -3, False),
            ("limit", ["3.0"], 3.0, True),
            ("limit", ["x"], "x", False),
            ("limit", ["٣"], "٣", False),
            ("limit", ["9" * 5000], "9" * 5000, False),
            ("tag", ["1", "2"], [1, 2], True),
            ("tag", ["1", "x"], [1, "x"], False),
            ("code", ["a,b"], ["a", "b"], True),
        ],
    )
    def test_values(self, shop: Spec, name: str, values: list[str], expected: Any, valid: bool) -> None:
        parameter = next(p for p in shop.operations["list_orders"].parameters if p.name == name)
        value = parameter.parse(values)
        assert (value, type(value)) == (expected, type(expected))
        assert parameter.validator.is_valid(value) is valid

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("Idempotency-Key", "idempotency_key"),
            ("orderNumber", "order_number"),
            ("updated_since", "updated_since"),
            ("from", "from_"),
            ("filter[status]", "filter_status"),
            ("2fa", "2fa_"),
        ],
    )
    def test_python_names(self, name: str, expected: str) -> None:
        assert python_name(name) == expected


class TestRouting:
    @pytest.mark.parametrize(
        ("method", "path", "operation", "allowed"),
        [
            ("POST", "/orders", "place_order", ("GET", "POST")),
            ("DELETE", "/orders", None, ("GET", "POST")),
            ("GET", "/orders/1", "get_order", ("GET", "PUT")),
            ("POST", "/orders/search", "search_orders", ("POST",)),
            ("GET", "/orders/search", None, ("POST",)),
            ("GET", "/orders/search/label.pdf", "get_label", ("GET",)),
            ("GET", "/orders/1/label.", None, ()),
            ("GET", "/orders/", None, ()),
            ("GET", "/orders/1/", None, ()),
            ("GET", "/nothing", None, ()),
            ("GET", "", None, ()),
            ("GET", "/", None, ()),
        ],
    )
    def test_match(self, shop: Spec, method: str, path: str, operation: str | None, allowed: tuple[str, ...]) -> None:
        found, methods = shop.match(method, path)
        assert (found.id if found else None, methods) == (operation, allowed)

    def test_values(self, shop: Spec) -> None:
        assert shop.route("GET", "/orders/2025-1/label.pdf").values == {"order_number": "2025-1", "format": "pdf"}
        assert shop.route("DELETE", "/orders/2025-1").values == {"order_number": "2025-1"}


class TestAnnotations:
    def test_personal_fields_of_what_is_sent(self, shop: Spec) -> None:
        personal = shop.operations["place_order"].personal("request")
        assert personal
        assert personal is shop.operations["place_order"].personal("request")
        assert personal.redact({"buyer": {"name": "Ada"}}, str.upper) == {"buyer": {"name": "ADA"}}
        assert not shop.operations["search_orders"].personal("response")

    def test_personal_fields_of_all_answers_together(self, shop: Spec) -> None:
        personal = shop.operations["list_orders"].personal("response")
        assert personal.redact({"orders": [{"buyer": {"name": "Ada"}}]}, str.upper) == {
            "orders": [{"buyer": {"name": "ADA"}}]
        }

    def test_read_only_fields_are_taken_out(self, shop: Spec) -> None:
        strip = shop.operations["place_order"].strip_read_only
        assert strip({"order_number": "1", "created_at": "x", "b": {}}) == {"order_number": "1", "b": {}}
        body = {"any": 1}
        assert shop.operations["search_orders"].strip_read_only(body) is body


UNREADABLE = [
    ("openapi: 3.0.3\npaths: ]", r"shop\.yaml:2: not YAML"),
    ("- a", r"shop\.yaml:1: not an OpenAPI document: the root is a list"),
    ("a: 1", r"shop\.yaml:1: not an OpenAPI document: it has no 'openapi' field"),
    ("", r"shop\.yaml:1: the file is empty"),
    ("a: 1\n---\nb: 2", r"shop\.yaml:2: not YAML: a second document begins here"),
    ("openapi: 3.0.3\na: *b", r"shop\.yaml:2: not YAML: found undefined alias 'b'"),
    ("openapi: 3.0.3\na: " + "[" * 300_000, r"shop\.yaml:2: not YAML: it is nested too deeply"),
    ("openapi: 3.0.3\na:\n  " + "- " * 100_000 + "b", r"shop\.yaml:3: not YAML: it is nested too deep"),
    (BOMB, r"shop\.yaml:\d+: not YAML: its aliases unfold to more than a million values"),
    ("swagger: '1.2'", r"shop\.yaml:1: OpenAPI 1\.2 is not supported"),
    ("info: {}\nopenapi: 4.0.0", r"shop\.yaml:2: OpenAPI 4\.0\.0 is not supported"),
    ("openapi: 3.0.3\na: &a {b: *a}\ninfo: {}\npaths: {}", r"shop\.yaml:2: .*anchor contains itself"),
]

HARMLESS = [
    ("openapi: 3.0.3\nopenapi: 3.0.2\npaths: {}", r"shop\.yaml:1: the key 'openapi' stands twice \(line 2\)"),
    ("openapi: 3.0.3\ninfo: {}", "the document has no paths"),
    (
        SHOP.replace("      operationId: get_order\n", ""),
        r"shop\.yaml:\d+ /paths/~1orders~1\{order_number\}/get: GET /ord.* no operationId; served as get_orders_by_ord",
    ),
    (
        SHOP.replace("operationId: get_order", "operationId: list_orders"),
        r"/get/operationId: the operationId list_orders is taken by another operation; served as get_orders_by_order",
    ),
    (SHOP.replace("[{api_key: []}]", "[{magic: []}]"), "the security scheme magic is not declared"),
    (SHOP.replace("per: 1.5", "per: 0"), r"shop\.yaml:\d+ /paths/~1orders/get/x-rate-limit: a rate limit needs"),
    (SHOP.replace("x-idempotency: required", "x-idempotency: yes"), "'yes' is no level"),
    (SHOP.replace("$request.body#/order_number", "order_number"), r"x-business-key: 'order_number' is no expression"),
    (SHOP.replace("x-purpose: [delivery]", "x-purpose: 3"), "x-purpose must be a string or a list"),
    (SHOP.replace("x-purpose: [delivery]", "x-collection: [a]"), "names no collection"),
    (SHOP.replace("  /hooks:", "  hooks:"), r"shop\.yaml:\d+ /paths/hooks: the path 'hooks' does not begin with '/'"),
    (SHOP.replace("'200': {description: found}", "'200': found"), "an answer must be an object, not 'found'"),
    (SHOP.replace("in: query, schema: {type: integer, minimum: 1}", "in: nowhere"), "needs 'name' and 'in'"),
]

DOWN = [
    (
        SHOP.replace("responses/Problem'", "responses/Nothing'"),
        r"shop\.yaml:28 .*/4XX: the reference .*Nothing leads now",
    ),
    (
        SHOP.replace("'#/components/responses/Problem'", "other.yaml#/x"),
        "other.yaml#/x cannot be followed: other.yaml c",
    ),
    (
        SHOP.replace("'#/components/responses/Problem'", "https://example.com/x.yaml#/x"),
        "which is refused without --allow-remote-refs",
    ),
    (
        SHOP.replace("    post:\n      operationId: place_order", "    post: [a]\n    x-old:\n      a: b"),
        "must be an object",
    ),
]


@pytest.mark.parametrize(("text", "message"), UNREADABLE, ids=[message for _, message in UNREADABLE])
def test_a_file_that_cannot_be_read_says_where_in_one_line(write: Write, text: str, message: str) -> None:
    path = write(text)
    with pytest.raises(SpecError, match=message) as caught:
        Spec.load(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert caught.value.hint


@pytest.mark.parametrize(("text", "message"), HARMLESS, ids=[message for _, message in HARMLESS])
def test_what_is_harmless_is_noted_and_served(write: Write, text: str, message: str) -> None:
    path = write(text)
    spec = Spec.load(path)
    report = check(spec)
    assert (report.down, dict(spec.down)) == (0, {})
    found = [finding.message for finding in report.findings]
    assert any(re.search(message, line) and line.startswith(f"{path}:") for line in found), found


@pytest.mark.parametrize(("text", "message"), DOWN, ids=[message for _, message in DOWN])
def test_what_cannot_be_served_takes_down_its_operation_alone(write: Write, text: str, message: str) -> None:
    spec = Spec.load(write(text))
    assert list(spec.down) == ["/paths/~1orders/post"]
    assert spec.operations.keys() >= {"list_orders", "get_order"}
    assert "place_order" not in spec.operations
    assert spec.route("POST", "/orders").target is None
    assert spec.defect("POST", "/orders") is spec.down["/paths/~1orders/post"]
    assert spec.defect("GET", "/orders") is None
    report = check(spec)
    down = [finding for finding in report.findings if finding.operation]
    assert {finding.operation for finding in down} == {"POST /orders"}
    assert any(re.search(message, finding.message) for finding in down), down
    assert report.down == 1


def test_brackets_in_a_text_are_no_levels(write: Write) -> None:
    path = write(SHOP.replace("title: Shop", f'title: "{"[" * 300}"'))
    assert Spec.load(path).title == "[" * 300


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        Spec.load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe4")
    with pytest.raises(SpecError, match="not UTF-8"):
        Spec.load(tmp_path / "latin.yaml")
    with pytest.raises(SpecError, match="cannot be read"):
        Spec.load(tmp_path)


def test_pointers() -> None:
    assert join("paths", "/a~b", 0) == "/paths/~1a~0b/0"
    assert split("/paths/~1a~0b/0") == ("paths", "/a~b", "0")
    assert lookup({"a": [{"b": 1}]}, "/a/0/b") == 1
    with pytest.raises(KeyError):
        lookup({"a": [1]}, "/a/-1")


def test_lines(write: Write) -> None:
    document = Document.read(write("openapi: 3.0.3\na:\n  b:\n    - 1\n    - {c: 2}\n"))
    assert [document.line(pointer) for pointer in ("", "/a", "/a/b/1", "/a/b/1/c", "/a/x")] == [1, 2, 5, 5, 2]
