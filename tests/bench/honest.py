"""That nothing was left out to be fast, shown in the very process that was measured."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.bench.placing import ORDER
from tests.bench.serving import Caller

LIE = "LIE-1"
_TRUE = 'return self.orders.require(order_number)["fulfilment"]'
_FALSE = (
    f'return {{"status": "nonsense"}} if order_number == "{LIE}" else self.orders.require(order_number)["fulfilment"]'
)
_PAGE = 100
_LAST = 10_000


def lying_project(root: Path, folder: Path) -> Path:
    """The reference project, whose shop is about to answer what its specification does not allow, for one order."""
    for part in ("specs", "mocks", "contracts"):
        shutil.copytree(root / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "sandbox.yaml").write_text("{}\n", encoding="utf-8")
    shop = folder / "mocks" / "shop.py"
    text = shop.read_text(encoding="utf-8")
    assert _TRUE in text
    shop.write_text(text.replace(_TRUE, _FALSE), encoding="utf-8")
    return folder


class Honesty:
    """Counts what is sent to a sandbox, and holds it against what the sandbox knows.

    Args:
        orders: The URL of the orders.
        key: The caller's API key.
    """

    def __init__(self, orders: str, key: str) -> None:
        parts = urlsplit(orders)
        self._base, self._path, self._key = f"{parts.scheme}://{parts.netloc}", parts.path, {"X-Shop-Api-Key": key}
        self._placed: dict[str, int] = {}
        self._requests = 0
        self._before = self._entries()

    def sent(self, reads: int, run: str, placed: int) -> None:
        """Note what was answered 2xx: so many reads, and so many orders whose numbers begin with `run`."""
        self._requests += reads + placed
        self._placed[run] = placed

    def check(self, cut: int) -> str:
        """Hold what was counted against the journal and the orders, and try what is wrong.

        Args:
            cut: So many requests at most were under way when their callers left, and were not counted.

        Returns:
            What was found.
        """
        noted = self._entries() - self._before
        assert self._requests <= noted <= self._requests + cut, (self._requests, noted)
        self._each_has_an_outcome()
        readable = self._readable()
        for run, placed in self._placed.items():
            found = sum(number.startswith(run) for number in readable)
            assert found >= placed, f"{placed} orders were placed, and {found} can be read"
        self._refuses_what_is_wrong()
        return (
            f"{noted:,} entries for {self._requests:,} requests, {sum(self._placed.values()):,} orders readable, "
            "an invalid answer caught, invalid requests refused"
        )

    def _ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of an answer."""
        with Caller(self._base) as caller:
            try:
                content = caller.call(method, path, self._key | headers, body)
            except RuntimeError as refused:
                status = re.search(r": (\d{3}) ", str(refused))
                if status is None:
                    raise
                return int(status[1]), str(refused)
        return 200, json.loads(content)

    def _entries(self) -> int:
        _, world = self._ask("GET", "/_sandbox/worlds/default")
        return int(world["entries"]) + int(world["dropped"])

    def _each_has_an_outcome(self) -> None:
        last = self._entries()
        _, page = self._ask("GET", f"/_sandbox/worlds/default/journal?after={last - _LAST}&limit={_LAST}")
        calls = [entry for entry in page["entries"] if entry["kind"] == "call"]
        assert calls
        without = [entry["seq"] for entry in calls if not isinstance(entry["answer"], dict)]
        assert not without, f"{len(without)} calls have no outcome, such as {without[0]}"

    def _readable(self) -> set[str]:
        """The numbers of all orders that the list shows."""
        found = set[str]()
        path: str | None = f"{self._path}?limit={_PAGE}"
        with Caller(self._base) as caller:
            while path is not None:
                head, content = caller.exchange("GET", path, self._key)
                found |= {order["order_number"] for order in json.loads(content)["orders"]}
                link = re.search(rb"(?im)^link: <([^>]*)>", head)
                path = None if link is None else link[1].decode()
        return found

    def _refuses_what_is_wrong(self) -> None:
        place = f"{self._path}"
        order = {**ORDER, "order_number": "X-1"}
        assert self._ask("POST", place, {**order, "amount_net": "much"})[0] == 400
        assert self._ask("POST", place, order, **{"X-Shop-Api-Key": "another"})[0] == 401
        again = {"Idempotency-Key": "again"}
        assert self._ask("POST", place, order, **again)[0] == 200
        assert self._ask("POST", place, order, **again)[0] == 200
        assert self._ask("POST", place, {**order, "order_number": "X-2"}, **again)[0] == 422
        assert self._ask("POST", place, order)[0] == 409
        assert self._ask("POST", place, {**ORDER, "order_number": LIE})[0] == 200
        status, said = self._ask("GET", f"{place}/{LIE}/fulfilment")
        assert status == 500, status
        assert "invalid-answer" in said, said
        assert self._ask("GET", f"{place}/X-1/fulfilment")[0] == 200
