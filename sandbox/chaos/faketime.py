"""A program's own clock made faster, by the `faketime` wrapper (libfaketime), where it is installed."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from sandbox.chaos.subject_settings import SubjectError

LIMITS = (
    "--speed reaches what a program asks of the C library: no statically linked one (Go), and Python's threads hang "
    "when they wait with a time limit. Calls and computing take as long as ever: its time limits must allow for that"
)
# So far apart must two clocks be, in seconds, before a date of whole seconds tells which one was looked at.
_APART = 10.0


def faked(arguments: Sequence[str], speed: float, now: float) -> list[str]:
    """A command under which time runs faster.

    Args:
        now: What its clock shows first, in unix seconds.

    Raises:
        SubjectError: when there is no `faketime` on this machine.
    """
    wrapper = shutil.which("faketime")
    if wrapper is None:
        text = f"--speed {speed:g}: there is no `faketime` on this machine"
        raise SubjectError(text, "install it (apt-get install faketime), or leave --speed out")
    first = datetime.fromtimestamp(now, UTC).astimezone()
    return [wrapper, "-f", f"@{first:%Y-%m-%d %H:%M:%S} x{speed:g}", *arguments]


def check_reached(shown: str | None, now: float, machines: float) -> bool:
    """Whether a program's clock runs faster, as far as the `Date` of its answers tells.

    Args:
        shown: That date.
        now: What its clock should show, in unix seconds.
        machines: What the machine's clock shows.

    Returns:
        Whether that can be told already.

    Raises:
        SubjectError: when its clock is the machine's.
    """
    if now - machines < _APART:
        return False
    if shown is not None:
        at = parsedate_to_datetime(shown).timestamp()
        if abs(at - machines) < abs(at - now):
            text = f"--speed: faketime does not reach the program under test: it says that it is {shown}"
            raise SubjectError(text, "leave --speed out; programs that are linked statically have clocks of their own")
    return True
