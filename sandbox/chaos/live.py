"""Runs plans over real sockets against a program of its own, which lives through many runs (DESIGN, decision 9).

Each run has a fresh world behind the same URLs. The program's time cannot be ruled, so that of the systems is made
short. A run is over when its outcome can no longer change, as far as the program's habits tell (`habits`).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import httpx

from sandbox.aliases import can_be_renamed
from sandbox.chaos.customer import Customer, by_customer
from sandbox.chaos.habits import Course, Habits, is_waiting
from sandbox.chaos.life import CALL_LIMIT, Life
from sandbox.chaos.misfit import check_fit
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.scale import scaled
from sandbox.chaos.scenario import Scenario
from sandbox.chaos.subject_settings import SubjectSettings
from sandbox.clock import Clock
from sandbox.errors import PlanError
from sandbox.facts import facts_of
from sandbox.faults import Armed
from sandbox.journal import Filter
from sandbox.model import Answer
from sandbox.plan import CallPoint, Plan
from sandbox.project import Project
from sandbox.rules.facts import Facts
from sandbox.server import Server
from sandbox.world import World

LONGEST_SCENARIO: Final = 30.0
_LOOK: Final = 0.05
_PAUSE: Final = 0.5
# A process is not kept for ever: what it was told grows.
_MOST_RUNS: Final = 100
_MOST_CALLS: Final = 5000
_LINES: Final = 20
_READS: Final = frozenset({"GET", "HEAD"})

Place = tuple[str, str | None]


class LiveRunner:
    """Runs plans against a program, one after the other.

    Raises:
        ServeError: when the port that was asked for is taken.
    """

    def __init__(self, project: Project, settings: SubjectSettings) -> None:
        self._project = project
        self._settings = settings
        # A program whose clock runs faster gets through longer spans in the same time.
        self._scale = min(1.0, settings.time_scale * settings.speed)
        self._facts = facts_of(project.specs.values())
        self._habits = Habits(settings.speed)
        self._number = 0
        self._life: Life | None = None
        # Where calls come only when the program starts.
        self._at_start: set[Place] = set()
        self._ends: dict[str, float] = {}
        self._heeded = 0
        self._stack = ExitStack()
        self._http = self._stack.enter_context(httpx.Client(timeout=CALL_LIMIT, trust_env=False))
        server = Server(project, port=settings.port, pace=self._scale, speed=settings.speed)
        self._server = self._stack.enter_context(server.running())
        self._clock: Clock = server.clock()

    @property
    def habits(self) -> Habits:
        """What is known of the program; may be given to another runner of the same program."""
        return self._habits

    @habits.setter
    def habits(self, known: Habits) -> None:
        self._habits = known

    @property
    def can_crash(self) -> bool:
        """Whether the program can be killed and started again: not one that somebody else has started."""
        return self._settings.command is not None

    def spoil(self, reason: str) -> None:
        """Do no further run with the present process."""
        if self._life is not None:
            self._life.spoilt = reason

    def close(self) -> None:
        """End the program and the sandbox."""
        try:
            self._end_life()
        finally:
            self._stack.close()

    def run(self, plan: Plan, scenario: Scenario, *, fresh: bool = False, patient: bool = False) -> RunRecord:
        """Carry out a plan and keep what it left.

        Args:
            fresh: In a process of its own.
            patient: Wait several times as long as usual for what may still come.

        Raises:
            PlanError: when the scenario takes longer than anybody wants to wait, or the plan cannot be carried out.
            SubjectError: when the program cannot be started or reached.
        """
        self._check(plan, scenario)
        given = list(dict.fromkeys(step.order for step in scenario.steps if step.action not in ("wait", "set_stock")))
        if self.can_crash and (fresh or self._is_used_up(plan, given)):
            self._end_life()
        life = self._life
        if life is None:
            life = self._life = Life(self._server, self._settings, self._http, self._clock)
        reused, self._number = life.started, self._number + 1
        world = life.begin(f"run-{self._number}", plan.seed or 0, given)
        plain, now = not (plan.faults or plan.weather), self._clock.now()
        every = self._settings.reconcile_every
        course = Course(
            self._habits, self._is_safe, now, cold=not reused, plain=plain, patient=patient, reconcile_every=every
        )
        run = _Run(self._server, life, world, course, self._settings, self._clock, reused=reused)
        try:
            record = run.carry_out(plan, scaled(plan, self._scale), scenario)
            if not reused:
                check_fit(record.journal, life.front.strays, self._project.specs, life.webhook_url)
        except BaseException:
            self._end_life()
            raise
        self._learn(record, life, world.name)
        return record

    def _check(self, plan: Plan, scenario: Scenario) -> None:
        if scenario.ends > LONGEST_SCENARIO:
            raise PlanError(
                f"the scenario {scenario.name} lasts {scenario.ends:g} s, and a program has its own time",
                f"scenarios of up to {LONGEST_SCENARIO:g} s can be run against it",
            )
        if not self.can_crash and any(fault.inject == "crash" for fault in plan.faults):
            raise PlanError(
                "a crash cannot be done to a program that is running already: the sandbox did not start it",
                "give the command that starts it: --subject 'node integrator.js'",
            )

    def _is_used_up(self, plan: Plan, given: list[str]) -> bool:
        life = self._life
        if life is None or not life.started:
            return False
        return bool(
            life.spoilt
            or life.runs >= _MOST_RUNS
            or not all(map(can_be_renamed, given))
            or any(_place(fault.on) in self._at_start for fault in plan.faults)
        )

    def _learn(self, record: RunRecord, life: Life, run: str) -> None:
        """What a run says about the next ones."""
        if not record.complete:
            life.spoilt = "a run did not come to an end"
        elif record.trouble:
            life.spoilt = record.trouble[0]
        self._ends[run] = record.began + record.lasted
        for late in life.front.late[self._heeded :]:
            if late.method not in _READS and late.world in self._ends:
                self._habits.overtook(max(0.0, late.at - self._ends[late.world]))
        self._heeded = len(life.front.late)
        if not record.reused:
            return
        for armed in record.armed:
            if not armed.fired and (place := _place(armed.injection.on)) is not None:
                self._at_start.add(place)

    def _end_life(self) -> None:
        life, self._life, self._heeded = self._life, None, 0
        self._ends.clear()
        if life is not None:
            life.end()

    def _is_safe(self, system: str, operation: str, method: str) -> bool:
        facts: Facts = self._facts
        return facts.of(system, operation, method).safe


class _Run:
    """One run in progress."""

    def __init__(
        self,
        server: Server,
        life: Life,
        world: World,
        course: Course,
        settings: SubjectSettings,
        clock: Clock,
        *,
        reused: bool,
    ) -> None:
        self._server = server
        self._life = life
        self._world = world
        self._course = course
        self._settings = settings
        self._clock = clock
        self._reused = reused
        self._grown = threading.Event()
        self._taken = 0
        self.trouble: list[str] = []

    def carry_out(self, plan: Plan, short: Plan, scenario: Scenario) -> RunRecord:
        world, life, began, said = self._world, self._life, self._clock.now(), self._life.length
        armed = self._ask(lambda: self._arm(short))
        life.start(self._note)
        with self._watched():
            customers = self._send_customers(scenario)
            complete = self._run_out(customers)
        self._course.end()
        entries, state = self._ask(lambda: (world.entries(), world.state()))
        lasted = self._clock.now() - began
        parking = self._settings.parking
        return RunRecord(
            plan,
            scenario,
            entries,
            state,
            armed,
            complete,
            tuple(self.trouble),
            lasted,
            world.journal.dropped,
            began=began,
            virtual=False,
            reused=self._reused,
            parked={} if parking is None else life.parked(parking),
            said=life.said(said, _LINES),
        )

    def _ask(self, function: Callable[[], Any]) -> Any:
        return self._server.ask(lambda _: function())

    def _arm(self, plan: Plan) -> list[Armed]:
        self._world.on_crash = lambda: self._life.crash(self._append)
        return self._world.apply(plan)

    def _append(self, text: str) -> None:
        self._world.append({"kind": "note", "at": self._clock.now(), "text": text})

    def _note(self, text: str) -> None:
        self._ask(lambda: self._append(text))

    def _send_customers(self, scenario: Scenario) -> list[threading.Thread]:
        begun, specs = self._clock.now(), self._server.project.specs

        def send(system: str, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
            try:
                document = json.loads(body) if body else None
                return self._life.call(self._world, system, method, path, headers, document)
            except httpx.HTTPError:
                return None

        customer = Customer(specs, self._world.faker, send, self._clock, self.trouble.append, pause=_PAUSE)
        found = []
        for steps in by_customer(scenario):
            thread = threading.Thread(target=customer.act, args=(begun, steps), daemon=True)
            thread.start()
            found.append(thread)
        return found

    @contextmanager
    def _watched(self) -> Iterator[None]:
        stack = ExitStack()
        self._ask(lambda: stack.enter_context(self._world.journal.watch(self._grown.set)))
        try:
            yield
        finally:
            self._ask(stack.close)

    def _run_out(self, customers: list[threading.Thread]) -> bool:
        """Wait until nothing can change any more; False when a limit came first."""
        speed = self._settings.speed
        deadline = self._clock.now() + self._settings.run_within * speed
        while self._clock.now() < deadline:
            if (died := self._life.revive(self._note)) is not None:
                self.trouble.append(f"the program under test {died}")
                if self._life.exhausted:
                    return True
            over_at = self._ask(self._over_at)
            now = self._clock.now()
            if over_at is not None and now >= over_at and not any(thread.is_alive() for thread in customers):
                return True
            if sum(self._course.calls.values()) > _MOST_CALLS:
                self.trouble.append(f"more than {_MOST_CALLS} calls in one run: {self._busiest()}")
                return False
            self._grown.wait(_LOOK if over_at is None else max(0.0, min(_LOOK, (over_at - now) / speed)))
            self._grown.clear()
        self.trouble.append(f"still at work after {self._settings.run_within:g} s: {self._busiest()}")
        return False

    def _busiest(self) -> str:
        calls = sorted(self._course.calls.items(), key=lambda item: -item[1])[:3]
        told = ", ".join(f"{system}.{operation} {number} times" for (system, operation), number in calls)
        return told or "it called nothing"

    def _over_at(self) -> float | None:
        """When the run will be over if nothing else happens; None while something is under way."""
        world, journal = self._world, self._world.journal
        entries = world.entries(Filter(after=self._taken))
        settled = journal.complete_up_to
        for entry in entries:
            if is_waiting(entry):
                settled = min(settled, entry["seq"] - 1)
                break
        self._course.take(entry for entry in entries if entry["seq"] <= settled)
        self._taken = max(self._taken, settled)
        if settled < journal.length + journal.dropped:
            return None
        return self._course.over_at(world.outbox.next_due(), world.faults.lifted_at or None)


def _place(on: Any) -> Place | None:
    return (on.system, on.operation) if isinstance(on, CallPoint) else None
