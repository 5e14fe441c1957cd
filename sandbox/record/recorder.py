"""Makes journal entries of calls to real APIs: redacted at the source, addressed and checked by the project's specs."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl, unquote

from sandbox.forms import FORM
from sandbox.inference import business_key
from sandbox.journal import Entry
from sandbox.model import NO_KEY, Answer, Headers, Json, Problem
from sandbox.record.departure import Departure, from_spec, undeclared
from sandbox.record.described import Described
from sandbox.record.records import Records
from sandbox.record.sensitive import equals_hidden
from sandbox.record.upstream import Upstream
from sandbox.record.vault import Vault
from sandbox.redaction import Redactor
from sandbox.request import parse
from sandbox.routing import Match
from sandbox.spec import Operation, Spec, is_json

LARGEST_KEPT: Final = 1_048_576
# What a body may grow to when it is decompressed, lest a small one fill the memory.
_LARGEST_PLAIN: Final = 16 * LARGEST_KEPT
CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate", "identity"})
_SHORTEST_PERSONAL: Final = 4


@dataclass(slots=True)
class Body:
    """What passes through, kept as long as it is small enough.

    Attributes:
        size: Bytes that passed, whether kept or not.
        kept: None when there were more than `LARGEST_KEPT`.
    """

    size: int = 0
    kept: bytearray | None = field(default_factory=bytearray)

    def add(self, part: bytes) -> None:
        self.size += len(part)
        if self.kept is not None:
            if self.size > LARGEST_KEPT:
                self.kept = None
            else:
                self.kept += part


@dataclass(slots=True)
class Call:
    """One call on its way through the recorder.

    Attributes:
        path: Below the system's root, decoded.
        headers: As sent by the caller, with lower-case names.
        at: When it arrived, in unix seconds; likewise `begun_at` and `ended_at` for its answer.
        status: None as long as nothing was answered.
        outcome: What the caller saw: `sent`, `cut`, or `left` when it did not wait for the end.
        error: Why there was no answer of the real API, or no whole one, in one sentence.
        by_us: Whether the answer is the recorder's own.
    """

    upstream: Upstream
    method: str
    path: str
    query: str
    headers: Headers
    at: float
    request: Body = field(default_factory=Body)
    status: int | None = None
    answer_headers: Headers = ()
    answer: Body = field(default_factory=Body)
    begun_at: float = 0.0
    ended_at: float = 0.0
    outcome: str = "sent"
    error: str | None = None
    by_us: bool = False
    seq: int = 0
    found: Match[Operation] | None = None
    sent: Json = None
    key: str = NO_KEY
    occurrence: int = 0
    shown_request: dict[str, Json] = field(default_factory=dict)
    personal: dict[str, str] = field(default_factory=dict)

    @property
    def operation(self) -> Operation | None:
        return None if self.found is None else self.found.target

    @property
    def path_parameters(self) -> dict[str, str]:
        return {} if self.found is None else {name: unquote(value) for name, value in self.found.values.items()}


class Comparison(Protocol):
    """Asks our mock what it would have answered."""

    def __call__(self, call: Call, known: Records, answer: Answer) -> list[Departure]: ...


class Recorder:
    """Turns calls into entries of a journal.

    Args:
        specs: Of the systems that have one; the others are recorded without being checked.
        write: Takes each entry when its call has ended.
        tell: Takes each departure, with the call it was found in.
        salt: Key of the hashes of personal values.
        compare: Asks our mock, too.
    """

    def __init__(
        self,
        specs: Mapping[str, Spec],
        write: Callable[[Entry], None],
        tell: Callable[[Call, Departure], None],
        salt: bytes,
        compare: Comparison | None = None,
    ) -> None:
        self._specs = specs
        self._write = write
        self._tell = tell
        self._compare = compare
        self._redactor = Redactor(salt, {})
        self._vaults: dict[str, Vault] = {}
        self._records = {name: Records(spec) for name, spec in specs.items()}
        self._seq = 0
        self._arrivals: Counter[tuple[str, str, str]] = Counter()

    def arrive(self, call: Call) -> None:
        """Number a call, once its request is complete or its answer has begun; a second time does nothing."""
        if call.seq:
            return
        self._seq += 1
        call.seq = self._seq
        system = call.upstream.name
        spec, vault = self._specs.get(system), self._vault(system)
        if spec is not None:
            call.found = spec.route(call.method, call.path)
        content_type = _header(call.headers, "content-type")
        call.sent, readable = _value(call.request, call.headers)
        vault.learn_from_headers(call.headers)
        vault.learn_from_query(call.query)
        shown = self._shown(call, call.sent, readable, call.request, content_type, "request")
        call.shown_request = {
            "method": call.method,
            "path": vault.path(call.path),
            "query": vault.query(call.query, spec, call.operation, self._personal(call)),
            "headers": vault.headers(call.headers),
            "body": shown,
            "size": call.request.size,
        }
        call.key = self._key(call, shown)
        operation = call.operation
        point = (system, NO_KEY if operation is None else operation.id, call.key)
        self._arrivals[point] += 1
        call.occurrence = self._arrivals[point]

    def finish(self, call: Call) -> None:
        """Write the entry of a call that has ended, and say where its answer departs from what was to be expected."""
        self.arrive(call)
        vault = self._vault(call.upstream.name)
        value, readable = _value(call.answer, call.answer_headers)
        plain = _plain(call.answer, call.answer_headers)
        whole = plain is not None and call.outcome == "sent" and not call.by_us and call.status is not None
        vault.learn_from_headers(call.answer_headers)
        content_type = _header(call.answer_headers, "content-type")
        shown = self._shown(call, value, readable, call.answer, content_type, "response")
        answer = Answer(call.status or 0, call.answer_headers, plain or b"")
        departures: list[Departure] = []
        if not call.by_us and call.status is not None:
            departures = self._departures(call, answer, readable=whole)
        if whole and call.operation is not None:
            self._observe(call, call.operation, answer, value, departures)
        entry = self._entry(call, vault.headers(call.answer_headers), shown)
        if departures:
            entry["drift"] = [self._shown_departure(departure).to_json() for departure in departures]
        self._write(entry)
        for departure in departures:
            self._tell(call, self._shown_departure(departure))

    def _vault(self, system: str) -> Vault:
        if system not in self._vaults:
            self._vaults[system] = Vault(system, self._specs.get(system), self._redactor)
        return self._vaults[system]

    def _personal(self, call: Call) -> Callable[[str], str]:
        """Labels a personal value, and remembers it for the other places of the same call."""

        def label(value: str) -> str:
            shown = self._redactor.personal(value)
            if len(value) >= _SHORTEST_PERSONAL:
                call.personal[value] = shown
            return shown

        return label

    def _shown(self, call: Call, value: Json, readable: bool, body: Body, content_type: str, which: str) -> Json:
        """A body as the journal shows it; what cannot be read is not shown, for nobody knows what is in it."""
        if not body.size:
            return None
        if body.kept is None:
            return f"[truncated: {body.size} bytes, of which the journal keeps none]"
        if not readable:
            return f"[unreadable: {body.size} bytes of {content_type or 'no declared type'}]"
        vault, spec, operation = self._vault(call.upstream.name), self._specs.get(call.upstream.name), call.operation
        label, described = self._personal(call), None
        if spec is not None and operation is not None:
            marks = operation.personal("request" if which == "request" else "response")
            value = marks.redact(value, label)
            owners = [operation.body] if which == "request" else [*operation.responses.values()]
            schemas = [m.schema for owner in owners if owner is not None for m in owner.content.values()]
            described = Described(schemas, spec.document) if vault.trusted else None
        return vault.body(value, described, label)

    def _key(self, call: Call, shown: Json) -> str:
        operation = call.operation
        if operation is None:
            return NO_KEY
        record: Any = None
        if operation.meaning.addressed is not None:
            name, parameter = operation.meaning.addressed
            spec = self._specs[call.upstream.name]
            record = self._records[spec.name].get(name, call.path_parameters.get(parameter, ""))
            if record is not None:
                schema = spec.collections[name].schema
                record = spec.personal(schema).redact(record, self._personal(call))
                trusted = self._vault(spec.name).trusted
                described = Described([schema], spec.document) if trusted else None
                record = self._vault(spec.name).body(record, described, self._personal(call))
        query = dict(parse_qsl(str(call.shown_request["query"])))
        found = business_key(operation, path=call.path_parameters, query=query, body=shown, record=record)
        return self._redactor.text(found or NO_KEY)

    def _departures(self, call: Call, answer: Answer, *, readable: bool) -> list[Departure]:
        if call.found is None:
            return []
        if call.operation is None:
            return undeclared(call.method, str(call.shown_request["path"]), call.found.allowed, answer.status)
        return from_spec(call.operation, answer, readable=readable)

    def _observe(
        self, call: Call, operation: Operation, answer: Answer, value: Json, departures: list[Departure]
    ) -> None:
        records = self._records[call.upstream.name]
        reads = operation.meaning.action in ("read", "list")
        if reads:
            # Others change records, too: our mock is to show what is there now.
            records.observe(operation, call.path_parameters, call.sent, answer.status, value)
        if self._compare is not None and call.request.kept is not None:
            departures += self._compare(call, records, answer)
        if not reads:
            records.observe(operation, call.path_parameters, call.sent, answer.status, value)

    def _shown_departure(self, departure: Departure) -> Departure:
        # A pointer may hold a key that is somebody's address.
        return Departure(departure.kind, self._redactor.text(departure.pointer), self._redactor.text(departure.detail))

    def _entry(self, call: Call, headers: dict[str, str], shown: Json) -> Entry:
        operation, hidden = call.operation, call.personal
        answer: dict[str, Json] = {
            "status": call.status,
            "headers": headers,
            "body": equals_hidden(shown, hidden),
            "size": call.answer.size,
            "begun_at": call.begun_at or call.ended_at,
            "at": call.ended_at,
            "outcome": call.outcome,
        }
        if call.error is not None:
            answer["error"] = self._redactor.text(call.error)
        if call.by_us:
            answer["by"] = "recorder"
        return {
            "seq": call.seq,
            "kind": "call",
            "at": call.at,
            "address": {
                "system": call.upstream.name,
                "operation": NO_KEY if operation is None else operation.id,
                "key": hidden.get(call.key, call.key),
                "occurrence": call.occurrence,
            },
            "upstream": call.upstream.url,
            "request": self._request(call),
            # Only the real API knows what took effect.
            "effect": "unknown",
            "changes": [],
            "events": [],
            "fault": None,
            "answer": answer,
        }

    def _request(self, call: Call) -> dict[str, Json]:
        """The request without what only the answer has shown to be secret or personal."""
        request, hidden, text = call.shown_request, call.personal, self._redactor.text
        return request | {
            "path": "/".join(hidden.get(unquote(part), part) for part in text(str(request["path"])).split("/")),
            "query": text(str(request["query"])),
            "headers": {name: text(value) for name, value in request["headers"].items()},
            "body": equals_hidden(self._redactor.body(request["body"]), hidden),
        }


def _header(headers: Headers, name: str) -> str:
    return next((value for key, value in headers if key.lower() == name), "")


def _plain(body: Body, headers: Headers) -> bytes | None:
    """The bytes without their content coding; None when they are too many, or in a coding that nobody here reads."""
    if body.kept is None:
        return None
    plain = bytes(body.kept)
    codings = [
        coding.strip().lower()
        for name, value in headers
        if name.lower() == "content-encoding"
        for coding in value.split(",")
    ]
    for coding in reversed(codings):
        if coding not in CODINGS:
            return None
        if coding != "identity" and plain:
            inflated = _inflated(plain)
            if inflated is None:
                return None
            plain = inflated
    return plain


def _inflated(data: bytes) -> bytes | None:
    # `deflate` is zlib's format (RFC 9110, section 8.4.1.2), but some send it without the frame.
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):
        inflating = zlib.decompressobj(window)
        try:
            plain = inflating.decompress(data, _LARGEST_PLAIN)
        except zlib.error:
            continue
        return plain if inflating.eof else None
    return None


def _value(body: Body, headers: Headers) -> tuple[Json, bool]:
    """The JSON value of a body, or the fields of a form; and whether it could be read."""
    plain = _plain(body, headers)
    if plain is None:
        return None, False
    if not plain:
        return None, True
    media_type = _header(headers, "content-type").partition(";")[0].strip().lower()
    if media_type != FORM and not is_json(media_type):
        return None, False
    try:
        return parse(plain, "application/json" if media_type != FORM else FORM), True
    except Problem:
        return None, False
