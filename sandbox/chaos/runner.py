"""Runs a plan: `run` is a function of the plan alone. Time is virtual, so nothing in it waits for anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from greenlet import greenlet

from sandbox.caller import CallerTimedOut, ConnectionLost
from sandbox.chaos.customer import Customer, by_customer, keys_of
from sandbox.chaos.scenario import Scenario, Step
from sandbox.chaos.subject import Process, Subject, Surroundings
from sandbox.clock import START
from sandbox.faults import Armed
from sandbox.inprocess import InProcess
from sandbox.limits import Limits
from sandbox.model import Answer
from sandbox.plan import Plan
from sandbox.project import Project
from sandbox.tasks import TaskClock, Wake
from sandbox.world import World

WEBHOOK_URL: Final = "http://127.0.0.1:8421/webhooks"
QUIET: Final = 300.0
HARD_LIMIT: Final = 14 * 24 * 3600.0
LATENCY: Final = 0.005
DOWNTIME: Final = 1.0
_SMALLEST_WAIT: Final = 0.001
# The subject has this long to start and subscribe before the first customer comes.
_BOOT: Final = 1.0
# A poll that begins within the last period may end.
_POLLING: Final = 30.0
_MOST_LIVES: Final = 10
_PAUSE: Final = 30.0
_PATIENCE: Final = 60.0
_USUAL: Final = Limits()


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a run left behind; everything that is judged is in here.

    Attributes:
        armed: The plan's faults, each with how often it fired.
        complete: False when the hard limit ended the run.
        trouble: What went wrong with the run itself, one sentence each.
        dropped: How many entries the journal had no room for.
        began: When it began, in unix seconds of the run's clock.
        virtual: Whether time was virtual; else it ran over sockets, in real time.
        reused: Whether the program had lived through other runs before.
        parked: What the program says of orders that it parked: order -> reason.
        said: The last lines of the program's output.
    """

    plan: Plan
    scenario: Scenario
    journal: list[dict[str, Any]]
    state: dict[str, dict[str, list[dict[str, Any]]]]
    armed: list[Armed]
    complete: bool
    trouble: tuple[str, ...] = ()
    lasted: float = 0.0
    dropped: int = 0
    began: float = START
    virtual: bool = True
    reused: bool = False
    parked: Mapping[str, str] = field(default_factory=dict)
    said: tuple[str, ...] = ()


@dataclass(slots=True)
class _Life:
    """One run in progress."""

    world: World
    plan: Plan
    disk: dict[str, Any] = field(default_factory=dict)
    surroundings: Surroundings | None = None
    pokes: list[Wake] = field(default_factory=list)
    lives: int = 0
    trouble: list[str] = field(default_factory=list)
    up: bool = False
    customers: set[greenlet] = field(default_factory=set)


class Runner:
    """Runs plans against one subject, one after the other; specs and mocks are compiled once."""

    def __init__(
        self,
        project: Project,
        subject: Subject,
        limits: Limits = _USUAL,
        webhook_url: str = WEBHOOK_URL,
        hard_limit: float = HARD_LIMIT,
    ) -> None:
        self._host = InProcess(project, limits=limits)
        self._webhook_url = webhook_url
        self._hard_limit = hard_limit
        self._host.latency = LATENCY
        self._subject = subject
        access = self._host.access()
        self._environment = access.environment() | {"WEBHOOK_URL": webhook_url}
        self._urls = {name: system["url"] for name, system in access.systems.items()}
        self._keys = {
            name: {"content-type": "application/json", **keys_of(access.credentials, name)} for name in access.systems
        }

    @property
    def host(self) -> InProcess:
        """Where it runs them."""
        return self._host

    def close(self) -> None:
        """Forget the world."""
        self._host.close()

    def run(self, plan: Plan, scenario: Scenario) -> RunRecord:
        """Carry out a plan and keep what it left."""
        world = self._host.restart(plan.seed or 0)
        armed = world.apply(plan)
        life = _Life(world, plan)
        world.on_crash = lambda: self._crash(life)
        self._start(life)
        self._host.run_until(START + _BOOT)
        begun = self._host.now
        for steps in by_customer(scenario):
            self._host.at(begun + steps[0].at, self._customer(life, begun, steps))
        complete = self._run_out(life, begun + scenario.ends)
        for failure in self._host.tasks.failures:
            life.trouble.append(f"the subject failed: {type(failure).__name__}: {failure}")
        self._host.tasks.failures.clear()
        self._host.tasks.kill()
        entries, state = world.entries(), world.state()
        lasted, dropped = self._host.now - START, world.journal.dropped
        return RunRecord(plan, scenario, entries, state, armed, complete, tuple(life.trouble), lasted, dropped)

    def _run_out(self, life: _Life, busy_until: float) -> bool:
        """Let time pass until nothing can change any more; False when the hard limit came first."""
        period = self._subject.reconcile_every or QUIET
        world = life.world
        while True:
            quiet_since = max(busy_until, world.changed_at, world.outbox.settled_at, world.faults.lifted_at)
            target = quiet_since + period + _POLLING
            pending = world.outbox.next_due()
            if pending is not None:
                target = max(target, pending)
            if target > START + self._hard_limit:
                return False
            if self._host.now >= target and pending is None and life.up:
                return True
            self._host.run_until(max(target, self._host.now + _SMALLEST_WAIT))

    def _start(self, life: _Life) -> None:
        """Start the subject, or start it again on the same disk."""
        host, world = self._host, life.world
        life.lives += 1
        life.pokes = []
        number = life.lives
        surroundings = Surroundings(
            self._environment,
            TaskClock(host.virtual_clock, host.tasks),
            world.random("subject", str(number)),
            host.session,
            life.disk,
        )
        life.surroundings = surroundings
        process = self._subject.start(surroundings)

        def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
            answer = process.app(environ, start_response)
            self._poke(life)
            return answer

        host.mount(self._webhook_url, app)
        life.up = True
        world.append(
            {"kind": "note", "at": host.now, "text": "subject started" if number == 1 else "subject restarted"}
        )
        host.tasks.spawn(lambda: self._work(life, process))

    def _work(self, life: _Life, process: Process) -> None:
        """The life of a process: boot, then do what is due; one that dies is started again, as by a supervisor."""
        try:
            self._live(life, process)
        except Exception as error:  # noqa: BLE001 - whatever a program dies of, its supervisor starts it again
            text = f"subject died: {type(error).__name__}: {error}"
            life.world.append({"kind": "note", "at": self._host.now, "text": text})
            if life.lives >= _MOST_LIVES:
                life.trouble.append(text)
                return
            self._crash(life)

    def _live(self, life: _Life, process: Process) -> None:
        process.boot()
        while True:
            due = process.step()

            def arrange(wake: Wake, due: float | None = due) -> None:
                life.pokes.append(wake)
                if due is not None:
                    self._host.at(max(due, self._host.now + _SMALLEST_WAIT), wake)

            self._host.tasks.wait(arrange)

    def _poke(self, life: _Life) -> None:
        pokes, life.pokes = life.pokes, []
        for wake in pokes:
            wake()

    def _crash(self, life: _Life) -> None:
        """Kill the subject now, wherever it is, and start it again after a while."""
        host = self._host

        def kill() -> None:
            if not life.up:
                return
            life.up = False
            host.unmount(self._webhook_url)
            # The shop's customers live on.
            host.tasks.kill(spare=life.customers)
            for lose in life.surroundings.on_crash if life.surroundings is not None else ():
                lose()
            life.world.append({"kind": "note", "at": host.now, "text": "subject killed"})
            host.at(host.now + DOWNTIME, lambda: self._start(life))

        host.at(host.now, kill)

    def _customer(self, life: _Life, begun: float, steps: list[Step]) -> Callable[[], None]:
        """What starts somebody who takes steps one after the other, each not before its time."""
        clock = TaskClock(self._host.virtual_clock, self._host.tasks)
        customer = Customer(self._host.project.specs, life.world.faker, self._send, clock, life.trouble.append, _PAUSE)
        return lambda: life.customers.add(self._host.tasks.spawn(lambda: customer.act(begun, steps)))

    def _send(self, system: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        try:
            sent = {**self._keys[system], **headers}
            return self._host.call(method, f"{self._urls[system]}{path}", sent, body, _PATIENCE)
        except (CallerTimedOut, ConnectionLost):
            return None
