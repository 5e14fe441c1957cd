"""An OpenAPI file as the engine uses it: operations with compiled schemas, collections, events, a path table.

Loading reads and links the document but compiles nothing: schemas compile on first use. An operation that cannot be
served stands in the path table with the reason; whether the document is good OpenAPI besides is the business of
`sandbox.spec_check`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias, cast
from urllib.parse import urlsplit

from sandbox.annotations import PersonalMap
from sandbox.corrections import EXTENSION, correction_of
from sandbox.defect import Defect
from sandbox.dialect import as_written
from sandbox.document import Document, Remote
from sandbox.drafting import FORMS, Drafter, Unserved
from sandbox.field_error import FieldError
from sandbox.inference import Argument, Collection, Inference, Meaning, Parent, Route
from sandbox.mending import METHODS
from sandbox.operation import (
    MediaType,
    Operation,
    Parameter,
    RateLimit,
    RequestBody,
    Response,
    is_json,
    is_xml,
    python_name,
)
from sandbox.pointer import join, resolve
from sandbox.routing import Match, PathTable
from sandbox.schema import Schema, SchemaValidator
from sandbox.shaping import Shaper

__all__ = [
    "Collection",
    "FieldError",
    "Match",
    "Meaning",
    "MediaType",
    "Operation",
    "Parameter",
    "Parent",
    "RateLimit",
    "RequestBody",
    "Response",
    "SchemaValidator",
    "Spec",
    "is_json",
    "python_name",
]

Correct: TypeAlias = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True, eq=False)
class Spec:
    """One system's OpenAPI document.

    Args:
        name: Of the system, `shop`.
        path: The file.
        title: `info.title`.
        version: `info.version`.
        document: The raw document; do not change it.
        operations: By operationId, in the order of the document.
        security_schemes: `components.securitySchemes`, resolved.
        collections: By name.
        events: Event type -> validator of its payload, from the callbacks.
        subscribe_operations: operationIds of those that declare callbacks.
        token_operation: operationId of the operation at an OAuth2 tokenUrl.
        rate_limit: The document's.
        source: The document with its places.
        defects: What is wrong with it.
        down: The operations that cannot be served, by their pointers, and why not.
    """

    name: str
    path: Path
    title: str
    version: str
    document: dict[str, Any] = field(repr=False)
    operations: Mapping[str, Operation] = field(repr=False)
    security_schemes: Mapping[str, Schema] = field(repr=False)
    collections: Mapping[str, Collection] = field(repr=False)
    events: Mapping[str, SchemaValidator] = field(repr=False)
    subscribe_operations: tuple[str, ...]
    token_operation: str | None
    rate_limit: RateLimit | None
    source: Document = field(repr=False)
    defects: tuple[Defect, ...] = field(repr=False)
    down: Mapping[str, Defect] = field(repr=False)
    _table: PathTable[Operation | Defect] = field(repr=False)
    _personal: dict[int, PersonalMap] = field(default_factory=dict, repr=False)
    _shapers: list[Shaper] = field(default_factory=list, repr=False)

    @classmethod
    def load(
        cls,
        path: Path,
        name: str | None = None,
        root: Path | None = None,
        remote: Remote | None = None,
        correct: Correct | None = None,
    ) -> Spec:
        """Read one OpenAPI file.

        Args:
            path: The file, YAML or JSON.
            name: Of the system; the file's name up to its first dot when left out.
            root: The folder that its references may not leave; see `Document.read`.
            remote: Fetches what lies at a URL; left out, references to other machines are not followed.
            correct: Writes into the document what a project says of its reading.

        Raises:
            SpecError: It cannot be read; one line with file, line and what is wrong.
        """
        document = Document.read(path, root, remote)
        if correct is not None:
            correct(document.data)
        return cls.of(document, name)

    @classmethod
    def of(cls, document: Document, name: str | None = None) -> Spec:
        """The spec in a document that was read.

        Args:
            name: Of the system; the file's name up to its first dot when left out.
        """
        return _Loader(document, name or document.path.name.partition(".")[0]).load()

    def defect(self, method: str, path: str) -> Defect | None:
        """Why the operation for a request cannot be served; None when it can, or there is none."""
        found = self._table.find(method, path).target
        return found if isinstance(found, Defect) else None

    def match(self, method: str, path: str) -> tuple[Operation | None, tuple[str, ...]]:
        """The operation for a request and the methods its path allows; `(None, ())` when no path matches (404).

        A path whose literal segments match wins over a templated one even when it lacks the method (405).
        """
        found = self.route(method, path)
        return found.target, found.allowed

    def route(self, method: str, path: str) -> Match[Operation]:
        """As `match`, with the values of the path parameters."""
        found = self._table.find(method, path)
        target = found.target
        if target is None or isinstance(target, Operation):
            return cast("Match[Operation]", found)
        return Match(None, found.allowed, found.values)

    def published(self, base: str) -> dict[str, Any]:
        """The document as other programs are to read it, served below a path."""
        document = self.document
        if not document["openapi"].startswith("3.0"):
            document = as_written(document)
        return {**document, "servers": [{"url": base or "/"}]}

    @property
    def shaper(self) -> Shaper:
        """Makes values that fit the document's schemas, as answers have them."""
        if not self._shapers:
            self._shapers.append(Shaper(self.document))
        return self._shapers[0]

    def personal(self, schema: Schema) -> PersonalMap:
        """The personal fields of a record or of an event's payload, by its schema object; compiled on first use."""
        found = self._personal.get(id(schema))
        if found is None:
            found = self._personal[id(schema)] = PersonalMap([schema], self.document)
        return found

    def validators(self) -> Iterator[tuple[str, SchemaValidator]]:
        """Each validator of the document with a pointer to what it validates, for those who want all compiled ahead."""
        for operation in self.operations.values():
            for index, parameter in enumerate(operation.parameters):
                yield f"{operation.pointer}/parameters/{index}", parameter.validator
            owners: list[tuple[str, RequestBody | Response]] = [
                (f"responses/{status}", response) for status, response in operation.responses.items()
            ]
            if operation.body is not None:
                owners.append(("requestBody", operation.body))
            for where, owner in owners:
                for media in owner.content.values():
                    if media.validator is not None:
                        yield operation.pointer + "/" + where + join("content", media.name, "schema"), media.validator
        where = self.operations[self.subscribe_operations[0]].pointer if self.subscribe_operations else ""
        for event, validator in self.events.items():
            known = "webhooks" if event in self.document.get("webhooks", {}) else "callbacks"
            yield ("" if known == "webhooks" else where) + join(known, event), validator


class _Loader:
    """Reads one document into a Spec."""

    def __init__(self, document: Document, name: str) -> None:
        self.source = document
        self.data = document.data
        self.name = name
        self.drafter = Drafter(document.data, name)
        self.down: dict[str, Defect] = dict(document.down)
        self.events: dict[str, SchemaValidator] = {}
        self.subscribers: list[str] = []

    def load(self) -> Spec:
        schemes = {
            name: resolve(self.data, scheme)
            for name, scheme in self.data["components"].get("securitySchemes", {}).items()
        }
        rate_limit = self.drafter.rate_limit(self.data, "")
        tokens = _token_paths(schemes)
        drafts: dict[str, tuple[dict[str, Any], Route]] = {}
        table: list[tuple[str, str, str | Defect]] = []
        for pointer, path, method, item, node in self._nodes():
            draft = self._draft(pointer, path, method, item, node)
            if isinstance(draft, Defect):
                table.append((method.upper(), path, draft))
                continue
            draft["rate_limit"] = draft["rate_limit"] or rate_limit
            route = _route(draft, self.drafter.explicit(pointer, item, node), tokens)
            drafts[draft["id"]] = draft, replace(route, correction=correction_of(node))
            table.append((draft["method"], path, draft["id"]))
        for name, item in self.data.get("webhooks", {}).items():
            found = self.drafter.event(resolve(self.data, item), join("webhooks", name))
            if found is not None:
                self.events.setdefault(name, found)
        ids = self.data["info"].get(EXTENSION) or {}
        inference = Inference([route for _, route in drafts.values()], self.data, ids, tuple(self.events))
        operations = {
            identifier: Operation(**draft, meaning=inference.meanings[identifier], _document=self.data)
            for identifier, (draft, _) in drafts.items()
        }
        return Spec(
            name=self.name,
            path=self.source.path,
            title=str(self.data["info"].get("title", self.name)),
            version=str(self.data["info"].get("version", "")),
            document=self.data,
            operations=operations,
            security_schemes=schemes,
            collections=inference.collections,
            events=self.events,
            subscribe_operations=tuple(self.subscribers),
            token_operation=next((name for name, (_, route) in drafts.items() if route.is_token), None),
            rate_limit=rate_limit,
            source=self.source,
            defects=(*self.source.defects, *self.drafter.defects),
            down=self.down,
            _table=PathTable(
                (method, path, operations[target] if isinstance(target, str) else target)
                for method, path, target in table
            ),
        )

    def _nodes(self) -> Iterator[tuple[str, str, str, Mapping[str, Any], Mapping[str, Any]]]:
        """Each operation as (pointer, path, method, path item, operation object)."""
        for path, item in self.data["paths"].items():
            if not path.startswith("x-"):
                pointer = join("paths", path)
                for method in METHODS:
                    if method in item:
                        yield f"{pointer}/{method}", path, method, item, item[method]

    def _draft(
        self, pointer: str, path: str, method: str, item: Mapping[str, Any], node: Mapping[str, Any]
    ) -> dict[str, Any] | Defect:
        """The fields of an Operation but its meaning; or why it cannot be served."""
        if pointer in self.down:
            return self.down[pointer]
        try:
            draft = self.drafter.draft(pointer, path, method, item, node)
            if node.get("callbacks"):
                self.subscribers.append(draft["id"])
                self.events.update(self.drafter.callbacks(pointer, node))
        except Unserved as error:
            self.down[pointer] = replace(error.defect, down=pointer)
            return self.down[pointer]
        except KeyError as error:
            what = f"the reference {error.args[0]} leads nowhere"
            self.down[pointer] = Defect(pointer, what, "mend the $ref, or add its target", pointer)
            return self.down[pointer]
        return draft


def _token_paths(schemes: Mapping[str, Schema]) -> frozenset[str]:
    """The paths of the tokenUrls of all OAuth2 flows, with a leading slash."""
    flows = [
        flow
        for scheme in schemes.values()
        if scheme.get("type") == "oauth2" and isinstance(scheme.get("flows"), dict)
        for flow in scheme["flows"].values()
        if isinstance(flow, dict) and isinstance(flow.get("tokenUrl"), str)
    ]
    return frozenset("/" + urlsplit(flow["tokenUrl"]).path.lstrip("/") for flow in flows)


def _route(draft: Mapping[str, Any], explicit: tuple[str, str | None] | None, tokens: frozenset[str]) -> Route:
    answer = draft["responses"].get(str(draft["success_status"])) or draft["responses"].get("2XX")
    answer = answer or draft["responses"].get("default")
    # A tokenUrl is absolute or relative to the server, so it may carry the server's base path in front.
    is_token = draft["method"] == "POST" and any(
        token == draft["path"] or token.endswith(draft["path"]) for token in tokens
    )
    return Route(
        id=draft["id"],
        method=draft["method"],
        path=draft["path"],
        success_status=draft["success_status"],
        answer=_json_schema(answer),
        body=_json_schema(draft["body"], forms=True),
        explicit=explicit,
        expressions=draft["expressions"],
        is_token=is_token,
        arguments=tuple(Argument(p.name, p.location, p.schema, p.required) for p in draft["parameters"]),
    )


def _json_schema(owner: RequestBody | Response | None, *, forms: bool = False) -> Schema | None:
    medias = [media for media in owner.content.values() if media.schema is not None] if owner is not None else []
    json = next((media.schema for media in medias if is_json(media.name)), None)
    others = (media.schema for media in medias if is_xml(media.name) or (forms and media.name in FORMS))
    return json or next(others, None)
