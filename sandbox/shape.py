"""Whether a document has the shape that its JSON Schema demands, and if not, the first complaint in one line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from jsonschema import Draft202012Validator, ValidationError

from sandbox.errors import PlanError, nearest
from sandbox.pointer import escape, join

_LONGEST: Final = 60
_KINDS: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}
_LIMITS: Final = {
    "minimum": "is too small",
    "exclusiveMinimum": "is too small",
    "maximum": "is too large",
    "minLength": "is empty",
    "minProperties": "is empty",
    "minItems": "is empty",
    "maxLength": "is too long",
}

Unknown = Callable[[str, list[str], Mapping[str, Any]], str]
"""The hint for a field that a mapping may not have: its name, the names that it may have, and the mapping."""


def _nearest(unknown: str, known: list[str], _: Mapping[str, Any]) -> str:
    return nearest(unknown, known)


def check_shape(
    validator: Draft202012Validator,
    document: Any,
    whole: str,
    hints: Mapping[str, str],
    unknown: Unknown = _nearest,
) -> None:
    """Refuse a document that its schema does not allow.

    Args:
        whole: What the document is, such as `plan`.
        hints: By field, how it is written.

    Raises:
        PlanError: what is wrong first in the order of the document, with a pointer to it.
    """
    errors = sorted(validator.iter_errors(document), key=_place)
    if errors:
        raise _readable(errors[0], whole, hints, unknown)


def _place(error: ValidationError) -> tuple[list[tuple[int, str]], bool]:
    # In the order of the document; of two things wrong at one place, the unknown name explains the missing one.
    path = [(part, "") if isinstance(part, int) else (0, part) for part in error.absolute_path]
    return path, error.validator != "additionalProperties"


def _readable(error: ValidationError, whole: str, hints: Mapping[str, str], unknown: Unknown) -> PlanError:
    path = list(error.absolute_path)
    value: Any = error.instance
    rule: Any = error.validator_value
    schema: Any = error.schema
    pointer = join(*path)
    field = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
    title = schema.get("title", field or whole)
    hint = hints.get(field) or next((hints[str(part)] for part in path if str(part) in hints), None)
    shown = repr(value) if len(repr(value)) <= _LONGEST else f"{repr(value)[:_LONGEST]}…"
    match error.validator:
        case "additionalProperties":
            known = list(schema["properties"])
            name = next(str(name) for name in value if name not in known)
            where = f"{pointer}/{escape(name)}"
            return PlanError(f"{name}: {title} has no such field", unknown(name, known, value), where)
        case "required":
            missing = next(name for name in rule if name not in value)
            return PlanError(f"{missing}: it is missing, and each {title} needs it", hints.get(missing), pointer)
        case "type":
            kinds = " or ".join(_KINDS[kind] for kind in (rule if isinstance(rule, list) else [rule]))
            return PlanError(f"{title}: {shown} is not {kinds}", hint, pointer)
        case "enum":
            return PlanError(f"{field}: {shown} is neither {' nor '.join(rule)}", nearest(str(value), rule), pointer)
        case "oneOf" if field == "on":
            return PlanError(f"on: {shown} addresses neither a call nor a delivery", hints["on"], pointer)
        case "maxItems" | "maxProperties":
            return PlanError(f"{title}: {len(value)} are too many", f"there may be {rule}", pointer)
    said = schema.get("$comment") if error.validator == "pattern" else None
    what = said or _LIMITS.get(str(error.validator), "cannot be read")
    return PlanError(f"{title}: {shown} {what}", hint, pointer)
