"""What is wrong with a JSON value, field by field, in words that echo no more of it than they must."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import jsonschema_rs

from sandbox.pointer import escape

Direction: TypeAlias = Literal["request", "response"]

MAX_ERRORS: Final = 20
MAX_ECHO: Final = 80
# What is wrong with a value that fits two alternatives of which exactly one is to fit.
SEVERAL: Final = "must match exactly one of the allowed forms, not several"


@dataclass(frozen=True, slots=True)
class FieldError:
    """One field at fault.

    Args:
        pointer: RFC 6901 pointer into the validated value; empty for the whole of it.
        detail: What is wrong, as a predicate (`must be at least 1`); never echoes the value.
    """

    pointer: str
    detail: str

    def to_json(self) -> dict[str, str]:
        return {"pointer": self.pointer, "detail": self.detail}


def _cut(text: str) -> str:
    return text if len(text) <= MAX_ECHO else text[: MAX_ECHO - 1] + "…"


def _pointer(path: Iterable[object]) -> str:
    return "".join("/" + escape(_cut(str(token))) for token in path)


def _listed(values: Iterable[object]) -> str:
    return _cut(", ".join("null" if value is None else str(value) for value in values))


def _type_sentence(details: Mapping[str, Any]) -> str:
    kinds = sorted(details["types"], key=lambda kind: (kind == "null", kind))
    return f"must be of type {' or '.join(kinds)}"


_SENTENCES: Final[dict[str, Callable[[Mapping[str, Any]], str]]] = {
    "type": _type_sentence,
    "enum": lambda d: f"must be one of {_listed(d['options'])}",
    "const": lambda d: f"must be {_listed([d['expected_value']])}",
    "format": lambda d: f"must be in the format {d['format']}",
    "pattern": lambda d: f"must match the pattern {_cut(d['pattern'])}",
    "minimum": lambda d: f"must be at least {d['limit']}",
    "maximum": lambda d: f"must be at most {d['limit']}",
    "exclusiveMinimum": lambda d: f"must be more than {d['limit']}",
    "exclusiveMaximum": lambda d: f"must be less than {d['limit']}",
    "multipleOf": lambda d: f"must be a multiple of {d['multiple_of']}",
    "minLength": lambda d: f"must have at least {d['limit']} characters",
    "maxLength": lambda d: f"must have at most {d['limit']} characters",
    "minItems": lambda d: f"must have at least {d['limit']} items",
    "maxItems": lambda d: f"must have at most {d['limit']} items",
    "minProperties": lambda d: f"must have at least {d['limit']} fields",
    "maxProperties": lambda d: f"must have at most {d['limit']} fields",
    "uniqueItems": lambda _: "must not hold the same item twice",
    "unevaluatedProperties": lambda _: "has fields that are not known",
    "not": lambda _: "has a form that is not allowed",
}


def field_errors(error: jsonschema_rs.ValidationError, direction: Direction) -> Iterator[FieldError]:
    """What a validator found, field by field."""
    name, details = error.kind.name, error.kind.as_dict()
    path = list(error.instance_path)
    if name == "required":
        yield FieldError(_pointer([*path, details["property"]]), "is required")
    elif name == "additionalProperties":
        for unexpected in sorted(details["unexpected"])[:MAX_ERRORS]:
            yield FieldError(_pointer([*path, unexpected]), "is not a known field")
    elif name == "falseSchema":
        reason = (
            "is read-only and must not be sent" if direction == "request" else "is write-only and must not be answered"
        )
        yield FieldError(_pointer(path), reason)
    elif name in ("anyOf", "oneOf"):
        yield from _alternatives(path, details["context"], direction)
    else:
        sentence = _SENTENCES.get(name)
        yield FieldError(_pointer(path), sentence(details) if sentence else f"does not keep the rule {name}")


def _alternatives(
    path: list[str | int], branches: list[list[jsonschema_rs.ValidationError]], direction: Direction
) -> Iterator[FieldError]:
    """The errors of the one branch that was meant; where that is not plain, one error for the whole."""
    if not all(branches):
        yield FieldError(_pointer(path), SEVERAL)
        return
    meant = [branch for branch in branches if not any(_is_other_type(error, path) for error in branch)]
    if len(meant) == 1:
        for error in meant[0]:
            yield from field_errors(error, direction)
    elif meant:
        yield FieldError(_pointer(path), "matches none of the allowed forms")
    else:
        kinds = {kind for branch in branches for error in branch for kind in error.kind.as_dict().get("types", ())}
        yield FieldError(_pointer(path), _type_sentence({"types": kinds}))


def _is_other_type(error: jsonschema_rs.ValidationError, path: list[str | int]) -> bool:
    return error.kind.name == "type" and list(error.instance_path) == path
