"""Makes valid requests of a specification: from its examples, and from its links where a record must exist first."""

from __future__ import annotations

import contextlib
import copy
import itertools
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import unquote

from sandbox.model import JSON, Answer, Json
from sandbox.pointer import join, lookup, resolve
from sandbox.probe.arguments import arguments
from sandbox.probe.bodies import Bodies
from sandbox.probe.envelopes import record_in, records_in
from sandbox.probe.impossible import Impossible
from sandbox.probe.provider import Principal, Provider, Request
from sandbox.spec import MediaType, Operation

__all__ = ["Impossible", "Workbench", "inherited"]

_DEEPEST: Final = 4
_FAILED: Final = 500
_PARAMETER: Final = re.compile(r"\{([^{}]+)\}")


@dataclass(frozen=True, slots=True)
class _Way:
    """One way to a valid request: which link to follow, and which example to send."""

    source: str | None
    link: Mapping[str, Any]
    example: int


@dataclass(frozen=True, slots=True)
class _Draft:
    """A request, and whether all records that it names are known to exist."""

    request: Request
    certain: bool = field(default=True)


class Workbench:
    """Valid requests for one provider.

    What must be there first is created through the provider itself, by the links of the specification (OpenAPI 3.0.3,
    "Link Object"), else by the operation that creates records of the collection in the path, else it is the first
    record that a list shows.
    """

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self._spec = provider.spec
        # A mock's world is fresh; a real provider remembers what earlier runs have sent.
        self._seed = "0" if provider.world is not None else secrets.token_hex(4)
        self._serial = itertools.count(1)
        self._bodies = Bodies(provider.spec, self._seed, self._serial)
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
        return self._prepare(operation, self._known[operation.id], principal, 0).request

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
                return self._prepare(operation, told, "integrator", 0).request
            except Impossible as reason:
                refused = str(reason)
        raise Impossible(refused)

    def address(self, operation: Operation, given: Mapping[str, Json]) -> Request:
        """A request without its body, of which some parameters are known.

        Raises:
            Impossible: when nothing says what another one can be.
        """
        found = arguments(self._spec, operation, given, self._bodies)
        return Request(operation, found.path, found.query, found.headers)

    def key(self, name: str) -> str:
        """An idempotency key that no other test uses, nor another run against the same provider."""
        return f"contract-{self._seed}-{name}"

    def bodies(self, operation: Operation) -> list[Json]:
        """Valid bodies of an operation, as full as its examples and as short as they can be, each with a fresh key."""
        shown = [(media, body) for media, body in self._bodies.shown(operation) if media.is_json or not body]
        if operation.body is None or not shown:
            if operation.id not in self._made:
                self._made[operation.id] = self.request(operation)
            made = self._made[operation.id]
            media = None if operation.body is None else operation.body.media(made.content_type)
            return [] if isinstance(made.body, bytes) else [self._fresh(operation, made.body, media)]
        found = []
        for media, body in shown:
            for one in (body, self._bodies.shortest(body, media)):
                pointed, _ = self._pointing(operation, one, media, "integrator", 0)
                found.append(self._fresh(operation, pointed, media))
        return found

    def _operation(self, operation: str | Operation) -> Operation:
        return operation if isinstance(operation, Operation) else self._spec.operations[operation]

    def _perform(self, operation: Operation, principal: Principal, depth: int) -> tuple[Request, Answer]:
        served, _ = self._spec.match(operation.method, operation.path)
        if self.provider.world is not None and served is not operation:
            raise Impossible(f"its path cannot be told from that of {served.id if served else 'another one'}")
        known = self._known.get(operation.id)
        refused, blames = "the specification has no example and no link that leads to it", False
        for way in [known] if known is not None else list(self._ways(operation)):
            try:
                draft = self._prepare(operation, way, principal, depth)
            except Impossible as reason:
                # What another operation did wrong is told where that one is looked at.
                refused = str(reason)
                continue
            answer = self.provider.send(draft.request, principal)
            if 200 <= answer.status < 300:
                self._known[operation.id] = way
                return draft.request, answer
            refused = f"{answer.status} {answer.body[:200].decode('utf-8', 'replace')}"
            shown = bool(self._bodies.shown(operation)) or known is not None
            blames = blames or answer.status >= _FAILED or (draft.certain and shown)
        raise Impossible(f"no valid request of {self._spec.name}.{operation.id} is known: {refused}", blames=blames)

    def _ways(self, operation: Operation) -> Iterator[_Way]:
        examples = max(1, len(self._bodies.shown(operation)))
        plain = [_Way(None, {}, number) for number in range(examples)]
        kind = self._spec.collections.get(operation.meaning.collection or "")
        if kind is not None and kind.keyed and operation.meaning.action in ("replace", "patch"):
            yield from plain
            return
        followed = [(source, link) for source, link in self._links.get(operation.id, ()) if source != operation.id]
        needed = any(p.location == "path" for p in operation.parameters) or any(
            "requestBody" in link for _, link in followed
        )
        if not needed:
            yield from plain
            return
        # What creates a record is the best beginning: it needs nothing itself.
        followed.sort(key=lambda pair: self._spec.operations[pair[0]].meaning.action != "create")
        for source, link in followed:
            yield from (_Way(source, link, number) for number in range(examples))
        if operation.meaning.addressed is not None:
            collection, parameter = operation.meaning.addressed
            for source in [*self._makers(collection), *self._finders(collection, operation)]:
                link = {"parameters": {parameter: f"$response.body#{self._id_at(source, collection)}"}}
                yield from (_Way(source, link, number) for number in range(examples))
        # Nothing says which values there are, so one is as good as another.
        yield from plain

    def _makers(self, collection: str) -> Iterator[str]:
        for other in self._spec.operations.values():
            if other.meaning.action == "create" and other.meaning.collection == collection:
                yield other.id
        kind = self._spec.collections.get(collection)
        for other in self._spec.operations.values():
            if other.meaning.collection != collection:
                continue
            # Records under ids that the caller chooses are made where they are changed.
            keyed = kind is not None and kind.keyed and other.meaning.action in ("replace", "patch")
            if keyed or other.meaning.action == "upsert":
                yield other.id

    def _finders(self, collection: str, wanted: Operation) -> Iterator[str]:
        """The operations that show records which nobody has to make."""
        for other in self._spec.operations.values():
            listed = other.meaning.action == "list" and other.meaning.collection == collection
            if listed and other.id != wanted.id:
                yield other.id

    def _id_at(self, source: str, collection: str) -> str:
        """Where the id of a record stands in what an operation answers."""
        operation = self._spec.operations[source]
        at = operation.meaning.answer_at
        several = (at is not None and at.many) or operation.meaning.action == "list"
        path = [*(at.path if at is not None else ()), *(["0"] if several else [])]
        return join(*path, self._spec.collections[collection].id_field)

    def _links_of(self, operation: Operation) -> Iterator[Mapping[str, Any]]:
        raw = lookup(self._spec.document, operation.pointer)
        for status, declared in raw.get("responses", {}).items():
            if str(status).startswith("2"):
                declared = resolve(self._spec.document, declared)
                for link in declared.get("links", {}).values():
                    yield resolve(self._spec.document, link)

    def _prepare(self, operation: Operation, way: _Way, principal: Principal, depth: int) -> _Draft:
        if depth > _DEEPEST:
            raise Impossible(f"{operation.id} needs records that need records without end")
        answer: Answer | None = None
        source: Request | None = None
        given: dict[str, Json] = {}
        if way.source is not None:
            source, answer = self._perform(self._spec.operations[way.source], principal, depth + 1)
            given = inherited(source, operation)
        for name, value in way.link.get("parameters", {}).items():
            given[name] = self._value(value, source, answer)
            if given[name] is None and way.source is not None:
                raise Impossible(f"what {way.source} answers has no {name}")
        found = arguments(self._spec, operation, given, self._bodies)
        content_type, body = self._body(operation, way, source, answer)
        certain = not found.guessed
        if way.link.get("requestBody") is None and not isinstance(body, bytes):
            media = None if operation.body is None else operation.body.media(content_type)
            body, exist = self._pointing(operation, body, media, principal, depth)
            certain = certain and exist
        if operation.idempotency == "required":
            found.headers["idempotency-key"] = self.key(str(next(self._serial)))
        request = Request(operation, found.path, found.query, found.headers, body, content_type)
        return _Draft(request, certain)

    def _body(
        self, operation: Operation, way: _Way, source: Request | None, answer: Answer | None
    ) -> tuple[str, Json | bytes]:
        if operation.body is None:
            return JSON, None
        linked = way.link.get("requestBody")
        if linked is not None:
            return JSON, self._value(linked, source, answer)
        shown = self._bodies.shown(operation)
        if shown:
            media, body = shown[way.example % len(shown)]
            return _sent_as(media), self._fresh(operation, body, media)
        media, made = self._bodies.made(operation)
        return _sent_as(media), made if isinstance(made, bytes) else self._fresh(operation, made, media)

    def _pointing(
        self, operation: Operation, body: Json, media: MediaType | None, principal: Principal, depth: int
    ) -> tuple[Json, bool]:
        """The body, in which what points at other records points at some that exist; and whether all of it does."""
        kind = self._spec.collections.get(operation.meaning.collection or "")
        changed = copy.deepcopy(body)
        place = operation.meaning.body_at
        sent = place.get(changed) if place.path and isinstance(changed, dict) else changed
        records = [one for one in (sent if isinstance(sent, list) else [sent]) if isinstance(one, dict)]
        if kind is None or operation.id in self._pointed:
            return body, True
        self._pointed.add(operation.id)
        certain = True
        for name in sorted({name for one in records for name in kind.references.keys() & one.keys()}):
            target = kind.references[name]
            found = self._existing(operation, target, principal, depth)
            for record in records:
                if name in record and found is not None:
                    number = kind.fields[name].get("type") == "integer" and str(found).isdecimal()
                    record[name] = int(str(found)) if number else found
                elif name in record:
                    kept = record.pop(name)
                    if media is not None and media.validator is not None and media.validator.errors(changed):
                        record[name], certain = kept, False
        self._pointed.discard(operation.id)
        return changed, certain

    def _existing(self, operation: Operation, collection: str, principal: Principal, depth: int) -> Json:
        """The id of a record that is there; None when no way leads to one."""
        for source in [*self._makers(collection), *self._finders(collection, operation)]:
            if source == operation.id:
                continue
            with contextlib.suppress(Impossible):
                other, answer = self._perform(self._spec.operations[source], principal, depth + 1)
                listed = other.operation.meaning.action == "list"
                shown: Any = records_in(other.operation, answer.json()) if listed else None
                made: Any = shown[0] if shown else record_in(other.operation, answer.json())
                id_ = made.get(self._spec.collections[collection].id_field) if isinstance(made, dict) else None
                if id_ is not None:
                    return id_
        return None

    def _fresh(self, operation: Operation, body: Json, media: MediaType | None) -> Json:
        """The body with a business key that was not sent before."""
        return self._bodies.fresh(operation, body, media)

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


def _sent_as(media: MediaType) -> str:
    return JSON if "*" in media.name else media.name


def inherited(source: Request, operation: Operation) -> dict[str, Json]:
    """The path parameters that two operations share, since their paths begin alike."""
    found: dict[str, Json] = {}
    steps = zip(source.operation.path.split("/"), source.path.split("/"), operation.path.split("/"), strict=False)
    for theirs, value, mine in steps:
        if (name := _PARAMETER.fullmatch(mine)) is not None and _PARAMETER.fullmatch(theirs) is not None:
            found[name[1]] = unquote(value)
        elif theirs != mine:
            break
    return found
