"""The parts of an operation, read from its place in a document that was mended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sandbox.defect import Defect, shown
from sandbox.expression import Expression
from sandbox.operation import (
    Idempotency,
    Location,
    MediaType,
    Parameter,
    RateLimit,
    RequestBody,
    Response,
    is_json,
    is_xml,
    python_name,
)
from sandbox.pointer import join, resolve
from sandbox.schema import SchemaValidator, Translator

# OpenAPI 3.0.3, "Parameter Object": header parameters of these names are ignored.
IGNORED_HEADERS: Final = frozenset({"accept", "content-type", "authorization"})
# RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5: what follows the head of these answers would begin the next one.
BODILESS: Final = frozenset({"204", "205", "304"})
FORMS: Final = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})


class Unserved(Exception):
    """Something without which an operation cannot be served."""

    def __init__(self, defect: Defect) -> None:
        super().__init__(defect.what)
        self.defect = defect


class Drafter:
    """Reads the operations of one document.

    Attributes:
        defects: Extensions of ours that say nothing which could be meant; they are ignored.
    """

    def __init__(self, data: dict[str, Any], system: str) -> None:
        self.data = data
        self.name = system
        self.defects: list[Defect] = []
        self.requests = Translator(data, "request")
        self.responses = Translator(data, "response")

    def draft(
        self,
        pointer: str,
        path: str,
        method: str,
        item: Mapping[str, Any],
        node: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The fields of an Operation but its meaning."""
        parameters = self._parameters(pointer, item, node)
        headers = {parameter.name.lower(): parameter for parameter in parameters if parameter.location == "header"}
        if_match = headers.get("if-match")
        responses = {
            str(status): self._response(str(status), response, f"{pointer}/responses/{status}")
            for status, response in self._mapping(node.get("responses", {}), f"{pointer}/responses").items()
            if not status.startswith("x-")
        }
        keys = self._words(node, "x-business-key", pointer)
        return {
            "system": self.name,
            "id": node["operationId"],
            "method": method.upper(),
            "path": path,
            "pointer": pointer,
            "parameters": parameters,
            "body": self._body(pointer, node),
            "responses": responses,
            "success_status": _success(responses),
            "security": self._security(node),
            "idempotency": self._idempotency(pointer, node, headers.get("idempotency-key")),
            "business_key": keys,
            "expressions": tuple(
                expression for text in keys if (expression := self._expression(text, f"{pointer}/x-business-key"))
            ),
            "rate_limit": self.rate_limit(node, pointer),
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
                if not is_header or key not in IGNORED_HEADERS:
                    found[key, parameter.location] = parameter
        return tuple(found.values())

    def _parameter(self, raw: Mapping[str, Any], pointer: str) -> Parameter:
        name, place = raw.get("name"), raw.get("in")
        locations: dict[object, Location] = {"path": "path", "query": "query", "header": "header", "cookie": "cookie"}
        if not isinstance(name, str) or place not in locations:
            raise Unserved(Defect(pointer, "a parameter needs 'name' and 'in'", "in: path, query, header or cookie"))
        content = raw.get("content")
        written = raw.get("schema", {})
        if isinstance(content, Mapping) and content:
            written = self._mapping(next(iter(content.values())), f"{pointer}/content").get("schema", {})
        written = written if isinstance(written, dict) else {}
        schema = resolve(self.data, written)
        schema = schema if isinstance(schema, dict) else {}
        items = resolve(self.data, schema.get("items", {}))
        item_type = items.get("type") if isinstance(items, Mapping) else None
        return Parameter(
            name=name,
            location=locations[place],
            required=raw.get("required") is True,
            schema=schema,
            validator=self.requests.validator(written),
            python_name=python_name(name),
            explode=raw.get("explode", place in ("query", "cookie")) is True,
            item_type=item_type if isinstance(item_type, str) and item_type != "object" else None,
            style=str(raw.get("style", "form")),
            document=self.data,
        )

    def _body(self, pointer: str, node: Mapping[str, Any]) -> RequestBody | None:
        if "requestBody" not in node:
            return None
        at = f"{pointer}/requestBody"
        raw = self._mapping(resolve(self.data, node["requestBody"]), at)
        return RequestBody(raw.get("required") is True, self._content(raw, at, self.requests))

    def _response(self, status: str, node: Any, pointer: str) -> Response:
        raw = self._mapping(resolve(self.data, node), pointer)
        headers = self._mapping(raw.get("headers", {}), f"{pointer}/headers")
        described: list[tuple[str, dict[str, Any], bool]] = []
        for name, header in headers.items():
            said = resolve(self.data, header) if isinstance(header, dict) else {}
            schema = said.get("schema")
            example = {"example": said["example"]} if "example" in said else {}
            written = schema if isinstance(schema, dict) else {}
            described.append((name, {**written, **example} if example else written, said.get("required") is True))
        names = frozenset(name.lower() for name in headers)
        bodiless = status in BODILESS
        if bodiless and raw.get("content"):
            self._note(f"{pointer}/content", f"an answer {status} has no body (RFC 9110); ignored", "drop it")
        content = {} if bodiless else self._content(raw, pointer, self.responses)
        return Response(content, names, tuple(described))

    def _content(self, owner: Mapping[str, Any], pointer: str, translator: Translator) -> dict[str, MediaType]:
        found: dict[str, MediaType] = {}
        for written, raw in self._mapping(owner.get("content", {}), f"{pointer}/content").items():
            media = self._mapping(raw, pointer + join("content", written))
            name = written.partition(";")[0].strip().lower()
            schema = None
            if "schema" in media:
                schema = media["schema"] if isinstance(media["schema"], dict) else {}
            validator = None
            if schema is not None and (is_json(name) or is_xml(name) or name in FORMS):
                validator = translator.validator(schema)
            found[name] = MediaType(name, schema, validator, self._example(media), _joined(media))
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

    def callbacks(self, pointer: str, node: Mapping[str, Any]) -> dict[str, SchemaValidator]:
        """The events that an operation's callbacks declare, with the validators of what they carry."""
        events: dict[str, SchemaValidator] = {}
        for event, raw in node.get("callbacks", {}).items():
            at = f"{pointer}/callbacks{join(event)}"
            for expression, item in self._mapping(resolve(self.data, raw), at).items():
                if isinstance(item, Mapping):
                    found = self.event(resolve(self.data, item), at + join(expression))
                    if found is not None:
                        events[event] = found
        return events

    def event(self, item: Mapping[str, Any], pointer: str) -> SchemaValidator | None:
        """The validator of what the POST of a callback or a webhook carries; None when it has none."""
        post = item.get("post")
        if not isinstance(post, Mapping):
            return None
        # What the system sends out is its own answer: read-only fields belong in, write-only ones do not.
        body = self._mapping(resolve(self.data, post.get("requestBody", {})), f"{pointer}/post")
        content = self._content(body, f"{pointer}/post/requestBody", self.responses)
        payload = next((media.validator for media in content.values() if media.validator), None)
        return payload or self.responses.validator({})

    def _security(self, node: Mapping[str, Any]) -> tuple[Mapping[str, list[str]], ...]:
        requirements = node["security"] if "security" in node else self.data.get("security", [])
        return tuple(
            {name: list(scopes) if isinstance(scopes, list) else [] for name, scopes in requirement.items()}
            for requirement in requirements
        )

    def _idempotency(self, pointer: str, node: Mapping[str, Any], header: Parameter | None) -> Idempotency:
        declared = node.get("x-idempotency")
        if declared is None:
            return "none" if header is None else "required" if header.required else "optional"
        levels: dict[object, Idempotency] = {"none": "none", "optional": "optional", "required": "required"}
        if not isinstance(declared, str) or declared not in levels:
            self._note(
                f"{pointer}/x-idempotency", f"{declared!r} is no level; ignored", "write 'required' or 'optional'"
            )
            return "none"
        return levels[declared]

    def rate_limit(self, node: Mapping[str, Any], pointer: str) -> RateLimit | None:
        if "x-rate-limit" not in node:
            return None
        limit = node["x-rate-limit"]
        requests, per = (limit.get("requests", 0), limit.get("per", 0)) if isinstance(limit, dict) else (0, 0)
        if type(requests) is not int or requests < 1 or type(per) not in (int, float) or not per > 0:
            what = "a rate limit needs 'requests', a whole number, and 'per', seconds, both above 0"
            self._note(f"{pointer}/x-rate-limit", f"{what}; ignored", "write {requests: 100, per: 10}")
            return None
        return RateLimit(requests, float(per))

    def explicit(self, pointer: str, item: Mapping[str, Any], node: Mapping[str, Any]) -> tuple[str, str | None] | None:
        own = "x-collection" in node
        declared = (node if own else item).get("x-collection")
        at = f"{pointer if own else pointer.rpartition('/')[0]}/x-collection"
        if declared is None:
            return None
        name, id_field = (declared.get("name"), declared.get("id")) if isinstance(declared, dict) else (declared, None)
        if not isinstance(name, str) or not name.isidentifier() or not (id_field is None or isinstance(id_field, str)):
            hint = "write 'orders' or {name: orders, id: order_number}"
            self._note(at, f"{declared!r} names no collection; ignored", hint)
            return None
        return name, id_field

    def _words(self, node: Mapping[str, Any], key: str, pointer: str) -> tuple[str, ...]:
        """An extension that is one string or a list of them."""
        value = node.get(key, [])
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            what = f"{key} must be a string or a list of strings; ignored"
            self._note(f"{pointer}/{key}", what, "write '- one' per line")
            return ()
        return tuple(words)

    def _expression(self, text: str, pointer: str) -> Expression | None:
        try:
            return Expression.parse(text)
        except ValueError as error:
            self._note(pointer, f"{error}; ignored", "mend the expression")
            return None

    def _mapping(self, value: Any, pointer: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            raise Unserved(Defect(pointer, f"an object is due here, not {shown(value)}", "mend it"))
        return value

    def _note(self, pointer: str, what: str, hint: str) -> None:
        self.defects.append(Defect(pointer, what, hint))


def _success(responses: Mapping[str, Response]) -> int:
    first = next((status for status in responses if status[:1] == "2"), "200")
    return int(first) if first.isdecimal() else 200


def _joined(media: Mapping[str, Any]) -> tuple[str, ...]:
    """The fields of a form whose lists are one text."""
    encoding = media.get("encoding", {})
    return tuple(name for name, one in encoding.items() if isinstance(one, dict) and one.get("explode") is False)
