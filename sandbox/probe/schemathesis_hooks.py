"""What Schemathesis loads: our own checks, and the exemptions, which pass and are noted when they are met."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData, UndefinedStatusCode

from sandbox.refusal import NEAREST

KEY = "Idempotency-Key"
REPLAYED = "replayed"
EXEMPT = {(operation, kind) for operation, kinds in json.loads(os.environ["EXEMPTIONS"]).items() for kind in kinds}
MET = Path(os.environ["EXEMPTIONS_MET"])
met: set[tuple[str, str]] = set()
# By idempotency key, the first request that used it.
uses: dict[str, tuple[str, str, str]] = {}
serial = itertools.count(1)
# By path, which operation last answered with the stored tale of its creation.
replays: dict[str, str] = {}


@schemathesis.hook
def before_call(_context: HookContext, case: Case[Any], _kwargs: dict[str, Any]) -> None:
    """A valid request does not use the key of another one, lest all be refused as reuse (422) after the first."""
    key = case.headers.get(KEY) if case.headers else None
    if key is None or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    use = (_operation(case), case.formatted_path, json.dumps(case.body, default=repr))
    if uses.setdefault(key, use) != use:
        case.headers[KEY] = f"{key[:240]}-{next(serial)}"


@schemathesis.hook
def after_call(_context: HookContext, case: Case[Any], response: Response) -> None:
    for path in response.headers.get("location", ()):
        if "idempotent-replayed" in response.headers:
            replays[path] = _operation(case)
        else:
            replays.pop(path, None)


@schemathesis.hook
def filter_failure(_context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    if isinstance(failure, UndefinedStatusCode):
        # Who declares no refusal of a kind at all cannot be held to one.
        return response.status_code not in NEAREST or _said_as(case, response.status_code) != 0
    if isinstance(failure, RejectedPositiveData):
        if "{" in case.operation.path and response.status_code == _said_as(case, 404):
            # What does not exist is refused as what is not valid is.
            return False
        return not _exempt(_operation(case), _kind(response))
    if isinstance(failure, EnsureResourceAvailability):
        path = urlsplit(response.request.url or "").path
        return not any(path.startswith(created) and _exempt(replays[created], REPLAYED) for created in replays)
    return True


def _said_as(case: Case[Any], status: int) -> int:
    """The declared status of a refusal: itself, else one that says nearly the same; 0 where there is none."""
    declared = {str(code).upper() for code in case.operation.definition.raw.get("responses", {})}
    if declared & {"DEFAULT", "4XX", str(status)}:
        return status
    return next((near for near in NEAREST.get(status, ()) if str(near) in declared), 0)


def _kind(response: Response) -> str:
    """The problem's type; empty where the refusal is in another form."""
    try:
        body = response.json()
    except ValueError:
        return ""
    return str(body.get("type")).removeprefix("/problems/") if isinstance(body, dict) else ""


def _operation(case: Case[Any]) -> str:
    return str(case.operation.definition.raw["operationId"])


def _exempt(operation: str, kind: str) -> bool:
    exemption = (operation, kind)
    if exemption in EXEMPT and exemption not in met:
        met.add(exemption)
        with MET.open("a") as file:
            file.write(f"{operation} {kind}\n")
    return exemption in EXEMPT


@schemathesis.check
def idempotency_key_is_honoured(_ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    """The same request again is a replay; the same key with another body is refused (IETF Idempotency-Key draft)."""
    sent = response.request
    key = next((value for name, value in sent.headers.items() if name.lower() == KEY.lower()), None)
    raw = case.operation.definition.raw
    if not key or raw.get("x-idempotency", "none") == "none" or not 200 <= response.status_code < 300:
        return
    with requests.Session() as session:
        again = session.send(sent, allow_redirects=False, timeout=30)
        if (again.status_code, again.content) != (response.status_code, response.content):
            raise AssertionError(f"the repeated request gets another answer, {again.status_code}: {again.text[:200]}")
        if again.headers.get("Idempotent-Replayed") != "true":
            raise AssertionError("Idempotent-Replayed: true is missing")
        if isinstance(case.body, dict):
            other = sent.copy()
            other.prepare_body(None, None, {**case.body, "contract_probe": "another body"})
            other.headers["Content-Type"] = sent.headers.get("Content-Type", "application/json")
            refused = session.send(other, allow_redirects=False, timeout=30)
            if refused.status_code not in (400, 422):
                raise AssertionError(f"the key with another body is answered {refused.status_code}")
