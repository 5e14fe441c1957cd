"""Carries out a call: idempotency, the mock's method, its effect and its answer, all in one transaction."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import quote

import orjson

from sandbox import idempotency
from sandbox.authorization import authorize
from sandbox.errors import ProjectError, SpecError
from sandbox.exchange import Exchange
from sandbox.field_error import SEVERAL
from sandbox.guard import Guard
from sandbox.journal import effect_row
from sandbox.model import PROBLEM, Answer, Event, Problem, Reply
from sandbox.outbox import SUBSCRIPTIONS, Task
from sandbox.payloads import Payload, payload_of, shape_event
from sandbox.preconditions import check_if_match, entity_tag
from sandbox.refusal import has_shape, refuse
from sandbox.request import invalid
from sandbox.spec import FieldError, Operation, Spec
from sandbox.store import NotARead, Transaction
from sandbox.stored import Made, Query
from sandbox.system import System
from sandbox.tokens import grants
from sandbox.world import World, envelope

log = logging.getLogger("sandbox")


class Beginning(Protocol):
    """What a world begins with, besides what its mocks say."""

    def put(self, system: System) -> None:
        """Put it into a world, as far as it is a system's."""


TOKEN_LIFETIME: Final = 3600.0


@dataclass(frozen=True, slots=True)
class Method:
    """A mock's method and the names of what it wants."""

    name: str
    wants: tuple[str, ...]


class InvalidAnswer(Exception):
    """The mock was about to answer what its own spec does not allow."""


class Engine:
    """Carries out the calls of one system.

    Args:
        mock: The class of `mocks/NAME.py`, or `System` itself where there is none.
        beginning: What each world begins with, besides what the mock says.

    Raises:
        ProjectError: for a method without an operation, or an operation that nothing gives a meaning.
    """

    def __init__(
        self,
        spec: Spec,
        mock: type[System],
        guard: Guard,
        token_lifetime: float = TOKEN_LIFETIME,
        beginning: Beginning | None = None,
    ) -> None:
        self.spec = spec
        self.mock = mock
        self.guard = guard
        self.token_lifetime = token_lifetime
        self.indexed = indexed_fields(spec)
        self._methods = _methods(spec, mock)
        self._readings = frozenset(o.id for o in spec.operations.values() if o.id not in self._methods and _reads(o))
        self._payloads: dict[str, Payload] = {}
        self._recorded = beginning
        # What the last fresh world was filled with: on a virtual clock the next one begins at the same moment.
        self._beginning: tuple[tuple[int, float], Made] | None = None

    def perform(self, exchange: Exchange, operation: Operation) -> Answer:
        """Do what the call asks for and commit it; a refusal is an answer too."""
        claim = None
        try:
            quota = self._count(exchange, operation)
            claim = self._claim(exchange, operation)
            if claim is not None:
                exchange.world.locks.acquire(claim)
        except Problem as problem:
            return refuse(problem, exchange, operation)
        try:
            answer = self._perform_once(exchange, operation, claim)
        finally:
            if claim is not None:
                exchange.world.locks.release(claim)
        return answer.with_headers(*quota) if quota else answer

    def _count(self, exchange: Exchange, operation: Operation) -> tuple[tuple[str, str], ...]:
        limit = operation.rate_limit
        if limit is None or not exchange.world.rate_limits:
            return ()
        scope = operation.id if limit != self.spec.rate_limit else self.spec.name
        now = exchange.world.clock.now()
        quota = exchange.world.limiter.take(exchange.principal, scope, limit.requests, limit.per, now)
        if quota.remaining < 0:
            raise quota.problem()
        return quota.headers()

    def _claim(self, exchange: Exchange, operation: Operation) -> idempotency.Claim | None:
        if operation.idempotency == "none":
            return None
        raw = exchange.header("idempotency-key")
        if raw is None:
            if operation.idempotency == "required":
                raise idempotency.missing()
            return None
        return idempotency.claim(
            exchange.principal, self.spec.name, operation.id, raw, exchange.method, exchange.path, exchange.body
        )

    def _perform_once(self, exchange: Exchange, operation: Operation, claim: idempotency.Claim | None) -> Answer:
        world = exchange.world
        transaction = exchange.transaction()
        try:
            self.populate(exchange)
            if claim is not None:
                stored = idempotency.recall(transaction, claim, world.clock.now())
                if stored is not None:
                    transaction.rollback()
                    exchange.replayed = True
                    return stored
            answer, happened, tasks = self._run(exchange, operation, transaction)
            if claim is not None and idempotency.storable(answer.status):
                idempotency.keep(transaction, claim, answer, world.clock.now())
            exchange.changes, exchange.events = tuple(transaction.changes), tuple(event.id for event in happened)
            if exchange.changes or exchange.events:
                own = f"{self.spec.name}."
                changes = [
                    c.to_json() | {"collection": c.collection.removeprefix(own), "id": world.redactor.text(c.id)}
                    for c in exchange.changes
                ]
                row = effect_row(exchange.seq, exchange.request_entry, changes, list(exchange.events))
                transaction.journal(exchange.seq, row)
            transaction.commit()
        except Problem as problem:
            transaction.rollback()
            answer = refuse(problem, exchange, operation)
            if claim is not None and idempotency.storable(problem.status) and problem.type not in _NOT_THE_METHODS:
                idempotency.keep(transaction, claim, answer, world.clock.now())
                transaction.commit()
            return answer
        except (InvalidAnswer, SpecError) as error:
            transaction.rollback()
            exchange.error = str(error)
            log.error("%s.%s: %s", self.spec.name, operation.id, error)
            # A schema that cannot be compiled is found out when it is first needed.
            status, kind = (501, "defective-operation") if isinstance(error, SpecError) else (500, "invalid-answer")
            return refuse(Problem(status, str(error), type=kind), exchange, operation)
        except NotARead:
            raise
        except Exception as error:
            # A mistake in a user's mock must answer 500 and change nothing, whatever it is.
            transaction.rollback()
            exchange.error = f"{type(error).__name__}: {error}"
            log.exception("%s.%s failed", self.spec.name, operation.id)
            failed = Problem(500, f"the mock failed: {exchange.error}", type="mock-failed")
            return refuse(failed, exchange, operation)
        exchange.committed = True
        if exchange.effective:
            world.changed_at = world.clock.now()
        if transaction.before:
            world.past.note(self.spec.name, exchange.label, transaction.before)
        world.committed(happened, tasks)
        return answer

    def _run(
        self, exchange: Exchange, operation: Operation, transaction: Transaction
    ) -> tuple[Answer, list[Event], list[Task]]:
        system = self.mock(exchange, transaction)
        addressed = self._addressed(exchange, operation, system)
        shows = addressed is not None and operation.id in self._readings
        if shows and operation.id in addressed.answers:
            return addressed.answers[operation.id], [], []
        stale = check_if_match(exchange, operation, None if addressed is None else addressed.version)
        result = self._result(exchange, operation, system)
        if stale is not None and transaction.changes:
            # The requested state is not the present one: the caller would overwrite what it has not seen.
            raise stale
        reply = result if isinstance(result, Reply) else Reply(result)
        answer = self._answer(exchange, operation, system, reply)
        if shows:
            addressed.answers[operation.id] = answer
        happened, tasks = self._events(exchange, operation, system, reply)
        return answer, happened, tasks

    def _result(self, exchange: Exchange, operation: Operation, system: System) -> Any:
        method = self._methods.get(operation.id)
        if method is not None:
            arguments = {name: exchange.parameters.get(name) for name in method.wants if name != "body"}
            if "body" in method.wants:
                arguments["body"] = exchange.body
            try:
                return getattr(system, method.name)(**arguments)
            except Problem as problem:
                self._check_refusal(operation, problem)
                raise
        if operation.meaning.action == "token":
            return self._issue_token(exchange, system)
        return system.inferred()

    def _issue_token(self, exchange: Exchange, system: System) -> Reply:
        form: Mapping[str, Any] = exchange.body if isinstance(exchange.body, dict) else {}
        if exchange.method == "GET":
            owner = self.guard.owner(exchange.query_parameters.get("client_id", ""))
            return authorize(
                exchange,
                lambda: exchange.world.issue_token(system.transaction, self.spec.name, owner, self.token_lifetime),
                self.token_lifetime,
            )
        known = grants(self.spec) or frozenset({"client_credentials"})
        grant = form.get("grant_type")
        if grant not in known:
            raise Problem(
                400,
                f"grant_type must be {' or '.join(sorted(known))}",
                type="unsupported-grant-type",
                error="unsupported_grant_type",
            )
        principal = self.guard.user(exchange) if grant == "password" else self.guard.client(exchange)
        if grant in ("authorization_code", "refresh_token") and not form.get(_SHOWN[str(grant)]):
            what = f"{_SHOWN[str(grant)]} is missing"
            raise Problem(400, what, type="invalid-request", error="invalid_request")
        token = exchange.world.issue_token(system.transaction, self.spec.name, principal, self.token_lifetime)
        body = {"access_token": token, "token_type": "Bearer", "expires_in": int(self.token_lifetime)}
        if "refresh_token" in known:
            body["refresh_token"] = f"refresh-{token}"
        return Reply(body, headers={"Cache-Control": "no-store"})

    def _addressed(self, exchange: Exchange, operation: Operation, system: System) -> Any:
        meaning = operation.meaning
        if meaning.collection is None or meaning.id_parameter is None:
            return None
        return system.collection(meaning.collection).record(exchange.path_parameters.get(meaning.id_parameter, ""))

    def _check_refusal(self, operation: Operation, problem: Problem) -> None:
        """A refusal is an answer like any other: the spec must know it.

        Raises:
            InvalidAnswer: when it does not.
        """
        declared = operation.response_for(problem.status)
        if declared is None:
            raise InvalidAnswer(
                f"the spec of {operation.id} declares no answer {problem.status}: {problem.detail}"
            ) from problem
        media = declared.media(PROBLEM)
        if media is None and has_shape(declared.preferred, self.spec.document):
            # It is given in the shape that the spec has for it.
            return
        if declared.content and media is None:
            raise InvalidAnswer(
                f"{operation.id} answers {problem.status} as {PROBLEM}, its spec as {', '.join(declared.content)}"
            ) from problem
        if media is not None and media.validator is not None:
            errors = media.validator.errors(problem.document())
            if errors:
                raise InvalidAnswer(
                    f"{operation.id} answers {problem.status} with {errors[0].pointer or 'a body'}: {errors[0].detail}"
                ) from problem

    def _answer(self, exchange: Exchange, operation: Operation, system: System, reply: Reply) -> Answer:
        status = reply.status or (
            204 if reply.body is None and "204" in operation.responses else operation.success_status
        )
        declared = operation.response_for(status)
        if declared is None:
            raise InvalidAnswer(f"the spec of {operation.id} declares no answer {status}")
        if isinstance(reply.body, bytes):
            content_type, body = reply.content_type, reply.body
        elif reply.body is None:
            content_type, body = "", b""
        else:
            content_type, body = reply.content_type if status < 400 else PROBLEM, orjson.dumps(reply.body)
        media = declared.media(content_type) if declared.content else None
        if declared.content and media is None:
            raise InvalidAnswer(
                f"{operation.id} answers {content_type or 'no body'}, its spec {', '.join(declared.content)}"
            )
        if media is not None and media.validator is not None and not isinstance(reply.body, bytes):
            errors = media.validator.errors_of(body, reply.body)
            if operation.id not in self._methods:
                # Alternatives that nothing tells apart: no answer that means anything could keep to just one.
                errors = [error for error in errors if error.detail != SEVERAL]
            if errors:
                first = errors[0]
                if operation.id not in self._methods and _was_sent(exchange, first):
                    raise invalid(errors, "this would make a record that the specification does not allow")
                raise InvalidAnswer(f"{operation.id} answers {status} with {first.pointer or 'a body'}: {first.detail}")
        headers = [("content-type", content_type)] if content_type else []
        headers += reply.headers.items()
        headers += self._headers(exchange, operation, system, declared.headers)
        return Answer(status, tuple(headers), body)

    def _headers(
        self, exchange: Exchange, operation: Operation, system: System, declared: frozenset[str]
    ) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        if not declared & {"etag", "location"}:
            return found
        meaning = operation.meaning
        if meaning.collection is None:
            return found
        stored_as = f"{self.spec.name}.{meaning.collection}"
        created = next(
            (c.id for c in system.transaction.changes if c.action == "create" and c.collection == stored_as), None
        )
        id_ = created or (exchange.path_parameters[meaning.id_parameter] if meaning.id_parameter else None)
        record = system.collection(meaning.collection).record(id_) if id_ is not None else None
        if record is not None and "etag" in declared:
            found.append(("ETag", entity_tag(record.version)))
        if created is not None and "location" in declared:
            found.append(("Location", quote(f"{exchange.root}{exchange.path.rstrip('/')}/{created}")))
        return found

    def _events(
        self, exchange: Exchange, operation: Operation, system: System, reply: Reply
    ) -> tuple[list[Event], list[Task]]:
        for type_ in operation.events:
            if not any(emission.type == type_ for emission in system.emitted) and system.transaction.changes:
                system.emit(type_, reply.body)
        if not system.emitted:
            return [], []
        world, happened, tasks = exchange.world, [], []
        subscriptions = system.transaction.query(
            f"{self.spec.name}.{SUBSCRIPTIONS}", Query({"status": "active"}), frozenset()
        )
        ahead: dict[tuple[str, str], int] = {}
        for emission in system.emitted:
            point = (emission.type, emission.key)
            event = world.event(self.spec.name, emission.type, emission.key, emission.data, ahead.get(point, 0))
            ahead[point] = ahead.get(point, 0) + 1
            event = self._shaped(event, emission.data, operation, world)
            subscribers = [r.id for r in subscriptions if emission.type in r.body.get("events", ())]
            happened.append(event)
            tasks += world.record_event(system.transaction, event, subscribers)
        return happened, tasks

    def _shaped(self, event: Event, data: bytes, operation: Operation, world: World) -> Event:
        """The event with a payload that the spec allows.

        Raises:
            InvalidAnswer: when it cannot be made so.
        """
        payload = self._payload(event.type)
        inferred = event.type in operation.meaning.events
        if payload.apart is not None and (payload.usual or not inferred):
            shell, part = payload.apart
            # The answer has often said the same.
            if not part.errors_of(data) and shell.is_valid(envelope(event.type, event.at) | {"data": None}):
                return event
        errors = payload.validator.errors_of(event.body)
        if inferred and (errors or not payload.usual):
            event = shape_event(self.spec, event, world.faker("event", event.id))
            errors = payload.validator.errors_of(event.body)
        if errors:
            raise InvalidAnswer(f"the event {event.type} has {errors[0].pointer or 'a payload'}: {errors[0].detail}")
        return event

    def _payload(self, type_: str) -> Payload:
        found = self._payloads.get(type_)
        if found is None:
            if type_ not in self.spec.events:
                raise InvalidAnswer(f"the spec declares no callback {type_}")
            found = self._payloads[type_] = payload_of(self.spec, type_)
        return found

    def begin(self, world: World) -> None:
        """Fill a fresh world before anybody calls."""
        self.populate(Exchange(world, self.spec, self.indexed, f"/{self.spec.name}", "", "", "", ()))

    def populate(self, exchange: Exchange) -> None:
        """Fill a fresh world with what the mock says it begins with."""
        world = exchange.world
        if self.spec.name in world.populated:
            return
        transaction = world.transaction()
        address, exchange.address = exchange.address, None
        moment = (world.seed, world.clock.now())
        try:
            if self._beginning is not None and self._beginning[0] == moment:
                transaction.make(self._beginning[1])
            else:
                system = self.mock(exchange, transaction)
                system.populate()
                if self._recorded is not None:
                    self._recorded.put(system)
                self._beginning = (moment, transaction.made())
            transaction.commit()
        except Exception:
            transaction.rollback()
            raise
        finally:
            exchange.address = address
        world.populated.add(self.spec.name)


_SHOWN: Final = {"authorization_code": "code", "refresh_token": "refresh_token"}


# Refusals of the engine itself, given before or beside the mock's method: they are no answers of the method.
_NOT_THE_METHODS: Final = frozenset(
    {
        "idempotency-key-reused",
        "idempotency-key-in-progress",
        "precondition-failed",
        "precondition-required",
        "validation",
    }
)


def _reads(operation: Operation) -> bool:
    """Whether the answer depends on nothing but the record that the path addresses."""
    meaning = operation.meaning
    told = {parameter.location for parameter in operation.parameters}
    return meaning.action == "read" and meaning.parent is None and told <= {"path"} and not operation.events


def _was_sent(exchange: Exchange, error: FieldError) -> bool:
    """Whether the field at fault came with the request, in a body that the spec leaves open."""
    field = error.pointer.removeprefix("/").partition("/")[0].replace("~1", "/").replace("~0", "~")
    return isinstance(exchange.body, dict) and field in exchange.body


def indexed_fields(spec: Spec) -> dict[str, frozenset[str]]:
    """By collection, the fields that its list filters by, which the store then looks up instead of scanning."""
    found: dict[str, set[str]] = {SUBSCRIPTIONS: {"status"}}
    for name, collection in spec.collections.items():
        found.setdefault(name, set()).update({collection.key_field or ""} & set(collection.fields))
    for operation in spec.operations.values():
        listed = spec.collections.get(operation.meaning.collection or "")
        if operation.meaning.action == "list" and listed is not None:
            names = {p.name for p in operation.parameters if p.location in ("query", "path")}
            found.setdefault(listed.name, set()).update(names & set(listed.fields))
    return {name: frozenset(fields) for name, fields in found.items()}


def _methods(spec: Spec, mock: type[System]) -> dict[str, Method]:
    own = {
        name: value
        for klass in reversed(mock.__mro__)
        if klass is not System and issubclass(klass, System)
        for name, value in vars(klass).items()
        if not name.startswith("_") and inspect.isfunction(value) and name != "populate"
    }
    found = {}
    for name, function in own.items():
        where = f"{inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}"
        operation = spec.operations.get(name)
        if operation is None:
            raise ProjectError(
                f"{where}: {mock.__name__}.{name} has no operation {name} in {spec.path.name}",
                "name it after an operationId, or begin its name with _ if it is a helper",
            )
        if inspect.iscoroutinefunction(function):
            raise ProjectError(f"{where}: {mock.__name__}.{name} is a coroutine", "write it without async")
        wants = tuple(list(inspect.signature(function).parameters)[1:])
        offered = {p.python_name for p in operation.parameters} | {"body"}
        for argument in wants:
            if argument not in offered:
                raise ProjectError(
                    f"{where}: {mock.__name__}.{name} asks for {argument!r}, which the operation does not have",
                    f"it can have {', '.join(sorted(offered))}",
                )
        found[name] = Method(name, wants)
    if mock is not System:
        for operation in spec.operations.values():
            if operation.id not in found and operation.meaning.action == "none":
                raise ProjectError(
                    f"{spec.path.name}: {operation.id} ({operation.method} {operation.path}) has no method in "
                    f"{mock.__name__} and no inferred meaning",
                    f"add a method {operation.id} to mocks/{spec.name}.py",
                )
    return found
