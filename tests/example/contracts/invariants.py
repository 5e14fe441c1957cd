from collections import Counter
from collections.abc import Iterator

from sandbox import Run, Violation, invariant


@invariant("L01", severity="E", source="our own promise")
def each_order_is_one_entry(run: Run) -> Iterator[Violation]:
    """Each order of the store ends as exactly one entry of the ledger."""
    entries = Counter(entry["order_number"] for entry in run.records("ledger", "entries"))
    for order in run.records("store", "orders"):
        if entries[order["number"]] != 1:
            yield Violation(f"order {order['number']} has {entries[order['number']]} entries, not one")
