"""What lists and searches are asked for in the ways of published specs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.inprocess import InProcess
from sandbox.project import Project

SPEC = """
    openapi: 3.0.3
    info: {title: Pets, version: "1"}
    paths:
      /pets:
        post:
          operationId: add_pet
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}
          responses: {"201": {$ref: "#/components/responses/Pet"}}
        get: {operationId: list_pets, responses: {"200": {$ref: "#/components/responses/Pets"}}}
      /pets/findByStatus:
        get:
          operationId: by_status
          parameters: [{name: status, in: query, schema: {type: string}}]
          responses: {"200": {$ref: "#/components/responses/Pets"}}
      /pets/tagged:
        get:
          operationId: by_tag
          parameters: [{name: tags, in: query, schema: {type: array, items: {type: string}}}]
          responses: {"200": {$ref: "#/components/responses/Pets"}}
      /pets/createWithList:
        post:
          operationId: add_pets
          requestBody:
            content:
              application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Pet"}}}
          responses: {"200": {$ref: "#/components/responses/Pets"}}
      /pets/search:
        post:
          operationId: search_pets
          requestBody:
            content:
              application/json:
                schema: {type: object, properties: {query: {type: object}, after: {type: string}}}
          responses: {"200": {$ref: "#/components/responses/Pets"}}
      /search-pets:
        post:
          operationId: look_for_pets
          requestBody:
            content:
              application/json: {schema: {type: object, properties: {city: {type: string}}}}
          responses: {"200": {$ref: "#/components/responses/Pets"}}
      /pets/{petId}:
        parameters: [{name: petId, in: path, required: true, schema: {type: integer}}]
        get: {operationId: read_pet, responses: {"200": {$ref: "#/components/responses/Pet"}}}
        post:
          operationId: rename_pet
          parameters: [{name: name, in: query, schema: {type: string}}]
          responses: {"200": {$ref: "#/components/responses/Pet"}}
      /addresses:
        post:
          operationId: add_address
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Address"}}}}
          responses:
            "201":
              description: ok
              content: {application/json: {schema: {$ref: "#/components/schemas/Address"}}}
        get:
          operationId: list_addresses
          parameters:
            - {name: limit, in: query, schema: {type: integer}}
            - name: before/after
              in: query
              schema: {allOf: [{type: object, properties: {before: {type: string}, after: {type: string}}}]}
          responses:
            "200":
              description: ok
              content:
                application/json:
                  schema:
                    type: object
                    required: [data, links]
                    properties:
                      data: {type: array, items: {$ref: "#/components/schemas/Address"}}
                      links:
                        allOf:
                          - type: object
                            required: [next, prev]
                            properties:
                              next: {$ref: "#/components/schemas/Link"}
                              prev: {$ref: "#/components/schemas/Link"}
      /addresses/{id}:
        parameters: [{name: id, in: path, required: true, schema: {type: string}}]
        get:
          operationId: read_address
          responses:
            "200":
              description: ok
              content: {application/json: {schema: {$ref: "#/components/schemas/Address"}}}
    components:
      responses:
        Pet: {description: ok, content: {application/json: {schema: {$ref: "#/components/schemas/Pet"}}}}
        Pets:
          description: ok
          content:
            application/json: {schema: {type: array, items: {$ref: "#/components/schemas/Pet"}}}
      schemas:
        Pet:
          type: object
          required: [name]
          properties:
            id: {type: integer}
            name: {type: string}
            age: {type: integer}
            status: {type: string, enum: [here, sold]}
            tags: {type: array, items: {type: object, properties: {id: {type: integer}, name: {type: string}}}}
            home: {type: object, properties: {city: {type: string}}}
        Address: {type: object, required: [line], properties: {id: {type: string}, line: {type: string}}}
        Link: {type: object, properties: {href: {type: string, format: url, example: "https://elsewhere.test/"}}}
"""
PETS = (
    {"name": "Rex", "age": 3, "status": "sold", "tags": [{"id": 1, "name": "big"}], "home": {"city": "Ulm"}},
    {"name": "Nox", "age": 9, "status": "here", "tags": [], "home": {"city": "Bonn"}},
    {"name": "Ada", "age": 5, "status": "here", "tags": [{"id": 2, "name": "old"}], "home": {"city": "Ulm"}},
)


@pytest.fixture
def session(make_project: Callable[..., Path]) -> Iterator[requests.Session]:
    sandbox = InProcess(Project.load(make_project(SPEC)))
    yield sandbox.session()
    sandbox.close()


@pytest.fixture
def call(session: requests.Session) -> Callable[..., Any]:
    def ask(method: str, path: str, body: Any = None) -> Any:
        answer = session.request(method, f"http://127.0.0.1:8420/jobs{path}", json=body)
        assert answer.ok, answer.text
        return answer.json()

    return ask


@pytest.fixture
def names(call: Callable[..., Any]) -> Callable[..., list[str]]:
    for pet in PETS:
        call("POST", "/pets", pet)
    return lambda *asked: [one["name"] for one in call(*asked)]


def test_a_list_beside_the_list(names: Callable[..., list[str]]) -> None:
    assert names("GET", "/pets/findByStatus?status=here") == ["Nox", "Ada"]
    assert names("GET", "/pets/tagged?tags=big&tags=new") == ["Rex"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"field": "name", "operator": "=", "value": "Ada"}, ["Ada"]),
        ({"field": "age", "operator": ">", "value": 3}, ["Nox", "Ada"]),
        ({"field": "age", "operator": "<", "value": 5}, ["Rex"]),
        (
            {
                "operator": "OR",
                "value": [
                    {"field": "name", "operator": "=", "value": "Rex"},
                    {
                        "operator": "AND",
                        "value": [
                            {"field": "status", "operator": "=", "value": "here"},
                            {"field": "city", "operator": "=", "value": "Ulm"},
                        ],
                    },
                ],
            },
            ["Rex", "Ada"],
        ),
    ],
)
def test_a_search_by_a_rule(names: Callable[..., list[str]], query: Any, found: list[str]) -> None:
    assert names("POST", "/pets/search", {"query": query}) == found


def test_the_cursor_0_is_the_beginning(names: Callable[..., list[str]]) -> None:
    assert names("POST", "/pets/search", {"after": "0"}) == ["Rex", "Nox", "Ada"]


def test_a_search_beside_its_collection_asks_for_parts_too(names: Callable[..., list[str]]) -> None:
    assert names("POST", "/search-pets", {"city": "Ulm"}) == ["Rex", "Ada"]


def test_several_created_at_once(call: Callable[..., Any]) -> None:
    made = call("POST", "/pets/createWithList", [{"name": "A"}, {"name": "B"}])
    assert [one["name"] for one in made] == ["A", "B"]
    assert call("GET", f"/pets/{made[1]['id']}")["name"] == "B"


def test_a_change_without_a_body_is_in_the_query(call: Callable[..., Any]) -> None:
    made = call("POST", "/pets", PETS[0])
    assert call("POST", f"/pets/{made['id']}?name=Max") == {**made, "name": "Max"}
    assert call("GET", f"/pets/{made['id']}")["name"] == "Max"


def test_a_list_that_knows_no_pages_has_one(call: Callable[..., Any]) -> None:
    for number in range(30):
        call("POST", "/pets", {"name": f"n{number}"})
    assert len(call("GET", "/pets")) == 30


def test_a_cursor_among_the_properties_of_an_object(call: Callable[..., Any]) -> None:
    for number in range(5):
        call("POST", "/addresses", {"line": f"n{number}"})
    found, path = [], "/addresses?limit=2"
    for _ in range(3):
        page = call("GET", path)
        found += [one["line"] for one in page["data"]]
        path = page["links"]["next"].get("href", "").partition("/jobs")[2]
    assert found == [f"n{number}" for number in range(5)]
    assert path == ""


def test_links_to_pages_that_there_are_not_lead_nowhere(call: Callable[..., Any]) -> None:
    assert call("GET", "/addresses")["links"] == {"next": {}, "prev": {}}
