"""A million orders against a thousand: one of them read, the first page listed and the ten thousandth."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from time import perf_counter

from tests.bench.figure import Figure, percentile, show
from tests.bench.serving import Caller, serving

FEW, MANY = 1_000, 1_000_000
CALLS = 200
ROUNDS = 3
LIMIT = 20
PAGE = 10_000


def figures() -> Iterator[Figure]:
    began = perf_counter()
    with serving("tests.bench.many_orders", f"few={FEW}", f"many={MANY}") as said, Caller(said["url"]) as caller:
        print(f"  filled after {perf_counter() - began:.0f} s")
        key, chance = {"X-Shop-Api-Key": said["systems"]["shop"]["api_key"]}, random.Random(7)

        def get(world: str, size: int) -> Callable[[], str]:
            return lambda: f"/w/{world}/shop/orders/N{chance.randint(1, size):07d}"

        def page(number: int, more: str = "") -> Callable[[], str]:
            # Pages next to each other, so that none is answered from what is remembered of a call before.
            return lambda: (
                f"/w/many/shop/orders?limit={LIMIT}{cursor(LIMIT * (number - 1) + chance.randint(0, 4000))}{more}"
            )

        asked = {
            "few": get("few", FEW),
            "many": get("many", MANY),
            "1": page(1),
            "10000": page(PAGE),
            "s1": page(1, "&status=paid"),
            "s10000": page(PAGE, "&status=paid"),
            "u1": page(1, "&updated_since=2000-01-01T00:00:00Z"),
            "u10000": page(1, "&updated_since=2000-01-01T00:00:00Z"),
        }
        took: dict[str, list[float]] = {name: [] for name in asked}
        for _ in range(ROUNDS):
            for name, path in asked.items():
                for _ in range(CALLS):
                    url = path()
                    start = perf_counter()
                    caller.call("GET", url, key)
                    took[name].append((perf_counter() - start) * 1000)
    p50 = {name: percentile(times, 0.5) for name, times in took.items()}
    print(p50)
    yield Figure("GET p50", p50["many"] / p50["few"], "x", 1.3)
    yield Figure("list page", p50["10000"] / p50["1"], "x", 1.3)


def cursor(after: int) -> str:
    from sandbox.pages import encode_cursor

    return f"&cursor={encode_cursor(after)}" if after else ""


if __name__ == "__main__":
    show(figures())
