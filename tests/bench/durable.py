"""What it costs to keep everything in a file, beside a sandbox that keeps it in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tests.bench.figure import Figure, show
from tests.bench.placing import in_turn, sandboxes

ROUNDS = 3


def figures() -> Iterator[Figure]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        memory, file = asked = sandboxes(stack, (), ("--db", str(folder / "shop.db")))
        in_turn(asked, ROUNDS)
    for what, one, other, least, aim in (
        ("GET", memory.reads, file.reads, None, None),
        ("POST", memory.places, file.places, 0.7, 0.9),
    ):
        note = f"{other.said}, in memory {one.said}"
        yield Figure(f"{what} an order: --db to memory", other.rate / one.rate, "x", least=least, aim=aim, note=note)


def main() -> None:
    show(figures())


if __name__ == "__main__":
    main()
