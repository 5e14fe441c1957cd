"""`sandbox up --watch`: what is saved is served, and what changed is said; what is broken is not, and why is said."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from watchfiles import Change as Saved
from watchfiles import watch

from sandbox.cli.up import notes
from sandbox.consumer.spec_diff import Version, changes
from sandbox.errors import SandboxError
from sandbox.layout import systems_root
from sandbox.project import Project, forget_mocks
from sandbox.server import Server
from sandbox.spec import Spec

_SUFFIXES = (".yaml", ".yml", ".json", ".py")
_MOCKS = "mocks"
_UNCHANGED = "reloaded; no spec changed"
_SAID = {Saved.added: "new", Saved.deleted: "gone"}
_MOST_SHOWN = 12
# Milliseconds: a file is looked at once it has been left alone for so long, so that half a file is seldom seen.
_STEP = 50
# Milliseconds after which it is seen that the server has ended.
_PATIENCE = 250


@contextmanager
def watching(server: Server, tell: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """Reload the project of a server whenever one of its files is saved.

    Args:
        tell: Takes what is to be said, line by line.

    Yields:
        What begins it, once the server is running.
    """
    stop = threading.Event()
    thread = threading.Thread(target=_watch, args=(server, tell, stop), name="watch", daemon=True)
    try:
        yield thread.start
    finally:
        stop.set()
        if thread.is_alive():
            thread.join()


def _watch(server: Server, tell: Callable[[str], None], stop: threading.Event) -> None:
    said = missed = False
    while not stop.is_set():
        folders = _folders(server.project)
        saves = watch(
            *folders,
            watch_filter=_matters,
            stop_event=stop,
            step=_STEP,
            debounce=4 * _STEP,
            rust_timeout=_PATIENCE,
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
        )
        for saved in saves:
            if not said:
                # Only now is it certain that nothing is missed.
                tell(f"watching {', '.join(map(str, folders))}")
                said = True
            if saved or missed or _folders(server.project) != folders:
                _reload(server, tell if saved else _changes_only(tell), saved)
            missed = False
            if stop.is_set() or _folders(server.project) != folders:
                # What is saved until the other folders are watched is looked for then.
                missed = True
                break


def _changes_only(tell: Callable[[str], None]) -> Callable[[str], None]:
    return lambda line: None if line == _UNCHANGED else tell(line)


def _matters(_saved: Saved, path: str) -> bool:
    # A folder for mocks may be made while the sandbox runs.
    return Path(path).name == _MOCKS or (path.endswith(_SUFFIXES) and not Path(path).name.startswith("."))


def _folders(project: Project) -> list[Path]:
    """The folders in which its files lie."""
    files = [spec.path.absolute() for spec in project.specs.values()]
    files += [
        (spec.path.absolute().parent / part).resolve()
        for spec in project.specs.values()
        for part in spec.source.sources
        if "://" not in part
    ]
    homes = (project.root, systems_root(project.root))
    mocks = {home.absolute() / _MOCKS if (home / _MOCKS).is_dir() else home.absolute() for home in homes}
    return sorted({file.parent for file in files} | mocks)


def _reload(server: Server, tell: Callable[[str], None], saved: Iterable[tuple[Saved, str]]) -> None:
    before = dict(server.project.specs)
    for change, path in sorted(saved, key=lambda one: one[1]):
        file = Path(path)
        if file.parent.name == _MOCKS and file.suffix in _SUFFIXES and change in _SAID:
            tell(f"{_MOCKS}/{file.name}: is {_SAID[change]}")
    try:
        forget_mocks(server.project.root)
        project = Project.load(server.project.sources)
        server.replace(project)
    except SandboxError as error:
        tell(f"kept as it was: {error.message}" + (f"; {error.hint}" if error.hint else ""))
        return
    for line in told(before, project.specs):
        tell(line)
    for line in notes(spec for name, spec in project.specs.items() if not _same(before.get(name), spec)):
        tell(line)


def _same(old: Spec | None, new: Spec) -> bool:
    return old is not None and old.document == new.document


def told(before: dict[str, Spec], after: dict[str, Spec]) -> Iterator[str]:
    """What changed from some specs to others, in the words of `sandbox contracts diff`."""
    for name in before.keys() - after.keys():
        yield f"{name}: is gone"
    silent = True
    for name, new in after.items():
        old = before.get(name)
        if old is None:
            yield f"{name}: is new, with {len(new.operations)} operations"
        elif not _same(old, new):
            yield from _changes(name, old, new)
        else:
            continue
        silent = False
    if silent and before.keys() <= after.keys():
        yield _UNCHANGED


def _changes(name: str, old: Spec, new: Spec) -> Iterator[str]:
    try:
        found = [
            f"{change.operation}: {change.what}" if change.operation else change.what
            for change in changes(Version(old.source, old), Version(new.source, new))
        ]
    except (AttributeError, KeyError, TypeError, ValueError):
        # Two documents that can be served need not be so well formed that they can be compared in detail.
        found = ["something that cannot be told in detail"]
    yield f"{name}: reloaded, {len(found)} {'change' if len(found) == 1 else 'changes'} on the wire"
    for line in found[:_MOST_SHOWN]:
        yield f"  {line}"
    if len(found) > _MOST_SHOWN:
        yield f"  and {len(found) - _MOST_SHOWN} more; see: sandbox contracts diff"
