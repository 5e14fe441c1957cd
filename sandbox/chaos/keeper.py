"""Keeps a program and ends it, with all that it started, as soon as whoever asked for it is gone: killed or not.

Run as a script of its own, it imports nothing of the sandbox, so that it starts at once:

    keeper.py OUTPUT FOLDER COMMAND [ARGUMENT …]

On its standard input, `t` asks the program to end and kills it if it does not, `k` kills it; the end of the input,
which also comes when the parent has been killed, kills it and removes FOLDER, unless that is empty. On its standard
output it says `started PID`, `failed ERRNO` or `ended STATUS` (negative: by that signal).
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import sys
import time

_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, prctl(2)
_ADOPT = 36  # PR_SET_CHILD_SUBREAPER: what loses its parent becomes a child of this process
_TERMINATION = 2.0
_SWEEPING = 5.0
_LOOK = 0.002
_LINUX = sys.platform == "linux"
_HEEDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(output: str, folder: str, command: list[str]) -> None:
    """Start the program, and keep it until it is to end."""
    for number in _HEEDED:
        signal.signal(number, signal.SIG_IGN)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    library = ctypes.CDLL(None, use_errno=True) if _LINUX else None
    if library is not None:
        library.prctl(_ADOPT, 1)
    child, errno = _start(output, command, library)
    _say(f"failed {errno}" if errno else f"started {child}")
    if errno:
        return
    while True:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            _reap(child)
        if 0 in ready:
            word = os.read(0, 1)
            if word == b"t":
                _ask(child)
            _sweep(child)
            if not word and folder:
                shutil.rmtree(folder, ignore_errors=True)
            return


def _start(output: str, command: list[str], library: ctypes.CDLL | None) -> tuple[int, int]:
    """The program's process id, and why it could not be started (errno), or 0."""
    heard, told = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setsid()
            if library is not None:
                library.prctl(_DIE_WITH_PARENT, signal.SIGKILL)
            for number in _HEEDED:
                signal.signal(number, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            written = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.dup2(written, 1)
            os.dup2(written, 2)
            os.execvp(command[0], command)  # noqa: S606 - the user's own command, without a shell
        except OSError as error:
            os.write(told, str(error.errno).encode())
        finally:
            os._exit(127)
    os.close(told)
    errno = int(os.read(heard, 16) or 0)
    os.close(heard)
    return child, errno


def _reap(child: int) -> bool:
    """Note who has ended; False when nobody is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if pid == child:
            _say(f"ended {os.waitstatus_to_exitcode(status)}")


def _ask(child: int) -> None:
    """Let the program end by itself, as long as that is bearable."""
    _signal_group(child, signal.SIGTERM)
    deadline = time.monotonic() + _TERMINATION
    while _alive(child) and _reap(child) and time.monotonic() < deadline:
        select.select([], [], [], _LOOK)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _sweep(child: int) -> None:
    """Kill the program and all that it started, whatever group or session that has gone to."""
    deadline = time.monotonic() + _SWEEPING
    left = _reap(child)
    while left and time.monotonic() < deadline:
        _signal_group(child, signal.SIGKILL)
        for pid in _descendants():
            try:
                os.kill(pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
        select.select([], [], [], _LOOK)
        left = _reap(child)


def _signal_group(child: int, number: signal.Signals) -> None:
    try:
        os.killpg(child, number)
    except (ProcessLookupError, PermissionError):
        return


def _descendants() -> list[int]:
    """The children of this process, theirs, and so on."""
    if not _LINUX:
        return []
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib takes longer to import than all the rest
        if name.isdecimal():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123 - as above
                    parent = int(stat.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
            parents.setdefault(parent, []).append(int(name))
    found, left = [], [os.getpid()]
    while left:
        children = parents.get(left.pop(), [])
        found += children
        left += children
    return found


def _say(text: str) -> None:
    try:
        os.write(1, f"{text}\n".encode())
    except BrokenPipeError:
        return


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
