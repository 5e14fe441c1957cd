"""A journal as a sequence diagram: who sent what to whom, what took effect, what the sender saw of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from sandbox.chaos.points import is_subjects
from sandbox.journal import UNKNOWN, Entry

SUBJECT: Final = "subject"
SCENARIO: Final = "scenario"
_NO_KEY: Final = "-"
_TURNS: Final = {
    "subject started": "starts",
    "subject restarted": "starts",
    "subject killed": "stops",
    "subject died": "stops",
}
_UNSEEN: Final = {"lost": "no answer", "reset": "connection reset", UNKNOWN: "answer unknown"}
_DROPPED: Final = "dropped"
_NOTICEABLE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Participant:
    """A lifeline.

    Attributes:
        role: `subject`, `system`, or `scenario`: whoever acts for the customers.
    """

    name: str
    role: Literal["subject", "scenario", "system"]


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the journal.

    Attributes:
        position: Its place in the journal that was drawn, where the details are.
        at: Seconds since the journal began.
        source: Index of the participant that it starts from; a note stands there.
        name: The operation or the event; the text of a note.
        key: The business key; empty if none.
        answer: What the sender saw, in words.
        reached: Whether it came to its target at all.
        answered: Whether a whole answer came back.
        effect: `applied` or `none`; empty for what is no call.
        change: What took effect, in words.
        fault: The fault that it met; empty if none.
        down: Whether the subject was dead before it.
        turn: `starts` or `stops`, when the subject did.
        evidence: Whether a violation names it.
    """

    position: int
    kind: Literal["call", "delivery", "note"]
    seq: int
    at: float
    source: int
    target: int
    name: str
    key: str = ""
    occurrence: int = 1
    answer: str = ""
    reached: bool = True
    answered: bool = True
    effect: str = ""
    change: str = ""
    fault: str = ""
    down: bool = False
    turn: str = ""
    evidence: bool = False

    @property
    def label(self) -> str:
        """What was sent, in a few words: `create_invoice 2025-4471 #2`."""
        number = f" #{self.occurrence}" if self.occurrence > 1 else ""
        return f"{self.name}{f' {self.key}' if self.key else ''}{number}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"label": self.label}


@dataclass(frozen=True, slots=True)
class Diagram:
    """Lifelines from left to right, steps from top to bottom."""

    participants: tuple[Participant, ...]
    steps: tuple[Step, ...]


def draw(journal: Iterable[Entry], subject: str, evidence: Collection[int] = ()) -> Diagram:
    """Draw a journal.

    Args:
        subject: The name of the program under test.
        evidence: The `seq` of entries that violations name.
    """
    # An entry is numbered when it ends, but a diagram is read by beginnings.
    entries = sorted(enumerate(journal), key=lambda pair: (pair[1]["at"] or 0.0, pair[1]["seq"]))
    scenario = any(entry["kind"] == "call" and not is_subjects(entry) for _, entry in entries)
    participants = [Participant(SCENARIO, SCENARIO)] if scenario else []
    participants.append(Participant(subject, SUBJECT))
    systems = dict.fromkeys(_system(entry) for _, entry in entries if entry["kind"] != "note")
    columns = {system: column for column, system in enumerate(systems, len(participants))}
    participants += [Participant(system, "system") for system in systems]
    began = entries[0][1]["at"] or 0.0 if entries else 0.0
    steps: list[Step] = []
    down = False
    for position, entry in entries:
        common: dict[str, Any] = {
            "position": position,
            "seq": entry["seq"],
            "at": round((entry["at"] or began) - began, 6),
            "down": down,
            "evidence": entry["seq"] in evidence,
        }
        step = _step(entry, common, int(scenario), columns)
        down = step.turn == "stops" or (down and step.turn != "starts")
        steps.append(step)
    return Diagram(tuple(participants), tuple(steps))


def _system(entry: Mapping[str, Any]) -> str:
    return str((entry.get("address") or {}).get("system") or entry.get("system") or "?")


def _step(entry: Mapping[str, Any], common: dict[str, Any], subject: int, columns: Mapping[str, int]) -> Step:
    if entry["kind"] == "note":
        text = str(entry.get("text", ""))
        turn = next((turn for start, turn in _TURNS.items() if text.startswith(start)), "")
        return Step(**common, kind="note", source=subject, target=subject, name=text, turn=turn)
    address = entry["address"] or {}
    common |= {
        "key": "" if address.get("key") in (None, _NO_KEY) else str(address["key"]),
        "occurrence": address.get("occurrence", 1),
        "fault": fault_text(entry.get("fault")),
    }
    system = columns[_system(entry)]
    if entry["kind"] == "delivery":
        answer = entry.get("answer") or {}
        error = answer.get("error", "")
        return Step(
            **common,
            kind="delivery",
            source=system,
            target=subject,
            name=str(address.get("event")),
            answer=str(answer.get("status") or error),
            reached=error != _DROPPED and not common["down"],
            answered=answer.get("status") is not None,
        )
    outcome = _outcome(entry)
    return Step(
        **common,
        kind="call",
        source=subject if is_subjects(entry) else 0,
        target=system,
        name=str(address.get("operation")),
        answer=_answer(entry, outcome),
        answered=outcome == "sent",
        effect=str(entry.get("effect", "none")),
        change=_change(entry.get("changes") or []),
    )


def fault_text(fault: Mapping[str, Any] | None) -> str:
    """A fault of the journal in a few words: `server_error 503`."""
    if not fault:
        return ""
    given = fault.get("with") or {}
    status = f" {given['status']}" if "status" in given else ""
    return f"{fault.get('inject', '')}{status}"


def _outcome(entry: Mapping[str, Any]) -> str:
    answer = entry.get("answer")
    return str(answer.get("outcome", "sent")) if isinstance(answer, Mapping) else UNKNOWN


def _answer(entry: Mapping[str, Any], outcome: str) -> str:
    answer = entry.get("answer")
    status = answer.get("status") if isinstance(answer, Mapping) else None
    if outcome == "sent":
        return str(status)
    if outcome == "cut":
        return f"{status}, cut short"
    waited = (entry.get("left_at") or entry["at"]) - entry["at"]
    patience = f", gave up after {duration(waited)}" if waited >= _NOTICEABLE else ""
    return _UNSEEN.get(outcome, outcome) + patience


def _change(changes: list[Mapping[str, Any]]) -> str:
    if not changes:
        return ""
    first = changes[0]
    action = str(first["action"])
    more = f" and {len(changes) - 1} more" if len(changes) > 1 else ""
    return f"{action}{'d' if action.endswith('e') else 'ed'} {first['collection']}/{first['id']}{more}"


def duration(seconds: float) -> str:
    """A span as people read it: `250 ms`, `3.5 s`, `5 min`, `2 h 10 min`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{round(seconds, 1):g} s"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = ((hours, "h"), (minutes, "min"), (0 if hours else rest, "s"))
    return " ".join(f"{number} {unit}" for number, unit in parts if number)
