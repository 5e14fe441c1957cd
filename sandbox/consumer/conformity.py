"""Where requests of a journal depart from the spec of the system that they went to.

A journal holds labels instead of secrets and personal values. What a label stands for cannot be judged from here; where
the system itself judged it and said so in its answer (RFC 9457, `errors`), its word is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from sandbox.field_error import FieldError
from sandbox.forms import FORM, shaped
from sandbox.pointer import escape, lookup, reference, resolve
from sandbox.rules import Run
from sandbox.rules.entry import Call
from sandbox.rules.privacy import NOT_CONFORMING, redirected
from sandbox.schema import Schema
from sandbox.spec import MediaType, Operation, Parameter, Spec, is_json

_LABELS: Final = ("[personal:", "[secret:")
_UNREADABLE: Final = "[unreadable:"
_COMPOSITES: Final = ("allOf", "anyOf", "oneOf")
_UNKNOWN_FIELD: Final = "is not a known field"


@dataclass(frozen=True, slots=True)
class Departure:
    """One thing in a request that the target's spec does not allow.

    Args:
        journal: Which journal it stands in.
        seq: Place of the call in it.
        pointer: Into the body (RFC 6901), or the name of a parameter; empty for the whole request.
    """

    journal: str
    seq: int
    system: str
    operation: str
    key: str
    pointer: str
    sentence: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def departures(journal: str, run: Run, specs: Mapping[str, Spec]) -> Iterator[Departure]:
    """All departures of a run's calls to systems whose specs are known, in the order of the journal."""
    for call in run.calls:
        spec = specs.get(call.system)
        if spec is None or not call.method:
            continue
        found: dict[str, str] = {}
        for error in (*_departures(run, call, spec), *_said(call)):
            found.setdefault(error.pointer, error.detail)
        for pointer, detail in found.items():
            what = f"{pointer} {detail}" if pointer else detail
            sentence = f"{call.name}: {what} ({call.place})"
            yield Departure(journal, call.seq, call.system, call.operation, call.key, pointer, sentence)


def _departures(run: Run, call: Call, spec: Spec) -> Iterator[FieldError]:
    match = spec.route(call.method, call.path)
    operation = match.target
    if operation is None:
        if call.seq not in run.once(redirected):
            allowed = f"; the path takes {', '.join(match.allowed)}" if match.allowed else ""
            yield FieldError("", f"{call.system} has no operation {call.method} {call.path}{allowed}")
        return
    yield from _of_parameters(call, operation, match.values, spec)
    yield from _of_body(call, operation, spec)


def _of_parameters(call: Call, operation: Operation, path: Mapping[str, str], spec: Spec) -> Iterator[FieldError]:
    query: dict[str, list[str]] = {}
    for name, value in parse_qsl(call.query, keep_blank_values=True):
        query.setdefault(name, []).append(value)
    for parameter in operation.parameters:
        values = _sent(call, parameter, path, query)
        if values is None:
            if parameter.required:
                yield FieldError(parameter.name, f"is required in the {parameter.location}")
        elif len(values) > 1 and parameter.schema.get("type") != "array":
            yield FieldError(parameter.name, "is given more than once")
        elif parameter.name.lower() != "if-match" and not any(map(_is_label, values)):
            for error in parameter.validator.errors(parameter.parse(values)):
                yield FieldError(parameter.name + error.pointer, error.detail)
    known = {parameter.name for parameter in operation.parameters if parameter.location == "query"}
    known |= {str(scheme.get("name")) for scheme in spec.security_schemes.values() if scheme.get("in") == "query"}
    for name in query.keys() - known:
        if name.partition("[")[0] not in known:
            yield FieldError(name, "is no query parameter of the operation")


def _sent(
    call: Call, parameter: Parameter, path: Mapping[str, str], query: Mapping[str, list[str]]
) -> list[str] | None:
    """All values of a parameter in a request; None when it has none."""
    name = parameter.name
    if parameter.location == "path":
        return [unquote(path[name])] if name in path else None
    if parameter.location == "query":
        return query.get(name)
    if parameter.location == "header":
        value = call.idempotency_key if name.lower() == "idempotency-key" else call.headers.get(name.lower())
        return None if value is None else [value]
    # The cookies of a request are secrets as a whole.
    return [_LABELS[1]] if "cookie" in call.headers else None


def _of_body(call: Call, operation: Operation, spec: Spec) -> Iterator[FieldError]:
    declared = operation.body
    empty = call.body is None and call.headers.get("content-length", "0") == "0"
    if declared is None:
        if not empty and "transfer-encoding" not in call.headers:
            yield FieldError("", "the operation takes no body")
        return
    if empty:
        if declared.required:
            yield FieldError("", "the body is required")
        return
    content_type = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    media = declared.media(content_type)
    if media is None:
        what = f"the content type is {content_type or 'missing'}; the operation takes {', '.join(declared.content)}"
        yield FieldError("", what)
    elif isinstance(call.body, str) and call.body.startswith(_UNREADABLE):
        yield FieldError("", f"the body cannot be read as {content_type}")
    elif media.validator is not None and (is_json(media.name) or media.name == FORM):
        body = call.body if media.name != FORM else _of_form(call.body, media, spec.document)
        for error in media.validator.errors(body):
            if not _hidden(body, error):
                yield error if error.pointer else FieldError("", f"the body {error.detail}")
        yield from _unknown_fields(media, body, spec.document)


def _of_form(body: Any, media: MediaType, document: Mapping[str, Any]) -> Any:
    """A form as its schema describes it: whoever recorded it knew nothing but names and texts."""
    fields = body.items() if isinstance(body, dict) else ()
    pairs = [(name, one) for name, value in fields for one in (value if isinstance(value, list) else [value])]
    if not pairs or not all(isinstance(value, str) for _, value in pairs):
        return body
    return shaped(pairs, media.schema or {}, document, media.joined)


def _hidden(body: Any, error: FieldError) -> bool:
    """Whether an error may be one of a label only, and not of the value that it stands for."""
    if error.detail == _UNKNOWN_FIELD:
        return False
    try:
        value = lookup(body, error.pointer)
    except KeyError:
        return False
    return _is_label(value) or ("allowed forms" in error.detail and _holds_label(value))


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and any(label in value for label in _LABELS)


def _holds_label(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return _is_label(value) or any(_holds_label(item) for item in inside)


def _unknown_fields(media: MediaType, body: Any, document: Mapping[str, Any]) -> Iterator[FieldError]:
    """The fields that no schema names, where the schemas neither refuse them nor say that any field is welcome."""
    stack: list[tuple[str, Any, Sequence[Any]]] = [("", body, [media.schema])]
    while stack:
        pointer, value, schemas = stack.pop()
        described = _closure(document, schemas)
        if isinstance(value, list):
            items = [schema["items"] for schema in described if "items" in schema]
            stack += [(f"{pointer}/{index}", item, items) for index, item in enumerate(value)]
        if not isinstance(value, dict):
            continue
        maps = [schema["properties"] for schema in described if isinstance(schema.get("properties"), Mapping)]
        rest = [schema["additionalProperties"] for schema in described if "additionalProperties" in schema]
        welcome = not maps or any(schema is not False for schema in rest)
        for name, item in value.items():
            below = [members[name] for members in maps if name in members]
            if not below and not welcome:
                yield FieldError(f"{pointer}/{escape(name)}", _UNKNOWN_FIELD)
            stack.append((f"{pointer}/{escape(name)}", item, below or rest))


def _closure(document: Mapping[str, Any], schemas: Sequence[Any]) -> list[Schema]:
    """The schemas with all that they refer to and are composed of."""
    found: dict[int, Schema] = {}
    stack = list(schemas)
    while stack:
        schema = stack.pop()
        if reference(schema) is not None:
            schema = resolve(document, schema)
        if isinstance(schema, Mapping) and id(schema) not in found:
            found[id(schema)] = schema
            for keyword in _COMPOSITES:
                parts = schema.get(keyword)
                stack.extend(parts if isinstance(parts, list) else ())
    return list(found.values())


def _said(call: Call) -> Iterator[FieldError]:
    """What the system itself found in a request that it refused as not conforming."""
    if call.seen not in (400, 415, 428) or call.problem not in NOT_CONFORMING:
        return
    listed = call.answer.get("errors")
    named = [error for error in listed if isinstance(error, dict)] if isinstance(listed, list) else []
    for error in named:
        pointer, detail = str(error.get("pointer", "")), error.get("detail", "is refused")
        yield FieldError(pointer, str(detail) if pointer else f"the body {detail}")
    if not named:
        yield FieldError("", f"{call.system} refused it: {call.answer.get('detail', call.problem)}")
