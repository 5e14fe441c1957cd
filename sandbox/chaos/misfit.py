"""What shows that a program was not set up for the sandbox: no rule can say anything sensible about such a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from sandbox.chaos.points import is_subjects
from sandbox.chaos.subject_settings import SubjectError
from sandbox.front import Stray

_NOT_HERE: Final = frozenset({404, 405, 410, 501})
_UNAUTHORIZED: Final = 401
_MOST_TOLD: Final = 3

Entry = Mapping[str, Any]


def check_fit(journal: Sequence[Entry], strays: Sequence[Stray], systems: Iterable[str], webhook_url: str) -> None:
    """Look through a program's first run.

    Args:
        strays: Its calls that were of no system.
        systems: The project's.
        webhook_url: Where it takes webhooks.

    Raises:
        SubjectError: when it is a misfit, with the evidence.
    """
    _check_strays(strays, systems)
    calls = [entry for entry in journal if is_subjects(entry) and not entry.get("fault")]
    _check_credentials(calls)
    if not any(entry.get("effect") == "applied" for entry in calls):
        _check_webhooks([entry for entry in journal if entry["kind"] == "delivery"], webhook_url)


def _check_strays(strays: Sequence[Stray], systems: Iterable[str]) -> None:
    if not strays:
        return
    told = ", ".join(dict.fromkeys(f"{stray.method} {stray.path}" for stray in strays[:_MOST_TOLD]))
    text = f"the program under test called {told}, which is of no system of this project"
    raise SubjectError(text, f"there are {', '.join(systems)}; are its URLs those that sandbox env prints?")


def _check_credentials(calls: Sequence[Entry]) -> None:
    by_system: dict[str, list[Entry]] = {}
    for call in calls:
        by_system.setdefault(call["address"]["system"], []).append(call)
    for system, theirs in by_system.items():
        if all(_status(call) == _UNAUTHORIZED for call in theirs):
            first = theirs[0]
            shown = f"{first['request']['method']} {first['request']['path']}"
            text = f"{system} answered 401 to all calls of the program under test ({len(theirs)}, first {shown})"
            raise SubjectError(text, "is its credential the one that sandbox env prints?")


def _check_webhooks(deliveries: Sequence[Entry], url: str) -> None:
    answers = [delivery["answer"] for delivery in deliveries if "status" in delivery["answer"]]
    if not answers or len(answers) < len(deliveries):
        return
    if all(_is_no_receiver(answer) for answer in answers):
        status, kind = answers[0]["status"], answers[0].get("content_type")
        said = f"{status} {HTTPStatus(status).phrase}" + (f" and a page of HTML ({kind})" if kind else "")
        text = f"the program under test answered its webhooks with {said}, and did nothing; they went to {url}"
        raise SubjectError(text, "is that where it takes webhooks?")


def _is_no_receiver(answer: Mapping[str, Any]) -> bool:
    status = answer["status"]
    return status in _NOT_HERE or 300 <= status < 400 or "content_type" in answer


def _status(call: Entry) -> int | None:
    answer = call.get("answer")
    return answer.get("status") if isinstance(answer, dict) else None
