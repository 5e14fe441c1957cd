"""Reads a request as its spec describes it: parameters and body, or a problem that names the field."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from sandbox import xml_bodies
from sandbox.exchange import UNREAD, Exchange
from sandbox.forms import FORM, MULTIPART, Pairs, deep_object, flat, multipart, shaped, urlencoded
from sandbox.idempotency import normal_key
from sandbox.inference import fields_of
from sandbox.inference.schemas import kind_of
from sandbox.model import JSON, Problem
from sandbox.operation import is_xml
from sandbox.spec import FieldError, Operation, Parameter

DEEPEST: Final = 64
_SINGLE: Final = frozenset({"string", "integer", "number", "boolean", "object", None})
_OF_THE_ENGINE: Final = frozenset({"idempotency-key", "if-match"})


def read(exchange: Exchange, operation: Operation) -> None:
    """Convert and validate everything the operation takes, into `exchange.parameters` and `exchange.body`.

    Raises:
        Problem: 400 naming each field at fault, 415 for a media type that the operation does not take.
    """
    errors = list(_read_parameters(exchange, operation))
    if errors:
        raise invalid(errors, "a parameter does not fit the specification")
    _read_body(exchange, operation)


def invalid(errors: Iterable[FieldError], detail: str) -> Problem:
    """The problem that lists fields at fault."""
    listed = [{"pointer": error.pointer, "detail": error.detail} for error in errors]
    first = listed[0]
    return Problem(400, f"{detail}: {first['pointer'] or 'body'} {first['detail']}", type="validation", errors=listed)


def _read_parameters(exchange: Exchange, operation: Operation) -> Iterable[FieldError]:
    query: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(exchange.query, keep_blank_values=True, errors="strict", max_num_fields=500)
    except (ValueError, UnicodeDecodeError):
        yield FieldError("query", "is not valid percent-encoded UTF-8")
        return
    for name, value in pairs:
        query.setdefault(name, []).append(value)
    for parameter in operation.parameters:
        if parameter.location == "header":
            yield from _read_header(exchange, parameter)
            continue
        raw = _raw_value(exchange, parameter, query)
        if raw is None and (spread := _spread(parameter, pairs, query)) is not None:
            yield from _checked(exchange, parameter, spread)
            continue
        if raw is None:
            if parameter.required:
                yield FieldError(parameter.name, f"is required in the {parameter.location}")
            elif "default" in parameter.schema:
                exchange.parameters[parameter.python_name] = parameter.schema["default"]
            continue
        if len(raw) > 1 and parameter.schema.get("type") in _SINGLE:
            yield FieldError(parameter.name, "is given more than once")
            continue
        yield from _checked(exchange, parameter, parameter.parse(raw))


def _checked(exchange: Exchange, parameter: Parameter, value: Any) -> Iterable[FieldError]:
    found = parameter.validator.errors(value)
    yield from (FieldError(parameter.name + error.pointer, error.detail) for error in found)
    exchange.parameters[parameter.python_name] = value


def _spread(parameter: Parameter, pairs: Pairs, query: Mapping[str, list[str]]) -> dict[str, Any] | None:
    """An object that is written in several fields of the query: `filter[name]=x`, or its fields themselves."""
    if kind_of(parameter.schema, parameter.document) != "object":
        return None
    try:
        deep = deep_object(pairs, parameter.name, parameter.schema, parameter.document)
    except ValueError:
        deep = None
    if deep is not None or parameter.location != "query" or parameter.style != "form" or not parameter.explode:
        return deep
    names = fields_of(parameter.schema, parameter.document)
    own = [(name, value) for name, value in pairs if name in names and name in query]
    return shaped(own, parameter.schema, parameter.document) if own else None


def _raw_value(exchange: Exchange, parameter: Parameter, query: dict[str, list[str]]) -> list[str] | None:
    if parameter.location == "path":
        value = exchange.path_parameters.get(parameter.name)
        return None if value is None else [str(value)]
    if parameter.location == "query":
        return query.get(parameter.name)
    for pair in (exchange.header("cookie") or "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name == parameter.name:
            return [value]
    return None


def _read_header(exchange: Exchange, parameter: Parameter) -> Iterable[FieldError]:
    name = parameter.name.lower()
    value = exchange.header(name)
    if name in _OF_THE_ENGINE:
        # Their absence has answers of its own (400 and 428), and a quoted key is the same as the bare one.
        if value is None or name == "if-match":
            return
        value = normal_key(value)
    if value is None:
        if parameter.required:
            yield FieldError(parameter.name, "is a required header")
        return
    converted = parameter.parse([value])
    yield from (
        FieldError(parameter.name + error.pointer, error.detail) for error in parameter.validator.errors(converted)
    )
    exchange.parameters[parameter.python_name] = converted


def _read_body(exchange: Exchange, operation: Operation) -> None:
    declared = operation.body
    if declared is None:
        exchange.body = None
        return
    if not exchange.raw:
        if declared.required:
            raise Problem(400, "this operation needs a body", type="validation", errors=[_error("", "is required")])
        exchange.body = None
        return
    media_type = (exchange.header("content-type") or "").partition(";")[0].strip().lower()
    media = declared.media(media_type)
    if media is None:
        accepted = ", ".join(declared.content)
        raise Problem(
            415,
            f"the body's content type is {media_type[:80] or 'missing'}; this operation takes {accepted}",
            type="unsupported-media-type",
            headers={"Accept": accepted},
        )
    if exchange.body is UNREAD:
        exchange.body = parse(exchange.raw, exchange.header("content-type") or "", operation)
    errors: list[FieldError] = []
    if media.validator is not None and media_type == JSON:
        errors = media.validator.errors_of(exchange.raw, exchange.body)
    elif media.validator is not None:
        errors = media.validator.errors(exchange.body)
    if errors:
        raise invalid(errors, "the body does not fit the specification")
    exchange.body = operation.strip_read_only(exchange.body)


def parse(raw: bytes, content_type: str, operation: Operation | None = None) -> Any:
    """A body's value: of JSON; of a form, as its operation describes it; the bytes themselves of anything else.

    Args:
        content_type: The header's value.
        operation: That it was sent to; left out, the fields of a form stay texts.

    Raises:
        Problem: 400 when the bytes are not what the content type says.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    try:
        if media_type == FORM:
            return _form(urlencoded(raw), media_type, operation)
        if media_type == MULTIPART:
            return _form(multipart(raw, content_type), media_type, operation)
        if media_type == JSON or media_type.endswith("+json"):
            check_depth(raw)
            return orjson.loads(raw)
        media = operation.body.media(media_type) if operation is not None and operation.body is not None else None
        if operation is not None and media is not None and media.schema is not None and is_xml(media_type):
            return _xml(raw, media.schema, operation.document)
    except UnicodeDecodeError:
        raise _malformed("is not valid UTF-8") from None
    except orjson.JSONDecodeError as error:
        raise _malformed(f"is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    except ValueError as error:
        told = f": {error}" if media_type == MULTIPART else ""
        raise _malformed(f"is not a form{told}") from None
    return raw


def _xml(raw: bytes, schema: Mapping[str, Any], document: Mapping[str, Any]) -> Any:
    try:
        return xml_bodies.read(raw, schema, document)
    except ValueError as error:
        raise _malformed(str(error)) from None


def _form(pairs: Pairs, media_type: str, operation: Operation | None) -> dict[str, Any]:
    media = operation.body.media(media_type) if operation is not None and operation.body is not None else None
    if operation is None or media is None or media.schema is None:
        return flat(pairs)
    return shaped(pairs, media.schema, operation.document, media.joined)


def check_depth(raw: bytes) -> None:
    """Refuse JSON nested deeper than anything reasonable, before it is parsed.

    Raises:
        Problem: 400.
    """
    if raw.count(b"[") + raw.count(b"{") <= DEEPEST:
        return
    depth, in_string, escaped = 0, False, False
    for byte in raw:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in b"[{":
            depth += 1
            if depth > DEEPEST:
                raise _malformed(f"is nested deeper than {DEEPEST} levels")
        elif byte in b"]}":
            depth -= 1


def _malformed(detail: str) -> Problem:
    return Problem(400, f"the body {detail}", type="malformed-body", errors=[_error("", detail)])


def _error(pointer: str, detail: str) -> dict[str, str]:
    return {"pointer": pointer, "detail": detail}
