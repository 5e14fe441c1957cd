"""Makes valid requests of a specification: from its examples, and from its links where a record must exist first."""

from __future__ import annotations

import contextlib
import copy
import itertools
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from random import Random
from typing import Any, Final
from urllib.parse import quote

from sandbox.forms import FORM
from sandbox.model import JSON, Answer, Json
from sandbox.pointer import join, lookup, resolve
from sandbox.probe.envelopes import record_in
from sandbox.probe.provider import Principal, Provider, Request
from sandbox.sample import SeededFaker, sample
from sandbox.spec import MediaType, Operation

_DEEPEST: Final = 4
_NOW: Final = "2025-01-01T00:00:00Z"
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s]+")


_FAILED: Final = 500


class Impossible(Exception):
    """A specification that does not say how a valid request of an operation is made; the message is the reason.

    Attributes:
        blames: Whether the provider is to blame: it refused what its specification shows, or failed.
    """

    def __init__(self, message: str, *, blames: bool = False) -> None:
        super().__init__(message)
        self.blames = blames


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to a valid request: which link to follow, and which example to send."""

    source: str | None
    link: Mapping[str, Any]
    example: int


class Workbench:
    """Valid requests for one provider.

    What must be there first is created through the provider itself, by the links of the specification (OpenAPI 3.0.3,
    "Link Object"), else by the operation that creates records of the collection in the path.
    """

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._spec = provider.spec
        # A mock's world is fresh; a real provider remembers what earlier runs have sent.
        self._seed = "0" if provider.world is not None else secrets.token_hex(4)
        self._serial = itertools.count(1)
        self._known: dict[str, _Way] = {}
        # Requests without an example, once made up.
        self._made: dict[str, Request] = {}
        # Operations whose references are being looked after, lest two that need each other never end.
        self._pointed: set[str] = set()
        self._links: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for operation in self._spec.operations.values():
            for link in self._links_of(operation):
                self._links.setdefault(str(link.get("operationId")), []).append((operation.id, link))

    def request(self, operation: str | Operation, principal: Principal = "integrator") -> Request:
        """A valid request that has not been sent yet; what it needs has been created.

        Raises:
            Impossible: when no way leads to one.
        """
        operation = self._operation(operation)
        if operation.id not in self._known:
            self.perform(operation, principal)
        return self._prepare(operation, self._known[operation.id], principal, 0)

    def perform(self, operation: str | Operation, principal: Principal = "integrator") -> tuple[Request, Answer]:
        """Send a valid request and return it with its successful answer.

        Raises:
            Impossible: when every way was refused, or there is none.
        """
        return self._perform(self._operation(operation), principal, 0)

    def request_with(self, operation: Operation, given: Mapping[str, Json]) -> Request:
        """A request that has not been sent yet, of which some parameters are known; what else it needs is created.

        Args:
            given: Values of parameters, by their names on the wire.

        Raises:
            Impossible: when the specification does not say what else it needs.
        """
        refused = "the specification has no link that leads to it"
        known = all(one.name in given for one in operation.parameters if one.location == "path")
        for way in [_Way(None, {}, 0)] if known else self._ways(operation):
            told = replace(way, link={**way.link, "parameters": {**way.link.get("parameters", {}), **given}})
            try:
                return self._prepare(operation, told, "integrator", 0)
            except Impossible as reason:
                refused = str(reason)
        raise Impossible(refused)

    def key(self, name: str) -> str:
        """An idempotency key that no other test uses, nor another run against the same provider."""
        return f"contract-{self._seed}-{name}"

    def bodies(self, operation: Operation) -> list[Json]:
        """Valid bodies of an operation, as full as its examples and as short as they can be, each with a fresh key."""
        shown = self._examples(operation)
        if operation.body is None or not shown:
            if operation.id not in self._made:
                self._made[operation.id] = self.request(operation)
            made = self._made[operation.id]
            media = None if operation.body is None else operation.body.media(made.content_type)
            return [] if isinstance(made.body, bytes) else [self._fresh(operation, made.body, media)]
        found = []
        for kind, body in shown:
            media = operation.body.media(kind)
            found += [self._fresh(operation, one, media) for one in (body, _shortest(body, media))]
        return found

    def _operation(self, operation: str | Operation) -> Operation:
        return operation if isinstance(operation, Operation) else self._spec.operations[operation]

    def _perform(self, operation: Operation, principal: Principal, depth: int) -> tuple[Request, Answer]:
        known = self._known.get(operation.id)
        refused, blames = "the specification has no example and no link that leads to it", False
        for way in [known] if known is not None else list(self._ways(operation)):
            try:
                request = self._prepare(operation, way, principal, depth)
            except Impossible as reason:
                refused, blames = str(reason), blames or reason.blames
                continue
            answer = self.provider.send(request, principal)
            if 200 <= answer.status < 300:
                self._known[operation.id] = way
                return request, answer
            refused = f"{answer.status} {answer.body[:200].decode('utf-8', 'replace')}"
            blames = blames or answer.status >= _FAILED or bool(self._examples(operation)) or known is not None
        raise Impossible(f"no valid request of {self._spec.name}.{operation.id} is known: {refused}", blames=blames)

    def _ways(self, operation: Operation) -> Iterator[_Way]:
        examples = max(1, len(self._examples(operation)))
        kind = self._spec.collections.get(operation.meaning.collection or "")
        if kind is not None and kind.keyed and operation.meaning.action in ("replace", "patch"):
            yield from (_Way(None, {}, number) for number in range(examples))
            return
        followed = [(source, link) for source, link in self._links.get(operation.id, ()) if source != operation.id]
        needed = any(p.location == "path" for p in operation.parameters) or any(
            "requestBody" in link for _, link in followed
        )
        if needed:
            # What creates a record is the best beginning: it needs nothing itself.
            followed.sort(key=lambda pair: self._spec.operations[pair[0]].meaning.action != "create")
            for source, link in followed:
                yield from (_Way(source, link, number) for number in range(examples))
            if operation.meaning.addressed is not None:
                collection, parameter = operation.meaning.addressed
                for source in self._makers(collection):
                    at = self._spec.operations[source].meaning.answer_at
                    path = [*(at.path if at is not None else ()), *(["0"] if at is not None and at.many else [])]
                    pointer = join(*path, self._spec.collections[collection].id_field)
                    link = {"parameters": {parameter: f"$response.body#{pointer}"}}
                    yield from (_Way(source, link, number) for number in range(examples))
            return
        yield from (_Way(None, {}, number) for number in range(examples))

    def _makers(self, collection: str) -> Iterator[str]:
        for other in self._spec.operations.values():
            if other.meaning.action == "create" and other.meaning.collection == collection:
                yield other.id
        kind = self._spec.collections.get(collection)
        for other in self._spec.operations.values() if kind is not None and kind.keyed else ():
            # Records under ids that the caller chooses are made where they are changed.
            if other.meaning.action in ("replace", "patch") and other.meaning.collection == collection:
                yield other.id

    def _links_of(self, operation: Operation) -> Iterator[Mapping[str, Any]]:
        raw = lookup(self._spec.document, operation.pointer)
        for status, declared in raw.get("responses", {}).items():
            if str(status).startswith("2"):
                declared = resolve(self._spec.document, declared)
                for link in declared.get("links", {}).values():
                    yield resolve(self._spec.document, link)

    def _examples(self, operation: Operation) -> list[tuple[str, Json]]:
        """Media type and value of each example body."""
        if operation.body is None:
            return []
        raw = lookup(self._spec.document, operation.pointer)
        body = resolve(self._spec.document, raw["requestBody"])
        found: list[tuple[str, Json]] = []
        for name, media in body.get("content", {}).items():
            values = [resolve(self._spec.document, one).get("value") for one in media.get("examples", {}).values()]
            values += [media["example"]] if "example" in media else []
            plain = name.partition(";")[0].strip().lower()
            found += [(plain, value) for value in values]
        return found

    def _prepare(self, operation: Operation, way: _Way, principal: Principal, depth: int) -> Request:
        if depth > _DEEPEST:
            raise Impossible(f"{operation.id} needs records that need records without end")
        answer: Answer | None = None
        source: Request | None = None
        if way.source is not None:
            source, answer = self._perform(self._spec.operations[way.source], principal, depth + 1)
        given = {name: self._value(value, source, answer) for name, value in way.link.get("parameters", {}).items()}
        path, query, headers = self._parameters(operation, given)
        content_type, body = self._body(operation, way, source, answer)
        if way.link.get("requestBody") is None:
            body = self._pointing(operation, body, principal, depth)
        if operation.idempotency == "required":
            headers["idempotency-key"] = self.key(str(next(self._serial)))
        return Request(operation, path, query, headers, body, content_type)

    def _parameters(
        self, operation: Operation, given: Mapping[str, Json]
    ) -> tuple[str, dict[str, str], dict[str, str]]:
        path, query, headers = operation.path, dict[str, str](), dict[str, str]()
        for parameter in operation.parameters:
            qualified = f"{parameter.location}.{parameter.name}"
            value = given.get(qualified, given.get(parameter.name))
            if parameter.name.lower() == "idempotency-key":
                continue
            if value is None:
                if not parameter.required:
                    continue
                value = parameter.schema.get("example", self._sampled(parameter.schema, parameter.name))
            if value is None:
                raise Impossible(f"nothing says what {parameter.location} parameter {parameter.name} can be")
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if parameter.location == "path":
                path = path.replace(f"{{{parameter.name}}}", quote(text, safe=""))
            elif parameter.location == "query":
                query[parameter.name] = text
            elif parameter.location == "header":
                headers[parameter.name.lower()] = text
        return path, query, headers

    def _body(self, operation: Operation, way: _Way, source: Request | None, answer: Answer | None) -> tuple[str, Json]:
        if operation.body is None:
            return JSON, None
        linked = way.link.get("requestBody")
        if linked is not None:
            return JSON, self._value(linked, source, answer)
        examples = self._examples(operation)
        if examples:
            content_type, body = examples[way.example % len(examples)]
        else:
            media = operation.body.media(JSON) or operation.body.media(FORM)
            if media is None:
                raise Impossible(f"{operation.id} takes {', '.join(operation.body.content)} and shows no example")
            content_type, body = media.name, self._sampled(media.schema or {}, operation.id)
        media_type = operation.body.media(content_type)
        return content_type, self._fresh(operation, body, media_type)

    def _pointing(self, operation: Operation, body: Json, principal: Principal, depth: int) -> Json:
        """The body, in which what points at other records points at some that exist."""
        kind = self._spec.collections.get(operation.meaning.collection or "")
        changed = copy.deepcopy(body)
        sent = operation.meaning.body_at.get(changed) if isinstance(changed, dict) else None
        record = sent[0] if isinstance(sent, list) and sent else sent
        if kind is None or not isinstance(record, dict) or operation.id in self._pointed:
            return body
        self._pointed.add(operation.id)
        for name in kind.references.keys() & record.keys():
            target = kind.references[name]
            for maker in self._makers(target):
                with contextlib.suppress(Impossible):
                    other, answer = self._perform(self._spec.operations[maker], principal, depth + 1)
                    made: Any = record_in(other.operation, answer.json())
                    record[name] = made[self._spec.collections[target].id_field]
                    break
        self._pointed.discard(operation.id)
        return changed

    def _fresh(self, operation: Operation, body: Json, media: MediaType | None) -> Json:
        """The body with a business key that was not sent before, where the specification leaves it open."""
        meaning = operation.meaning
        if meaning.action not in ("create", "replace", "patch") or not isinstance(body, dict):
            return body
        names = {one.name.strip("/") for one in operation.expressions if one.source == "body"} | {meaning.key_field}
        for name in sorted(name for name in names if name is not None and isinstance(body.get(name), str)):
            old, number = str(body[name]), f"{self._seed}{next(self._serial)}"
            user, _, host = old.partition("@")
            changed = {**body, name: f"{user}+{number}@{host}" if _EMAIL.fullmatch(old) else f"{old}-{number}"}
            if media is None or media.validator is None or not media.validator.errors(changed):
                return changed
        return body

    def _sampled(self, schema: Mapping[str, Any], name: str) -> Json:
        source = Random(f"{self._seed} {name} {next(self._serial)}")
        chance = SeededFaker(lambda: source)
        found: Json = sample(schema, self._spec.document, chance, _NOW, name)
        return found

    def _value(self, value: Any, source: Request | None, answer: Answer | None) -> Json:
        """What a value in a link stands for (OpenAPI 3.0.3, "Runtime Expressions"), within objects too."""
        if isinstance(value, Mapping):
            return {name: self._value(item, source, answer) for name, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, source, answer) for item in value]
        if not isinstance(value, str) or not value.startswith("$") or answer is None or source is None:
            return value
        try:
            if value.startswith("$response.body"):
                return lookup(answer.json(), value.removeprefix("$response.body").removeprefix("#"))
            if value.startswith("$response.header."):
                return answer.header(value.removeprefix("$response.header.").lower())
            if value.startswith("$request.body"):
                return lookup(source.body, value.removeprefix("$request.body").removeprefix("#"))
            if value.startswith("$request.query."):
                return source.query.get(value.removeprefix("$request.query."))
        except KeyError:
            return None
        return None


def _shortest(body: Json, media: MediaType | None) -> Json:
    """The body without the fields that it can do without."""
    if not isinstance(body, dict) or media is None or media.validator is None:
        return body
    for name in list(body):
        shorter = {key: value for key, value in body.items() if key != name}
        if shorter and not media.validator.errors(shorter):
            body = shorter
    return body
