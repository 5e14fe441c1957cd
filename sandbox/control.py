"""The control API under `/_sandbox`: worlds, journal, state, faults, deliveries and clock, served like any system."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import sandbox
from sandbox import journal
from sandbox.app import EXCHANGE, Application, Scope
from sandbox.call import Proceed
from sandbox.catalog import Catalog
from sandbox.clock import WorldClock, rfc3339
from sandbox.errors import PlanError
from sandbox.exchange import UNREAD, Exchange
from sandbox.faults import Outcome, Send
from sandbox.model import DEFAULT_WORLD, JSON, Answer, Problem, dump
from sandbox.plan_document import read_fault, read_plan
from sandbox.request import read
from sandbox.slot import Receive, SendMessage
from sandbox.spec import Operation, Spec
from sandbox.tables import deliveries, events
from sandbox.wire import emit
from sandbox.world import World, Worlds

ROOT: Final = "/_sandbox"
SPEC: Final = Path(__file__).with_name("control.yaml")


class Control:
    """One method per operation of `control.yaml`; each gets the request and returns status and body."""

    def __init__(self, worlds: Worlds, specs: Mapping[str, Spec]) -> None:
        self._worlds = worlds
        self._catalog = Catalog(specs)

    def respond(self, exchange: Exchange, operation: Operation) -> Answer:
        try:
            read(exchange, operation)
        except Problem as problem:
            raise self._explained(problem, exchange, operation) from None
        try:
            status, body = getattr(self, operation.id)(exchange)
        except PlanError as error:
            raise _refusal(422, error) from None
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
            hint = "the first call to one of its systems makes it, and so does POST /_sandbox/worlds"
            raise Problem(404, f"there is no world {name}; {hint}", type="not-found")
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
        world = self.world(exchange)
        limit = exchange.parameters["limit"]
        found = world.entries(wanted(world, exchange.parameters), limit + 1)
        following = found[limit - 1]["seq"] if len(found) > limit else None
        return 200, {"entries": found[:limit], "next": following, "dropped": world.journal.dropped}

    def follow_journal(self, exchange: Exchange) -> tuple[int, Any]:
        self.world(exchange)
        return 200, None

    def read_state(self, exchange: Exchange) -> tuple[int, Any]:
        return 200, self.world(exchange).state(exchange.parameters.get("system"))

    def list_faults(self, exchange: Exchange) -> tuple[int, Any]:
        return 200, self._armed(self.world(exchange))

    def put_plan(self, exchange: Exchange) -> tuple[int, Any]:
        world = self.world(exchange)
        world.apply(read_plan(exchange.body, self._catalog))
        return 200, self._armed(world)

    def add_fault(self, exchange: Exchange) -> tuple[int, Any]:
        world = self.world(exchange)
        return 201, world.faults.add(read_fault(exchange.body, self._catalog)).to_json()

    def remove_fault(self, exchange: Exchange) -> tuple[int, Any]:
        if not self.world(exchange).faults.remove(exchange.parameters["fault"]):
            raise Problem(404, f"no fault {exchange.parameters['fault']} is armed", type="not-found")
        return 204, None

    def clear_faults(self, exchange: Exchange) -> tuple[int, Any]:
        self.world(exchange).faults.clear()
        return 204, None

    def list_deliveries(self, exchange: Exchange) -> tuple[int, Any]:
        transaction = self.world(exchange).transaction()
        facts = {row.id: row for row in transaction.rows(events)}
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
                for row in transaction.rows(deliveries)
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

    def _explained(self, problem: Problem, exchange: Exchange, operation: Operation) -> Problem:
        """What the specification says of a plan in general, in the words of whoever knows plans."""
        reads = {"put_plan": read_plan, "add_fault": read_fault}.get(operation.id)
        if problem.status == 400 and reads is not None and exchange.body is not UNREAD and exchange.raw:
            try:
                reads(exchange.body, self._catalog)
            except PlanError as error:
                return _refusal(400, error)
        return problem

    @staticmethod
    def _armed(world: World) -> dict[str, Any]:
        board = world.faults
        return {
            "seed": board.seed,
            "faults": [armed.to_json() for armed in board.all()],
            "weather": [armed.to_json() for armed in board.weather()],
        }

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
        counts = {"entries": world.journal.length, "dropped": world.journal.dropped}
        return {"name": world.name, "seed": world.seed, "now": world.clock.now(), **counts}


def _refusal(status: int, error: PlanError) -> Problem:
    detail = error.message if error.hint is None else f"{error.message}; {error.hint}"
    return Problem(status, detail, type="plan", errors=[{"pointer": error.pointer, "detail": error.message}])


def wanted(world: World, parameters: Mapping[str, Any]) -> journal.Filter:
    """The filter that a request's parameters describe; a key may be given as it is, or as the journal shows it."""
    key = parameters.get("key")
    return journal.Filter(
        parameters.get("system"),
        parameters.get("operation"),
        None if key is None else world.redactor.text(key),
        parameters.get("kind"),
        parameters.get("after", 0),
    )


@dataclass(frozen=True, slots=True)
class Follow:
    """An answer that goes on: the journal as server-sent events.

    Attributes:
        timeout: It ends when nothing new has come for so many seconds of real time; None is never.
    """

    world: World
    wanted: journal.Filter
    timeout: float | None = None

    async def emit(self, receive: Receive, send: SendMessage) -> None:
        """Send what there is and what comes, until the caller leaves, nothing comes or the world is closed."""
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        told = _Told(self.wanted.after)
        if self.timeout == 0 or not _loop_runs():
            await self._tell(told, send)
        else:
            await self._tell_on(told, receive, send)
        await send({"type": "http.response.body", "body": b""})

    async def _tell_on(self, told: _Told, receive: Receive, send: SendMessage) -> None:
        grown = asyncio.Event()
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            with self.world.journal.watch(grown.set):
                while not gone.done() and not self.world.closed:
                    grown.clear()
                    await self._tell(told, send)
                    waiting = asyncio.ensure_future(grown.wait())
                    try:
                        done, _ = await asyncio.wait(
                            {waiting, gone}, timeout=self.timeout, return_when=asyncio.FIRST_COMPLETED
                        )
                    finally:
                        waiting.cancel()
                    if not done:
                        break
        finally:
            gone.cancel()

    async def _tell(self, told: _Told, send: SendMessage) -> None:
        await self.world.store.settled()
        complete = self.world.journal.complete_up_to
        # An entry is told once, whole; a call that takes its time keeps no later one from being told.
        for entry in self.world.entries(dataclasses.replace(self.wanted, after=told.after)):
            seq = entry["seq"]
            if seq not in told.later and not self.world.journal.running(seq):
                data = b"id: %d\ndata: %s\n\n" % (seq, dump(entry))
                await send({"type": "http.response.body", "body": data, "more_body": True})
                told.later.add(seq)
        told.after = max(told.after, complete)
        told.later = {seq for seq in told.later if seq > told.after}


@dataclass(slots=True)
class _Told:
    """What a follower knows already: all entries up to `after`, and some later ones."""

    after: int
    later: set[int] = field(default_factory=set)


def _loop_runs() -> bool:
    # In-process nothing happens beside the caller: what there is is all that comes.
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


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
            world, parameters = control.world(exchange), exchange.parameters
            return Follow(world, wanted(world, parameters), parameters.get("timeout"))
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
