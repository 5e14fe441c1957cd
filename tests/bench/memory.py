"""What a stored order takes, its events, its idempotency record and its entries in the journal included."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.figure import Figure, show
from tests.bench.placing import sandboxes

ROUNDS = 3


def figures() -> Iterator[Figure]:
    with ExitStack() as stack:
        (sandbox,) = sandboxes(stack, ())
        # What is made once is made first, and what is remembered is full.
        sandbox.place("warm")
        before, known = resident(sandbox.pid), sandbox.places.sent
        for number in range(ROUNDS):
            sandbox.place(f"R{number}")
        grown, orders = resident(sandbox.pid) - before, sandbox.places.sent - known
    note = f"{grown / 1024:,.0f} MB more for {orders:,} orders placed over HTTP; resident memory of the process"
    yield Figure("memory of a stored order with its journal entries", grown / orders, "KB", aim=4, note=note)


def resident(process: int) -> float:
    """Kilobytes."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(process)], capture_output=True, text=True, check=True)
    return float(shown.stdout)


def main() -> None:
    show(figures(), "python -m tests.bench.memory")


if __name__ == "__main__":
    main()
