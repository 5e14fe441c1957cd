"""What changed between two versions of an OpenAPI 3.0 document, as far as it shows on the wire.

Written here because no library in the registries compares 3.0 documents in both directions down to bounds, formats,
null, security and renames, offline and from Python: the accurate ones are programs in Go.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from sandbox.consumer.demands import changed_schemes, demands_of, is_enough, told
from sandbox.consumer.schema_diff import Difference, Effect, Kind, SchemaDiff, matches
from sandbox.consumer.shape import Place, essence, follow
from sandbox.document import Document
from sandbox.errors import SpecError
from sandbox.pointer import join, lookup
from sandbox.spec import Operation, Spec

Topic = Literal["operation", "parameter", "body", "content", "status", "answer", "security", "event", "server"]
_SERIALISED: Final = ("style", "explode", "allowReserved")
_IGNORED_HEADERS: Final = frozenset({"accept", "content-type", "authorization"})


@dataclass(frozen=True, slots=True, eq=False)
class Version:
    """A version of a document: as it was read, and as it is served."""

    document: Document
    spec: Spec

    @classmethod
    def of(cls, document: Document, system: str | None = None) -> Version:
        """A document that was read.

        Args:
            system: How the system is called; else by the name of the file.

        Raises:
            SpecError: It is no OpenAPI 3.0 document that can be served; one line with file, line and pointer.
        """
        spec = Spec.of(document, system)
        for defect in spec.down.values():
            raise document.told(defect)
        for pointer, validator in spec.validators():
            try:
                validator.compile()
            except SpecError as error:
                raise document.error(pointer, error.message, error.hint) from None
        return cls(document, spec)

    @property
    def data(self) -> dict[str, Any]:
        return self.document.data

    def place(self, pointer: str) -> Place | None:
        """What stands at a pointer, references followed; None when nothing does."""
        try:
            return follow(self.data, pointer, lookup(self.data, pointer))
        except KeyError:
            return None


@dataclass(frozen=True, slots=True)
class Change:
    """One change, as one operation (or one event) shows it.

    Args:
        kind: As of a field; of an operation also `moved`, of a parameter `style`.
        effect: On what is valid.
        operation: The operationId in the old document, in the new one where it is new; or the event.
        what: The change in words.
        old: Pointer into the old document.
        new: Pointer into the new one.
        part: Where the field is: `path`, `query`, `header`, `cookie` or `body`.
        field: Pointer into the body; the name of a parameter or header, and a pointer into its value.
        status: The answer's, as the old document writes it; of `content`, empty for requests.
        name: Of a content type or a status, the one that came or went.
        values: Of an `enum`, those that came or went.
        required: Of what was added or renamed, whether it must be there.
    """

    topic: Topic
    kind: Kind | Literal["moved", "style", "deprecated"]
    effect: Effect
    operation: str
    what: str
    old: str
    new: str
    part: str = "body"
    field: str = ""
    status: str = ""
    name: str = ""
    values: tuple[Any, ...] = ()
    required: bool = False


def changes(old: Version, new: Version) -> Iterator[Change]:
    """All changes, in the order of the old document, then of the new one."""
    yield from _servers(old, new)
    yield from _Comparison(old, new).changes()


class _Comparison:
    def __init__(self, old: Version, new: Version) -> None:
        self.old = old
        self.new = new
        self.requests = SchemaDiff(old.data, new.data, "request")
        self.answers = SchemaDiff(old.data, new.data, "response")

    def changes(self) -> Iterator[Change]:
        after = {_wire(operation): operation for operation in self.new.spec.operations.values()}
        before = {_wire(operation) for operation in self.old.spec.operations.values()}
        moved: set[str] = set()
        for operation in self.old.spec.operations.values():
            twin = after.get(_wire(operation))
            if twin is not None:
                yield from self._operation(operation, twin)
                continue
            other = self.new.spec.operations.get(operation.id)
            if other is not None and _wire(other) not in before:
                moved.add(other.id)
                what = f"{_title(operation)} is {_title(other)} now"
                yield Change("operation", "moved", "changes", operation.id, what, operation.pointer, other.pointer)
            else:
                what = f"{_title(operation)} was removed"
                pointer = _nearest(self.new, operation.pointer)
                yield Change("operation", "removed", "narrows", operation.id, what, operation.pointer, pointer)
        for operation in after.values():
            if _wire(operation) not in before and operation.id not in moved:
                pointer = _nearest(self.old, operation.pointer)
                what = f"{_title(operation)} was added"
                yield Change("operation", "added", "widens", operation.id, what, pointer, operation.pointer)
        yield from self._events()

    def _operation(self, old: Operation, new: Operation) -> Iterator[Change]:
        if old.id != new.id:
            what = f"the operationId {old.id} is {new.id} now"
            yield Change("operation", "renamed", "widens", old.id, what, old.pointer, new.pointer)
        if not self._word(self.old, old, "deprecated") and self._word(self.new, new, "deprecated"):
            what = f"{_title(old)} is deprecated"
            yield Change("operation", "deprecated", "widens", old.id, what, old.pointer, f"{new.pointer}/deprecated")
        yield from self._security(old, new)
        yield from self._parameters(old, new)
        yield from self._body(old, new)
        yield from self._statuses(old, new)

    @staticmethod
    def _word(version: Version, operation: Operation, keyword: str) -> Any:
        place = version.place(operation.pointer)
        return place.node.get(keyword) if place is not None else None

    def _security(self, old: Operation, new: Operation) -> Iterator[Change]:
        before, after = demands_of(self.old.spec, old), demands_of(self.new.spec, new)
        if before == after:
            return
        kept = [any(is_enough(mine, other) for other in after) for mine in before]
        effect: Effect = "widens" if all(kept) else "narrows" if any(kept) else "changes"
        what = f"the credentials are {told(after)} instead of {told(before)}"
        changed = changed_schemes(self.old.spec, old, self.new.spec, new)
        here, there = (
            join("components", "securitySchemes", changed[0])
            if changed
            else f"{operation.pointer}/security"
            if self._word(version, operation, "security") is not None
            else "/security"
            for version, operation in ((self.old, old), (self.new, new))
        )
        yield Change("security", "values", effect, old.id, what, here, there)

    def _parameters(self, old: Operation, new: Operation) -> Iterator[Change]:
        before, after = _parameters(self.old, old), _parameters(self.new, new)
        names = dict(zip(_templates(old), _templates(new), strict=True))
        for key in [key for key in before if key[0] == "path"]:
            twin = ("path", names.get(key[1], key[1]))
            if twin in after:
                yield from self._parameter(old.id, key, before.pop(key), after.pop(twin))
        for key in [key for key in before if key in after]:
            yield from self._parameter(old.id, key, before.pop(key), after.pop(key))
        for location in ("query", "header", "cookie"):
            mine = {key[1]: self._essence(self.old, place) for key, place in before.items() if key[0] == location}
            others = {key[1]: self._essence(self.new, place) for key, place in after.items() if key[0] == location}
            for name, now in list(matches(mine, others)):
                here, there = before.pop((location, name)), after.pop((location, now))
                must = there.node.get("required") is True
                what = f"the {location} parameter {name} is called {now} now" + (", and required" * must)
                yield Change(
                    *("parameter", "renamed", "changes", old.id, what, here.pointer, there.pointer),
                    *(location, name),
                    required=must,
                )
        for (location, name), place in before.items():
            what = f"the {location} parameter {name} was removed"
            yield Change("parameter", "removed", "narrows", old.id, what, place.pointer, new.pointer, location, name)
        for (location, name), place in after.items():
            must = place.node.get("required") is True
            what = f"the {'required' if must else 'optional'} {location} parameter {name} was added"
            effect: Effect = "narrows" if must else "widens"
            spot = old.pointer, place.pointer, location, name
            yield Change("parameter", "added", effect, old.id, what, *spot, required=must)

    @staticmethod
    def _essence(version: Version, place: Place) -> Any:
        schema = _schema_of(version, place)
        return None if schema is None else essence(version.data, schema.node)

    def _parameter(self, operation: str, key: tuple[str, str], old: Place, new: Place) -> Iterator[Change]:
        location, name = key
        spot = old.pointer, new.pointer, location, name
        title = f"the {location} parameter {name}"
        was, must = old.node.get("required") is True, new.node.get("required") is True
        if was != must:
            effect: Effect = "narrows" if must else "widens"
            what = f"{title} is {'required' if must else 'optional'} now"
            yield Change("parameter", "required" if must else "optional", effect, operation, what, *spot)
        for keyword in _SERIALISED:
            if old.node.get(keyword) != new.node.get(keyword):
                what = f"{title} is written otherwise: {keyword} is {new.node.get(keyword)}"
                yield Change("parameter", "style", "changes", operation, what, *spot)
        before, after = _schema_of(self.old, old), _schema_of(self.new, new)
        for found in _compared(self.requests, before, after, old, new):
            yield _change("parameter", operation, found.within(name), part=location, of=title)

    def _body(self, old: Operation, new: Operation) -> Iterator[Change]:
        before, after = self._owner(self.old, old), self._owner(self.new, new)
        if before is None and after is None:
            return
        pointers = before.pointer if before else old.pointer, after.pointer if after else new.pointer
        was = before is not None and before.node.get("required") is True
        must = after is not None and after.node.get("required") is True
        if before is None or after is None:
            kind: Kind = "removed" if after is None else "added"
            what = (
                "the body was removed" if after is None else f"{'a required' if must else 'an optional'} body was added"
            )
            effect: Effect = "narrows" if after is None or must else "widens"
            yield Change("body", kind, effect, old.id, what, *pointers, required=must)
            return
        if was != must:
            what = f"the body is {'required' if must else 'optional'} now"
            effect = "narrows" if must else "widens"
            yield Change("body", "required" if must else "optional", effect, old.id, what, *pointers)
        yield from self._contents("body", old.id, before, after, "")

    @staticmethod
    def _owner(version: Version, operation: Operation) -> Place | None:
        return version.place(f"{operation.pointer}/requestBody")

    def _contents(
        self, topic: Literal["body", "answer", "event"], operation: str, old: Place, new: Place, status: str
    ) -> Iterator[Change]:
        """The content types of a body or an answer, and the schemas of those that stayed."""
        schemas = self.requests if topic == "body" else self.answers
        before, after = _media(self.old, old), _media(self.new, new)
        whose = "request" if topic == "body" else "answer"
        for name, place in before.items():
            if name not in after:
                what = f"the content type {name} of the {whose} was removed"
                spot = place.pointer, new.pointer
                where: Topic = "event" if topic == "event" else "content"
                yield Change(where, "removed", "narrows", operation, what, *spot, status=status, name=name)
                continue
            mine = place.child(self.old.data, "schema")
            other = after[name].child(self.new.data, "schema")
            for found in _compared(schemas, mine, other, place, after[name]):
                yield _change(topic, operation, found, status=status)
        for name, place in after.items():
            if name not in before and topic != "event":
                what = f"the content type {name} of the {whose} was added"
                spot = old.pointer, place.pointer
                yield Change("content", "added", "widens", operation, what, *spot, status=status, name=name)

    def _statuses(self, old: Operation, new: Operation) -> Iterator[Change]:
        removed = [status for status in old.responses if status not in new.responses]
        added = [status for status in new.responses if status not in old.responses]
        for status in old.responses:
            if status in new.responses:
                yield from self._answer(old, new, status, status)
        good = [[status for status in some if status.startswith("2")] for some in (removed, added)]
        if len(good[0]) == len(good[1]) == 1:
            was, now = good[0][0], good[1][0]
            spot = _answer_pointer(old, was), _answer_pointer(new, now)
            what = f"the status of success is {now} instead of {was}"
            yield Change("status", "renamed", "changes", old.id, what, *spot, status=was, name=now)
            yield from self._answer(old, new, was, now)
            removed.remove(was)
            added.remove(now)
        for status in removed:
            what = f"the status {status} is gone"
            spot = _answer_pointer(old, status), f"{new.pointer}/responses"
            yield Change("status", "removed", "narrows", old.id, what, *spot, status=status, name=status)
        for status in added:
            what = f"the status {status} is new"
            spot = f"{old.pointer}/responses", _answer_pointer(new, status)
            yield Change("status", "added", "widens", old.id, what, *spot, status=status, name=status)

    def _answer(self, old: Operation, new: Operation, was: str, now: str) -> Iterator[Change]:
        before = self.old.place(_answer_pointer(old, was))
        after = self.new.place(_answer_pointer(new, now))
        if before is None or after is None:
            return
        yield from self._contents("answer", old.id, before, after, was)
        mine, others = _headers(before), _headers(after)
        for name in mine:
            if name not in others:
                what = f"the header {name} of the answer was removed"
                spot = f"{before.pointer}/headers{join(mine[name])}", after.pointer
                yield Change("answer", "removed", "narrows", old.id, what, *spot, "header", name, was)
        for name in others:
            if name not in mine:
                what = f"the header {name} of the answer was added"
                spot = before.pointer, f"{after.pointer}/headers{join(others[name])}"
                yield Change("answer", "added", "widens", old.id, what, *spot, "header", name, was)

    def _events(self) -> Iterator[Change]:
        before, after = _events(self.old), _events(self.new)
        for event, place in before.items():
            if event not in after:
                what = f"the event {event} was removed"
                yield Change(
                    "event", "removed", "narrows", event, what, place.pointer, _nearest(self.new, place.pointer)
                )
                continue
            yield from self._contents("event", event, place, after[event], "")
        for event, place in after.items():
            if event not in before:
                pointer = _nearest(self.old, place.pointer)
                what = f"the event {event} was added"
                yield Change("event", "added", "widens", event, what, pointer, place.pointer)


def _servers(old: Version, new: Version) -> Iterator[Change]:
    before, after = (
        [str(server.get("url")) for server in version.data.get("servers") or () if isinstance(server, Mapping)]
        for version in (old, new)
    )
    gone, came = [url for url in before if url not in after], [url for url in after if url not in before]
    if gone:
        what = f"the server {', '.join(gone)} is gone" + (f", and {', '.join(came)} is new" if came else "")
        yield Change("server", "removed", "narrows", "", what, "/servers", "/servers")
    elif came:
        yield Change("server", "added", "widens", "", f"the server {', '.join(came)} is new", "/servers", "/servers")


def _compared(
    schemas: SchemaDiff, old: Place | None, new: Place | None, before: Place, after: Place
) -> tuple[Difference, ...]:
    """The differences between two schemas, each of which may be missing in its owner."""
    if old is not None and new is not None:
        return schemas.compare([old], [new])
    if old is None and new is None:
        return ()
    pointers = (old or before).pointer, (new or after).pointer
    if new is None:
        return (Difference("values", "widens", "", *pointers, "the schema is gone, so that anything is valid"),)
    return (Difference("values", "narrows", "", *pointers, "there is a schema now"),)


def _change(
    topic: Topic, operation: str, found: Difference, *, part: str = "body", status: str = "", of: str = ""
) -> Change:
    place = found.field if topic != "parameter" else ""
    title = of or (f"{place}: " if place and found.kind not in _NAMING else "")
    what = f"{title}{': ' if of else ''}{found.what}"
    return Change(
        *(topic, found.kind, found.effect, operation, what, found.old, found.new, part, found.field, status),
        values=found.values,
        required=found.required,
    )


# What such a change says names its field.
_NAMING: Final = frozenset({"removed", "added", "renamed", "required", "optional"})


def wire(method: str, path: str) -> tuple[str, str]:
    """What makes it the same operation on the wire: the names of path parameters are not seen there."""
    return method, re.sub(r"\{[^{}]*\}", "{}", path)


def _wire(operation: Operation) -> tuple[str, str]:
    return wire(operation.method, operation.path)


def _templates(operation: Operation) -> list[str]:
    return re.findall(r"\{([^{}]*)\}", operation.path)


def _title(operation: Operation) -> str:
    return f"{operation.method} {operation.path}"


def _nearest(version: Version, pointer: str) -> str:
    """The pointer, or that of the nearest parent that the version has."""
    while pointer and version.place(pointer) is None:
        pointer = pointer.rpartition("/")[0]
    return pointer


def _answer_pointer(operation: Operation, status: str) -> str:
    return f"{operation.pointer}/responses{join(status)}"


def _headers(response: Place) -> dict[str, str]:
    """The headers of an answer: the name in lower case, and as written."""
    headers = response.node.get("headers") or {}
    return {name.lower(): name for name in headers if name.lower() not in _IGNORED_HEADERS}


def _media(version: Version, owner: Place) -> dict[str, Place]:
    """The bodies of a request or an answer by content type, lower case and without parameters."""
    content = owner.child(version.data, "content")
    found = {}
    for name in content.node if content is not None else ():
        place = content.child(version.data, name) if content is not None else None
        if place is not None:
            found[name.partition(";")[0].strip().lower()] = place
    return found


def _parameters(version: Version, operation: Operation) -> dict[tuple[str, str], Place]:
    """The parameters of an operation and of its path item, by location and name."""
    found: dict[tuple[str, str], Place] = {}
    for owner in (version.place(operation.pointer.rpartition("/")[0]), version.place(operation.pointer)):
        listed = owner.node.get("parameters") if owner is not None else None
        for index, node in enumerate(listed or ()):
            place = follow(version.data, f"{owner.pointer if owner else ''}/parameters/{index}", node)
            location, name = place.node["in"], place.node["name"]
            key = name.lower() if location == "header" else name
            if location != "header" or key not in _IGNORED_HEADERS:
                found[location, key] = place
    return found


def _schema_of(version: Version, parameter: Place) -> Place | None:
    schema = parameter.child(version.data, "schema")
    content = parameter.child(version.data, "content")
    if schema is None and content is not None and content.node:
        schema = content.child(version.data, next(iter(content.node)), "schema")
    return schema


def _events(version: Version) -> dict[str, Place]:
    """What an event carries, by its type: the body that is sent to subscribers."""
    found: dict[str, Place] = {}
    for name in version.spec.subscribe_operations:
        operation = version.place(version.spec.operations[name].pointer)
        callbacks = operation.child(version.data, "callbacks") if operation is not None else None
        for event in callbacks.node if callbacks is not None else ():
            item = callbacks.child(version.data, event) if callbacks is not None else None
            for expression in item.node if item is not None else ():
                body = item.child(version.data, expression, "post", "requestBody") if item is not None else None
                if body is not None:
                    found.setdefault(event, body)
    return found
