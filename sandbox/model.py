"""The nouns that travel through the engine. Frozen data, no behaviour beyond reading themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import orjson

Headers = tuple[tuple[str, str], ...]
Json = Any

JSON: Final = "application/json"
PROBLEM: Final = "application/problem+json"
NO_KEY: Final = "-"
DEFAULT_WORLD: Final = "default"
WORLD_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
WORLD_NAMES: Final = "a world's name has 1 to 63 letters, digits, dots, dashes or underscores"


@dataclass(frozen=True, slots=True)
class CallAddress:
    """Which call: the n-th arrival at (system, operation, business key) in a world."""

    system: str
    operation: str
    key: str
    occurrence: int

    def to_json(self) -> dict[str, Json]:
        return {"system": self.system, "operation": self.operation, "key": self.key, "occurrence": self.occurrence}


@dataclass(frozen=True, slots=True)
class DeliveryAddress:
    """Which delivery: the n-th event of a type about a business key, to one subscriber."""

    event: str
    key: str
    occurrence: int
    subscriber: str

    def to_json(self) -> dict[str, Json]:
        return {"event": self.event, "key": self.key, "occurrence": self.occurrence, "subscriber": self.subscriber}


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete HTTP answer."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first value of a header, by its case-insensitive name."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)

    def with_headers(self, *headers: tuple[str, str]) -> Answer:
        return replace(self, headers=self.headers + headers)

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case; empty when there is none."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower()

    def json(self) -> Json:
        """The body parsed as JSON, or None when it is not JSON."""
        if not self.body or "json" not in self.content_type:
            return None
        return orjson.loads(self.body)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a mock's method returns when a plain body does not say enough.

    Args:
        body: A JSON value, or bytes with `content_type`; None for no body.
        status: HTTP status; left out, the first 2xx of the operation's spec.
        headers: Extra headers.
        content_type: Media type of the body; of a JSON value, some kind of JSON.
    """

    body: Json | bytes = None
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON


class Problem(Exception):
    """An answer that refuses, as `application/problem+json` (RFC 9457).

    Raised by a mock's method it rolls back every change of the call.

    Args:
        status: HTTP status, 400 to 599.
        detail: What is wrong with this very request.
        title: Short summary of the type; the status phrase when left out.
        type: A slug such as `duplicate-email`, or a whole URI; `about:blank` when left out.
        errors: `{"pointer": RFC 6901 pointer, "detail": sentence}` for each field at fault.
        headers: Extra headers of the answer.
        extension: Further members of the problem document.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str | None = None,
        type: str | None = None,  # noqa: A002 - the member's name in RFC 9457
        errors: list[dict[str, str]] | None = None,
        headers: Mapping[str, str] | None = None,
        **extension: Json,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title or HTTPStatus(status).phrase
        self.type = type
        self.errors = errors
        self.headers = dict(headers or {})
        self.extension = extension

    def document(self, instance: str | None = None) -> dict[str, Json]:
        """The members of the problem document."""
        kind = self.type or "about:blank"
        if kind != "about:blank" and ":" not in kind and not kind.startswith("/"):
            kind = f"/problems/{kind}"
        document: dict[str, Json] = {"type": kind, "title": self.title, "status": self.status, "detail": self.detail}
        if instance is not None:
            document["instance"] = _reference(instance)
        if self.errors:
            document["errors"] = self.errors
        return document | self.extension

    def answer(self, instance: str | None = None) -> Answer:
        """The problem as a complete answer."""
        headers = (("content-type", PROBLEM), *self.headers.items())
        return Answer(self.status, headers, dump(self.document(instance)))


def _reference(path: str) -> str:
    """A path as a URI reference (RFC 3986); beginning with two slashes, it would name a host."""
    quoted = quote(path, safe="/:@!$&'()*+,;=")
    return f"/%2F{quoted[2:]}" if quoted.startswith("//") else quoted


@dataclass(frozen=True, slots=True)
class Change:
    """One record that a call created, updated or deleted."""

    action: str
    collection: str
    id: str

    def to_json(self) -> dict[str, Json]:
        return {"action": self.action, "collection": self.collection, "id": self.id}


@dataclass(frozen=True, slots=True)
class Event:
    """A business fact, handed to every subscriber of its type."""

    id: str
    type: str
    key: str
    occurrence: int
    system: str
    at: float
    body: bytes


def dump(value: Json) -> bytes:
    """A JSON value as UTF-8 bytes without white space."""
    return orjson.dumps(value)
