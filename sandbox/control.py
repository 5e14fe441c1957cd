"""The control API under `/_sandbox`: worlds, journal, state, faults, deliveries and clock, served like any system."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sandbox
from sandbox import journal
from sandbox.app import EXCHANGE, Application, Scope
from sandbox.clock import WorldClock
from sandbox.errors import PlanError
from sandbox.exchange import Exchange
from sandbox.faults import Outcome, Send, nearest, read_injection
from sandbox.model import DEFAULT_WORLD, JSON, Answer, Problem, dump
from sandbox.plan import CallPoint, Injection
from sandbox.request import read
from sandbox.slot import Proceed, Receive, SendMessage
from sandbox.spec import Operation, Spec
from sandbox.tables import deliveries, events
from sandbox.wire import emit
from sandbox.world import World, Worlds, rfc3339

ROOT: Final = "/_sandbox"
SPEC: Final = Path(__file__).with_name("control.yaml")


class Control:
    """One method per operation of `control.yaml`; each gets the request and returns status and body."""

    def __init__(self, worlds: Worlds, specs: Mapping[str, Spec]) -> None:
        self._worlds = worlds
        self._specs = specs

    def respond(self, exchange: Exchange, operation: Operation) -> Answer:
        read(exchange, operation)
        try:
            status, body = getattr(self, operation.id)(exchange)
        except PlanError as error:
            detail = error.message if error.hint is None else f"{error.message}; {error.hint}"
            raise Problem(400, detail, type="plan") from None
        if body is None:
            return Answer(status)
        return Answer(status, (("content-type", JSON),), dump(body))

    def world(self, exchange: Exchange) -> World:
        """The world that the path names.

        Raises:
            Problem: 404; the default world is there from the start, any other from its first use.
        """
        name = exchange.parameters["world"]
        world = self._worlds.find(name)
        if world is None and name == DEFAULT_WORLD:
            world = self._worlds.get(name)
        if world is None:
            raise Problem(404, f"there is no world {name}", type="not-found")
        return world

    def get_health(self, _exchange: Exchange) -> tuple[int, Any]:
        return 200, {"status": "ok", "version": sandbox.__version__}

    def list_worlds(self, _exchange: Exchange) -> tuple[int, Any]:
        return 200, {"worlds": [self._shown(self._worlds.get(name)) for name in self._worlds.names()]}

    def create_world(self, exchange: Exchange) -> tuple[int, Any]:
        name = exchange.body["name"]
        if self._worlds.find(name) is not None:
            raise Problem(409, f"there is a world {name} already", type="already-exists")
        return 201, self._shown(self._worlds.create(name, exchange.body.get("seed")))

    def get_world(self, exchange: Exchange) -> tuple[int, Any]:
        return 200, self._shown(self.world(exchange))

    def delete_world(self, exchange: Exchange) -> tuple[int, Any]:
        self._worlds.delete(self.world(exchange).name)
        return 204, None

    def reset_world(self, exchange: Exchange) -> tuple[int, Any]:
        return 200, self._shown(self._worlds.reset(self.world(exchange).name))

    def read_journal(self, exchange: Exchange) -> tuple[int, Any]:
        found = self.world(exchange).entries(wanted(exchange.parameters))
        limit = exchange.parameters["limit"]
        more = len(found) > limit
        return 200, {"entries": found[:limit], "next": found[limit - 1]["seq"] if more else None}

    def follow_journal(self, exchange: Exchange) -> tuple[int, Any]:
        self.world(exchange)
        return 200, None

    def read_state(self, exchange: Exchange) -> tuple[int, Any]:
        return 200, self.world(exchange).state(exchange.parameters.get("system"))

    def list_faults(self, exchange: Exchange) -> tuple[int, Any]:
        return 200, {"faults": [armed.to_json() for armed in self.world(exchange).faults.all()]}

    def put_plan(self, exchange: Exchange) -> tuple[int, Any]:
        world = self.world(exchange)
        injections = [self._injection(fault) for fault in exchange.body["faults"]]
        world.faults.clear()
        return 200, {"faults": [world.faults.add(injection).to_json() for injection in injections]}

    def add_fault(self, exchange: Exchange) -> tuple[int, Any]:
        return 201, self.world(exchange).faults.add(self._injection(exchange.body)).to_json()

    def remove_fault(self, exchange: Exchange) -> tuple[int, Any]:
        if not self.world(exchange).faults.remove(exchange.parameters["fault"]):
            raise Problem(404, f"no fault {exchange.parameters['fault']} is armed", type="not-found")
        return 204, None

    def clear_faults(self, exchange: Exchange) -> tuple[int, Any]:
        self.world(exchange).faults.clear()
        return 204, None

    def list_deliveries(self, exchange: Exchange) -> tuple[int, Any]:
        transaction = self.world(exchange).transaction()
        facts = {row.id: row for row in transaction.select(events)}
        return 200, {
            "deliveries": [
                {
                    "id": row.id,
                    "event_id": row.event,
                    "event": facts[row.event].type,
                    "key": facts[row.event].key,
                    "occurrence": facts[row.event].occurrence,
                    "subscriber": row.subscriber,
                    "attempt": row.attempt,
                    "due": row.due,
                    "state": row.state,
                }
                for row in transaction.select(deliveries)
            ]
        }

    def redeliver(self, exchange: Exchange) -> tuple[int, Any]:
        if not self.world(exchange).outbox.redeliver(exchange.parameters["delivery"]):
            raise Problem(404, f"there is no delivery {exchange.parameters['delivery']}", type="not-found")
        return 202, None

    def read_clock(self, exchange: Exchange) -> tuple[int, Any]:
        return 200, self._time(self.world(exchange))

    def advance_clock(self, exchange: Exchange) -> tuple[int, Any]:
        world = self.world(exchange)
        world.clock.advance(exchange.body["seconds"])
        return 200, self._time(world)

    def freeze_clock(self, exchange: Exchange) -> tuple[int, Any]:
        world = self.world(exchange)
        self._stoppable(world).freeze()
        return 200, self._time(world)

    def resume_clock(self, exchange: Exchange) -> tuple[int, Any]:
        world = self.world(exchange)
        self._stoppable(world).resume()
        return 200, self._time(world)

    def _injection(self, document: Any) -> Injection:
        injection = read_injection(document)
        check_address(injection, self._specs)
        return injection

    @staticmethod
    def _stoppable(world: World) -> WorldClock:
        if not isinstance(world.clock, WorldClock):
            raise Problem(409, "virtual time stands still by itself; advance it", type="virtual-clock")
        return world.clock

    @staticmethod
    def _time(world: World) -> dict[str, Any]:
        now = world.clock.now()
        frozen = not isinstance(world.clock, WorldClock) or world.clock.frozen
        return {"now": now, "time": rfc3339(now), "frozen": frozen}

    @staticmethod
    def _shown(world: World) -> dict[str, Any]:
        return {"name": world.name, "seed": world.seed, "now": world.clock.now(), "entries": world.length}


def check_address(injection: Injection, specs: Mapping[str, Spec]) -> None:
    """Refuse a fault at a point that no spec has.

    Raises:
        PlanError: with the nearest right name.
    """
    point = injection.on
    if isinstance(point, CallPoint):
        if point.system not in specs:
            raise PlanError(f"on: there is no system {point.system!r}", nearest(point.system, list(specs)))
        operations = specs[point.system].operations
        if point.operation not in operations:
            raise PlanError(
                f"on: {point.system} has no operation {point.operation!r}", nearest(point.operation, list(operations))
            )
        return
    known = {event for spec in specs.values() for event in spec.events}
    if point.event not in known:
        raise PlanError(f"on: no system has an event {point.event!r}", nearest(point.event, sorted(known)))


def wanted(parameters: Mapping[str, Any]) -> journal.Filter:
    """The filter that a request's parameters describe."""
    return journal.Filter(
        parameters.get("system"),
        parameters.get("operation"),
        parameters.get("key"),
        parameters.get("kind"),
        parameters.get("after", 0),
    )


@dataclass(frozen=True, slots=True)
class Follow:
    """An answer that goes on: the journal as server-sent events."""

    world: World
    wanted: journal.Filter

    async def emit(self, receive: Receive, send: SendMessage) -> None:
        """Send what there is and what comes, until the caller leaves or the world is closed."""
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        grown = asyncio.Event()
        gone = asyncio.ensure_future(_until_gone(receive))
        after = self.wanted.after
        with self.world.watch(grown.set):
            while not gone.done() and not self.world.closed:
                grown.clear()
                for entry in self.world.entries(dataclasses.replace(self.wanted, after=after)):
                    if entry.get("answer") == journal.UNKNOWN:
                        break  # Its outcome comes with the next growth; an entry is told once, whole.
                    after = entry["seq"]
                    data = b"id: %d\ndata: %s\n\n" % (after, dump(entry))
                    await send({"type": "http.response.body", "body": data, "more_body": True})
                waiting = asyncio.ensure_future(grown.wait())
                await asyncio.wait({waiting, gone}, return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
        gone.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def control_app(worlds: Worlds, specs: Mapping[str, Spec]) -> Callable[[Scope, Receive, SendMessage], Awaitable[None]]:
    """The ASGI application below `/_sandbox`."""
    spec = Spec.load(SPEC, "control")
    control = Control(worlds, specs)

    async def around(exchange: Exchange, operation: Operation, proceed: Proceed) -> Outcome | Follow:
        exchange.operation = operation
        answer = await proceed()
        if operation.id == "follow_journal" and answer.status == 200:
            return Follow(control.world(exchange), wanted(exchange.parameters))
        return Send(answer)

    async def emit_any(outcome: Any, scope: Scope, receive: Receive, send: SendMessage) -> None:
        if isinstance(outcome, Follow):
            await outcome.emit(receive, send)
        else:
            await emit(outcome, scope, receive, send)

    app = Application(spec, control.respond, around, emit_any)

    async def serve(scope: Scope, receive: Receive, send: SendMessage) -> None:
        scope = dict(scope)
        scope["root_path"] = ROOT
        exchange = Exchange(
            world=worlds.get(DEFAULT_WORLD),
            spec=spec,
            indexed={},
            root=ROOT,
            method=scope["method"],
            path=scope["path"].removeprefix(ROOT) or "/",
            query=scope["query_string"].decode("latin-1"),
            headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]),
        )
        scope["extensions"] = {**scope.get("extensions", {}), EXCHANGE: exchange}
        await app(scope, receive, send)

    return serve
