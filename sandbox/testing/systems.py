"""A system in the hands of a test: its operations as methods, its collections as what can be asked for records.

The calls are the test's own, as the shop's customer or the carrier would make them: they carry the mark by which rules
and verification tell them from those of the program under test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from sandbox.credentials import Credential
from sandbox.errors import SandboxError, nearest
from sandbox.model import Answer, Json
from sandbox.probe.provider import Principal, Provider, Request
from sandbox.probe.workbench import Impossible, Workbench
from sandbox.remote_world import RemoteWorld
from sandbox.rules.entry import SCENARIO
from sandbox.spec import MediaType, Operation, Parameter, Spec
from sandbox.testing.records import Records

_MOST_SHOWN: Final = 300
_LAST_NUMBER: Final = re.compile(r"([0-9]+)(?=[^0-9]*$)")
_KEY: Final = "idempotency-key"


class Refused(SandboxError):
    """A system answered a test's own call with something other than a 2xx.

    Args:
        status: The answer's.
        document: Its body, parsed where it is JSON.
    """

    def __init__(self, message: str, status: int, document: Any) -> None:
        super().__init__(message)
        self.status = status
        self.document = document


class _Own(Provider):
    """The system, called by the test itself; remembers what was sent, so that the next record differs."""

    def __init__(self, spec: Spec, url: str, access: Sequence[Credential], world: RemoteWorld) -> None:
        super().__init__(spec, url, access, world=world)
        # Of all that it sends, a token's request included.
        self.http.headers[SCENARIO[0]] = SCENARIO[1]
        self.taken: set[tuple[str, str, Json]] = set()

    def send(self, request: Request, principal: Principal = "integrator") -> Answer:
        if isinstance(request.body, dict):
            self.taken |= {
                (request.operation.id, name, value) for name, value in request.body.items() if isinstance(value, str)
            }
        return super().send(request, principal)


class _Desk(Workbench):
    """Makes requests as the examples show them: with other business keys only where the shown ones are taken."""

    def __init__(self, provider: _Own) -> None:
        super().__init__(provider)
        self._own = provider

    def _fresh(self, operation: Operation, body: Json, media: MediaType | None) -> Json:
        if not isinstance(body, dict):
            return body
        names = {one.name.strip("/") for one in operation.expressions if one.source == "body"}
        names |= {operation.meaning.key_field or ""}
        taken = [name for name in sorted(names) if (operation.id, name, body.get(name)) in self._own.taken]
        if not taken:
            return body
        for changed in self._numbered(operation, body, taken):
            if media is None or media.validator is None or not media.validator.errors(changed):
                return changed
        return super()._fresh(operation, body, media)

    def _numbered(self, operation: Operation, body: dict[str, Json], names: list[str]) -> Iterator[dict[str, Json]]:
        """The body with the next free number in its business key: after 2025-4471 comes 2025-4472."""
        for name in names:
            value = str(body[name])
            while (operation.id, name, value) in self._own.taken and _LAST_NUMBER.search(value) and "@" not in value:
                value = _LAST_NUMBER.sub(lambda found: f"{int(found[1]) + 1:0{len(found[1])}}", value)
            if value != body[name]:
                yield {**body, name: value}


class SystemHandle:
    """One system of a test's world: `sandbox.shop.place_order(paid=True)`, `sandbox.shop.orders.count()`.

    An operation is called with the body of the spec's example; keyword arguments are its parameters, in snake case, and
    fields of that body. A single positional argument is the whole body instead.
    """

    def __init__(self, spec: Spec, url: str, access: Sequence[Credential], remote: RemoteWorld) -> None:
        self._spec, self._remote = spec, remote
        self._own = _Own(spec, url, access, remote)
        self._desk = _Desk(self._own)

    @property
    def url(self) -> str:
        """Where it is."""
        return self._own.url

    def __repr__(self) -> str:
        return f"<{self._spec.name} at {self.url}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._spec.operations, *self._spec.collections]

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._spec.operations:
            return self.operation(name)
        if name in self._spec.collections:
            return self.collection(name)
        known = [*self._spec.operations, *self._spec.collections]
        raise AttributeError(
            f"{self._spec.name} has neither an operation nor a collection {name!r}; {nearest(name, known)}"
        )

    def collection(self, name: str) -> Records:
        """A collection by its name, also where an operation has the same."""
        return Records(f"{self._spec.name}.{name}", lambda: self._remote.state(self._spec.name).get(name, []))

    def operation(self, name: str) -> Callable[..., Any]:
        """An operation by its operationId."""
        operation = self._spec.operations[name]

        def call(body: Any = None, /, **values: Any) -> Any:
            __tracebackhide__ = True
            return self._call(operation, body, values)

        call.__name__, call.__qualname__ = name, f"{self._spec.name}.{name}"
        return call

    def close(self) -> None:
        self._own.close()

    def _call(self, operation: Operation, body: Any, values: dict[str, Any]) -> Any:
        __tracebackhide__ = True
        parameters = {one.python_name: one for one in operation.parameters if one.python_name in values}
        given = {one.name: values[name] for name, one in parameters.items() if one.location != "header"}
        headers = {one.name.lower(): str(values[name]) for name, one in parameters.items() if one.location == "header"}
        if operation.requires_if_match and "if-match" not in headers:
            headers |= self._version(operation, given)
        try:
            request = self._desk.request_with(operation, {**given, **_named(operation.parameters, headers)})
        except Impossible as reason:
            raise SandboxError(
                f"{self._spec.name}.{operation.id} cannot be called: {reason}; name its parameters as arguments"
            ) from None
        if _KEY in headers:
            request = request.with_headers(idempotency_key=headers[_KEY])
        fields = {name: value for name, value in values.items() if name not in parameters}
        answer = self._own.send(replace(request, body=_overridden(operation, request, body, fields)))
        document = answer.json() if "json" in answer.content_type else answer.body or None
        if not 200 <= answer.status < 300:
            shown = answer.body[:_MOST_SHOWN].decode("utf-8", "replace")
            detail = document.get("detail", shown) if isinstance(document, dict) else shown
            raise Refused(
                f"{self._spec.name}.{operation.id} was refused: {answer.status} {detail}", answer.status, document
            )
        return document

    def _version(self, operation: Operation, given: Mapping[str, Any]) -> dict[str, str]:
        """The ETag of what is about to be changed, from the read whose path is the longest beginning of this one."""
        reads = [one for one in self._spec.operations.values() if one.method == "GET" and "{" in one.path]
        reads = [one for one in reads if f"{operation.path}/".startswith(f"{one.path}/")]
        for read in sorted(reads, key=lambda one: len(one.path), reverse=True):
            if all(one.name in given for one in read.parameters if one.location == "path"):
                etag = self._own.send(self._desk.request_with(read, given)).header("etag")
                return {} if etag is None else {"if-match": etag}
        return {}


def _named(parameters: tuple[Parameter, ...], headers: Mapping[str, str]) -> dict[str, str]:
    return {one.name: headers[one.name.lower()] for one in parameters if one.name.lower() in headers}


def _overridden(operation: Operation, request: Request, body: Any, fields: Mapping[str, Any]) -> Any:
    """The request's body with other fields."""
    chosen = request.body if body is None else body
    if not fields:
        return chosen
    __tracebackhide__ = True
    name = next(iter(fields))
    if operation.body is None:
        known = [one.python_name for one in operation.parameters]
        hint = f"; {nearest(name, known)}" if known else ""
        raise SandboxError(f"{operation.system}.{operation.id} takes no body, so no {name!r}{hint}")
    if not isinstance(chosen, dict):
        raise SandboxError(f"the body of {operation.system}.{operation.id} is no object, so it has no field {name!r}")
    return {**chosen, **fields}
