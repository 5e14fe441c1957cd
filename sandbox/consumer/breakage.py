"""Which changes between two versions of a spec break a consumer: this one, whose usage is known, or any.

What a consumer sends stands in its journals, so that is judged for certain. What it reads does not: a field that it was
given and whose value turned up in no later request may be read all the same, and who reads strictly (a list of values,
a type, a length) looks the same from outside as who does not. Such a change *may* break it, and is told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sandbox.consumer.dependence import OperationUse, Received, Sent
from sandbox.consumer.spec_diff import Change, Version, changes, wire
from sandbox.consumer.usage import Usage
from sandbox.pointer import split

Verdict = Literal["breaks", "may break", "safe"]
ORDER: Final[tuple[Verdict, ...]] = ("breaks", "may break", "safe")
_MOST_NAMED: Final = 3
_Judged = tuple[Verdict, str]


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in one of the two files."""

    pointer: str
    line: int | None

    def to_json(self) -> dict[str, Any]:
        return {"pointer": self.pointer, "line": self.line}


@dataclass(frozen=True, slots=True)
class Judgement:
    """One change and what it does to the consumer.

    Args:
        what: The change.
        why: Why it breaks, may break, or is safe; one sentence.
        operations: The operations and events at which it has this verdict.
        others: Those that show the change, too, where it does less harm.
    """

    verdict: Verdict
    what: str
    why: str
    operations: tuple[str, ...]
    others: tuple[str, ...]
    old: Mark
    new: Mark

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "what": self.what,
            "why": self.why,
            "operations": list(self.operations),
            "others": list(self.others),
            "old": self.old.to_json(),
            "new": self.new.to_json(),
        }


def judge(old: Version, new: Version, usage: Usage | None) -> list[Judgement]:
    """All changes between two versions, the breaking ones first, each judged at the operation that it hurts most.

    Args:
        usage: Of the consumer, its system called as the old version is; None judges for any consumer.
    """
    judge_one = _ForAny() if usage is None else _ForThis(usage, old)
    groups: dict[tuple[str, ...], list[tuple[_Judged, Change]]] = {}
    for change in changes(old, new):
        # An event may carry what an answer does; the change is one.
        topic = "answer" if change.topic == "event" and change.field else change.topic
        key = topic, change.kind, change.old, change.new, change.what
        groups.setdefault(key, []).append((judge_one.verdict(change), change))
    found = [_grouped(old, new, judged) for judged in groups.values()]
    return sorted(found, key=lambda one: (ORDER.index(one.verdict), one.old.line or 0, one.new.line or 0))


def _grouped(old: Version, new: Version, judged: list[tuple[_Judged, Change]]) -> Judgement:
    judged = sorted(judged, key=lambda one: ORDER.index(one[0][0]))
    (verdict, why), change = judged[0]
    operations = tuple(dict.fromkeys(_name(old, one) for (found, _), one in judged if found == verdict))
    return Judgement(
        verdict,
        change.what,
        why,
        operations,
        tuple(dict.fromkeys(name for _, one in judged if (name := _name(old, one)) not in operations)),
        Mark(change.old, old.document.line(change.old)),
        Mark(change.new, new.document.line(change.new)),
    )


def _name(old: Version, change: Change) -> str:
    return f"{old.spec.name}.{change.operation}" if change.operation and change.topic != "event" else change.operation


class _ForAny:
    """Judges for whoever may be out there."""

    def verdict(self, change: Change) -> _Judged:
        found = _always(change)
        if found is not None:
            return found
        match change.topic:
            case "operation":
                return "breaks", "whoever calls it finds nothing there"
            case "security":
                some = change.effect == "narrows"
                return "may break" if some else "breaks", "whoever comes with the old credentials is refused"
            case "status":
                return self._status(change)
            case "content":
                return "breaks", "whoever sends or wants this content type is refused"
            case "parameter" | "body":
                return self._request(change)
            case _:
                return self._answer(change)

    @staticmethod
    def _status(change: Change) -> _Judged:
        if change.kind == "added":
            return (
                "may break",
                "whoever takes only the statuses known so far for a success takes this one for a failure",
            )
        if change.status.startswith("2"):
            return "breaks", "whoever waits for this status takes the call for a failure"
        return "may break", "whoever reacts to this status meets another one"

    @staticmethod
    def _request(change: Change) -> _Judged:
        match change.kind:
            case "removed" | "renamed":
                return "breaks", "whoever sends it is refused, or not heard"
            case "required" | "added":
                return "breaks", "whoever does not send it is refused"
            case "default":
                return "may break", "whoever leaves it out gets something else than before"
            case "closed":
                return "may break", "whoever sends more than the named fields is refused"
            case _:
                return "breaks", "whoever sends what is no longer valid is refused"

    @staticmethod
    def _answer(change: Change) -> _Judged:
        match change.kind:
            case "removed" | "renamed":
                return "breaks", "whoever reads it finds nothing there"
            case "optional":
                return "may break", "whoever counts on it finds nothing there at times"
            case "type":
                return "breaks", "whoever reads it finds another type"
            case "enum":
                return "may break", "whoever reads it strictly does not know this value"
            case "null":
                return "may break", "whoever reads it strictly does not know null"
            case _:
                return "may break", "whoever reads it strictly does not take what may come now"


def _always(change: Change) -> _Judged | None:
    """What is safe whoever the consumer is; and what nobody can know of one."""
    match change.topic, change.kind:
        case "server", "removed":
            return "may break", "whoever has the old address in the settings may find nobody there"
        case (("server" | "content" | "operation" | "event"), "added") if not change.field:
            return "safe", "what was there before still is"
        case "operation", "renamed":
            return "safe", "the name is not on the wire"
        case "operation", "deprecated":
            return "safe", "it still works; plan to leave it"
        case "status", "added" if not change.name.startswith(("2", "3")):
            return "safe", "an unknown status is read as the first one of its class (RFC 9110, section 15)"
        case "security", _ if change.effect == "widens":
            return "safe", "the credentials known so far still work"
        case (("parameter" | "body"), _) if change.effect == "widens":
            return "safe", "all that was valid still is"
        case (("answer" | "event"), _):
            return _always_read(change)
    return None


def _always_read(change: Change) -> _Judged | None:
    if change.kind in ("added", "opened", "closed"):
        return "safe", "readers pass over fields that they do not know (tolerant reader)"
    if change.kind in ("required", "default"):
        return "safe", "readers may rely on more than before"
    if change.effect == "narrows" and change.kind != "removed":
        return "safe", "nothing comes that could not have come before"
    return None


class _ForThis:
    """Judges for one consumer."""

    def __init__(self, usage: Usage, old: Version) -> None:
        self._old = old
        uses = {wire(use.method, use.path): use for use in usage.operations if use.system == old.spec.name}
        self._uses = {
            operation.id: uses[wire(operation.method, operation.path)]
            for operation in old.spec.operations.values()
            if wire(operation.method, operation.path) in uses
        }
        self._events = {use.event: use for use in usage.events if use.system == old.spec.name}

    def verdict(self, change: Change) -> _Judged:
        found = _always(change)
        if found is not None:
            return found
        if change.topic == "event":
            told = self._events.get(change.operation)
            if told is None:
                return "safe", "this consumer is never sent the event"
            if not change.field and change.kind == "removed":
                return "breaks", f"this consumer was sent it {_times(told.times)}"
            return self._read(change, told.received, told.times)
        use = self._uses.get(change.operation)
        if use is None:
            return "safe", "this consumer never calls the operation"
        match change.topic:
            case "operation":
                return "breaks", f"this consumer calls it ({_times(use.calls)})"
            case "security":
                some = change.effect == "narrows"
                return (
                    "may break" if some else "breaks",
                    f"this consumer calls it with the old ones ({_times(use.calls)})",
                )
            case "content":
                return self._content(change, use)
            case "status":
                return self._status(change, use)
            case "answer":
                received = [field for field in use.received if self._is_status(change, str(field.status))]
                return self._read(change, received, self._met(use, change))
            case _:
                return self._sent(change, use)

    def _content(self, change: Change, use: OperationUse) -> _Judged:
        if change.status:
            met = self._met(use, change)
            return ("breaks", f"this consumer reads such answers ({_times(met)})") if met else _unmet(change.status)
        count = use.content_types.get(change.name, 0)
        if count:
            return "breaks", f"this consumer sends it ({_times(count)})"
        return "safe", "this consumer sends another content type"

    def _status(self, change: Change, use: OperationUse) -> _Judged:
        if change.kind == "added":
            return "may break", "if this consumer takes only the statuses known so far for a success, this one is none"
        met = self._met(use, change)
        if not met:
            return _unmet(change.status)
        verdict: Verdict = "breaks" if change.status.startswith("2") else "may break"
        return (
            verdict,
            f"this consumer was answered {change.status} {_times(met)}, and what it does then is no longer due",
        )

    def _met(self, use: OperationUse, change: Change) -> int:
        """How many answers the consumer was given that the old document describes there."""
        return sum(count for status, count in use.statuses.items() if self._is_status(change, status))

    def _is_status(self, change: Change, status: str) -> bool:
        responses = self._old.spec.operations[change.operation].responses
        if not status.isdecimal():
            return False
        described = next((key for key in (status, f"{status[0]}XX", "default") if key in responses), None)
        return described == change.status

    @staticmethod
    def _sent(change: Change, use: OperationUse) -> _Judged:
        whole = use.calls if change.topic == "parameter" else _count(use, "body", _above(change.field))
        if change.topic == "body" and not change.field:
            whole = use.calls
        times = sum(field.times for field in _sent_at(change, use))
        if change.kind == "closed":
            return _closed(change, use)
        if change.kind in ("required", "added") or (change.kind == "renamed" and change.required and not times):
            if not whole:
                return "safe", "this consumer never sends what it belongs to"
            if times >= whole and change.kind != "renamed":
                return "safe", f"this consumer sends it each time ({_times(times)})"
            return "breaks", f"this consumer goes without it {_share(whole - times, whole)}"
        if change.kind == "default":
            if times >= whole:
                return "safe", "this consumer never leaves it to the default"
            return "may break", f"this consumer leaves it to the default {_share(whole - times, whole)}"
        if not times:
            return "safe", "this consumer never sends it"
        if change.kind in ("removed", "renamed", "style"):
            return "breaks", f"this consumer sends it ({_times(times)}), which is refused, or not heard"
        return _values(change, use, times)

    @staticmethod
    def _read(change: Change, received: Iterable[Received], answers: int) -> _Judged:
        """What a change means for somebody who was given a field."""
        if not answers:
            return _unmet(change.status) if change.status else ("safe", "this consumer was never given it")
        fields = [field for field in received if field.part == change.part and _fits(change.field, field.pointer)]
        count = sum(field.times for field in fields)
        if not count and change.field:
            return "safe", f"this consumer was never given it (in {_count_of(answers, 'answer')})"
        places = list(dict.fromkeys(place for field in fields for place in field.used))
        if not places:
            doubt = "whether it reads it cannot be seen" if change.kind in _GONE else "whether strictly, cannot be seen"
            return "may break", f"this consumer was given it {_times(count or answers)}; {doubt}"
        goes = f"this consumer was given it {_times(count)}, and its value turns up in {_listed(places)}"
        if change.kind in ("removed", "renamed", "type"):
            return "breaks", goes
        return "may break", f"{goes}; whether it takes this, cannot be seen"


_GONE: Final = frozenset({"removed", "renamed", "optional"})


def _unmet(status: str) -> _Judged:
    return "safe", f"this consumer was never answered {status}"


def _closed(change: Change, use: OperationUse) -> _Judged:
    depth = len(split(change.field)) + 1
    below = [sent for sent in use.sent if sent.part == "body" and _fits(change.field, _above(sent.pointer))]
    extra = [sent.pointer for sent in below if len(split(sent.pointer)) == depth]
    extra = [pointer for pointer in extra if split(pointer)[-1] not in change.values]
    if extra:
        return "breaks", f"this consumer sends more: {_listed(extra)}"
    return "safe", "this consumer sends no other fields"


def _values(change: Change, use: OperationUse, times: int) -> _Judged:
    """Whether what is sent is still valid, where fewer values are."""
    sent = _sent_at(change, use)
    if change.kind == "null":
        nulls = sum(field.nulls for field in sent)
        if nulls:
            return "breaks", f"this consumer sends null ({_times(nulls)})"
        return "safe", f"this consumer never sends null (in {_times(times)})"
    if change.kind == "enum":
        known = [value for field in sent for value in field.values or ()]
        gone = [value for value in change.values if value in known]
        if gone:
            return "breaks", f"this consumer sends {_listed(list(map(str, gone)))}"
        if all(field.values is not None for field in sent):
            return "safe", f"this consumer sends only {_listed(list(map(str, known)))} (in {_times(times)})"
    if change.effect == "changes" and change.kind == "type":
        return "breaks", f"this consumer sends the old type ({_times(times)})"
    return "may break", f"this consumer sends it ({_times(times)}); whether its values stay valid, a journal cannot say"


def _sent_at(change: Change, use: OperationUse) -> list[Sent]:
    """What the consumer sends where a change is; of a parameter, which stands in a journal as one text, the whole."""
    field = change.field.partition("/")[0] if change.topic == "parameter" else change.field
    return [sent for sent in use.sent if sent.part == change.part and _fits(field, sent.pointer)]


def _count(use: OperationUse, part: str, pointer: str) -> int:
    return sum(field.times for field in use.sent if field.part == part and _fits(pointer, field.pointer))


def _above(pointer: str) -> str:
    return pointer.rpartition("/")[0]


def _fits(pattern: str, pointer: str) -> bool:
    """Whether a pointer is meant by a pattern; `*` stands for any name or index in both."""
    wanted, given = pattern.split("/"), pointer.split("/")
    return len(wanted) == len(given) and all(
        a == b or (number > 0 and "*" in (a, b)) for number, (a, b) in enumerate(zip(wanted, given, strict=True))
    )


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} times"


def _times(count: int) -> str:
    return "once" if count == 1 else "twice" if count == 2 else f"{count} times"


def _count_of(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return shown + (f" and {len(names) - _MOST_NAMED} more places" if len(names) > _MOST_NAMED else "")


def breaking(judgements: Iterable[Judgement], *, certain: bool = False) -> Iterator[Judgement]:
    """The changes that count as breaks.

    Args:
        certain: Only those that break for certain.
    """
    return (one for one in judgements if one.verdict == "breaks" or (one.verdict == "may break" and not certain))
