"""The parts of a spec that one call meets: the operation, its parameters, its bodies and answers."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from sandbox.annotations import PersonalMap, ReadOnlyMap
from sandbox.expression import Expression
from sandbox.field_error import Direction
from sandbox.forms import parameter_value
from sandbox.inference import Meaning
from sandbox.pointer import resolve
from sandbox.schema import Schema, SchemaValidator

Location: TypeAlias = Literal["path", "query", "header", "cookie"]
Idempotency: TypeAlias = Literal["none", "optional", "required"]

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_INTEGER: Final = re.compile(r"-?[0-9]{1,100}")
_DELIMITERS: Final = {"spaceDelimited": " ", "pipeDelimited": "|"}
_NUMBER: Final = re.compile(r"-?[0-9]{1,100}(?:\.[0-9]{1,100})?(?:[eE][-+]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `requests` per principal in `per` seconds of the world's clock."""

    requests: int
    per: float


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A parameter of an operation.

    Args:
        name: As on the wire.
        location: Where it stands.
        required: Whether it must be sent.
        schema: Its resolved schema object.
        validator: Validates the value that `parse` returns.
        python_name: As argument of a mock's method: `updated_since`, `idempotency_key`.
        explode: Whether an array comes as repeated parameters rather than joined by commas.
        item_type: JSON type of an array's items.
        style: How it is written, as OpenAPI names it: `form`, `deepObject`, `pipeDelimited` …
        document: In which its schema's references lie.
    """

    name: str
    location: Location
    required: bool
    schema: Schema = field(repr=False)
    validator: SchemaValidator = field(repr=False)
    python_name: str
    explode: bool
    item_type: str | None = field(repr=False)
    style: str = "form"
    document: Schema = field(default_factory=dict, repr=False)

    @property
    def item_is_never_empty(self) -> bool:
        """Whether no item of an array can be the empty text."""
        items = resolve(self.document, self.schema.get("items", {}))
        options = items.get("enum") if isinstance(items, Mapping) else None
        return self.item_type not in (None, "string") or (isinstance(options, list) and "" not in options)

    def parse(self, values: Sequence[str]) -> Any:
        """The JSON value of what stood in the request; text that does not fit the schema's type stays text.

        Args:
            values: All values of that name, in order; at least one.
        """
        kind = self.schema.get("type")
        if kind == "array":
            parts = values if self.explode else values[-1].split(_DELIMITERS.get(self.style, ","))
            if list(parts) == [""] and self.item_is_never_empty:
                # How a list of nothing is written (OpenAPI 3.0.3, "Style Examples").
                parts = []
            if self.item_type is None:
                return parameter_value(parts, self.schema, self.document)
            return [_coerce(part, self.item_type) for part in parts]
        if not isinstance(kind, str) or kind == "object":
            return parameter_value(values, self.schema, self.document)
        return _coerce(values[-1], kind)


@dataclass(frozen=True, slots=True, eq=False)
class MediaType:
    """A body of one media type.

    Args:
        name: Lower case, without parameters.
        schema: None where the spec has none.
        validator: None where it has no schema, or the body is neither JSON nor a form.
        joined: The fields of a form whose lists are written as one text, joined by commas.
    """

    name: str
    schema: Schema | None = field(repr=False)
    validator: SchemaValidator | None = field(repr=False)
    example: Any = field(default=None, repr=False)
    joined: tuple[str, ...] = field(default=(), repr=False)

    @property
    def is_json(self) -> bool:
        return is_json(self.name)


@dataclass(frozen=True, slots=True, eq=False)
class RequestBody:
    """What an operation takes, by media type (lower case, without parameters)."""

    required: bool
    content: Mapping[str, MediaType]

    def media(self, content_type: str) -> MediaType | None:
        """The entry for a Content-Type header value: exact, then `text/*`, then `*/*`; None means 415."""
        return _media(self.content, content_type)


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """What an operation answers with one status.

    Args:
        headers: The declared names in lower case.
        described: The headers as (name, schema, whether it must be there).
    """

    content: Mapping[str, MediaType]
    headers: frozenset[str]
    described: tuple[tuple[str, Schema, bool], ...] = field(default=(), repr=False)

    @property
    def preferred(self) -> MediaType | None:
        """The media type to answer in: JSON where it is declared."""
        medias = list(self.content.values())
        return self.content.get("application/json") or next((m for m in medias if m.is_json), next(iter(medias), None))

    def media(self, content_type: str) -> MediaType | None:
        """The entry for a Content-Type header value: exact, then `text/*`, then `*/*`; None when undeclared."""
        return _media(self.content, content_type)


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One operation of a system.

    Args:
        system: Name of the system.
        id: operationId.
        method: Upper case.
        path: Template, `/orders/{order_number}`.
        pointer: Where it stands in the document.
        parameters: Its own and those of its path item.
        body: What it takes; None when it takes no body.
        responses: By status as written: `201`, `4XX`, `default`.
        success_status: The first 2xx declared; 200 when there is none.
        security: Alternatives, each scheme name -> scopes; empty: open to all.
        idempotency: By `x-idempotency`, else by its Idempotency-Key header parameter.
        business_key: `x-business-key` as written.
        expressions: `x-business-key`, parsed.
        rate_limit: Its own, else the document's.
        events: Event types emitted when it succeeds.
        purposes: For which it receives personal data.
        meaning: What it does to which collection.
        accepts_if_match: Whether it declares the If-Match header.
        requires_if_match: Whether it declares it as required.
        cache: What others have worked out of it once, by their own names.
    """

    system: str
    id: str
    method: str
    path: str
    pointer: str
    parameters: tuple[Parameter, ...] = field(repr=False)
    body: RequestBody | None = field(repr=False)
    responses: Mapping[str, Response] = field(repr=False)
    success_status: int
    security: tuple[Mapping[str, Sequence[str]], ...]
    idempotency: Idempotency
    business_key: tuple[str, ...]
    expressions: tuple[Expression, ...] = field(repr=False)
    rate_limit: RateLimit | None
    events: tuple[str, ...]
    purposes: tuple[str, ...]
    meaning: Meaning = field(repr=False)
    accepts_if_match: bool
    requires_if_match: bool
    _document: Schema = field(repr=False)
    cache: dict[str, object] = field(default_factory=dict, repr=False)
    _maps: dict[str, PersonalMap] = field(default_factory=dict, repr=False)
    _read_only: list[ReadOnlyMap] = field(default_factory=list, repr=False)

    @property
    def document(self) -> Schema:
        """The document in which the references of its schemas lie."""
        return self._document

    def response_for(self, status: int) -> Response | None:
        """What is declared for a status: exactly, else by its range (`4XX`), else `default`."""
        responses = self.responses
        return responses.get(str(status)) or responses.get(f"{status // 100}XX") or responses.get("default")

    def personal(self, direction: Direction) -> PersonalMap:
        """The personal fields of its request body, or of all its answers together; compiled on first use."""
        found = self._maps.get(direction)
        if found is None:
            bodies = [self.body] if direction == "request" else [*self.responses.values()]
            found = self._maps[direction] = PersonalMap(_schemas(bodies), self._document)
        return found

    def strip_read_only(self, body: Any) -> Any:
        """The request body without the fields that only the server sets; the same object when there can be none."""
        if not self._read_only:
            self._read_only.append(ReadOnlyMap(_schemas([self.body]), self._document))
        return self._read_only[0].drop(body)


def is_json(media_type: str) -> bool:
    """Whether a media type (lower case, without parameters) is JSON: `application/json`, `…+json`."""
    return media_type in ("application/json", "text/json", "*/*", "application/*") or media_type.endswith("+json")


def is_xml(media_type: str) -> bool:
    """Whether a media type (lower case, without parameters) is XML."""
    return media_type in ("application/xml", "text/xml") or media_type.endswith("+xml")


def python_name(name: str) -> str:
    """A parameter's name as a method's argument: `Idempotency-Key` is `idempotency_key`, `from` is `from_`."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    snake = re.sub(r"[^0-9a-z]+", "_", snake.lower()).strip("_")
    return f"{snake}_" if keyword.iskeyword(snake) or not snake.isidentifier() else snake


def _coerce(text: str, kind: object) -> Any:
    """The JSON scalar that a parameter's text stands for; the text itself where it does not fit the type."""
    if kind == "integer" and _INTEGER.fullmatch(text):
        # Beyond 64 bits a float, which is what the parser of bodies makes of such a number.
        return number if -(2**63) <= (number := int(text)) < 2**64 else float(number)
    if kind in ("number", "integer") and _NUMBER.fullmatch(text):
        return float(text)
    if kind == "boolean" and text in ("true", "false"):
        return text == "true"
    return text


def _media(content: Mapping[str, MediaType], content_type: str) -> MediaType | None:
    plain = content_type.partition(";")[0].strip().lower()
    return content.get(plain) or content.get(f"{plain.partition('/')[0]}/*") or content.get("*/*")


def _schemas(owners: Sequence[RequestBody | Response | None]) -> list[Schema]:
    return [
        media.schema
        for owner in owners
        if owner is not None
        for media in owner.content.values()
        if media.schema is not None
    ]
