"""XML in requests and answers, by the schemas that JSON has, too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from sandbox.inprocess import InProcess
from sandbox.project import Project
from sandbox.xml_bodies import read, written

PARCEL = {
    "type": "object",
    "required": ["code"],
    "xml": {"name": "Parcel"},
    "properties": {
        "code": {"type": "string", "xml": {"attribute": True}},
        "weight": {"type": "number", "xml": {"name": "Weight"}},
        "fragile": {"type": "boolean"},
        "notes": {"type": "array", "items": {"type": "string", "xml": {"name": "note"}}, "xml": {"wrapped": True}},
        "scans": {"type": "array", "items": {"type": "object", "properties": {"at": {"type": "integer"}}}},
    },
}
XML = (
    b'<p:Parcel xmlns:p="urn:x" code="A&amp;1"><Weight>2.50</Weight><fragile>true</fragile>'
    b"<notes><note>up</note><note>&lt;down&gt;</note></notes><scans><at>1</at></scans><scans><at>2</at></scans></p:Parcel>"
)
VALUE = {"code": "A&1", "weight": 2.5, "fragile": True, "notes": ["up", "<down>"], "scans": [{"at": 1}, {"at": 2}]}


def test_there_and_back() -> None:
    assert read(XML, PARCEL, {}) == VALUE
    assert read(written(VALUE, PARCEL, {}), PARCEL, {}) == VALUE


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "has a document type"),
        (b"<a>", "is not XML"),
        (b"", "is not XML"),
        (b"<a>" * 100 + b"</a>" * 100, "is nested deeper than 64 levels"),
    ],
)
def test_what_is_refused(raw: bytes, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        read(raw, {}, {})


def content(*names: str) -> dict[str, Any]:
    return {name: {"schema": {"$ref": "#/components/schemas/Parcel"}} for name in names}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InProcess, str]]:
    both, only = content("application/xml", "application/json"), content("text/xml")
    spec = {
        "openapi": "3.0.3",
        "info": {"title": "Depot", "version": "1"},
        "paths": {
            "/parcels": {
                "post": {
                    "operationId": "add",
                    "requestBody": {"required": True, "content": both},
                    "responses": {"201": {"description": "it", "content": both}},
                }
            },
            "/parcels/{code}": {
                "parameters": [{"name": "code", "in": "path", "required": True, "schema": {"type": "string"}}],
                "get": {"operationId": "read", "responses": {"200": {"description": "it", "content": only}}},
            },
        },
        "components": {"schemas": {"Parcel": PARCEL}},
    }
    folder = tmp_path_factory.mktemp("xml")
    (folder / "specs").mkdir()
    (folder / "specs" / "depot.json").write_text(json.dumps(spec))
    sandbox = InProcess(Project.load(folder))
    yield sandbox, sandbox.access().systems["depot"]["url"]
    sandbox.close()


def test_a_record_in_xml(url: tuple[InProcess, str]) -> None:
    sandbox, base = url
    kind = {"content-type": "application/xml"}
    with sandbox.session() as session:
        made = session.post(f"{base}/parcels", data=XML, headers=kind)
        found = session.get(f"{base}/parcels/A%261")
        wrong = session.post(f"{base}/parcels", data=b"<Parcel><Weight>heavy</Weight></Parcel>", headers=kind)
        broken = session.post(f"{base}/parcels", data=b"<Parcel>", headers=kind)
    assert (made.status_code, made.json()) == (201, VALUE)
    assert found.headers["content-type"] == "text/xml"
    root = ET.fromstring(found.content)
    assert (root.tag, root.attrib, root.findtext("Weight")) == ("Parcel", {"code": "A&1"}, "2.5")
    assert {error["pointer"] for error in wrong.json()["errors"]} == {"/code", "/weight"}
    assert (broken.status_code, "is not XML" in broken.json()["detail"]) == (400, True)
