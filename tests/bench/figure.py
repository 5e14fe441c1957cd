"""What a benchmark says: one number, with the bar that it must keep and the one that it should."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass


class Missing(Exception):
    """Something to compare with cannot be had; the reason."""


@dataclass(frozen=True)
class Figure:
    """One measurement.

    Attributes:
        bar: The highest value that is good enough; None where there is none.
        least: The lowest one, where more is better.
        aim: The value to reach, on the same side of the bar.
        note: How it came about, in a few words.
        more: Whether more is better, where nothing but the aim could say so.
        missing: Why it could not be measured; empty where it was.
    """

    name: str
    value: float
    unit: str
    bar: float | None = None
    note: str = ""
    least: float | None = None
    aim: float | None = None
    more: bool = False
    missing: str = ""

    @classmethod
    def without(cls, name: str, reason: object) -> Figure:
        """One that could not be measured."""
        return cls(name, 0.0, "", missing=" ".join(str(reason).split())[:300])

    @property
    def good(self) -> bool:
        return (self.bar is None or self.value <= self.bar) and (self.least is None or self.value >= self.least)

    @property
    def judged(self) -> bool:
        return bool(self.missing) or (self.bar, self.least, self.aim) != (None, None, None)

    @property
    def _upwards(self) -> bool:
        return self.more or self.least is not None

    @property
    def reached(self) -> str:
        """Which of its bars it keeps."""
        if self.missing:
            return "not measured"
        if not self.judged:
            return ""
        if not self.good:
            return "**missed**"
        if self.aim is not None and (self.value >= self.aim if self._upwards else self.value <= self.aim):
            return "aim"
        return "not the aim" if self.bar is None and self.least is None else "must"

    def cells(self) -> tuple[str, ...]:
        must = self.least if self.bar is None else self.bar
        sign = "≥" if self._upwards else "≤"
        return (
            self.name,
            "" if self.missing else self._shown(self.value),
            "" if must is None else f"{sign} {self._shown(must)}",
            "" if self.aim is None else f"{sign} {self._shown(self.aim)}",
            self.reached,
            (self.missing or self.note).replace("|", "/"),
        )

    def _shown(self, value: float) -> str:
        return f"{value:,.3g}{'' if self.unit == 'x' else ' '}{self.unit}".strip()


def percentile(values: Iterable[float], share: float) -> float:
    """The value that `share` (0 to 1) of all values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(figures: Iterable[Figure], command: str = "python -m tests.bench") -> bool:
    """Print a table in Markdown, with date and command; first what has a bar.

    Returns:
        Whether all bars are kept.
    """
    found = sorted(figures, key=lambda figure: not figure.judged)
    rows = [("measure", "measured", "must", "aim", "reached", "how"), *(figure.cells() for figure in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    print(f"`{command}`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, load {os.getloadavg()[1]:.1f}\n")
    for number, row in enumerate(rows):
        print("|", " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)), "|")
        if number == 0:
            print("|", " | ".join("-" * width for width in widths), "|")
    return all(figure.good for figure in found)
