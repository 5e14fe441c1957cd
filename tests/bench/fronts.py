"""What it gives to speak HTTP in another process than the one that holds the state.

`wrk` and the machine's other work take their share of the cores, so the processor time of each process is told, too:
where the one with the state has less to do for each request, it can answer more of them, as far as there are cores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

from tests.bench.figure import Figure, show
from tests.bench.placing import in_turn, sandboxes

ROUNDS = 3


def figures() -> Iterator[Figure]:
    with ExitStack() as stack:
        alone, served = asked = sandboxes(stack, (), ("--workers", "2"))
        in_turn(asked, ROUNDS)
    for what, one, two in (("GET", alone.reads, served.reads), ("POST", alone.places, served.places)):
        note = f"{two.said}, alone {one.said}"
        yield Figure(f"{what} an order: --workers 2 to 1", two.rate / one.rate, "x", note=note, aim=1.7, more=True)
        yield Figure(f"{what} an order: time of the one with the state", two.each[0] / one.each[0], "x")


def main() -> None:
    show(figures())


if __name__ == "__main__":
    main()
