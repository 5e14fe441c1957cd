"""A server whose worlds are full before the first call: `python -m tests.bench.full_worlds NAME=RECORDS …`."""

from __future__ import annotations

import json
import sys

import orjson

from sandbox.project import Project
from sandbox.server import Server
from sandbox.store import Store
from sandbox.stored import Record

COLLECTION = "shop.orders"
INDEXED = frozenset({"order_number", "status"})
PIECE = 10_000


def fill(store: Store, name: str, size: int) -> None:
    """A world with so many records and as many entries in its journal."""
    epoch = store.begin_world(name, 0)
    for start in range(1, size + 1, PIECE):
        transaction = store.transaction(epoch)
        for number in range(start, min(start + PIECE, size + 1)):
            body = {"order_number": f"2025-{number}", "status": "paid", "customer": "Example Ltd", "amount_net": 12.5}
            transaction.write(Record(COLLECTION, f"ord_{number}", number, 1, 0.0, orjson.dumps(body)), INDEXED)
            transaction.journal(number, b'{"seq":%d,"kind":"note","at":0.0,"text":"filled"}' % number)
        transaction.commit()


def main(worlds: list[str]) -> None:
    server = Server(Project.find(), port=0)
    for world in worlds:
        name, _, size = world.partition("=")
        fill(server.store, name, int(size))
    server.run(lambda ready: print(json.dumps(ready.access().to_json()), flush=True))


if __name__ == "__main__":
    main(sys.argv[1:])
