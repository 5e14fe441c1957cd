"""What a run without faults says about the setup of a program: step by step, and what to mend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sandbox.chaos.check import Verdict
from sandbox.chaos.points import is_subjects
from sandbox.chaos.runner import RunRecord
from sandbox.rules.base import FAILED, UNCERTAIN

State = Literal["ok", "failed", "uncertain", "skipped"]
Entry = Mapping[str, Any]

_UNAUTHORIZED: Final = (401, 403)
_CODES: Final[Mapping[State, int]] = {"ok": 0, "skipped": 0, "failed": FAILED, "uncertain": UNCERTAIN}
_WEBHOOK_PATH: Final = "say where it takes webhooks: webhook_path in sandbox.yaml"
STEPS: Final = ("starts", "webhooks", "acknowledges", "calls", "credentials", "requests", "outcome")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one step came to.

    Attributes:
        mend: What to do when it failed.
    """

    step: str
    state: State
    what: str
    mend: str = ""

    def to_json(self) -> dict[str, str]:
        document = {"step": self.step, "state": self.state, "what": self.what}
        return document | ({"mend": self.mend} if self.mend else {})


def exit_code(findings: Sequence[Finding]) -> int:
    """1 when a step failed, else 3 when one is uncertain, else 0."""
    codes = {_CODES[finding.state] for finding in findings}
    return FAILED if FAILED in codes else UNCERTAIN if UNCERTAIN in codes else 0


def checkup(record: RunRecord, verdict: Verdict, systems: Sequence[str]) -> Iterator[Finding]:
    """Step by step, what a run without faults showed; what cannot be judged any more is skipped."""
    told: set[State] = set()
    for step, look in (
        ("webhooks", _webhooks),
        ("acknowledges", _acknowledges),
        ("calls", lambda entries: _calls(entries, systems)),
        ("credentials", _credentials),
        ("requests", _requests),
        ("outcome", lambda _: _outcome(record, verdict)),
    ):
        if "failed" in told:
            yield Finding(step, "skipped", "not judged, since a step before it failed")
            continue
        state, what, mend = look(record.journal)
        told.add(state)
        yield Finding(step, state, what, mend)


Said = tuple[State, str, str]


def _deliveries(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if entry["kind"] == "delivery"]


def _own(entries: Sequence[Entry]) -> list[Entry]:
    return [entry for entry in entries if is_subjects(entry)]


def _status(entry: Entry) -> int | None:
    answer = entry.get("answer")
    status: int | None = answer.get("status") if isinstance(answer, dict) else None
    return status


def _webhooks(entries: Sequence[Entry]) -> Said:
    sent = _deliveries(entries)
    if not sent:
        return "uncertain", "no webhook was due in this scenario", "name a scenario in which an event happens"
    came = [entry for entry in sent if _status(entry) is not None]
    url = (sent[0].get("request") or {}).get("url", "its address")
    if not came:
        error = (sent[0].get("answer") or {}).get("error", "no answer")
        return (
            "failed",
            f"no signed webhook reached it at {url}: {error}",
            "say where it takes them: webhook_path in sandbox.yaml",
        )
    return "ok", f"{len(came)} signed webhooks reached it at {url}", ""


def _acknowledges(entries: Sequence[Entry]) -> Said:
    statuses = Counter(status for entry in _deliveries(entries) if (status := _status(entry)) is not None)
    good = sum(count for status, count in statuses.items() if 200 <= status < 300)
    bad = ", ".join(f"{count} with {status}" for status, count in sorted(statuses.items()) if not 200 <= status < 300)
    if not bad:
        return "ok", f"it answered {good} webhooks with 2xx", ""
    mend = "look at what it says of them on standard error"
    if statuses.keys() & {404, 405}:
        mend = _WEBHOOK_PATH
    elif statuses.keys() & set(_UNAUTHORIZED):
        mend = "it must verify them with the secret in WEBHOOK_SECRET, over the bytes as they came (Standard Webhooks)"
    return ("uncertain" if good else "failed"), f"it answered webhooks {bad}", mend


def _calls(entries: Sequence[Entry], systems: Sequence[str]) -> Said:
    called = Counter(entry["address"]["system"] for entry in _own(entries))
    told = ", ".join(f"{name} {count}" for name, count in called.items())
    missing = [name for name in systems if name not in called]
    if not called:
        name = f"{next(iter(systems), 'shop').upper().replace('-', '_')}_URL"
        what = "give it the URLs under the names that it expects"
        return "failed", "it called no system", f"{what}: environment in sandbox.yaml, e.g. API_URL: ${{{name}}}"
    if missing:
        mend = f"is the URL of {missing[0]} taken from the environment? If it never calls it, all is well"
        return "uncertain", f"it called {told}, but never {', '.join(missing)}", mend
    return "ok", f"it called {told}", ""


def _credentials(entries: Sequence[Entry]) -> Said:
    own = _own(entries)
    # A token may run out; who never got in has none that is right.
    let_in = {entry["address"]["system"] for entry in own if (_status(entry) or 0) < 300}
    refused = [
        entry
        for entry in own
        if _status(entry) in _UNAUTHORIZED and not entry.get("fault") and entry["address"]["system"] not in let_in
    ]
    if not refused:
        return "ok", "every system let it in", ""
    address = refused[0]["address"]
    prefix = address["system"].upper().replace("-", "_")
    what = f"{address['system']}.{address['operation']} answered {_status(refused[0])} to its credential"
    return "failed", what, f"give it what sandbox env prints as {prefix}_…: environment in sandbox.yaml"


def _requests(entries: Sequence[Entry]) -> Said:
    wrong = [entry for entry in _own(entries) if _status(entry) in (400, 404, 405, 413, 415, 422)]
    wrong = [entry for entry in wrong if entry["request"]["method"] != "GET"]
    if not wrong:
        return "ok", "no request was refused as malformed", ""
    address, answer = wrong[0]["address"], wrong[0]["answer"]
    body = answer.get("body")
    detail = f": {body['detail']}" if isinstance(body, dict) and body.get("detail") else ""
    what = f"{address['system']}.{address['operation']} answered {answer['status']}{detail}"
    return "uncertain", what, "compare the request with the spec: sandbox contracts usage"


def _outcome(record: RunRecord, verdict: Verdict) -> Said:
    if verdict.failed:
        mend = f"mend it before faults are injected; try: sandbox chaos run {record.scenario.name}"
        return "failed", f"{verdict.broken[0]}: {verdict.story}", mend
    if verdict.exit_code:
        return "uncertain", verdict.trouble[0] if verdict.trouble else "the run was inconclusive", ""
    return "ok", f"{record.scenario.name} passed without faults, in {record.lasted:.0f} s", ""
