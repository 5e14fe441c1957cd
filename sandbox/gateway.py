"""The one way in: which world, which system; everything else is theirs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

from sandbox.app import EXCHANGE, Application, Scope, send_answer
from sandbox.connection import CONNECTION
from sandbox.control_access import ControlAccess
from sandbox.credentials import Credential
from sandbox.engine import TOKEN_LIFETIME, Beginning, Engine
from sandbox.errors import SpecError
from sandbox.exchange import Exchange
from sandbox.faults.base import Outcome
from sandbox.front import Front
from sandbox.guard import Guard
from sandbox.model import DEFAULT_WORLD, JSON, Answer, Problem, dump
from sandbox.project import Project
from sandbox.request import read
from sandbox.slot import Receive, SendMessage, note_unrouted, pass_through
from sandbox.spec import Operation
from sandbox.wire import emit
from sandbox.world import Worlds

CONTROL: Final = "_sandbox"


@dataclass(frozen=True, slots=True)
class Service:
    """One system, ready to be called in any world."""

    engine: Engine
    guard: Guard
    app: Application


def services(
    project: Project,
    access: list[Credential],
    beginning: Beginning | None = None,
    token_lifetime: float = TOKEN_LIFETIME,
) -> dict[str, Service]:
    """All systems of a project.

    Args:
        beginning: What each world begins with, besides what the mocks say.
        token_lifetime: Seconds for which an access token is valid.

    Raises:
        SpecError: when a document cannot be served.
        ProjectError: when a mock does not fit its spec.
    """
    found = {}
    for name, spec in project.specs.items():
        guard = Guard(spec, access)
        engine = Engine(spec, project.mocks[name], guard, token_lifetime, beginning)

        def respond(exchange: Exchange, operation: Operation, guard: Guard = guard, engine: Engine = engine) -> Answer:
            guard.check(exchange, operation)
            try:
                read(exchange, operation)
            except SpecError as error:
                raise Problem(501, error.message, type="defective-operation") from None
            return engine.perform(exchange, operation)

        found[name] = Service(engine, guard, Application(spec, respond, pass_through, _tell, note_unrouted))
    return found


async def _tell(outcome: Outcome, scope: Scope, receive: Receive, send: SendMessage) -> None:
    """Let the caller see an outcome, in the names that it knows."""
    exchange: Exchange = scope["extensions"][EXCHANGE]
    if exchange.front is not None and outcome.answer is not None:
        outcome = replace(outcome, answer=exchange.front.answer(exchange, outcome.answer))
    await emit(outcome, scope, receive, send)


class Gateway:
    """The ASGI application that a server runs.

    `/shop/…` is the system `shop` in the world `default`, `/w/NAME/shop/…` in any other; `/_sandbox/…` is control.

    Args:
        access: Who may use control; None is everybody.

    Attributes:
        fronts: By the name of a world, what stands in its place for a program that lives through many runs.
    """

    def __init__(
        self, worlds: Worlds, systems: dict[str, Service], control: Any, access: ControlAccess | None = None
    ) -> None:
        self.worlds = worlds
        self._access = access
        self.systems = systems
        self.control = control
        self.fronts: dict[str, Front] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: SendMessage) -> None:
        path: str = scope["path"]
        first, _, rest = path[1:].partition("/")
        try:
            if first == CONTROL:
                if self._access is not None:
                    self._access.check(scope)
                await self.control(scope, receive, send)
                return
            world_name, root = DEFAULT_WORLD, f"/{first}"
            if first == "w":
                world_name, _, rest = rest.partition("/")
                first, _, rest = rest.partition("/")
                root = f"/w/{world_name}/{first}"
            front = self.fronts.get(world_name)
            service = self.systems.get(first)
            if service is None:
                if front is not None:
                    front.stray(scope["method"], path)
                await send_answer(self._index(path), scope, send)
                return
            scope = dict(scope)
            scope["root_path"] = root
            exchange = Exchange(
                world=self.worlds.get(world_name) if front is None else front.world,
                spec=service.engine.spec,
                indexed=service.engine.indexed,
                root=root,
                method=scope["method"],
                path=f"/{rest}",
                query=scope["query_string"].decode("latin-1"),
                headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
                connection=scope.get("extensions", {}).get(CONNECTION),
            )
            if front is not None:
                front.enter(exchange)
            scope["extensions"] = {**scope.get("extensions", {}), EXCHANGE: exchange}
            await service.app(scope, receive, send)
        except Problem as problem:
            await send_answer(problem.answer(path), scope, send)

    def _index(self, path: str) -> Answer:
        if path != "/":
            known = ", ".join(f"/{name}" for name in self.systems)
            return Problem(404, f"nothing is mounted at {path[:200]}; there are {known}", type="not-found").answer(path)
        links = {name: {"url": f"/{name}", "ui": f"/{name}/ui/"} for name in self.systems}
        return Answer(200, (("content-type", JSON),), dump({"systems": links, "control": f"/{CONTROL}"}))
