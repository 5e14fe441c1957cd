"""Which runner a subject needs."""

from __future__ import annotations

from typing import cast

from sandbox.chaos.live import LiveRunner
from sandbox.chaos.reference import SYSTEMS, ReferenceSubject
from sandbox.chaos.runner import HARD_LIMIT, Runner
from sandbox.chaos.subject import Subject, Tested
from sandbox.chaos.subject_settings import SubjectError, SubjectSettings
from sandbox.chaos.wsgi_subject import WsgiApp, WsgiRunner
from sandbox.project import Project

AnyRunner = Runner | LiveRunner | WsgiRunner


def runner_for(project: Project, subject: Tested, hard_limit: float = HARD_LIMIT) -> AnyRunner:
    """What runs plans against a subject: on virtual time in this process, or over real sockets against another one.

    Args:
        hard_limit: Virtual seconds after which a run in this process ends, whatever happens.

    Raises:
        SubjectError: when it is the reference integrator, and the project lacks its systems.
    """
    missing = [name for name in SYSTEMS if name not in project.specs]
    if isinstance(subject, ReferenceSubject) and missing:
        what = f"the reference integrator needs {', '.join(SYSTEMS)}, and this project has no {missing[0]}"
        raise SubjectError(what, "name a program of yours: --subject, or subject: in sandbox.yaml")
    if isinstance(subject, WsgiApp):
        return WsgiRunner(project, subject, hard_limit=hard_limit)
    if isinstance(subject, SubjectSettings):
        return LiveRunner(project, subject)
    return Runner(project, cast("Subject", subject), hard_limit=hard_limit)


def can_crash(runner: AnyRunner) -> bool:
    """Whether the subject can be killed and started again."""
    return not isinstance(runner, LiveRunner) or runner.can_crash
