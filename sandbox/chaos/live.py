"""Runs a plan over real sockets against a program of its own; each run has a fresh world and a fresh process.

The program's time cannot be ruled, so that of the systems is made short: spans in the plan and the schedule of webhook
retries are multiplied by a scale. A run is over when nothing is under way and nothing happened for a quiet time, which
grows with the longest pause that the program was seen to make between two tries.
"""

from __future__ import annotations

import json
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx

from sandbox.access import Access
from sandbox.chaos.customer import ACTOR, Customer, by_customer
from sandbox.chaos.program import Program, Running
from sandbox.chaos.runner import RunRecord
from sandbox.chaos.scenario import Scenario
from sandbox.clock import Clock, SystemClock
from sandbox.errors import PlanError
from sandbox.faults import Armed
from sandbox.model import Answer
from sandbox.plan import Plan, seconds
from sandbox.project import Project
from sandbox.server import Server
from sandbox.world import World

SCALE: Final = 0.02
HARD_LIMIT: Final = 60.0
LONGEST_SCENARIO: Final = 30.0
_QUIET: Final = 1.0
# While a call that failed was not followed by another try, one may come yet.
_UNRESOLVED: Final = 6.0
_LONGEST_QUIET: Final = 15.0
_SPOILT: Final = frozenset({"malformed", "truncated", "redirect"})
_READS: Final = frozenset({"GET", "HEAD"})
_COME_AGAIN: Final = frozenset({401, 409, 425, 429})
_LOOK: Final = 0.05
_DOWNTIME: Final = 0.2
_MOST_LIVES: Final = 10
_CALL_LIMIT: Final = 30.0
# The parameters of faults that are spans; a Retry-After has whole seconds.
_SPANS: Final = frozenset({"after", "by", "for", "delay"})
_WHOLE: Final = frozenset({"retry_after"})


class LiveRunner:
    """Runs plans against a program, one after the other.

    Args:
        scale: By which spans in plans and the schedule of webhook retries are multiplied.
        hard_limit: Seconds after which a run ends, whatever happens.
    """

    def __init__(
        self,
        project: Project,
        program: Program,
        scale: float = SCALE,
        hard_limit: float = HARD_LIMIT,
        clock: Clock | None = None,
    ) -> None:
        self._program = program
        self._scale = scale
        self._hard_limit = hard_limit
        self._clock = clock or SystemClock()
        self._number = 0
        self._stack = ExitStack()
        self._server = self._stack.enter_context(Server(project, port=0, pace=scale).running())

    def close(self) -> None:
        """End the sandbox."""
        self._stack.close()

    def run(self, plan: Plan, scenario: Scenario) -> RunRecord:
        """Carry out a plan and keep what it left.

        Raises:
            PlanError: when the scenario takes longer than anybody wants to wait.
            SubjectError: when the program cannot be started.
        """
        if scenario.ends > LONGEST_SCENARIO:
            raise PlanError(
                f"the scenario {scenario.name} lasts {scenario.ends:g} s, and a program has its own time",
                f"scenarios of up to {LONGEST_SCENARIO:g} s can be run against it",
            )
        self._number += 1
        name = f"run-{self._number}"
        world = self._server.ask(lambda worlds: worlds.create(name, plan.seed or 0))
        try:
            with tempfile.TemporaryDirectory(prefix="sandbox-", ignore_cleanup_errors=True) as folder:
                run = _Run(self._server, world, self._program, Path(folder), self._clock, self._hard_limit)
                return run.carry_out(plan, scaled(plan, self._scale), scenario)
        finally:
            self._server.ask(lambda worlds: worlds.delete(name))


class _Run:
    """One run in progress."""

    def __init__(
        self, server: Server, world: World, program: Program, folder: Path, clock: Clock, hard_limit: float
    ) -> None:
        self._server = server
        self._world = world
        self._clock = clock
        self._hard_limit = hard_limit
        self._access: Access = server.access(world.name)
        self._subject = Running(program, folder, self._access.environment(), clock)
        self._grown = threading.Event()
        self._killed = threading.Event()
        self._lives = 0
        self.trouble: list[str] = []

    def carry_out(self, plan: Plan, short: Plan, scenario: Scenario) -> RunRecord:
        world, began = self._world, self._clock.now()
        try:
            self._start()
            armed = self._ask(lambda: self._arm(short))
            with self._watched():
                customers = self._send_customers(scenario)
                complete = self._run_out(customers)
        finally:
            self._subject.kill()
        entries, state = self._ask(lambda: (world.entries(), world.state()))
        dropped, lasted = world.journal.dropped, self._clock.now() - began
        return RunRecord(
            plan, scenario, entries, state, armed, complete, tuple(self.trouble), lasted, dropped, began=began
        )

    def _ask(self, function: Callable[[], Any]) -> Any:
        return self._server.ask(lambda _: function())

    def _arm(self, plan: Plan) -> list[Armed]:
        self._world.on_crash = self._kill
        return self._world.apply(plan)

    def _note(self, text: str) -> None:
        self._ask(lambda: self._world.append({"kind": "note", "at": self._clock.now(), "text": text}))

    def _start(self) -> None:
        self._lives += 1
        self._subject.start()
        self._note("subject started" if self._lives == 1 else "subject restarted")
        if self._lives == 1:
            self._subscribe()

    def _kill(self) -> None:
        """Called in the sandbox's own thread, in the middle of a call; starting again is not done there."""
        self._subject.kill()
        self._world.append({"kind": "note", "at": self._clock.now(), "text": "subject killed"})
        self._killed.set()

    def _subscribe(self) -> None:
        """Subscribe the program to all events, unless it has done so itself."""
        url = self._subject.webhook_url
        for name, spec in self._server.project.specs.items():
            known = self._state(name).get("webhook_subscriptions", [])
            if not spec.subscribe_operations or any(record.get("url") == url for record in known):
                continue
            operation = spec.operations[spec.subscribe_operations[0]]
            events = list(spec.events)
            body = {"url": url, "events": events, "secret": self._access.webhook_secret}
            self._call(operation.method, f"{self._access.systems[name]['url']}{operation.path}", self._keys(name), body)

    def _state(self, system: str) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, dict[str, list[dict[str, Any]]]] = self._ask(lambda: self._world.state(system))
        return found.get(system, {})

    def _keys(self, system: str) -> dict[str, str]:
        mine = [c for c in self._access.credentials if c.system == system and c.principal == "integrator"]
        return {c.header: next(iter(c.values.values())) for c in mine if c.kind == "api_key" and c.header}

    def _call(self, method: str, url: str, headers: Mapping[str, str], body: Any = None) -> Answer:
        content = None if body is None else json.dumps(body).encode()
        sent = {"content-type": "application/json", ACTOR[0]: ACTOR[1], **headers}
        answer = httpx.request(method, url, headers=sent, content=content, timeout=_CALL_LIMIT, trust_env=False)
        return Answer(answer.status_code, tuple(answer.headers.multi_items()), answer.content)

    def _send_customers(self, scenario: Scenario) -> list[threading.Thread]:
        begun, shop = self._clock.now(), self._access.systems["shop"]["url"]

        def send(method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
            try:
                document = json.loads(body) if body else None
                return self._call(method, f"{shop}{path}", {**self._keys("shop"), **headers}, document)
            except httpx.HTTPError:
                return None

        customer = Customer(self._world.faker, send, self._clock, self.trouble.append, pause=_QUIET / 2)
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
        """Wait until nothing can change any more; False when the hard limit came first."""
        deadline = self._clock.now() + self._hard_limit
        while self._clock.now() < deadline:
            if self._killed.is_set():
                self._killed.clear()
                self._clock.sleep(_DOWNTIME)
                self._start()
            elif (ended := self._subject.ended()) is not None:
                self._note(f"subject {ended}")
                self.trouble.append(f"the program under test {ended}")
                if self._lives >= _MOST_LIVES:
                    return True
                self._start()
            busy_until = self._ask(self._busy_until)
            if not any(thread.is_alive() for thread in customers) and self._clock.now() >= busy_until:
                return True
            self._grown.wait(_LOOK)
            self._grown.clear()
        return False

    def _busy_until(self) -> float:
        """When the run will be over if nothing else happens."""
        world, now = self._world, self._clock.now()
        if world.journal.complete_up_to < world.journal.length + world.journal.dropped:
            return now + _QUIET
        due = world.outbox.next_due()
        entries = world.entries()
        if any(map(_waiting, entries)):
            return now + _QUIET
        last = max((_ended(entry) for entry in entries if _tells(entry)), default=now)
        return max(last + _quiet(entries), world.faults.lifted_at + _QUIET, *([] if due is None else [due + _QUIET]))


def _tells(entry: Mapping[str, Any]) -> bool:
    """Whether something happened; that a program looks again and again for something to do does not count."""
    read = entry["kind"] == "call" and (entry.get("request") or {}).get("method") in _READS
    return not read or _failed(entry.get("answer"))


def _ended(entry: Mapping[str, Any]) -> float:
    answer = entry.get("answer")
    at = answer.get("at") if isinstance(answer, dict) else None
    return float(max(entry.get("at") or 0.0, at or 0.0, entry.get("left_at") or 0.0))


def _quiet(entries: list[dict[str, Any]]) -> float:
    """How long nothing must happen: longer than the longest pause that was seen, or asked for, before a next try."""
    quiet, seen, polled = _QUIET, dict[tuple[str, ...], float](), dict[tuple[str, ...], float]()
    pause, lost = _UNRESOLVED, False
    for entry in entries:
        lost |= entry["kind"] == "delivery" and (entry.get("answer") or {}).get("error") == "dropped"
        if entry["kind"] != "call":
            continue
        address, answer = entry["address"], entry["answer"]
        point = (address["system"], address["operation"], address["key"])
        if not _tells(entry):
            pause = max(pause, 1.5 * ((entry["at"] or 0.0) - polled.get(point, entry["at"] or 0.0)))
            polled[point] = entry["at"] or 0.0
        if point in seen:
            quiet = max(quiet, 2.5 * ((entry["at"] or 0.0) - seen[point]))
        if _failed(answer) or (entry.get("fault") or {}).get("inject") in _SPOILT:
            seen[point] = _ended(entry)
        else:
            seen.pop(point, None)
        asked = ((answer.get("headers") or {}) if isinstance(answer, dict) else {}).get("retry-after", "")
        if str(asked).isdecimal():
            quiet = max(quiet, float(asked) + _QUIET)
    if lost:
        # Only whoever asks now and then finds what was lost.
        quiet = max(quiet, pause)
    return min(max(quiet, _UNRESOLVED) if seen else quiet, _LONGEST_QUIET)


def _failed(answer: Any) -> bool:
    """Whether the caller got nothing that it could make use of, or was asked to come again."""
    if not isinstance(answer, dict) or answer.get("outcome") != "sent" or answer.get("status") is None:
        return True
    return bool(answer["status"] in _COME_AGAIN or answer["status"] >= 500)


def _waiting(entry: Mapping[str, Any]) -> bool:
    """Whether its caller still waits for an answer that will not come."""
    answer = entry.get("answer")
    return isinstance(answer, dict) and answer.get("outcome") == "lost" and "left_at" not in entry


def scaled(plan: Plan, scale: float) -> Plan:
    """The plan with its spans of time made shorter."""
    return replace(
        plan,
        faults=tuple(
            replace(
                fault,
                parameters=_shorter(fault.parameters, scale),
                ttl=None if fault.ttl is None else fault.ttl * scale,
            )
            for fault in plan.faults
        ),
        weather=tuple(replace(one, parameters=_shorter(one.parameters, scale)) for one in plan.weather),
    )


def _shorter(parameters: Mapping[str, Any], scale: float) -> dict[str, Any]:
    short = dict(parameters)
    for name in short.keys() & _SPANS:
        with suppress(PlanError):
            short[name] = seconds(short[name]) * scale
    for name in short.keys() & _WHOLE:
        short[name] = max(1, round(seconds(short[name]) * scale))
    return short
