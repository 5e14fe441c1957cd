"""A million orders against a thousand: one of them read, the first page listed and the ten thousandth.

All are asked in turn, over one connection; what the first page costs is what every page costs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from time import perf_counter

from sandbox.pages import encode_cursor
from tests.bench.figure import Figure, percentile, show
from tests.bench.serving import Caller, serving

FEW, MANY = 1_000, 1_000_000
CALLS = 100
ROUNDS = 12
LIMIT = 20
PAGE = 10_000
# So many pages beside the one that is meant, so that none is answered from what is remembered of a call before.
BESIDE = 200

Path = Callable[[random.Random], str]


def figures() -> Iterator[Figure]:
    asked: dict[str, Path] = {
        "few": _one("few", FEW, 1),
        "many": _one("many", MANY, 1),
        "spread": _one("many", FEW, MANY // FEW),
        "first": _page(1),
        "last": _page(PAGE),
        "paid first": _page(1, "&status=paid"),
        "paid last": _page(PAGE, "&status=paid"),
    }
    with serving("tests.bench.many_orders", f"few={FEW}", f"many={MANY}") as said, Caller(said["url"]) as caller:
        p50 = _ask(caller, {"X-Shop-Api-Key": said["systems"]["shop"]["api_key"]}, asked)
    for name, one, other, where in (
        ("GET p50, any of 1,000,000 orders to any of 1,000", "many", "few", ""),
        ("GET p50, 1,000 orders of 1,000,000 to 1,000 of 1,000", "spread", "few", ""),
        ("list p50, page 10,000 to page 1", "last", "first", f", {LIMIT} orders each"),
        ("list p50 of one status, page 10,000 to page 1", "paid last", "paid first", f", {LIMIT} orders each"),
    ):
        note = f"{p50[one]:.2f} ms and {p50[other]:.2f} ms{where}"
        yield Figure(name, p50[one] / p50[other], "x", 1.3, note, aim=1.1)


def _ask(caller: Caller, key: dict[str, str], asked: dict[str, Path]) -> dict[str, float]:
    """Milliseconds of a call, by name; the median of all rounds."""
    chance, took = random.Random(7), {name: list[float]() for name in asked}
    for number in range(ROUNDS + 1):
        for name, path in asked.items():
            for _ in range(CALLS):
                url = path(chance)
                began = perf_counter()
                caller.call("GET", url, key)
                if number:
                    took[name].append((perf_counter() - began) * 1000)
    return {name: percentile(times, 0.5) for name, times in took.items()}


def _one(world: str, size: int, apart: int) -> Path:
    """The path of one of so many orders, which lie so far apart."""
    return lambda chance: f"/w/{world}/shop/orders/N{chance.randint(1, size) * apart:07d}"


def _page(number: int, more: str = "") -> Path:
    def path(chance: random.Random) -> str:
        after = (number - 1 + chance.randint(0, BESIDE)) * LIMIT
        return f"/w/many/shop/orders?limit={LIMIT}&cursor={encode_cursor(after)}{more}"

    return path


def main() -> None:
    show(figures(), "python -m tests.bench.many")


if __name__ == "__main__":
    main()
