"""What plans of a session are run against: as a mark, an option, the ini file or `sandbox.yaml` says."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from shlex import quote
from typing import Any, Final

import pytest

from sandbox.chaos.session import silent_reference
from sandbox.chaos.subject_settings import SubjectError
from sandbox.chaos.subjects import REFERENCE, Factory, subject_from
from sandbox.errors import SandboxError
from sandbox.govern.loading import is_application
from sandbox.settings import ProjectSettings
from sandbox.testing.settings import setting, settings_of

# As a module it finds what lies in the present folder, such as the module of a subject.
PYTEST: Final = "python -m pytest"
# A WSGI application takes two (PEP 3333).
_WSGI: Final = 2


def subject_of(config: pytest.Config) -> str:
    """The subject of a session: as an option or the ini file says, else `sandbox.yaml`, else the reference."""
    return str(setting(config, "sandbox_subject") or settings_of(config).subject or REFERENCE)


def factory_of(subject: Any, settings: ProjectSettings, folder: Path) -> Factory:
    """What makes a subject.

    Args:
        subject: `reference`, a command, the address of its webhooks, `module:app` of a WSGI application; `module:name`
            of a subject as `sandbox.chaos.subject` has it; a class or function that makes one, or one that is made.
        folder: Where an application's modules are, unless the settings say otherwise.

    Raises:
        SandboxError: when it is none of these.
    """
    if not isinstance(subject, str):
        return _made(subject, subject)
    if is_application(subject) and not subject.endswith("()") and subject != settings.subject:
        found = _found(subject)
        if found is not None:
            return _made(found, subject)
    try:
        return subject_from(subject, silent_reference, settings, folder)
    except SubjectError as error:
        raise SandboxError(f"subject {subject!r}: {error.message}", error.hint) from None


def _found(subject: str) -> Any:
    """The object that `module:name` names, if it is a subject; None for an application, which is loaded when it runs.

    Raises:
        SandboxError: when there is no such object.
    """
    name, _, attribute = subject.partition(":")
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        raise SandboxError(f"subject {subject!r}: {error}", "is the folder of the module on sys.path?") from error
    except Exception:  # noqa: BLE001 - one that needs its environment is an application
        return None
    try:
        found = inspect.getattr_static(module, attribute)
    except AttributeError as error:
        what = f"module {name!r} has no attribute {attribute!r}"
        raise SandboxError(f"subject {subject!r}: {what}", "is the name right?") from error
    return None if not isinstance(found, type) and _takes_two(found) else found


def _takes_two(found: Any) -> bool:
    if not callable(found) or hasattr(found, "start"):
        return False
    try:
        inspect.signature(found).bind(*range(_WSGI))
    except (TypeError, ValueError):
        return False
    return True


def _made(named: Any, subject: Any) -> Factory:
    if isinstance(named, type) or (callable(named) and not hasattr(named, "start")):
        factory: Factory = named
        return factory
    if not (hasattr(named, "start") and hasattr(named, "name")):
        raise SandboxError(f"subject {subject!r} is none", "it has a name and start(), as sandbox.chaos.subject says")
    return lambda: named


def replay_of(config: pytest.Config, subject: Any) -> str | None:
    """The command that replays a plan file against a subject; None when no command can name the subject."""
    if not isinstance(subject, str):
        return None
    project = config.getoption("sandbox_project", None) or config.getini("sandbox_project")
    at = f" --project {quote(str(project))}" if project else ""
    if subject in (REFERENCE, settings_of(config).subject):
        return f"sandbox chaos replay {{file}}{at}"
    if is_application(subject) and not subject.endswith("()"):
        return f"{PYTEST} {{file}} --sandbox-subject {quote(subject)}"
    return f"sandbox chaos replay {{file}} --subject {quote(subject)}{at}"
