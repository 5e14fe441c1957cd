"""`specs check`: what is wrong with a file, in one line each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox.spec import Spec
from sandbox.spec_check import check
from tests.test_spec import SHOP

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "shop.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


class TestCheck:
    def test_a_good_file(self, write: Write) -> None:
        good = SHOP.replace("'{$request", "'{$request").replace("example: 2025-11-21", "example: 2025-4471")
        assert not check(Spec.load(write(good))).findings

    @pytest.mark.parametrize(
        ("old", "new", "finding"),
        [
            (
                "operationId: place_order",
                "operationId: placeOrder",
                r"/operationId: the operationId is not snake",
            ),
            ("x-event: [order.placed]", "x-event: order.paid", "no callback is named order.paid"),
            ("$request.body#/order_number", "$request.path.id", "the operation has no path parameter id"),
            ("$request.body#/order_number", "$record#/id", "the path addresses no stored record"),
            ("name: Idempotency-Key", "name: X-Key", "declares no Idempotency-Key header parameter"),
            ("x-idempotency: required", "x-idempotency: optional", "Idempotency-Key header parameter is required"),
            ("x-personal: [delivery]", "x-personal: yes", "x-personal must be a list of purposes"),
            (
                "example: 2025-11-21",
                "example: 7",
                "example: the example does not keep its schema: it must be of type string",
            ),
            ("title: Shop, ", "", "title"),
            ("type: integer, minimum: 1", "type: integer, minimum: 1, example: 0", "must be at least 1"),
            ("loyalty: {type: integer}", "loyalty: {type: string, pattern: '('}", "is no regular expression"),
            (
                "name: tag, in: query",
                "name: Limit, in: query",
                "the parameter Limit has the name of the parameter limit",
            ),
        ],
    )
    def test_findings(self, write: Write, old: str, new: str, finding: str) -> None:
        assert old in SHOP
        path = write(SHOP.replace(old, new, 1))
        findings = [found.message for found in check(Spec.load(path)).findings]
        assert [line for line in findings if finding in line and line.startswith(f"{path}:")], findings

    def test_examples_of_bodies_keep_their_direction(self, write: Write) -> None:
        body = "            schema: {$ref: '#/components/schemas/Order'}\n"
        examples = "            examples: {one: {value: {order_number: '1'}}, two: {value: {}}}\n"
        findings = check(Spec.load(write(SHOP.replace(body, body + examples, 1)))).findings
        assert len(findings) == 1
        assert findings[0].message.endswith(
            "/examples/two/value/order_number: the example does not keep its schema: it is required"
        )


def test_the_reference_project_is_good(checkout: Path) -> None:
    paths = sorted((checkout / "specs").glob("*.yaml"))
    assert {path.stem for path in paths} == {"shop", "crm", "accounting", "shipping"}
    assert [finding for path in paths for finding in check(Spec.load(path)).findings] == []
