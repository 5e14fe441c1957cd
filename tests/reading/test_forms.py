"""Forms, url-encoded and in several parts, as the values that their schemas describe; parameters that are objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox.forms import shaped, urlencoded
from sandbox.inprocess import InProcess
from sandbox.project import Project

DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Charge": {
                "type": "object",
                "properties": {
                    "amount": {"type": "integer"},
                    "rate": {"type": "number"},
                    "capture": {"type": "boolean"},
                    "tags": {"type": "array", "items": {"type": "string"}},
                    "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
                    "items": {
                        "type": "array",
                        "items": {"type": "object", "properties": {"price": {"type": "integer"}}},
                    },
                    "source": {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/Card"}]},
                    "filter[name]": {"type": "integer"},
                },
            },
            "Card": {"type": "object", "properties": {"number": {"type": "string"}, "month": {"type": "integer"}}},
        }
    }
}
CHARGE = {"$ref": "#/components/schemas/Charge"}


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("amount=1200&rate=1.5&capture=true", {"amount": 1200, "rate": 1.5, "capture": True}),
        ("amount=many&capture=yes", {"amount": "many", "capture": "yes"}),
        ("tags=a", {"tags": ["a"]}),
        ("tags=a&tags=b", {"tags": ["a", "b"]}),
        ("tags[]=a&tags[]=b", {"tags": ["a", "b"]}),
        ("tags[0]=a&tags[1]=b", {"tags": ["a", "b"]}),
        ("metadata[order]=7&metadata[by]=me", {"metadata": {"order": "7", "by": "me"}}),
        ("items[0][price]=3&items[1][price]=4", {"items": [{"price": 3}, {"price": 4}]}),
        ("source=tok_1", {"source": "tok_1"}),
        ("source[number]=42&source[month]=3", {"source": {"number": "42", "month": 3}}),
        ("filter[name]=3", {"filter[name]": 3}),
        ("unknown[a][b]=c", {"unknown": {"a": {"b": "c"}}}),
        ('metadata={"a":"b"}', {"metadata": {"a": "b"}}),
        ("a=1&a=2", {"a": ["1", "2"]}),
        ("", {}),
    ],
)
def test_values(form: str, value: dict[str, Any]) -> None:
    assert shaped(urlencoded(form.encode()), CHARGE, DOCUMENT) == value


def test_a_list_in_one_text() -> None:
    assert shaped([("tags", "a,b")], CHARGE, DOCUMENT, ["tags"]) == {"tags": ["a", "b"]}


SPEC = """
    openapi: 3.0.3
    info: {title: Jobs, version: "1"}
    paths:
      /jobs:
        get:
          operationId: list_jobs
          parameters:
            - {name: filter, in: query, style: deepObject, schema: {$ref: '#/components/schemas/Filter'}}
            - {name: span, in: query, schema: {type: object, properties: {from: {type: integer}, to: {type: integer}}}}
          responses: {"200": {description: all, content: {application/json: {schema: {
            type: array, items: {$ref: '#/components/schemas/Job'}}}}}}
        post:
          operationId: create_job
          requestBody:
            required: true
            content:
              application/x-www-form-urlencoded: {schema: {$ref: '#/components/schemas/Job'}}
              multipart/form-data: {schema: {$ref: '#/components/schemas/Job'}}
          responses: {"201": {description: one, content: {application/json: {schema: {
            $ref: '#/components/schemas/Job'}}}}}
    components:
      schemas:
        Filter: {type: object, properties: {state: {type: string, enum: [open, done]}, size: {type: integer}}}
        Job:
          type: object
          required: [size]
          properties:
            id: {type: string, readOnly: true}
            size: {type: integer, minimum: 1}
            address: {type: object, properties: {city: {type: string}}}
            file: {type: string, format: binary}
"""


@pytest.fixture(scope="module")
def system(make_project: Callable[..., Path]) -> Iterator[tuple[Any, str]]:
    sandbox = InProcess(Project.load(make_project(SPEC)))
    yield sandbox.session(), f"{sandbox.access().systems['jobs']['url']}/jobs"
    sandbox.close()


def test_a_url_encoded_body_is_kept_in_its_types(system: tuple[Any, str]) -> None:
    session, url = system
    made = session.post(url, data={"size": "3", "address[city]": "Graz"})
    assert made.status_code == 201
    assert {"size": 3, "address": {"city": "Graz"}}.items() <= made.json().items()


def test_parts(system: tuple[Any, str]) -> None:
    session, url = system
    parts = {
        "size": (None, "4"),
        "address": (None, '{"city": "Linz"}', "application/json"),
        "file": ("a.bin", b"\xff\x00"),
    }
    made = session.post(url, files=parts)
    assert made.status_code == 201, made.text
    assert {"size": 4, "address": {"city": "Linz"}, "file": "/wA="}.items() <= made.json().items()


@pytest.mark.parametrize(
    ("body", "content_type", "says"),
    [
        (b"size=0", "application/x-www-form-urlencoded", "/size must be at least 1"),
        (b"address[city]=Graz", "application/x-www-form-urlencoded", "/size is required"),
        (b"--x\r\n", "multipart/form-data", "has no boundary"),
        (
            b"--x\r\nContent-Disposition: form-data; name=size\r\n\r\n3",
            "multipart/form-data; boundary=x",
            "last boundary",
        ),
        (b"--x\r\n\r\n3\r\n--x--", "multipart/form-data; boundary=x", "a part has no name"),
        (b"nothing", "multipart/form-data; boundary=x", "is not a form"),
    ],
)
def test_refused(system: tuple[Any, str], body: bytes, content_type: str, says: str) -> None:
    session, url = system
    answer = session.post(url, data=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("filter[state]=open&filter[size]=3", 200),
        ("filter[state]=lost", 400),
        ("filter[size]=many", 400),
        ("from=1&to=2", 200),
        ("from=x", 400),
    ],
)
def test_objects_in_the_query(system: tuple[Any, str], query: str, status: int) -> None:
    session, url = system
    assert session.get(f"{url}?{query}").status_code == status
