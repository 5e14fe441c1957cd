"""Single changes of a spec, each with its verdict: for any consumer, and for one whose usage is known."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.consumer.breakage import Judgement, breaking, judge
from sandbox.consumer.spec_diff import Version
from sandbox.consumer.usage import Journal, Usage, usage_of
from sandbox.document import Document
from sandbox.errors import SpecError
from tests.spec_changes import BREAKS, CASES, MAY, OLD, SAFE, Case


def call(
    seq: int,
    operation: str,
    method: str,
    path: str,
    body: Any = None,
    answer: Any = None,
    status: int = 200,
    **more: Any,
) -> dict[str, Any]:
    headers = {"content-type": "application/json"} if body is not None else {}
    return {
        "seq": seq,
        "kind": "call",
        "at": float(seq),
        "address": {"system": "desk", "operation": operation, "key": "-", "occurrence": 1},
        "request": {"method": method, "path": path, "query": more.get("query", ""), "headers": headers, "body": body},
        "effect": "none",
        "answer": {
            "status": status,
            "headers": more.get("headers", {}),
            "body": answer,
            "at": seq + 0.5,
            "outcome": "sent",
        },
    }


INPUT = {
    "number": "2025-4471",
    "speed": "fast",
    "note": None,
    "memo": "2025-01-01",
    "weight": 5,
    "code": "A1",
    "ref": 7,
    "extra": {"a": "x", "b": "y"},
    "pay": "abc",
    "lines": [{"sku": "S-1", "amount": 2}],
}
ORDER = {
    "id": "ord_77f0aa12",
    "number": "2025-4471",
    "status": "open",
    "total": 12.5,
    "rank": 3,
    "label": "0e4dd9e8-36b5-4f29-8b12-0f7a3c1f9a01",
    "parts": [{"part_number": "PN-10023"}],
}
ENTRIES: list[dict[str, Any]] = [
    call(
        *(1, "place_order", "POST", "/orders", INPUT, ORDER, 201),
        query="channel=web&tags=a",
        headers={"location": "/v1/orders/ord_77f0aa12", "x-trace": "t"},
    ),
    call(2, "get_order", "GET", "/orders/ord_77f0aa12", None, ORDER),
    call(3, "place_order", "POST", "/orders", {**INPUT, "number": "PN-10023"}, {"detail": "taken"}, 409),
    {
        "seq": 4,
        "kind": "delivery",
        "at": 4.0,
        "system": "desk",
        "event_id": "evt_1",
        "address": {"event": "order.paid", "key": "-", "occurrence": 1, "subscriber": "s"},
        "request": {"headers": {}, "body": {"number": "2025-4471", "hint": "h"}},
        "answer": {"status": 204, "at": 4.1},
    },
]


def version(folder: Path, name: str, text: str) -> Version:
    path = folder / f"{name}.yaml"
    path.write_text(text, encoding="utf-8")
    return Version.of(Document.read(path), "desk")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return version(tmp_path_factory.mktemp("old"), "old", OLD)


@pytest.fixture(scope="module")
def consumer(old: Version) -> Usage:
    return usage_of([Journal("j", ENTRIES)], {"desk": old.spec})


@pytest.fixture
def worst(old: Version, consumer: Usage, tmp_path: Path) -> Callable[[str, str, Usage | None], list[Judgement]]:
    """What one replacement in the old document comes to."""

    def compare(before: str, after: str, usage: Usage | None) -> list[Judgement]:
        assert before in OLD
        return judge(old, version(tmp_path, "new", OLD.replace(before, after)), usage)

    return compare


Compare = Callable[[str, str, Usage | None], list[Judgement]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_verdict(case: Case, worst: Compare, consumer: Usage) -> None:
    for usage, verdict in ((None, case.anyone), (consumer, case.this)):
        found = worst(case.before, case.after, usage)
        assert (found[0].verdict if found else "") == verdict, found
    assert case.says in str(found)


def test_there_are_enough_of_both_directions() -> None:
    assert len(CASES) >= 30
    assert {verdict for case in CASES for verdict in (case.anyone, case.this)} == {BREAKS, MAY, SAFE, ""}


def test_nothing_changed(worst: Compare, consumer: Usage) -> None:
    assert worst("info", "info", None) == []
    assert worst("info", "info", consumer) == []


def test_what_may_break_counts_unless_only_the_certain_does(worst: Compare, consumer: Usage) -> None:
    found = worst("maximum: 100}", "maximum: 50}", consumer)
    assert list(breaking(found)) == found
    assert list(breaking(found, certain=True)) == []


def test_the_name_of_a_path_parameter_is_not_on_the_wire(old: Version, tmp_path: Path) -> None:
    text = OLD.replace("{number}", "{id}").replace("name: number, in: path", "name: id, in: path")
    assert judge(old, version(tmp_path, "new", text), None) == []


def test_places_and_operations(worst: Compare) -> None:
    (found,) = worst("        rank: {", "        place: {", None)
    line = next(number for number, text in enumerate(OLD.splitlines(), 1) if "rank:" in text)
    assert (found.old.pointer, found.old.line) == ("/components/schemas/Order/properties/rank", line)
    assert (found.new.pointer, found.new.line) == ("/components/schemas/Order/properties/place", line)
    assert (found.operations, found.others) == (("desk.place_order", "desk.get_order"), ())


def test_one_change_of_a_shared_schema_is_told_once_at_its_worst(worst: Compare, consumer: Usage) -> None:
    """The id of a placed order is used; that of an order that was read is not."""
    (found,) = worst("        id: {type: string}\n", "", consumer)
    assert (found.operations, found.others) == (("desk.place_order",), ("desk.get_order",))


RECURSIVE = textwrap.dedent(
    """\
    openapi: 3.0.3
    info: {title: Tree, version: "1"}
    paths:
      /nodes:
        post:
          operationId: add_node
          requestBody: {content: {application/json: {schema: {$ref: "#/components/schemas/Node"}}}}
          responses: {"204": {description: Done}}
    components:
      schemas:
        Node:
          allOf:
            - {$ref: "#/components/schemas/Base"}
            - {type: object, properties: {children: {type: array, items: {$ref: "#/components/schemas/Node"}}}}
        Base: {type: object, properties: {name: {type: string}}}
    """
)


def test_recursion_and_all_of(tmp_path: Path) -> None:
    old = version(tmp_path, "old", RECURSIVE)
    new = version(tmp_path, "new", RECURSIVE.replace("{name: {type: string}}", "{name: {type: integer}}"))
    (found,) = judge(old, new, None)
    assert found.verdict == "breaks"
    assert found.old.pointer == "/components/schemas/Base/properties/name/type"


def test_moving_a_schema_behind_a_reference_changes_nothing(tmp_path: Path) -> None:
    inline = RECURSIVE.replace("{name: {type: string}}", "{name: {$ref: '#/components/schemas/Name'}}")
    new = version(tmp_path, "new", inline + "    Name: {type: string, description: Any}\n")
    assert judge(version(tmp_path, "old", RECURSIVE), new, None) == []


def test_a_document_that_cannot_be_served(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"old\.yaml:\d+ .* leads nowhere"):
        version(
            tmp_path,
            "old",
            RECURSIVE.replace('schema: {$ref: "#/components/schemas/Node"', 'schema: {$ref: "#/components/schemas/No"'),
        )
