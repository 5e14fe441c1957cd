"""What is judged: from `--subject`, a mark of pytest or `sandbox.yaml` to something that can be run."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sandbox.chaos.subject import Tested
from sandbox.chaos.subject_settings import SubjectError, SubjectSettings, check_url, is_url
from sandbox.chaos.wsgi_subject import WsgiApp
from sandbox.govern.loading import is_application
from sandbox.settings import ProjectSettings

REFERENCE: Final = "reference"
HOW: Final = 'write reference, a command such as "node integrator.js", the address of its webhooks, or module:app'
_NOTHING: Final = ProjectSettings()

Factory = Callable[[], Tested]


def subject_from(
    subject: str, reference: Factory, settings: ProjectSettings = _NOTHING, folder: Path | None = None
) -> Factory:
    """What makes a subject; it can be sent to another process.

    Args:
        subject: `reference`, a command, an address, or `module:app`.
        reference: What makes the reference integrator.
        settings: What the project says about its program.
        folder: Where a command's files and an application's modules are; None is the present one.

    Raises:
        SubjectError: when it is none of these.
    """
    if subject == REFERENCE:
        return reference
    base = (settings.folder or folder or Path.cwd()).absolute()
    said = _said(settings)
    if is_url(subject):
        return replace(said, url=check_url(subject))
    if is_application(subject):
        return WsgiApp(subject, base, said, settings.reconcile_path)
    made = replace(said, command=_absolute(subject, base), folder=settings.folder)
    if shutil.which(made.arguments()[0]) is None:
        raise SubjectError(f"{subject!r} is neither `reference` nor a command that can be started", HOW)
    return made


def _said(settings: ProjectSettings) -> SubjectSettings:
    """What the project says, where it says something."""
    given: dict[str, Any] = {
        "webhook_path": settings.webhook_path,
        "health_path": settings.health_path,
        "ready_within": settings.ready_within,
        "run_within": settings.run_within,
        "reconcile_every": settings.reconcile_every,
        "parking": settings.parking,
        "time_scale": settings.time_scale,
    }
    told = {name: value for name, value in given.items() if value is not None}
    return SubjectSettings(environment=settings.environment, **told)


def _absolute(command: str, base: Path) -> str:
    """A command whose words that name a file of a folder name it from anywhere."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SubjectError(f"subject {command!r}: {error}", "quote it as for a shell") from None
    if not words:
        raise SubjectError("the subject is empty", HOW)
    if base == Path.cwd():
        return command
    return shlex.join(str(base / word) if os.sep in word or (base / word).is_file() else word for word in words)
