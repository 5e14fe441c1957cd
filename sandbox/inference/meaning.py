"""What an operation means, and the collection that it is about: the nouns that inference hands on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from sandbox.expression import Expression
from sandbox.inference.schemas import Schema

Stamp: TypeAlias = Literal["created", "updated"]
Action: TypeAlias = Literal[
    "create",
    "read",
    "list",
    "replace",
    "patch",
    "delete",
    "token",
    "upsert",  # each record of the body: changed where it is known, created where it is not
    "clear",  # the records of a collection that the query names are deleted
    "search",  # a list whose conditions are in the body
    "count",
    "batch",  # several records at once, by what the path's last word says
    "act",  # the addressed record is brought into another state
    "answer",  # answers as its schema says and changes nothing
    "none",  # only a mock's method can say
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where records lie in a body.

    Args:
        path: The names of the properties that lead there; empty for the body itself.
        many: Whether an array of records lies there.
    """

    path: tuple[str, ...] = ()
    many: bool = False

    def get(self, body: Any) -> Any:
        """What lies there; None when nothing does."""
        for name in self.path:
            body = body.get(name) if isinstance(body, Mapping) else None
        return body

    def put(self, value: Any) -> Any:
        """A body in which this lies there."""
        for name in reversed(self.path):
            value = {name: value}
        return value

    def __str__(self) -> str:
        shown = ".".join(self.path)
        return f"{shown}[]" if self.many else shown


@dataclass(frozen=True, slots=True)
class Parent:
    """The record in which a nested collection lies.

    Args:
        collection: The parent's collection; empty where the parameter is no record's id but says of which kind the
            records are: `/objects/{objectType}`.
        parameter: The path parameter with the parent's id.
        field: The field of a nested record that holds that id; one that begins with `@` is never shown.
        strict: Whether a parent that does not exist is refused: where nothing creates one, any will do.
    """

    collection: str
    parameter: str
    field: str
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Meaning:
    """What an operation does to which collection.

    Args:
        action: What it does; `none` when only a mock's method can say.
        collection: The collection it is about, also for actions and sub-resources of a record.
        id_parameter: The path parameter that identifies the addressed record of that collection.
        envelope: The array property of a list answer; None for a bare array, and for all but lists.
        why: A sentence for people.
        id_field: The field that identifies a record of the collection.
        key_field: The field of the collection's records that holds the business key.
        parent: Set for nested collections: records are created with, and listed by, the parent's id.
        verb: Of an action or a batch: `cancel`.
        answer_at: Where records lie in a success answer; None where it holds none.
        body_at: Where records lie in the request's body.
        single: Whether the collection has one record only, or one for each parent.
        corrected: The file that has put the reading right; empty when nothing had to.
        events: What a success brings about, by the events' names.
    """

    action: Action
    collection: str | None
    id_parameter: str | None
    envelope: str | None
    why: str
    id_field: str | None = None
    key_field: str | None = None
    parent: Parent | None = None
    verb: str = ""
    answer_at: Place | None = None
    body_at: Place = Place()
    single: bool = False
    corrected: str = ""
    events: tuple[str, ...] = ()

    @property
    def addressed(self) -> tuple[str, str] | None:
        """(collection, path parameter) of the stored record in the path; for a nested collection, of its parent."""
        if self.collection is not None and self.id_parameter is not None:
            return self.collection, self.id_parameter
        return (self.parent.collection, self.parent.parameter) if self.parent and self.parent.collection else None


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """Records of one kind.

    Args:
        name: As attribute of the mock: `orders`.
        id_field: The field that identifies a record.
        schema: The schema object of a record, resolved; empty when the document does not say.
        fields: The record's top-level fields, through `$ref` and `allOf`.
        required: Those of them that an answer must have.
        key_field: The field that holds the business key, as the create operation's `x-business-key` names it.
        id_schema: What an id looks like, by the path parameter where the record does not say.
        references: By field, the collection that it points at.
        supplied: Whether nothing creates its records, so that a world begins with some.
        unlisted: Whether nothing lists them either, nor deletes them: then every id is there that somebody asks for.
        single: Whether it has one record only, or one for each parent.
        hidden: Those of the fields that no answer shows (`writeOnly`).
        parent: The record in which its records lie, where they do.
        keyed: Whether what changes a record also creates it, under the id that the caller chooses.
        stamps: The fields that say when a record was created and when it was last changed, by which of both.
    """

    name: str
    id_field: str
    schema: Schema = field(repr=False)
    fields: Mapping[str, Schema] = field(repr=False)
    required: frozenset[str] = field(repr=False)
    key_field: str | None = None
    id_schema: Schema = field(default_factory=dict, repr=False)
    references: Mapping[str, str] = field(default_factory=dict, repr=False)
    supplied: bool = False
    unlisted: bool = False
    single: bool = False
    parent: Parent | None = None
    keyed: bool = False
    stamps: Mapping[str, Stamp] = field(default_factory=dict, repr=False)
    hidden: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        hidden = frozenset(name for name, schema in self.fields.items() if schema.get("writeOnly"))
        object.__setattr__(self, "hidden", hidden)


@dataclass(frozen=True, slots=True)
class Argument:
    """A parameter of an operation, as far as inference looks at it."""

    name: str
    location: str
    schema: Schema = field(repr=False)
    required: bool = False


@dataclass(frozen=True, slots=True)
class Correction:
    """What a project says about the reading of an operation, in place of what is inferred; None where it says nothing.

    Args:
        place: `file:line`, for people.
        envelope: Names that lead to the records in answers, joined by dots.
    """

    place: str
    action: Action | None = None
    collection: str | None = None
    id: str | None = None
    envelope: str | None = None
    body: str | None = None
    verb: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """What inference needs to know of an operation.

    Args:
        id: operationId.
        method: Upper case.
        path: Template, `/orders/{order_number}`.
        success_status: The first 2xx.
        answer: JSON schema object of the success answer.
        body: Schema object of the request body.
        explicit: `x-collection` as (name, id field).
        expressions: `x-business-key`, parsed.
        is_token: Whether it hands out OAuth2 tokens.
        arguments: Its parameters.
        correction: What the project says about it.
    """

    id: str
    method: str
    path: str
    success_status: int
    answer: Schema | None
    body: Schema | None
    explicit: tuple[str, str | None] | None = None
    expressions: tuple[Expression, ...] = ()
    is_token: bool = False
    arguments: tuple[Argument, ...] = ()
    correction: Correction | None = None
