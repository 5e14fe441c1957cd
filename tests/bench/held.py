"""Thousands of callers that a fault lets wait: what the others notice of them."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from time import perf_counter

from tests.bench.figure import Figure, percentile, show
from tests.bench.serving import Caller, serving

HELD = 5000
CALLS = 3000
ROUNDS = 3
LOOKS = 5000
ORDERS = "/shop/orders"
FAULT = {
    "on": {"system": "shop", "operation": "get_order", "occurrence": "any"},
    "inject": "timeout",
    "effect": "none",
}


def raise_limit(wanted: int) -> int:
    """Allow so many open files, or as many as there may be; how many of `HELD` that is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, allowed), hard))
    return min(HELD, max(soft, allowed) - 200)


def p99(caller: Caller, key: dict[str, str]) -> float:
    """Milliseconds of a call; the best of a few rounds, since other programs share the machine."""
    rounds = []
    for _ in range(ROUNDS):
        times = []
        for _ in range(CALLS):
            began = perf_counter()
            caller.call("GET", ORDERS, key)
            times.append((perf_counter() - began) * 1000)
        rounds.append(percentile(times, 0.99))
    return min(rounds)


def figures() -> Iterator[Figure]:
    number = raise_limit(HELD + 1000)
    with ExitStack() as stack:
        said = stack.enter_context(serving())
        key = {"X-Shop-Api-Key": said["systems"]["shop"]["api_key"]}
        with Caller(said["url"]) as caller:
            p99(caller, key)
            idle = p99(caller, key)
            caller.call("POST", "/_sandbox/worlds/default/faults", body=FAULT)
            before = entries(caller)
        began = perf_counter()
        for position in range(number):
            held = stack.enter_context(Caller(said["url"]))
            held.send("GET", f"{ORDERS}/2025-{position}", key)
        # The server lets an idle connection go after a while, so this is another one.
        with Caller(said["url"]) as caller:
            if not any(entries(caller) >= before + number for _ in range(LOOKS)):
                raise RuntimeError(f"{number} callers are not held, but {entries(caller) - before}")
            taken = perf_counter() - began
            loaded = p99(caller, key)
        note = f"{loaded:.2f} ms and {idle:.2f} ms"
        yield Figure(f"a call's p99 beside {number:,} held connections, to idle", loaded / idle, "x", 2, note, aim=1.2)
        yield Figure("holding them", taken, "s", None, f"{number:,} connections")


def entries(caller: Caller) -> int:
    """How many calls have arrived and met their fault, or none."""
    return int(json.loads(caller.call("GET", "/_sandbox/worlds/default"))["entries"])


def main() -> None:
    show(figures())


if __name__ == "__main__":
    sys.exit(main())
