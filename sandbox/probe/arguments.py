"""The parameters of a valid request, as they are written: in the path, the query and the headers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

import orjson

from sandbox.model import Json
from sandbox.pointer import lookup, resolve
from sandbox.probe.bodies import Bodies
from sandbox.probe.impossible import Impossible
from sandbox.spec import Operation, Parameter, Spec

_TRIES: Final = 5
_DELIMITERS: Final[Mapping[str, str]] = {"spaceDelimited": " ", "pipeDelimited": "|"}


@dataclass(slots=True)
class Arguments:
    """What an operation's parameters are in one request.

    Attributes:
        path: Below the system's URL, percent-encoded.
        guessed: The path parameters that nothing told.
    """

    path: str
    query: dict[str, str | list[str]] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    guessed: list[str] = field(default_factory=list)


def arguments(spec: Spec, operation: Operation, given: Mapping[str, Json], bodies: Bodies) -> Arguments:
    """The parameters that are given, and those that must be there besides.

    Args:
        given: Values by the parameters' names, or by place and name (`path.id`).

    Raises:
        Impossible: when nothing says what a required one can be.
    """
    found = Arguments(operation.path)
    secret = _credentials(spec, operation)
    for parameter in operation.parameters:
        value = given.get(f"{parameter.location}.{parameter.name}", given.get(parameter.name))
        if parameter.name.lower() == "idempotency-key" or (parameter.location, parameter.name.lower()) in secret:
            continue
        if value is None:
            if not parameter.required:
                continue
            value = _likely(spec, operation, parameter, bodies)
            if parameter.location == "path":
                found.guessed.append(parameter.name)
        if value is None:
            raise Impossible(f"nothing says what {parameter.location} parameter {parameter.name} can be")
        _write(found, parameter, value)
    return found


def _credentials(spec: Spec, operation: Operation) -> set[tuple[str, str]]:
    """Place and name of the parameters that are credentials, which each request has anyway."""
    names = {name for alternative in operation.security for name in alternative}
    schemes = [spec.security_schemes.get(name, {}) for name in names]
    own = {(str(one.get("in")), str(one.get("name", "")).lower()) for one in schemes if one.get("type") == "apiKey"}
    return own | ({("header", "authorization")} if names else set())


def _likely(spec: Spec, operation: Operation, parameter: Parameter, bodies: Bodies) -> Json:
    for value in _shown(spec, operation, parameter):
        if not parameter.validator.errors(value):
            return value
    for _ in range(_TRIES):
        value = bodies.value(parameter.schema, parameter.name)
        if value not in (None, "") and not parameter.validator.errors(value):
            return value
    return None


def _shown(spec: Spec, operation: Operation, parameter: Parameter) -> Iterator[Any]:
    """What the specification shows of a parameter: its own examples, then its schema's."""
    item = lookup(spec.document, operation.pointer.rpartition("/")[0])
    for owner in (lookup(spec.document, operation.pointer), item):
        for written in owner.get("parameters", ()):
            raw = resolve(spec.document, written)
            if (raw.get("name"), raw.get("in")) == (parameter.name, parameter.location):
                yield from [raw["example"]] if raw.get("example") is not None else []
                examples = raw.get("examples")
                for one in examples.values() if isinstance(examples, Mapping) else ():
                    shown = resolve(spec.document, one)
                    yield from [shown["value"]] if isinstance(shown, Mapping) and "value" in shown else []
    yield from (parameter.schema[word] for word in ("example", "default") if parameter.schema.get(word) is not None)


def _write(found: Arguments, parameter: Parameter, value: Any) -> None:
    name = parameter.name
    if parameter.location == "path":
        found.path = found.path.replace(f"{{{name}}}", quote(_text(value), safe=""))
    elif parameter.location == "header":
        found.headers[name.lower()] = _text(value)
    elif parameter.location == "query" and isinstance(value, Mapping):
        if parameter.style == "deepObject":
            found.query |= {f"{name}[{key}]": _text(one) for key, one in value.items()}
        else:
            found.query[name] = orjson.dumps(value).decode()
    elif parameter.location == "query" and isinstance(value, list):
        texts = [_text(one) for one in value]
        found.query[name] = texts if parameter.explode else _DELIMITERS.get(parameter.style, ",").join(texts)
    elif parameter.location == "query":
        found.query[name] = _text(value)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return orjson.dumps(value).decode() if isinstance(value, Mapping) else str(value)
