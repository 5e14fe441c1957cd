"""What an integrator depends on at each operation: what it sends, which answers it meets, what of them it goes on with.

What is sent and answered stands in the journal. What is *read* does not: that a field of an answer is used is inferred
from its value turning up in a later request. A value that cannot be there by chance (an id, a label, an amount)
counts wherever it turns up; any other only where it turns up under the same name. A value that several answers showed
is credited to each of them, but not to an answer that only repeats what its own request said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote

from sandbox.consumer.shape import Place, Shape
from sandbox.pointer import escape, split
from sandbox.rules import Run
from sandbox.rules.entry import Call, Delivery
from sandbox.spec import Match, Operation, Spec

Part = Literal["path", "query", "header", "body"]
Scalar = str | int | float | bool | None
# Where a value stands: (part, pointer or name).
Spot = tuple[str, str]

MOST_VALUES: Final = 20
_SHORTEST: Final = 6
_SMALLEST: Final = 1000
_WORD: Final = re.compile(r"[a-z_]+")
_TOKEN: Final = re.compile(r"\[(?:personal|secret):[^\]]+\]|[A-Za-z0-9][\w.\-]*")
_TELLING: Final = re.compile(r"[0-9\[]")
_UNKNOWN_SECRET: Final = "[secret:unknown]"  # noqa: S105 - the label of one
# Headers that say how a message travels, and nothing that an answer could have told.
_TRAVEL: Final = frozenset(
    "accept accept-encoding connection content-length content-type date host server traceparent transfer-encoding "
    "user-agent ratelimit ratelimit-policy retry-after cache-control".split()
)
# A value of the one header comes back in the others.
_ECHOES: Final = {"etag": ("if-match", "if-none-match")}


@dataclass(frozen=True, slots=True)
class Sent:
    """A parameter, or a field of a body, that the integrator sends.

    Args:
        pointer: Into the body, `*` being any index; or the name of a parameter.
        times: How often it was there, in each item of an array.
        nulls: How often it was null.
        values: The different values of one whose spec lists them; None where it does not.
    """

    part: Part
    pointer: str
    times: int
    nulls: int = 0
    values: tuple[Scalar, ...] | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A field or a header of an answer, or of an event, that the integrator was given.

    Args:
        status: Of the answer; None for an event.
        used: The places of later requests where its value turned up, such as `shipping.create_shipment body /weight`;
            empty when it may be read or not, which nobody can see from outside.
    """

    status: int | None
    part: Part
    pointer: str
    times: int
    used: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OperationUse:
    """How an integrator uses one operation.

    Args:
        statuses: How often each status was answered; `-` counts the calls that got no answer.
        content_types: Of its bodies, how often each.
    """

    system: str
    operation: str
    method: str
    path: str
    calls: int
    statuses: dict[str, int]
    content_types: dict[str, int]
    sent: tuple[Sent, ...]
    received: tuple[Received, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class EventUse:
    """How an integrator uses one type of event."""

    system: str
    event: str
    times: int
    received: tuple[Received, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(slots=True)
class _Count:
    times: int = 0
    nulls: int = 0
    values: list[Scalar] = field(default_factory=list)
    used: dict[str, None] = field(default_factory=dict)


@dataclass(slots=True)
class _Use:
    method: str = ""
    path: str = ""
    calls: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    content_types: dict[str, int] = field(default_factory=dict)
    sent: dict[Spot, _Count] = field(default_factory=dict)
    received: dict[tuple[int | None, Spot], _Count] = field(default_factory=dict)


_Known = dict[Any, list[_Count]]


class Dependence:
    """Gathers what several runs show.

    Args:
        specs: By system; calls to others are looked at only for values that turn up in them.
    """

    def __init__(self, specs: Mapping[str, Spec]) -> None:
        self._specs = specs
        self._operations: dict[tuple[str, str], _Use] = {}
        self._events: dict[tuple[str, str], _Use] = {}

    def add(self, run: Run) -> None:
        """Look through a run, as time went by."""
        known: _Known = {}
        moments: list[tuple[float, int, int, Callable[[], None]]] = []
        for call in run.calls:
            match = self._match(call)
            moments.append((call.at, call.seq, 0, partial(self._request, call, match, known)))
            if call.seen is not None:
                moments.append((call.ended, call.seq, 1, partial(self._answer, call, match, known)))
        moments += [
            (told.at, told.seq, 0, partial(self._event, told, known))
            for told in run.deliveries
            if not told.dropped and not told.forged
        ]
        for *_, happen in sorted(moments, key=lambda moment: moment[:3]):
            happen()

    def operations(self) -> list[OperationUse]:
        """All operations that were called, by system and name."""
        return [
            OperationUse(
                system,
                name,
                use.method,
                use.path,
                use.calls,
                dict(sorted(use.statuses.items())),
                dict(sorted(use.content_types.items())),
                tuple(self._sent(system, name, spot, use.sent[spot]) for spot in sorted(use.sent)),
                tuple(_received(use)),
            )
            for (system, name), use in sorted(self._operations.items())
        ]

    def events(self) -> list[EventUse]:
        """All events that were handed over, by system and name."""
        return [
            EventUse(system, name, use.calls, tuple(_received(use)))
            for (system, name), use in sorted(self._events.items())
        ]

    def _match(self, call: Call) -> Match[Operation]:
        spec = self._specs.get(call.system)
        return Match(None, (), {}) if spec is None else spec.route(call.method, call.path)

    def _request(self, call: Call, match: Match[Operation], known: _Known) -> None:
        operation = match.target
        name = f"{call.system}.{call.operation if operation is None else operation.id}"
        for (part, pointer), value in _said(call, match):
            for key in _keys(value, pointer, whole=True):
                for count in known.get(key, ()):
                    count.used[f"{name} {part} {pointer}".strip()] = None
        if operation is None:
            return
        use = self._operations.setdefault((call.system, operation.id), _Use(operation.method, operation.path))
        use.calls += 1
        status = "-" if call.seen is None else str(call.seen)
        use.statuses[status] = use.statuses.get(status, 0) + 1
        if call.body is not None:
            content_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
            use.content_types[content_type] = use.content_types.get(content_type, 0) + 1
        declared = {(parameter.location, parameter.name.lower()) for parameter in operation.parameters}
        for spot, value in (*_said(call, match), *_containers(call.body)):
            if spot[0] == "header" and ("header", spot[1]) not in declared:
                continue
            count = use.sent.setdefault(spot, _Count())
            count.times += 1
            count.nulls += value is None
            small = isinstance(value, str | int | float) and len(count.values) <= MOST_VALUES
            if small and value not in count.values and not (isinstance(value, str) and "[" in value):
                count.values.append(value)

    def _answer(self, call: Call, match: Match[Operation], known: _Known) -> None:
        operation = match.target
        if operation is None or call.inject == "malformed":
            return
        own = {key for (_, pointer), value in _said(call, match) for key in _keys(value, pointer, whole=True)}
        # All secrets of a system have one label: a new token looks like the password that it was asked for with.
        own = {key for key in own if not (isinstance(key, str) and key.startswith("[secret:"))}
        use = self._operations[call.system, operation.id]
        response = operation.response_for(call.seen or 0)
        told = response.headers if response is not None else frozenset[str]()
        headers = [(("header", name), value) for name, value in call.answer_headers.items() if name in told]
        for spot, value in (*headers, *_leaves(call.answer), *_containers(call.answer)):
            count = use.received.setdefault((call.seen, spot), _Count())
            count.times += 1
            _learn(known, count, spot, value, own)

    def _event(self, told: Delivery, known: _Known) -> None:
        use = self._events.setdefault((told.system, told.event), _Use())
        use.calls += 1
        for spot, value in (*_leaves(told.body), *_containers(told.body)):
            count = use.received.setdefault((None, spot), _Count())
            count.times += 1
            _learn(known, count, spot, value, set())

    def _sent(self, system: str, operation: str, spot: Spot, count: _Count) -> Sent:
        part, pointer = spot
        values: tuple[Scalar, ...] | None = None
        if len(count.values) <= MOST_VALUES and self._lists_values(self._specs[system], operation, spot):
            values = tuple(sorted(count.values, key=str))
        return Sent(_part(part), pointer, count.times, count.nulls, values)

    def _lists_values(self, spec: Spec, operation_id: str, spot: Spot) -> bool:
        """Whether the spec lists the values of a parameter or a field."""
        operation, (part, pointer) = spec.operations[operation_id], spot
        schemas: list[Any] = [
            p.schema for p in operation.parameters if p.location == part and p.name.lower() == pointer
        ]
        path: list[str] = []
        if part == "body" and operation.body is not None:
            schemas, path = [media.schema or {} for media in operation.body.content.values()], list(split(pointer))
        return any(
            shape.enum is not None
            for schema in schemas
            for shape in Shape(spec.document, [Place("", schema)], "request").find(path)
        )


def _part(text: str) -> Part:
    parts: dict[str, Part] = {"path": "path", "query": "query", "header": "header"}
    return parts.get(text, "body")


def _received(use: _Use) -> Iterator[Received]:
    for status, (part, pointer) in sorted(use.received, key=lambda found: (found[0] or 0, found[1])):
        count = use.received[status, (part, pointer)]
        yield Received(status, _part(part), pointer, count.times, tuple(count.used))


def _said(call: Call, match: Match[Operation]) -> Iterator[tuple[Spot, Scalar]]:
    """All that a request says, value by value."""
    if match.target is None:
        yield from ((("path", ""), unquote(segment)) for segment in call.path.split("/") if segment)
    else:
        yield from ((("path", name), unquote(value)) for name, value in match.values.items())
    yield from ((("query", name), value) for name, value in parse_qsl(call.query, keep_blank_values=True))
    yield from ((("header", name), value) for name, value in call.headers.items() if name not in _TRAVEL)
    if call.idempotency_key is not None and "idempotency-key" not in call.headers:
        yield ("header", "idempotency-key"), call.idempotency_key
    yield from _leaves(call.body)


def _leaves(value: Any, pointer: str = "") -> Iterator[tuple[Spot, Scalar]]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _leaves(item, f"{pointer}/{escape(name)}")
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item, f"{pointer}/*")
    elif value is not None or pointer:
        yield ("body", pointer), value


def _containers(value: Any, pointer: str = "") -> Iterator[tuple[Spot, Any]]:
    """The objects and arrays of a body, itself included."""
    if isinstance(value, dict | list):
        yield ("body", pointer), value
        items = value.items() if isinstance(value, dict) else (("*", item) for item in value)
        for name, item in items:
            yield from _containers(item, f"{pointer}/{name if isinstance(value, list) else escape(name)}")


def _learn(known: _Known, count: _Count, spot: Spot, value: Any, own: set[Any]) -> None:
    """Remember where a value was shown, unless the request itself had said it."""
    part, pointer = spot
    if isinstance(value, dict | list):
        return
    for name in _ECHOES.get(pointer, (pointer,)) if part == "header" else (pointer,):
        for key in _keys(value, name, whole=part != "header"):
            if key not in own and all(other is not count for other in known.setdefault(key, [])):
                known[key].append(count)


def _keys(value: Any, pointer: str, *, whole: bool) -> Iterator[Any]:
    """By what a value is recognised: alone if it is distinctive, else together with the name of its field.

    Args:
        whole: Whether the text is one value, which may have words of its own, or a text with values in it.
    """
    if value is None or isinstance(value, bool) or value == "":
        return
    name = pointer.rpartition("/")[2]
    if isinstance(value, int | float):
        if abs(value) >= _SMALLEST or value % 1:
            yield float(value)
        if name != "*":
            yield name, float(value)
        return
    if not isinstance(value, str) or value == _UNKNOWN_SECRET:
        return
    if name not in ("", "*"):
        yield name, value
    if whole and _distinctive(value):
        yield value
    for token in _TOKEN.findall(value):
        # Words of a text turn up elsewhere by chance; numbers and labels do not.
        if token != value and _distinctive(token) and _TELLING.search(token):
            yield token


def _distinctive(text: str) -> bool:
    """Whether a text cannot well be in two places by chance."""
    return len(text) >= _SHORTEST and _WORD.fullmatch(text) is None and text != _UNKNOWN_SECRET
