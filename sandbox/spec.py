"""An OpenAPI 3.0 file as the engine uses it: operations with compiled schemas, collections, events, a path table.

Loading reads and links the document but compiles nothing: schemas compile on first use. Whether the document is good
OpenAPI is the business of `sandbox.spec_check`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn
from urllib.parse import urlsplit

from sandbox.annotations import PersonalMap
from sandbox.document import Document, join, resolve
from sandbox.errors import SpecError
from sandbox.expression import Expression
from sandbox.inference import Argument, Collection, Inference, Meaning, Parent, Route
from sandbox.operation import (
    Idempotency,
    Location,
    MediaType,
    Operation,
    Parameter,
    RateLimit,
    RequestBody,
    Response,
    is_json,
    python_name,
)
from sandbox.routing import Match, PathTable
from sandbox.schema import FieldError, Schema, SchemaValidator, Translator
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

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
# OpenAPI 3.0.3, "Parameter Object": header parameters of these names are ignored.
_IGNORED_HEADERS: Final = frozenset({"accept", "content-type", "authorization"})
_FORMS: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


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
    _table: PathTable[Operation] = field(repr=False)
    _personal: dict[int, PersonalMap] = field(default_factory=dict, repr=False)
    _shapers: list[Shaper] = field(default_factory=list, repr=False)

    @classmethod
    def load(cls, path: Path, name: str | None = None) -> Spec:
        """Read one OpenAPI 3.0 file.

        Args:
            path: The file, YAML or JSON.
            name: Of the system; the file's name up to its first dot when left out.

        Raises:
            SpecError: It cannot be read or served; one line with file, line, pointer and what is wrong.
        """
        return _Loader(Document.read(path), name or path.name.partition(".")[0], None).load()

    @classmethod
    def inspect(cls, document: Document, name: str | None = None) -> tuple[Spec | None, list[SpecError]]:
        """As `load`, but go on behind each operation that cannot be served, and list why it cannot.

        Returns:
            The spec of what can be served, None when that is nothing; and all errors.
        """
        errors: list[SpecError] = []
        try:
            return _Loader(document, name or document.path.name.partition(".")[0], errors).load(), errors
        except SpecError as error:
            return None, [*errors, error]

    def match(self, method: str, path: str) -> tuple[Operation | None, tuple[str, ...]]:
        """The operation for a request and the methods its path allows; `(None, ())` when no path matches (404).

        A path whose literal segments match wins over a templated one even when it lacks the method (405).
        """
        found = self._table.find(method, path)
        return found.target, found.allowed

    def route(self, method: str, path: str) -> Match[Operation]:
        """As `match`, with the values of the path parameters."""
        return self._table.find(method, path)

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
        for event, validator in self.events.items():
            yield self.operations[self.subscribe_operations[0]].pointer + join("callbacks", event), validator


class _Loader:
    """Reads one document into a Spec.

    With a list of errors, an operation that cannot be served is put there and left out; without, it is raised.
    """

    def __init__(self, document: Document, name: str, errors: list[SpecError] | None) -> None:
        self.errors = errors
        self.source = document
        self.data = document.data
        self.name = name
        self.requests = Translator(document.data, "request")
        self.responses = Translator(document.data, "response")
        self.events: dict[str, SchemaValidator] = {}
        self.subscribers: list[str] = []

    def load(self) -> Spec:
        self._check_version()
        self._check_references()
        info = self._mapping(self.data.get("info"), "/info")
        components = self._mapping(self.data.get("components", {}), "/components")
        schemes = {
            name: self._mapping(resolve(self.data, scheme), join("components", "securitySchemes", name))
            for name, scheme in components.get("securitySchemes", {}).items()
        }
        rate_limit = self._rate_limit(self.data, "")
        tokens = _token_paths(schemes)
        drafts: dict[str, tuple[dict[str, Any], Route]] = {}
        for pointer, path, method, item, node in self._nodes():
            try:
                draft = self._draft(pointer, path, method, item, node, schemes)
                explicit = self._explicit(pointer, item, node)
                if draft["id"] in drafts:
                    what = f"the operationId {draft['id']} is taken by {drafts[draft['id']][0]['pointer']}"
                    self._refuse(f"{pointer}/operationId", what, "choose another")
                self._callbacks(draft["id"], pointer, node)
            except SpecError as error:
                if self.errors is None:
                    raise
                self.errors.append(error)
                continue
            draft["rate_limit"] = draft["rate_limit"] or rate_limit
            drafts[draft["id"]] = draft, _route(draft, explicit, tokens)
        inference = Inference([route for _, route in drafts.values()], self.data)
        operations = {
            identifier: Operation(**draft, meaning=inference.meanings[identifier], _document=self.data)
            for identifier, (draft, _) in drafts.items()
        }
        return Spec(
            name=self.name,
            path=self.source.path,
            title=str(info.get("title", self.name)),
            version=str(info.get("version", "")),
            document=self.data,
            operations=operations,
            security_schemes=schemes,
            collections=inference.collections,
            events=self.events,
            subscribe_operations=tuple(self.subscribers),
            token_operation=next((name for name, (_, route) in drafts.items() if route.is_token), None),
            rate_limit=rate_limit,
            _table=PathTable((operation.method, operation.path, operation) for operation in operations.values()),
        )

    def _check_version(self) -> None:
        version = self.data.get("openapi", self.data.get("swagger"))
        if version is None:
            raise self.source.error(
                "", "not an OpenAPI document: it has no 'openapi' field", "start it with 'openapi: 3.0.3'"
            )
        if not str(version).startswith("3.0.") or "openapi" not in self.data:
            raise self.source.error("", f"OpenAPI {version} is not supported", "write OpenAPI 3.0.x")
        if not isinstance(self.data.get("paths"), dict):
            raise self.source.error("/paths", "the document has no paths", "add 'paths:' with at least one operation")

    def _check_references(self) -> None:
        for pointer, target in self.source.references():
            if not target.startswith("#"):
                raise self.source.error(
                    pointer, f"the reference {target} leaves the file", "copy its target into 'components'"
                )
            try:
                resolve(self.data, {"$ref": target})
            except KeyError:
                raise self.source.error(
                    pointer, f"the reference {target} leads nowhere", "mend the $ref or add its target"
                ) from None

    def _nodes(self) -> Iterator[tuple[str, str, str, Mapping[str, Any], Mapping[str, Any]]]:
        """Each operation as (pointer, path, method, path item, operation object)."""
        for path, raw in self.data["paths"].items():
            pointer = join("paths", path)
            if path.startswith("x-"):
                continue
            if not path.startswith("/"):
                raise self.source.error(pointer, f"the path {path!r} does not begin with '/'", "write it with a slash")
            item = self._mapping(resolve(self.data, raw), pointer)
            for method in METHODS:
                if method in item:
                    where = f"{pointer}/{method}"
                    yield where, path, method, item, self._mapping(item[method], where)

    def _draft(
        self,
        pointer: str,
        path: str,
        method: str,
        item: Mapping[str, Any],
        node: Mapping[str, Any],
        schemes: Mapping[str, Schema],
    ) -> dict[str, Any]:
        """The fields of an Operation but its meaning."""
        identifier = node.get("operationId")
        if not isinstance(identifier, str) or not identifier:
            what = f"{method.upper()} {path} has no operationId"
            raise self.source.error(pointer, what, "add one in snake_case, such as 'operationId: list_orders'")
        parameters = self._parameters(pointer, item, node)
        headers = {parameter.name.lower(): parameter for parameter in parameters if parameter.location == "header"}
        if_match = headers.get("if-match")
        responses = {
            str(status): self._response(response, f"{pointer}/responses/{status}")
            for status, response in self._mapping(node.get("responses", {}), f"{pointer}/responses").items()
            if not status.startswith("x-")
        }
        keys = self._words(node, "x-business-key", pointer)
        return {
            "system": self.name,
            "id": identifier,
            "method": method.upper(),
            "path": path,
            "pointer": pointer,
            "parameters": parameters,
            "body": self._body(pointer, node),
            "responses": responses,
            "success_status": _success(responses),
            "security": self._security(pointer, node, schemes),
            "idempotency": self._idempotency(pointer, node, headers.get("idempotency-key")),
            "business_key": keys,
            "expressions": tuple(self._expression(text, f"{pointer}/x-business-key") for text in keys),
            "rate_limit": self._rate_limit(node, pointer),
            "events": self._words(node, "x-event", pointer),
            "purposes": self._words(node, "x-purpose", pointer),
            "accepts_if_match": if_match is not None,
            "requires_if_match": if_match is not None and if_match.required,
        }

    def _parameters(self, pointer: str, item: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[Parameter, ...]:
        found: dict[tuple[str, str], Parameter] = {}
        for owner, where in ((item, pointer.rpartition("/")[0]), (node, pointer)):
            for index, raw in enumerate(owner.get("parameters", ())):
                at = f"{where}/parameters/{index}"
                parameter = self._parameter(self._mapping(resolve(self.data, raw), at), at)
                is_header = parameter.location == "header"
                key = parameter.name.lower() if is_header else parameter.name
                if not is_header or key not in _IGNORED_HEADERS:
                    found[key, parameter.location] = parameter
        return tuple(found.values())

    def _parameter(self, raw: Mapping[str, Any], pointer: str) -> Parameter:
        name, place = raw.get("name"), raw.get("in")
        locations: dict[object, Location] = {"path": "path", "query": "query", "header": "header", "cookie": "cookie"}
        if not isinstance(name, str) or place not in locations:
            self._refuse(pointer, "a parameter needs 'name' and 'in'", "in: path, query, header or cookie")
        content = raw.get("content")
        written = raw.get("schema", {})
        if isinstance(content, Mapping) and content:
            written = self._mapping(next(iter(content.values())), f"{pointer}/content").get("schema", {})
        written = self._mapping(written, f"{pointer}/schema")
        schema = self._mapping(resolve(self.data, written), f"{pointer}/schema")
        items = resolve(self.data, schema.get("items", {}))
        return Parameter(
            name=name,
            location=locations[place],
            required=raw.get("required") is True,
            schema=schema,
            validator=self.requests.validator(written),
            python_name=python_name(name),
            explode=raw.get("explode", place in ("query", "cookie")) is True,
            item_type=items.get("type") if isinstance(items, Mapping) else None,
        )

    def _body(self, pointer: str, node: Mapping[str, Any]) -> RequestBody | None:
        if "requestBody" not in node:
            return None
        at = f"{pointer}/requestBody"
        raw = self._mapping(resolve(self.data, node["requestBody"]), at)
        return RequestBody(raw.get("required") is True, self._content(raw, at, self.requests))

    def _response(self, node: Any, pointer: str) -> Response:
        raw = self._mapping(resolve(self.data, node), pointer)
        headers = self._mapping(raw.get("headers", {}), f"{pointer}/headers")
        return Response(self._content(raw, pointer, self.responses), frozenset(name.lower() for name in headers))

    def _content(self, owner: Mapping[str, Any], pointer: str, translator: Translator) -> dict[str, MediaType]:
        found: dict[str, MediaType] = {}
        for written, raw in self._mapping(owner.get("content", {}), f"{pointer}/content").items():
            media = self._mapping(raw, pointer + join("content", written))
            name = written.partition(";")[0].strip().lower()
            schema = None
            if "schema" in media:
                schema = self._mapping(media["schema"], pointer + join("content", written, "schema"))
            validator = None
            if schema is not None and (is_json(name) or name in _FORMS):
                validator = translator.validator(schema)
            found[name] = MediaType(name, schema, validator, self._example(media))
        return found

    def _example(self, media: Mapping[str, Any]) -> Any:
        """The first example of a body; None where there is none."""
        if "example" in media:
            return media["example"]
        examples = media.get("examples")
        for raw in examples.values() if isinstance(examples, Mapping) else ():
            found = resolve(self.data, raw)
            if isinstance(found, Mapping) and "value" in found:
                return found["value"]
        return None

    def _callbacks(self, identifier: str, pointer: str, node: Mapping[str, Any]) -> None:
        callbacks = self._mapping(node.get("callbacks", {}), f"{pointer}/callbacks")
        events: dict[str, SchemaValidator] = {}
        for event, raw in callbacks.items():
            at = f"{pointer}/callbacks{join(event)}"
            for expression, item in self._mapping(resolve(self.data, raw), at).items():
                post = self._mapping(resolve(self.data, item), at + join(expression)).get("post")
                if isinstance(post, Mapping):
                    # What the system sends out is its own answer: read-only fields belong in, write-only ones do not.
                    body = self._mapping(
                        resolve(self.data, post.get("requestBody", {})), f"{at}{join(expression)}/post"
                    )
                    content = self._content(body, at, self.responses)
                    payload = next((media.validator for media in content.values() if media.validator), None)
                    events[event] = payload or self.responses.validator({})
        if callbacks:
            self.subscribers.append(identifier)
            self.events.update(events)

    def _security(
        self, pointer: str, node: Mapping[str, Any], schemes: Mapping[str, Schema]
    ) -> tuple[Mapping[str, list[str]], ...]:
        own = "security" in node
        requirements = node["security"] if own else self.data.get("security", [])
        at = f"{pointer}/security" if own else "/security"
        if not isinstance(requirements, list):
            self._refuse(at, "'security' must be a list", "write '- schemeName: []'")
        for index, requirement in enumerate(requirements):
            for name in self._mapping(requirement, f"{at}/{index}"):
                if name not in schemes:
                    what = f"the security scheme {name} is not declared"
                    self._refuse(f"{at}/{index}", what, "declare it in components.securitySchemes")
        return tuple({name: list(scopes or ()) for name, scopes in requirement.items()} for requirement in requirements)

    def _idempotency(self, pointer: str, node: Mapping[str, Any], header: Parameter | None) -> Idempotency:
        declared = node.get("x-idempotency")
        if declared is None:
            return "none" if header is None else "required" if header.required else "optional"
        levels: dict[object, Idempotency] = {"none": "none", "optional": "optional", "required": "required"}
        if not isinstance(declared, str) or declared not in levels:
            self._refuse(f"{pointer}/x-idempotency", f"{declared!r} is no level", "write 'required' or 'optional'")
        return levels[declared]

    def _rate_limit(self, node: Mapping[str, Any], pointer: str) -> RateLimit | None:
        if "x-rate-limit" not in node:
            return None
        limit = node["x-rate-limit"]
        requests, per = (limit.get("requests", 0), limit.get("per", 0)) if isinstance(limit, dict) else (0, 0)
        if type(requests) is not int or requests < 1 or type(per) not in (int, float) or not per > 0:
            what = "a rate limit needs 'requests', a whole number, and 'per', seconds, both above 0"
            self._refuse(f"{pointer}/x-rate-limit", what, "write {requests: 100, per: 10}")
        return RateLimit(requests, float(per))

    def _explicit(
        self, pointer: str, item: Mapping[str, Any], node: Mapping[str, Any]
    ) -> tuple[str, str | None] | None:
        own = "x-collection" in node
        declared = (node if own else item).get("x-collection")
        at = f"{pointer if own else pointer.rpartition('/')[0]}/x-collection"
        if declared is None:
            return None
        name, id_field = (declared.get("name"), declared.get("id")) if isinstance(declared, dict) else (declared, None)
        if not isinstance(name, str) or not name.isidentifier() or not (id_field is None or isinstance(id_field, str)):
            self._refuse(at, f"{declared!r} names no collection", "write 'orders' or {name: orders, id: order_number}")
        return name, id_field

    def _words(self, node: Mapping[str, Any], key: str, pointer: str) -> tuple[str, ...]:
        """An extension that is one string or a list of them."""
        value = node.get(key, [])
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            self._refuse(f"{pointer}/{key}", f"{key} must be a string or a list of strings", "write '- one' per line")
        return tuple(words)

    def _expression(self, text: str, pointer: str) -> Expression:
        try:
            return Expression.parse(text)
        except ValueError as error:
            self._refuse(pointer, str(error), "mend the expression")

    def _mapping(self, value: Any, pointer: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            kind = "nothing" if value is None else "a list" if isinstance(value, list) else f"{value!r:.40}"
            self._refuse(
                pointer, f"an object is due here, not {kind}", "compare it with the OpenAPI 3.0.3 specification"
            )
        return value

    def _refuse(self, pointer: str, what: str, hint: str) -> NoReturn:
        raise self.source.error(pointer, what, hint)


def _success(responses: Mapping[str, Response]) -> int:
    first = next((status for status in responses if status[:1] == "2"), "200")
    return int(first) if first.isdecimal() else 200


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
    return json or next((media.schema for media in medias if forms and media.name in _FORMS), None)
