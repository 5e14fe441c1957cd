"""Refusals have the shape that a spec declares, wherever in it that is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project

NOTE = {"type": "object", "required": ["id"], "properties": {"id": {"type": "string"}, "text": {"type": "string"}}}
READ = {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "status_code"],
            "properties": {
                "message": {"type": "string"},
                "status_code": {"type": "integer", "enum": [404, 422, 401]},
                "details": {
                    "allOf": [
                        {"type": "array", "items": {"type": "object", "properties": {"field": {"type": "string"}}}},
                        {"items": {"anyOf": [{"type": "object", "properties": {"issue": {"enum": ["MISSING"]}}}]}},
                    ]
                },
            },
        }
    },
}


def content(schema: Any) -> dict[str, Any]:
    return {"description": "it", "content": {"application/json": {"schema": schema}}}


def spec(read: dict[str, Any], write: dict[str, Any]) -> dict[str, Any]:
    """A system that reads notes and takes them."""
    required = {**NOTE, "required": ["text"]}
    post = {"operationId": "add", "requestBody": {"required": True, **content(required)}, "responses": write}
    get = {"operationId": "read", "responses": read}
    paths = {"/notes": {"post": post}, "/notes/{id}": {**READ, "get": get}}
    return {"openapi": "3.0.3", "info": {"title": "Notes", "version": "1"}, "paths": paths}


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., Any]:
    """The answers to a bad body and to an unknown id."""

    def ask(read: dict[str, Any], write: dict[str, Any]) -> Any:
        (tmp_path / "specs").mkdir()
        (tmp_path / "specs" / "notes.json").write_text(json.dumps(spec(read, write)))
        sandbox = InProcess(Project.load(tmp_path))
        url = sandbox.access().systems["notes"]["url"]
        with sandbox.session() as session:
            return session.post(f"{url}/notes", json={}), session.get(f"{url}/notes/nobody")

    return ask


def test_a_body_that_names_the_statuses_it_is_for(refused: Callable[..., Any]) -> None:
    bad, none = refused(
        {"200": content(NOTE), "404": content(ERROR)}, {"201": content(NOTE), "default": content(ERROR)}
    )
    said = bad.json()["error"]
    assert (bad.status_code, said["status_code"]) == (422, 422)
    assert said["details"] == [{"field": "text"}]
    assert none.json()["error"]["status_code"] == none.status_code == 404


def test_an_operation_that_declares_none_has_that_of_the_others(refused: Callable[..., Any]) -> None:
    bad, none = refused({"200": content(NOTE)}, {"201": content(NOTE), "422": content(ERROR)})
    assert (bad.status_code, none.status_code) == (422, 404)
    assert none.headers["content-type"] == "application/json"
    assert "nobody" in none.json()["error"]["message"]


def test_where_only_a_success_says_how_errors_look(refused: Callable[..., Any]) -> None:
    errors = {"type": "array", "items": {"type": "object", "properties": {"detail": {"type": "string"}}}}
    body = {"type": "object", "properties": {"note": NOTE, "errors": errors}}
    bad, none = refused({"200": content(body)}, {"200": content(body)})
    assert (bad.status_code, bad.json()) == (400, {"errors": [{"detail": "is required"}]})
    assert none.json() == {"errors": [{"detail": "there is no note 'nobody'"}]}
