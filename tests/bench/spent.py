"""Processor time of a program: it does not suffer from what else the machine does, as seconds do."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def spent(leader: int) -> float:
    """Seconds so far of a process, or of all processes of the session that it leads."""
    ticks = 0
    for folder in Path("/proc").glob("[0-9]*"):
        # A process may end while it is looked at.
        with suppress(OSError):
            fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            if leader in (int(folder.name), int(fields[3])):
                ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK
