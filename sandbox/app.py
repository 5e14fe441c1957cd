"""Connexion, and nothing else that names it: one `AsyncApp` per specification.

Connexion holds the stack of middlewares, hands each call to its operation and serves Swagger UI. What it would do anew
on each request (asking three routers one after the other, validators, parameter wrappers) is done once or by a table
instead: by a routing middleware of our own, the fault slot behind it, and an operation class of our own at the end of
its stack. All of them are its public extension points. Of the document it gets the bare bones, so that one of OpenAPI
3.1, which it cannot read, is served as any other, and one of a thousand operations as fast as one of ten.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from sandbox.call import Proceed
from sandbox.defect import Defect
from sandbox.exchange import Exchange
from sandbox.faults import Outcome, Send
from sandbox.model import Answer, Problem
from sandbox.refusal import refuse
from sandbox.slot import Message, Receive, SendMessage, read_body
from sandbox.spec import Operation, Spec
from sandbox.tokens import token_operations

with warnings.catch_warnings():
    # Connexion also imports Starlette's test client, which warns of what it will need one day.
    warnings.simplefilter("ignore")
    from connexion.apps.abstract import AbstractApp
    from connexion.apps.asynchronous import AsyncApi, AsyncApp, AsyncASGIApp
    from connexion.middleware.abstract import ROUTING_CONTEXT, SpecMiddleware
    from connexion.middleware.swagger_ui import SwaggerUIAPI, SwaggerUIMiddleware
    from connexion.options import SwaggerUIOptions
    from starlette.exceptions import HTTPException

Scope = dict[str, Any]
Respond = Callable[[Exchange, Operation], Answer | Awaitable[Answer]]
Around = Callable[[Exchange, Operation, Proceed], Awaitable[Any]]

EXCHANGE = "sandbox.exchange"
_UI = frozenset({"/ui", "/openapi.json", "/openapi.yaml"})

# Connexion announces each route and each refused request; what matters of both is in the journal.
logging.getLogger("connexion").setLevel(logging.CRITICAL)


class Emit(Protocol):
    """Puts an outcome on the wire, as the transport can."""

    def __call__(self, outcome: Any, scope: Scope, receive: Receive, send: SendMessage) -> Awaitable[None]: ...


def answer_start(answer: Answer) -> Message:
    """The message that begins an answer: its status, its headers, the length of its whole body."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in answer.headers]
    if answer.status != 204:
        headers.append((b"content-length", str(len(answer.body)).encode()))
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def send_answer(answer: Answer, scope: Scope, send: SendMessage) -> None:
    """Send a complete answer."""
    await send(answer_start(answer))
    bare = scope["method"] == "HEAD" or answer.status in (204, 304)
    await send({"type": "http.response.body", "body": b"" if bare else answer.body})


class _SwaggerUI(SwaggerUIMiddleware):  # type: ignore[misc]  # Connexion is untyped
    """Swagger UI, which sees nothing but the requests for it, and shows the document that is served."""

    def __init__(self, app: Any, *, spec: Spec) -> None:
        super().__init__(app)
        self._spec = spec

    def add_api(self, specification: Any, base_path: str | None = None, **options: Any) -> None:
        spec = self._spec

        class Shown(SwaggerUIAPI):  # type: ignore[misc]  # Connexion is untyped
            def _spec_for_prefix(self, request: Any) -> dict[str, Any]:
                return spec.published(self._base_path_for_prefix(request))

        api = Shown(specification, base_path=base_path, default=self.default_fn, **options)
        self.router.mount(api.base_path, app=api.router)

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        exchange: Exchange = scope["extensions"][EXCHANGE]
        await (self.app if exchange.operation is not None else super().__call__)(scope, receive, send)


class _Routing(SpecMiddleware):  # type: ignore[misc]  # Connexion is untyped
    """Tells Connexion what the table of paths has found."""

    def __init__(self, app: Any) -> None:
        self.app = app

    def add_api(self, specification: Any, **_: Any) -> None:
        """Nothing: the table is made from the same document."""

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        operation = scope["extensions"][EXCHANGE].operation
        scope["extensions"][ROUTING_CONTEXT] = {
            "api_base_path": "",
            "operation_id": None if operation is None else operation.id,
        }
        await self.app(scope, receive, send)


class _Slot:
    """Between routing and the operation: reads the body and lets `around` decide what becomes of the call."""

    def __init__(self, app: Any, *, around: Around, emit: Emit) -> None:
        self.app = app
        self._around = around
        self._emit = emit

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        exchange: Exchange = scope["extensions"][EXCHANGE]
        operation = exchange.operation
        if operation is None:
            await send_answer(not_found(exchange).answer(exchange.path), scope, send)
            return
        refusal: Problem | None = None
        try:
            exchange.raw = await read_body(receive, exchange.header("content-length"), exchange.world.limits.body)
        except Problem as problem:
            refusal = problem
        if exchange.front is not None:
            exchange.front.read(exchange)

        async def proceed(again: Exchange | None = None) -> Answer:
            if refusal is not None:
                return refuse(refusal, exchange, operation)
            captured = _Capture()
            arrival = scope if again is None else {**scope, "extensions": {**scope["extensions"], EXCHANGE: again}}
            await self.app(arrival, receive, captured)
            return captured.answer

        outcome = await self._around(exchange, operation, proceed)
        await self._emit(outcome, scope, receive, send)


class _Capture:
    """A `send` that keeps the answer."""

    answer = Answer(500)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "sandbox.answer":
            self.answer = message["answer"]


class _Operation:
    """One operation at the end of Connexion's stack, compiled once."""

    def __init__(self, operation: Operation, respond: Respond) -> None:
        self._operation = operation
        self._respond = respond

    async def __call__(self, scope: Scope, _receive: Receive, send: SendMessage) -> None:
        exchange: Exchange = scope["extensions"][EXCHANGE]
        try:
            answer = self._respond(exchange, self._operation)
            if not isinstance(answer, Answer):
                answer = await answer
        except Problem as problem:
            answer = refuse(problem, exchange, self._operation)
        await send({"type": "sandbox.answer", "answer": answer})


def _api_class(spec: Spec, respond: Respond) -> type[AsyncApi]:
    class Api(AsyncApi):  # type: ignore[misc]  # Connexion is untyped
        def add_paths(self) -> None:
            self.operations = {name: _Operation(operation, respond) for name, operation in spec.operations.items()}

    return Api


class Application:
    """The ASGI application of one specification.

    Args:
        respond: Gives the answer to a call once it has been routed; may raise `Problem`.
        around: Decides what becomes of each call; it may call `respond` through `proceed` as often as it likes.
        emit: Puts the outcome on the wire.
        unrouted: Sees the answer to a request that is no operation's.
    """

    def __init__(
        self,
        spec: Spec,
        respond: Respond,
        around: Around,
        emit: Emit,
        unrouted: Callable[[Exchange, Answer], Answer] = lambda _, answer: answer,
    ) -> None:
        self._spec = spec
        self._unrouted, self._emit = unrouted, emit
        self._app = _App(
            spec, respond, [partial(_SwaggerUI, spec=spec), _Routing, partial(_Slot, around=around, emit=emit)]
        )
        # What the spec names without having it is no route of Connexion's.
        self._beside = {
            key: (operation, _Slot(_Operation(operation, respond), around=around, emit=emit))
            for key, operation in token_operations(spec).items()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        exchange: Exchange = scope["extensions"][EXCHANGE]
        path = exchange.path
        if scope["method"] in ("GET", "HEAD") and self._is_ui(path):
            try:
                await self._app(scope, receive, send)
            except HTTPException:
                await send_answer(not_found(exchange).answer(path), scope, send)
            return
        beside = self._beside.get((scope["method"], path)) if self._beside else None
        if beside is not None:
            exchange.operation = beside[0]
            await beside[1](scope, receive, send)
            return
        found = self._spec.route(scope["method"], path)
        if found.target is None:
            problem = self._refusal(exchange, found.allowed)
            await self._emit(Send(self._unrouted(exchange, problem.answer(path))), scope, receive, send)
            return
        exchange.operation, exchange.path_parameters = found.target, found.values
        await self._app(scope, receive, send)

    def _is_ui(self, path: str) -> bool:
        """Whether a path is Swagger UI's; what the system itself has there comes first."""
        return (path in _UI or path.startswith("/ui/")) and path not in self._spec.document["paths"]

    def _refusal(self, exchange: Exchange, allowed: tuple[str, ...]) -> Problem:
        defect = self._spec.defect(exchange.method, exchange.path)
        if defect is not None:
            return defective(self._spec, defect)
        return not_allowed(exchange, allowed) if allowed else not_found(exchange)


class _App(AsyncApp):  # type: ignore[misc]  # Connexion is untyped
    def __init__(self, spec: Spec, respond: Respond, middlewares: list[Any]) -> None:
        self._middleware_app = AsyncASGIApp()
        self._middleware_app.api_cls = _api_class(spec, respond)
        AbstractApp.__init__(
            self,
            __name__,
            middlewares=middlewares,
            swagger_ui_options=SwaggerUIOptions(swagger_ui_path="/ui"),
        )
        bones = {"openapi": "3.0.3", "info": {"title": spec.title, "version": spec.version}, "paths": {}}
        self.add_api(bones, base_path="", name=spec.name)


def not_found(exchange: Exchange) -> Problem:
    return Problem(404, f"{exchange.spec.title} has nothing at {exchange.path[:200]}", type="not-found")


def defective(spec: Spec, defect: Defect) -> Problem:
    """501 that names the flaw of the specification which leaves an operation without a meaning."""
    file, line, pointer = spec.source.found(defect.pointer)
    where = f"{file}:{line}" if line else file
    return Problem(
        501,
        f"the specification does not say enough of this operation: {defect.what} ({where} {pointer})",
        type="defective-operation",
        errors=[{"pointer": pointer, "detail": defect.what}],
        hint=defect.hint or "mend the specification; sandbox specs check lists all that is wrong with it",
    )


def not_allowed(exchange: Exchange, allowed: tuple[str, ...]) -> Problem:
    """405 with `Allow` (RFC 9110)."""
    return Problem(
        405,
        f"{exchange.method[:20]} is not among the methods of {exchange.path[:200]}",
        type="method-not-allowed",
        headers={"Allow": ", ".join(allowed)},
    )


async def always(_exchange: Exchange, _operation: Operation, proceed: Proceed) -> Outcome:
    """An `around` that lets every call take its normal course."""
    return Send(await proceed())
