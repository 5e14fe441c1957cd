"""Lets the answers that exemptions.yaml names pass when `schemathesis run` meets them, and notes which it met."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import schemathesis
import yaml
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import Failure
from schemathesis.openapi.checks import EnsureResourceAvailability, RejectedPositiveData

KEY = "Idempotency-Key"
REPLAYED = "replayed"
EXEMPT = {
    (operation, kind)
    for operation, kinds in yaml.safe_load(Path(__file__).with_name("exemptions.yaml").read_text())[
        os.environ["EXEMPTIONS_OF"]
    ].items()
    for kind in kinds
}
MET = Path(os.environ["EXEMPTIONS_MET"])
met: set[tuple[str, str]] = set()
# By idempotency key, the first request that used it.
uses: dict[str, tuple[str, str, str]] = {}
serial = itertools.count(1)
# By path, which operation last answered with the stored tale of its creation.
replays: dict[str, str] = {}


@schemathesis.hook
def before_call(_context: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """A valid request does not use the key of another one, lest all be refused as reuse (422) after the first."""
    key = case.headers.get(KEY) if case.headers else None
    if key is None or case.meta is None or not case.meta.generation.mode.is_positive:
        return
    use = (_operation(case), case.formatted_path, json.dumps(case.body, default=repr))
    if uses.setdefault(key, use) != use:
        case.headers[KEY] = f"{key[:240]}-{next(serial)}"


@schemathesis.hook
def after_call(_context: HookContext, case: Case, response: Response) -> None:
    for path in response.headers.get("location", ()):
        if "idempotent-replayed" in response.headers:
            replays[path] = _operation(case)
        else:
            replays.pop(path, None)


@schemathesis.hook
def filter_failure(_context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    if isinstance(failure, RejectedPositiveData):
        return not _exempt(_operation(case), str(response.json().get("type")).removeprefix("/problems/"))
    if isinstance(failure, EnsureResourceAvailability):
        path = urlsplit(response.request.url or "").path
        return not any(path.startswith(created) and _exempt(replays[created], REPLAYED) for created in replays)
    return True


def _operation(case: Case) -> str:
    return str(case.operation.definition.raw["operationId"])


def _exempt(operation: str, kind: str) -> bool:
    exemption = (operation, kind)
    if exemption in EXEMPT and exemption not in met:
        met.add(exemption)
        with MET.open("a") as file:
            file.write(f"{operation} {kind}\n")
    return exemption in EXEMPT
