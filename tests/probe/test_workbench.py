"""Valid requests of a specification that contradicts itself, and answers that leave the connection whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.alternatives import loosened
from sandbox.probe import Provider, RemoteWorld, Workbench
from sandbox.probe.contradictions import contradictions
from sandbox.probe.workbench import Impossible
from sandbox.project import Project
from sandbox.server import Server

VENDORS = Path(__file__).parents[1] / "vendors"


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    project = Project.load(VENDORS)
    with Server(project, port=0, rate_limits=False).running() as server:
        access = server.access()
        mine = [credential for credential in access.credentials if credential.system == "hasty"]
        world = RemoteWorld(access.control, "default")
        provider = Provider(project.specs["hasty"], access.systems["hasty"]["url"], mine, world=world)
        yield Workbench(provider)
        provider.close()
        world.close()


def test_an_example_that_does_not_fit_is_made_to(bench: Workbench) -> None:
    request, answer = bench.perform("createClient")
    assert request.body == {"name": "Ada", "credit": 12.5, "role": "owner"}
    assert answer.status == 201


def test_a_credential_is_no_parameter(bench: Workbench) -> None:
    assert "x-hasty-token" not in bench.request("createClient").headers


def test_an_id_that_is_a_number_elsewhere_is_one(bench: Workbench) -> None:
    request, answer = bench.perform("createNote")
    assert str(answer.json()["client_id"]) == request.path.split("/")[2]


def test_a_name_that_must_be_there_once_only(bench: Workbench) -> None:
    names = [bench.perform("createLabel")[0].body for _ in range(2)]
    assert names[0] != names[1]


def test_the_name_of_a_nested_record_is_its_own(bench: Workbench) -> None:
    request, first = bench.perform("createUse")
    again = bench.provider.send(request)
    assert again.status == 201
    assert first.json()["id"] != again.json()["id"]
    listed, _ = bench.perform("listUses")
    shown = bench.provider.send(replace(listed, path=request.path)).json()
    assert [one["id"] for one in shown] == [first.json()["id"], again.json()["id"]]


def test_a_form_in_several_parts_points_at_what_exists(bench: Workbench) -> None:
    request, answer = bench.perform("createFile")
    assert request.content_type == "multipart/form-data"
    assert isinstance(answer.json()["client_id"], int)
    read, _ = bench.perform("getFile")
    assert bench.provider.send(read).json()["id"].startswith("fil_")


def test_an_answer_204_leaves_nothing_behind_on_the_connection(bench: Workbench) -> None:
    request = bench.request("replaceClient")
    answers = [bench.provider.send(request) for _ in range(3)]
    assert [(answer.status, answer.body) for answer in answers] == [(204, b"")] * 3


def test_what_cannot_be_reached_is_not_asked(bench: Workbench) -> None:
    with pytest.raises(Impossible, match="cannot be told from that of getClient") as reason:
        bench.perform("getClientByNumber")
    assert not reason.value.blames


def test_what_the_spec_says_against_itself_is_told_as_such(bench: Workbench) -> None:
    told = "\n".join(contradictions(bench.provider.spec))
    assert (
        "hasty.createClient: the spec says both: its example is a valid body, and /credit must be of type number"
        in told
    )
    assert "hasty.getClientByNumber" in told


NAMED = {"type": "object", "properties": {"name": {"type": "string"}}}
DATED = {"type": "string", "format": "date"}


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        (NAMED, {"type": "object", "properties": {"code": {"type": "integer"}}}, False),
        ({**NAMED, "required": ["name"]}, {**NAMED, "required": ["code"]}, True),
        ({**NAMED, "required": ["name"]}, {"type": "object", "properties": {"name": {"type": "integer"}}}, True),
        ({"type": "string"}, {"type": "integer"}, True),
        (DATED, {"type": "string"}, False),
        ({"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["b"]}, True),
        ({"type": "array", "items": NAMED}, {"type": "array", "items": {"type": "string"}}, True),
        ({"type": "integer"}, {"type": "number"}, False),
    ],
)
def test_alternatives_that_cannot_be_told_apart(one: object, other: object, apart: bool) -> None:
    node = {"oneOf": [one, other]}
    assert bool(list(loosened({}, [("/here", node)]))) is not apart
    assert ("oneOf" in node) is apart


def test_what_a_patch_says_stays_though_only_its_requirement_is_declared(bench: Workbench) -> None:
    change = bench.provider.spec.operations["changeFile"]
    request, answer = bench.perform(change)
    assert isinstance(request.body, dict)
    assert answer.json()["from"] == request.body["from"]
    assert bench.provider.send(replace(request, body={"title": "other"})).json()["from"] == request.body["from"]
