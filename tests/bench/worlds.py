"""Worlds: making one, resetting one that is full, and what the others notice of what is then thrown away."""

from __future__ import annotations

from collections.abc import Iterator
from time import perf_counter

from tests.bench.figure import Figure, percentile, show
from tests.bench.serving import Caller, serving

NUMBER = 500
SIZES = (0, 10_000, 100_000)
ROUNDS = 3
CALLS = 500
CONTROL = "/_sandbox/worlds"


class Clocked:
    """A caller that says how many milliseconds a call took."""

    def __init__(self, caller: Caller, key: dict[str, str]) -> None:
        self._caller = caller
        self._key = key

    def post(self, path: str, body: object = None) -> float:
        began = perf_counter()
        self._caller.call("POST", path, body=body)
        return (perf_counter() - began) * 1000

    def get(self, path: str) -> float:
        began = perf_counter()
        self._caller.call("GET", path, self._key)
        return (perf_counter() - began) * 1000

    def others(self) -> float:
        """The 99th percentile of calls in a world that nothing else happens in."""
        return percentile((self.get("/shop/orders") for _ in range(CALLS)), 0.99)


def figures() -> Iterator[Figure]:
    full = {size: [f"full-{size}-{number}" for number in range(ROUNDS)] for size in SIZES}
    filled = [f"{name}={size}" for size, names in full.items() for name in names]
    with serving("tests.bench.full_worlds", *filled) as said, Caller(said["url"]) as caller:
        clocked = Clocked(caller, {"X-Shop-Api-Key": said["systems"]["shop"]["api_key"]})
        made = [clocked.post(CONTROL, {"name": f"new-{number}"}) for number in range(NUMBER)]
        beside = f"beside {ROUNDS * sum(SIZES):,} records and up to {NUMBER} worlds"
        yield Figure("make a world, median", percentile(made, 0.5), "ms", 10, beside)
        yield Figure("make a world, p99", percentile(made, 0.99), "ms")
        used = [clocked.get(f"/w/new-{number}/shop/orders") for number in range(NUMBER)]
        yield Figure("first call in a world, median", percentile(used, 0.5), "ms", None, "its products are made first")
        idle = min(clocked.others() for _ in range(ROUNDS))
        during: list[float] = []
        for size, names in full.items():
            reset, during = [], []
            for name in names:
                reset.append(clocked.post(f"{CONTROL}/{name}/reset"))
                during.append(clocked.others())
            yield Figure(f"reset a world of {size:,} records, median", percentile(reset, 0.5), "ms", 20)
        yield Figure("another world's call, p99", idle, "ms", None, "idle")
        yield Figure("another world's call, p99", min(during), "ms", None, f"while {SIZES[-1]:,} records are removed")


def main() -> None:
    show(figures())


if __name__ == "__main__":
    main()
