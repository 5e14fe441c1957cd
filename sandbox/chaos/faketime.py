"""A program's own clock made faster, by the `faketime` wrapper (libfaketime), where it is installed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from sandbox.chaos.subject_settings import SubjectError

LIMITS = (
    "faketime reaches what a program asks of the C library: statically linked programs (Go) and waits that the kernel "
    "alone keeps are not reached, Python's threading waits hang under version 0.9.10"
)


def faked(arguments: Sequence[str], speed: float) -> tuple[list[str], dict[str, str]]:
    """A command under which time runs faster, and what must stand in its environment.

    Raises:
        SubjectError: when there is no `faketime` on this machine.
    """
    wrapper = shutil.which("faketime")
    if wrapper is None:
        text = f"--speed {speed:g}: there is no `faketime` on this machine"
        raise SubjectError(text, "install it (apt-get install faketime), or leave --speed out")
    return [wrapper, "-f", f"+0 x{speed:g}", *arguments], {"FAKETIME_NO_CACHE": "1"}
