"""Loads `module:app` afresh for each life of a program, so that nothing of the life before is left in its modules."""

from __future__ import annotations

import gc
import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sandbox.errors import SandboxError
from sandbox.wsgi import Wsgi

_NAME: Final = re.compile(
    r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<attribute>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)(?P<call>\(\))?"
)
_PACKAGE: Final = Path(__file__).parents[1]


class LoadError(SandboxError):
    """There is no such application, or it falls over while it is imported, or it is none that can be run here."""


def is_application(subject: str) -> bool:
    """Whether a text names an object of a module: `module:app` or `module:factory()`."""
    return _NAME.fullmatch(subject) is not None


class Loader:
    """Loads one application again and again.

    Args:
        name: `module:app`, or `module:factory()` of what makes it.
        folder: Where its modules are; first on the path while it runs.
    """

    def __init__(self, name: str, folder: Path) -> None:
        found = _NAME.fullmatch(name)
        if found is None:
            raise LoadError(f"{name!r} names no application", "write module:app or module:factory()")
        self._name = name
        self._module = found["module"]
        self._attribute = found["attribute"]
        self._calls = found["call"] is not None
        self._folder = folder.resolve()
        self._own: set[str] = set()

    @contextmanager
    def on_path(self) -> Iterator[None]:
        """Its folder is where modules are looked for first."""
        entry = str(self._folder)
        sys.path.insert(0, entry)
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(entry)

    def load(self, *, after_crash: bool = False) -> Any:
        """The object, of modules that were executed just now.

        Args:
            after_crash: What the life before held open, such as a connection to its database, is closed first.

        Raises:
            LoadError: with the line at which it fell over.
        """
        self._forget()
        if after_crash:
            gc.collect()
        before = set(sys.modules)
        try:
            made: Any = importlib.import_module(self._module)
            for part in self._attribute.split("."):
                made = getattr(made, part)
            if self._calls:
                made = made()
        except Exception as error:
            what = " ".join(str(error).split())
            raise LoadError(
                f"{self._name} cannot be loaded: {_place(error)}{type(error).__name__}: {what}",
                "is the folder right, and does it take its settings from the environment?",
            ) from error
        except SystemExit as error:
            raise LoadError(f"{self._name} ended itself while it was loaded, with {error.code!r}") from None
        finally:
            self._own |= {name for name in set(sys.modules) - before if self._is_own(name)}
        return made

    def _forget(self) -> None:
        top = self._module.partition(".")[0]
        mine = {name for name in sys.modules if name == top or name.startswith(f"{top}.")}
        for name in self._own | mine:
            sys.modules.pop(name, None)

    def _is_own(self, name: str) -> bool:
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None:
            return False
        path = Path(file)
        libraries = "site-packages" in path.parts or path.is_relative_to(_PACKAGE)
        return path.resolve().is_relative_to(self._folder) and not libraries


def wsgi(made: Any, name: str) -> Wsgi:
    """A loaded object as a WSGI application.

    Raises:
        LoadError: when it is none, with what to do instead.
    """
    if _is_asgi(made):
        raise LoadError(
            f"{name} is an ASGI application, whose event loop does not obey virtual time",
            f'run it as a program of its own, by its command, such as "uvicorn {name.removesuffix("()")} --port $PORT"',
        )
    if not callable(made) or isinstance(made, type) or not _takes(made, 2):
        hint = "name a WSGI application (PEP 3333); what makes one is written module:factory()"
        raise LoadError(f"{name} is no WSGI application, but {type(made).__name__}", hint)
    app: Wsgi = made
    return app


def _is_asgi(made: Any) -> bool:
    call = made if inspect.isfunction(made) else getattr(made, "__call__", None)  # noqa: B004 - to look at it
    return (
        inspect.iscoroutinefunction(made)
        or inspect.iscoroutinefunction(call)
        or (_takes(made, 3) and not _takes(made, 2))
    )


def _takes(made: Callable[..., Any], number: int) -> bool:
    try:
        inspect.signature(made).bind(*range(number))
    except (TypeError, ValueError):
        return False
    return True


def _place(error: Exception) -> str:
    """`file:line: ` of a mistake; empty when it is in no file, as when there is no such module."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: "
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not Path(frame.filename).is_relative_to(_PACKAGE)
    ]
    frames = [frame for frame in frames if "importlib" not in Path(frame.filename).parts]
    return f"{frames[-1].filename}:{frames[-1].lineno}: " if frames else ""
