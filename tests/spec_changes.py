"""A spec, and a table of single changes of it: what is replaced by what, and whom that breaks."""

# ruff: noqa: E501 - a table: one change, one line

from __future__ import annotations

from typing import NamedTuple

OLD = """\
openapi: 3.0.3
info: {title: Desk, version: "1"}
servers: [{url: /v1}]
security: [{token: [read]}]
paths:
  /orders:
    post:
      operationId: place_order
      parameters:
        - {name: dry_run, in: query, schema: {type: boolean}}
        - {name: channel, in: query, schema: {type: string, enum: [web, phone]}}
        - {name: tags, in: query, schema: {type: array, items: {type: string, maxLength: 20}}}
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: "#/components/schemas/OrderInput"}
          application/xml: {schema: {type: string}}
      responses:
        "201":
          description: Placed
          headers: {Location: {schema: {type: string}}, X-Trace: {schema: {type: string}}}
          content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}
        "409": {description: Taken}
        "412": {description: Stale}
        default: {description: Failed}
  /orders/{number}:
    get:
      operationId: get_order
      parameters:
        - {name: number, in: path, required: true, schema: {type: string, maxLength: 20}}
      responses:
        "200":
          description: The order
          content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}
    delete:
      operationId: drop_order
      parameters:
        - {name: number, in: path, required: true, schema: {type: string, maxLength: 20}}
        - {name: reason, in: query, schema: {type: string}}
      responses:
        "204": {description: Gone}
  /hooks:
    post:
      operationId: subscribe
      requestBody:
        content: {application/json: {schema: {type: object, properties: {url: {type: string}}}}}
      responses: {"204": {description: Done}}
      callbacks:
        order.paid:
          "{$request.body#/url}":
            post:
              requestBody:
                content:
                  application/json:
                    schema:
                      type: object
                      required: [number]
                      properties: {number: {type: string}, hint: {type: string, maxLength: 9}}
              responses: {"204": {description: Heard}}
        order.lost:
          "{$request.body#/url}":
            post:
              requestBody: {content: {application/json: {schema: {type: object}}}}
              responses: {"204": {description: Heard}}
components:
  securitySchemes:
    token: {type: oauth2, flows: {clientCredentials: {tokenUrl: /token, scopes: {read: R, write: W}}}}
    key: {type: apiKey, in: header, name: X-Key}
  schemas:
    OrderInput:
      type: object
      required: [number, lines]
      properties:
        number: {type: string, minLength: 1, maxLength: 20}
        speed: {type: string, enum: [slow, fast, express]}
        note: {type: string, nullable: true}
        memo: {type: string, nullable: true, format: date}
        gift: {type: boolean, default: false}
        weight: {type: number, minimum: 0, maximum: 100}
        code: {type: string, pattern: "^A"}
        ref: {type: integer, format: int64}
        unsent: {type: string, maxLength: 8}
        extra: {type: object, properties: {a: {type: string}}}
        pay: {oneOf: [{type: string, maxLength: 3}, {type: integer}]}
        lines:
          type: array
          minItems: 1
          maxItems: 50
          items:
            type: object
            required: [sku]
            properties: {sku: {type: string}, amount: {type: integer, minimum: 1}}
    Order:
      type: object
      required: [id, number, status]
      properties:
        id: {type: string}
        number: {type: string}
        status: {type: string, enum: [open, paid]}
        total: {type: number, maximum: 1000}
        rank: {type: integer}
        label: {type: string, format: uuid}
        never: {type: string, maxLength: 5}
        parts: {type: array, items: {type: object, properties: {part_number: {type: string}}}}
"""


class Case(NamedTuple):
    name: str
    before: str
    after: str
    anyone: str
    this: str
    says: str = ""


BREAKS, MAY, SAFE = "breaks", "may break", "safe"
# What the consumer never uses breaks anybody but it.
# fmt: off
CASES = [
    # Operations.
    Case("operation removed", "    get:\n      operationId: get_order", "    get_: {}\n    x-get:\n      x: 1", BREAKS, BREAKS, "was removed"),
    Case("unused operation removed", "    delete:\n", "    x-delete:\n", BREAKS, SAFE, "never calls"),
    Case("operation moved", "  /orders/{number}:\n", "  /order/{number}:\n", BREAKS, BREAKS, "is GET /order/{number} now"),
    Case("operation added", "  /hooks:\n", "  /ping:\n    get: {operationId: ping, responses: {'204': {description: P}}}\n  /hooks:\n", SAFE, SAFE, "GET /ping was added"),
    Case("operationId renamed", "operationId: get_order", "operationId: read_order", SAFE, SAFE, "operationId"),
    Case("operation deprecated", "operationId: get_order", "operationId: get_order\n      deprecated: true", SAFE, SAFE),
    Case("server moved", "/v1}", "/v2}", MAY, MAY, "/v2 is new"),
    # Parameters.
    Case("parameter removed", "        - {name: channel, in: query, schema: {type: string, enum: [web, phone]}}\n", "", BREAKS, BREAKS),
    Case("unsent parameter removed", "        - {name: dry_run, in: query, schema: {type: boolean}}\n", "", BREAKS, SAFE, "never sends"),
    Case("parameter renamed", "name: channel", "name: origin", BREAKS, BREAKS, "is called origin now"),
    Case("unsent parameter renamed", "name: dry_run", "name: rehearsal", BREAKS, SAFE),
    Case("required parameter added", "      parameters:\n        - {name: dry_run", "      parameters:\n        - {name: shop, in: query, required: true, schema: {type: string, maxLength: 1}}\n        - {name: dry_run", BREAKS, BREAKS, "goes without it 2 of 2 times"),
    Case("optional parameter added", "      parameters:\n        - {name: dry_run", "      parameters:\n        - {name: shop, in: query, schema: {type: string, maxLength: 1}}\n        - {name: dry_run", SAFE, SAFE),
    Case("parameter required", "{name: dry_run, in: query,", "{name: dry_run, in: query, required: true,", BREAKS, BREAKS, "goes without it 2 of 2 times"),
    Case("parameter value gone that is sent", "[web, phone]", "[phone]", BREAKS, BREAKS, "sends web"),
    Case("parameter value gone that is not sent", "[web, phone]", "[web]", BREAKS, SAFE, "sends only web"),
    Case("items of a parameter narrowed", "maxLength: 20}}}\n      requestBody", "maxLength: 5}}}\n      requestBody", BREAKS, MAY),
    Case("path parameter narrowed", "schema: {type: string, maxLength: 20}}\n      responses", "schema: {type: string, maxLength: 8}}\n      responses", BREAKS, MAY),
    Case("parameter written otherwise", "{name: tags, in: query,", "{name: tags, in: query, explode: false,", BREAKS, BREAKS),
    Case("schema of a parameter gone", "{name: channel, in: query, schema: {type: string, enum: [web, phone]}}", "{name: channel, in: query}", SAFE, SAFE),
    # Fields of requests.
    Case("request field removed", "        weight: {type: number, minimum: 0, maximum: 100}\n", "", BREAKS, BREAKS, "the field weight was removed"),
    Case("unsent request field removed", "        unsent: {type: string, maxLength: 8}\n", "", BREAKS, SAFE, "never sends"),
    Case("request field renamed", "        code: {", "        mark: {", BREAKS, BREAKS, "the field code is called mark now"),
    Case("request field required that is always sent", "required: [number, lines]", "required: [number, lines, speed]", BREAKS, SAFE, "each time"),
    Case("request field required that is never sent", "required: [number, lines]", "required: [number, lines, gift]", BREAKS, BREAKS, "goes without it"),
    Case("request field optional", "required: [number, lines]", "required: [number]", SAFE, SAFE),
    Case("required request field added", "required: [number, lines]\n      properties:\n", "required: [number, lines, vat]\n      properties:\n        vat: {type: string, maxLength: 99}\n", BREAKS, BREAKS, "required field vat was added"),
    Case("optional request field added", "        gift:", "        vat: {type: string, maxLength: 99}\n        gift:", SAFE, SAFE),
    Case("request field of items required", "required: [sku]", "required: [sku, amount]", BREAKS, SAFE),
    Case("request type changed", "weight: {type: number, minimum: 0, maximum: 100}", "weight: {type: string}", BREAKS, BREAKS, "the type is string"),
    Case("request type narrowed", "weight: {type: number,", "weight: {type: integer,", BREAKS, MAY),
    Case("request type widened", "ref: {type: integer, format: int64}", "ref: {type: number}", SAFE, SAFE),
    Case("request value gone that is sent", "[slow, fast, express]", "[slow, express]", BREAKS, BREAKS, "sends fast"),
    Case("request value gone that is not sent", "[slow, fast, express]", "[slow, fast]", BREAKS, SAFE, "sends only fast"),
    Case("request value added", "[slow, fast, express]", "[slow, fast, express, night]", SAFE, SAFE),
    Case("request null gone that is sent", "note: {type: string, nullable: true}", "note: {type: string}", BREAKS, BREAKS, "sends null"),
    Case("request null gone that is not sent", "memo: {type: string, nullable: true,", "memo: {type: string,", BREAKS, SAFE, "never sends null"),
    Case("request format changed", "format: date}", "format: date-time}", BREAKS, MAY, "the format is date-time"),
    Case("request format narrowed", "format: int64", "format: int32", BREAKS, MAY),
    Case("request maximum lowered", "maximum: 100}", "maximum: 50}", BREAKS, MAY),
    Case("request maximum exclusive", "maximum: 100}", "maximum: 100, exclusiveMaximum: true}", BREAKS, MAY),
    Case("request maximum raised", "maximum: 100}", "maximum: 500}", SAFE, SAFE),
    Case("request minimum raised", "minimum: 1}", "minimum: 2}", BREAKS, MAY),
    Case("unsent request field narrowed", "unsent: {type: string, maxLength: 8}", "unsent: {type: string, maxLength: 2}", BREAKS, SAFE),
    Case("request items fewer", "maxItems: 50", "maxItems: 5", BREAKS, MAY),
    Case("request pattern changed", '"^A"', '"^B"', BREAKS, MAY),
    Case("request multiple", "amount: {type: integer,", "amount: {type: integer, multipleOf: 2,", BREAKS, MAY),
    Case("request closed to more fields", "extra: {type: object,", "extra: {type: object, additionalProperties: false,", MAY, BREAKS, "/extra/b"),
    Case("request default changed", "default: false", "default: true", MAY, MAY, "leaves it to the default"),
    Case("request form gone", ", {type: integer}]", "]", BREAKS, MAY),
    Case("request form added", ", {type: integer}]", ", {type: integer}, {type: boolean}]", SAFE, SAFE),
    Case("request content type gone", "          application/xml: {schema: {type: string}}\n", "", BREAKS, SAFE, "another content type"),
    Case("request content type gone that is sent", "          application/json:\n            schema: {$ref: \"#/components/schemas/OrderInput\"}\n", "", BREAKS, BREAKS),
    Case("request body required", "      requestBody:\n        content: {application/json: {schema: {type: object, properties: {url", "      requestBody:\n        required: true\n        content: {application/json: {schema: {type: object, properties: {url", BREAKS, SAFE),
    # Answers.
    Case("answer field removed that is used", "        id: {type: string}\n", "", BREAKS, BREAKS, "desk.get_order path number"),
    Case("answer field removed, use unknown", "        rank: {type: integer}\n", "", BREAKS, MAY, "cannot be seen"),
    Case("answer field removed that never came", "        never: {type: string, maxLength: 5}\n", "", BREAKS, SAFE, "never given"),
    Case("answer field renamed", "        rank: {", "        place: {", BREAKS, MAY, "the field rank is called place now"),
    Case("answer field renamed in items", "{part_number: {", "{part_no: {", BREAKS, BREAKS, "desk.place_order body /number"),
    Case("answer field added", "        rank:", "        colour: {type: string, maxLength: 77}\n        rank:", SAFE, SAFE),
    Case("answer field optional", "[id, number, status]", "[id, number]", MAY, MAY),
    Case("answer field required", "[id, number, status]", "[id, number, status, rank]", SAFE, SAFE),
    Case("answer type changed", "rank: {type: integer}", "rank: {type: string}", BREAKS, MAY),
    Case("answer type changed that is used", "        id: {type: string}", "        id: {type: integer}", BREAKS, BREAKS),
    Case("answer type narrowed", "total: {type: number, maximum: 1000}", "total: {type: integer, maximum: 1000}", SAFE, SAFE),
    Case("answer value added", "enum: [open, paid]", "enum: [open, paid, parked]", MAY, MAY, "parked"),
    Case("answer value gone", "enum: [open, paid]", "enum: [open]", SAFE, SAFE),
    Case("answer null added", "rank: {type: integer}", "rank: {type: integer, nullable: true}", MAY, MAY, "null"),
    Case("answer maximum raised", "maximum: 1000", "maximum: 9000", MAY, MAY),
    Case("answer maximum lowered", "maximum: 1000", "maximum: 10", SAFE, SAFE),
    Case("answer format changed", "format: uuid", "format: uri", MAY, MAY),
    Case("answer field narrowed that never came", "maxLength: 5}", "maxLength: 15}", MAY, SAFE),
    Case("answer schema gone", '"200":\n          description: The order\n          content: {application/json: {schema: {$ref: "#/components/schemas/Order"}}}', '"200":\n          description: The order\n          content: {application/json: {}}', MAY, MAY, "the schema is gone"),
    Case("answer status changed", '"201":', '"200":', BREAKS, BREAKS, "200 instead of 201"),
    Case("answer status gone that came", '        "409": {description: Taken}\n', "", MAY, MAY, "answered 409 once"),
    Case("answer status gone that never came", '        "412": {description: Stale}\n', "", MAY, SAFE, "never answered 412"),
    Case("answer status of failure added", '        "409": {', '        "423": {description: Locked}\n        "409": {', SAFE, SAFE),
    Case("answer status of success added", '        "409": {', '        "202": {description: Later}\n        "409": {', MAY, MAY),
    Case("answer header removed that is used", "Location: {schema: {type: string}}, ", "", BREAKS, BREAKS),
    Case("answer header removed, use unknown", ", X-Trace: {schema: {type: string}}", "", BREAKS, MAY),
    Case("answer content type changed", '{application/json: {schema: {$ref: "#/components/schemas/Order"}}}\n        "409"', '{text/csv: {schema: {type: string}}}\n        "409"', BREAKS, BREAKS),
    # Events, credentials, and what is no change.
    Case("event removed", "        order.paid:\n", "        order.done:\n", BREAKS, BREAKS, "the event order.paid was removed"),
    Case("unheard event removed", "        order.lost:\n", "        order.found:\n", BREAKS, SAFE),
    Case("event field removed", "{number: {type: string}, hint: {type: string, maxLength: 9}}", "{number: {type: string}}", BREAKS, MAY),
    Case("credential changed", "security: [{token: [read]}]", "security: [{key: []}]", BREAKS, BREAKS, "an API key in the header X-Key"),
    Case("credential wants more", "[{token: [read]}]", "[{token: [read, write]}]", BREAKS, BREAKS),
    Case("credential scheme changed", "tokenUrl: /token", "tokenUrl: /oauth", BREAKS, BREAKS),
    Case("credential added as a choice", "[{token: [read]}]", "[{token: [read]}, {key: []}]", SAFE, SAFE),
    Case("remarks changed", "description: Placed", "description: Booked", "", ""),
]
# fmt: on
