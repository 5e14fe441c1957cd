"""All benchmarks, or those named: `python -m tests.bench [many peers …]`; one table, to be pasted into the README."""

from __future__ import annotations

import importlib
import sys
import traceback
from time import perf_counter

from tests.bench.figure import Figure, Missing, show

# A module each, whose `figures()` yields what it measures. What is quick comes first.
BENCHMARKS = ("worlds", "held", "chaos", "startup", "many", "memory", "durable", "fronts", "peers", "live")


def main(names: list[str]) -> int:
    """Measure, print one table, and return 1 when a bar is missed or something failed."""
    found: list[Figure] = []
    failed = False
    for name in names or BENCHMARKS:
        began = perf_counter()
        print(f"measuring: {name}", file=sys.stderr)
        try:
            # One by one, so that what was measured before a failure stays.
            found.extend(importlib.import_module(f"tests.bench.{name}").figures())
        except Missing as reason:
            found.append(Figure.without(name, reason))
        except Exception as error:  # noqa: BLE001 - a table without one part is worth more than none
            traceback.print_exc()
            failed = True
            found.append(Figure.without(name, f"{type(error).__name__}: {error}"))
        print(f"  {perf_counter() - began:.0f} s", file=sys.stderr)
    kept = show(found, " ".join(["python -m tests.bench", *names]))
    return 0 if kept and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
