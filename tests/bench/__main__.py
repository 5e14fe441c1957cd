"""All benchmarks, or those named: `python -m tests.bench [worlds held …]`."""

from __future__ import annotations

import importlib
import sys

from tests.bench.figure import Figure, show

BENCHMARKS = ("worlds", "held", "chaos", "live", "startup", "peers")


def main(names: list[str]) -> int:
    """Measure, print one table, and return 1 when a bar is missed."""
    found: list[Figure] = []
    for name in names or BENCHMARKS:
        print(f"measuring: {name}", file=sys.stderr)
        found += importlib.import_module(f"tests.bench.{name}").figures()
    return 0 if show(found) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
