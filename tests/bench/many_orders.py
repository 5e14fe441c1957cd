"""A server whose worlds hold real orders, as many as asked for: `python -m tests.bench.many_orders NAME=ORDERS …`.

One order is placed as any other; the rest are copies of it under numbers of their own, made by the database itself.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from sandbox.engine import indexed_fields
from sandbox.inprocess import InProcess
from sandbox.project import Project
from sandbox.server import Server
from sandbox.store import Store
from sandbox.stored import Record

COLLECTION = "shop.orders"
# As long as every number, so that one can be written over the other.
TEMPLATE = "N0000000"
_NUMBERS = "WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted WHERE n < :size) "
_RECORDS = (
    "INSERT INTO records (epoch, collection, id, seq, version, updated, body) SELECT :epoch, :collection, "
    "printf('N%07d', n), n, 1, :at, CAST(replace(:body, :template, printf('N%07d', n)) AS BLOB) FROM counted"
)
_TERMS = (
    "INSERT INTO terms (epoch, collection, field, value, seq, id) SELECT :epoch, :collection, :field, "
    "replace(:value, :template, printf('N%07d', n)), n, printf('N%07d', n) FROM counted"
)


def order(project: Project) -> bytes:
    """A paid order of three items, as the shop stores it."""
    process = InProcess(project)
    access = process.access().systems["shop"]
    body = {"customer": "Example Ltd", "amount_net": 1290.0, "currency": "EUR", "line_items": 3, "paid": True}
    answer = process.session().post(
        f"{access['url']}/orders", json=body | {"order_number": TEMPLATE}, headers={"X-Shop-Api-Key": access["api_key"]}
    )
    answer.raise_for_status()
    return bytes(answer.content)


def fill(store: Store, name: str, size: int, body: bytes, indexed: frozenset[str]) -> None:
    """A world with so many orders, N0000001 and so on."""
    epoch = store.begin_world(name, 0)
    template = Record(COLLECTION, TEMPLATE, 1, 1, 0.0, body)
    at: dict[str, Any] = {"size": size, "epoch": epoch, "collection": COLLECTION, "template": TEMPLATE}
    store.connection.execute(_NUMBERS + _RECORDS, at | {"at": 0.0, "body": body.decode()})
    for field, value in template.terms(indexed):
        store.connection.execute(_NUMBERS + _TERMS, at | {"field": field, "value": value})
    store.connection.commit()
    # What was written past the store is not what it remembers.
    store._memories.pop(epoch)


def main(worlds: list[str]) -> None:
    project = Project.find()
    body, indexed = order(project), indexed_fields(project.specs["shop"])["orders"]
    server = Server(project, port=0)
    for world in worlds:
        name, _, size = world.partition("=")
        fill(server.store, name, int(size), body, indexed)
    server.run(lambda ready: print(json.dumps(ready.access().to_json()), flush=True))


if __name__ == "__main__":
    main(sys.argv[1:])
