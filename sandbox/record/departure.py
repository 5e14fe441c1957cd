"""Drift: where the answer of a real API departs from its spec, or from what our mock of it answers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import orjson

from sandbox.model import Answer, Json
from sandbox.pointer import escape
from sandbox.spec import Operation, Response, is_json

Kind: TypeAlias = Literal["operation", "status", "content_type", "body", "mock_status", "mock_field"]

# Without an operation, these say what the spec says: there is none.
_AGREES: Final = frozenset({404, 405, 501})
# By RFC 9110 an answer of these has no body.
_BODILESS: Final = frozenset({204, 205, 304})
# They tell of the caller or of the moment, not of the operation.
_CIRCUMSTANCES: Final = frozenset({401, 403, 404, 407, 408, 409, 410, 412, 423, 425, 429})
_UNKNOWN_HERE: Final = frozenset({404, 410})
_MOST: Final = 20
_INDEX: Final = re.compile(r"/\d+(?=/|$)")
# A segment that is some id rather than a word of the API.
_ID: Final = re.compile(r"(?<=/)(?:[^/]*[\d\[%@][^/]*|[^/]{25,})")
_TYPES: Final[Mapping[type, str]] = {str: "string", int: "number", float: "number", bool: "boolean", dict: "object"}


@dataclass(frozen=True, slots=True)
class Departure:
    """One point at which an answer is not what was to be expected.

    Attributes:
        kind: What departs; `mock_…` from our mock, all else from the spec.
        pointer: Into the body (RFC 6901); empty for the answer as a whole.
        detail: What is wrong; never echoes a value.
    """

    kind: Kind
    pointer: str
    detail: str

    def to_json(self) -> dict[str, str]:
        return {"kind": self.kind, "pointer": self.pointer, "detail": self.detail}

    @property
    def general(self) -> Departure:
        """The same for each item of an array."""
        return replace(self, pointer=_INDEX.sub("/*", self.pointer))


def undeclared(method: str, path: str, allowed: tuple[str, ...], status: int) -> list[Departure]:
    """What departs when the spec has no operation for a request.

    Args:
        path: As the journal shows it.
        allowed: The methods that the spec has for the path.
    """
    # What every resource may answer besides (RFC 9110, sections 9.3.2 and 9.3.7).
    if status in _AGREES or method == "OPTIONS" or (method == "HEAD" and "GET" in allowed):
        return []
    # One line for all records of a kind, whose ids differ.
    where = f"{method} {_ID.sub('*', path)}"
    known = f", which has {', '.join(allowed)} there" if allowed else ""
    return [Departure("operation", "", f"{where} is no operation of the spec{known}, and was answered {status}")]


def from_spec(operation: Operation, answer: Answer, *, readable: bool = True) -> list[Departure]:
    """Where an answer departs from the spec of its operation.

    Args:
        answer: As it came, its body decoded.
        readable: Whether the body is there, whole and decoded; if not, it is not looked at.
    """
    declared = operation.response_for(answer.status)
    if declared is None:
        known = ", ".join(operation.responses) or "nothing"
        return [Departure("status", "", f"the status {answer.status} is not declared; declared: {known}")]
    if not readable or operation.method == "HEAD" or answer.status in _BODILESS:
        return []
    return list(_of_body(declared, answer))


def _of_body(declared: Response, answer: Answer) -> Iterator[Departure]:
    status, sent = answer.status, answer.content_type
    if not declared.content:
        if answer.body:
            yield Departure("content_type", "", f"{status} has a body ({sent or 'of no type'}), and none is declared")
        return
    wanted = ", ".join(declared.content)
    if not answer.body:
        yield Departure("content_type", "", f"{status} has no body; declared: {wanted}")
        return
    media = declared.media(sent)
    if media is None:
        yield Departure("content_type", "", f"{status} has the content type {sent or 'none'}; declared: {wanted}")
        return
    if not is_json(sent):
        return
    try:
        body = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        yield Departure("body", "", f"the body of {status} is not JSON: {error.msg}")
        return
    for found in media.validator.errors(body) if media.validator is not None else ():
        yield Departure("body", found.pointer, f"{found.detail} ({status})")


def tells(status: int) -> bool:
    """Whether a status tells of the operation, and not only of the caller, the moment or the data."""
    return status not in _CIRCUMSTANCES and status < 500


def from_mock(theirs: Answer, ours: Answer) -> list[Departure]:
    """Where an answer departs from that of our mock to the same request.

    What depends on data that only the real API has is no departure: a refusal for its state, or our not knowing a
    record.

    Args:
        theirs: The real API's, its body decoded.
        ours: Our mock's.
    """
    if not tells(theirs.status) or ours.status in _UNKNOWN_HERE or ours.status >= 500:
        return []
    if theirs.status // 100 != ours.status // 100:
        return [Departure("mock_status", "", f"answers {theirs.status}, our mock {ours.status}")]
    if theirs.status >= 300:
        return []
    try:
        pair = theirs.json(), ours.json()
    except ValueError:
        return []
    return list(_differences(*pair, ""))[:_MOST]


def _differences(theirs: Json, ours: Json, pointer: str) -> Iterator[Departure]:
    # Null says that there is no value here and now; nothing follows for its type.
    if theirs is None or ours is None:
        return
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for name in sorted(theirs.keys() | ours.keys()):
            at = f"{pointer}/{escape(name)}"
            if name not in ours:
                yield Departure("mock_field", at, "is answered; our mock has no such field")
            elif name not in theirs:
                yield Departure("mock_field", at, "is not answered; our mock has it")
            else:
                yield from _differences(theirs[name], ours[name], at)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if theirs and ours:
            yield from _differences(theirs[0], ours[0], f"{pointer}/0")
    elif _type(theirs) != _type(ours):
        yield Departure("mock_field", pointer, f"is of type {_type(theirs)}, in our mock of type {_type(ours)}")


def _type(value: Json) -> str:
    return _TYPES.get(type(value), "array")
