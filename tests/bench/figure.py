"""What a benchmark says: one number with the bar that it must not pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measurement.

    Attributes:
        bar: The highest value that is good enough; None where there is none.
        least: The lowest one, where more is better.
        note: How it came about, in a few words.
    """

    name: str
    value: float
    unit: str
    bar: float | None = None
    note: str = ""
    least: float | None = None

    @property
    def good(self) -> bool:
        return (self.bar is None or self.value <= self.bar) and (self.least is None or self.value >= self.least)

    def cells(self) -> tuple[str, ...]:
        limit = self.bar if self.bar is not None else self.least
        bar = "" if limit is None else f"{limit:,.3g} {self.unit}"
        verdict = "" if limit is None else "ok" if self.good else "MISSED"
        return self.name, f"{self.value:,.3g} {self.unit}", bar, verdict, self.note


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(figures: Iterable[Figure]) -> bool:
    """Print a table; whether all bars are kept."""
    found = list(figures)
    rows = [("BENCHMARK", "MEASURED", "BAR", "", ""), *(figure.cells() for figure in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    return all(figure.good for figure in found)
