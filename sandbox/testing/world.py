"""The world of a test: what the fixture `sandbox` is."""

from __future__ import annotations

import itertools
import re
import unittest
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar, Unpack

import pytest

from sandbox.catalog import Catalog
from sandbox.chaos.check import muted_rules
from sandbox.chaos.library import Library
from sandbox.cli.timeline import HEADING, line
from sandbox.clock import Clock, SystemClock
from sandbox.credentials import headers_of, secrets_of
from sandbox.errors import PlanError, SandboxError, nearest
from sandbox.facts import facts_of
from sandbox.faults.registry import address
from sandbox.journal import Entry, Filter
from sandbox.plan import Effect, Plan, seconds
from sandbox.plan_document import read_fault, read_plan
from sandbox.project import Project, load_invariants
from sandbox.redaction import Redactor
from sandbox.remote_world import RemoteWorld, State
from sandbox.rules import RULES, Call, Facts, Rule, Run, Settings
from sandbox.server import Server
from sandbox.settings import read_settings
from sandbox.testing.judging import complaint
from sandbox.testing.matching import Criteria, Redacted, Wanted, unmet
from sandbox.testing.settings import one_line, project_of, reconcile_every, seed_of, told
from sandbox.testing.systems import SystemHandle

T = TypeVar("T")
Span = float | str

_NUMBERS: Final = itertools.count(1)
_LONGEST_NAME: Final = 50
_PAUSE: Final = 0.02
_MOST_LINES: Final = 40
_CLOCK: Final = SystemClock()


@contextmanager
def serving(config: pytest.Config) -> Iterator[Server]:
    """The session's server, on a free port."""
    with one_line():
        server = Server(
            project_of(config), port=0, seed=seed_of(config), rate_limits=bool(config.getini("sandbox_rate_limits"))
        )
    with server.running():
        yield server


@contextmanager
def opened(request: pytest.FixtureRequest, server: Server) -> Iterator[Sandbox]:
    """A fresh world for a test, deleted behind it."""
    name = re.sub(r"[^A-Za-z0-9_]+", "-", request.node.name)[:_LONGEST_NAME]
    with one_line():
        period = reconcile_every(request.config)
    sandbox = Sandbox(server, f"t{next(_NUMBERS)}-{name}", period)
    if isinstance(request.instance, unittest.TestCase):
        vars(request.instance)["sandbox"] = sandbox
    try:
        yield sandbox
    finally:
        sandbox.close()


class Fault:
    """A fault that a test has armed."""

    def __init__(self, remote: RemoteWorld, id: str) -> None:  # noqa: A002 - the field's own name
        self._remote = remote
        self.id = id

    @property
    def fired(self) -> int:
        """How often it struck so far."""
        return sum(armed["fired"] for armed in self._remote.faults() if armed["id"] == self.id)

    def remove(self) -> None:
        """Disarm it."""
        self._remote.remove_fault(self.id)


class WorldTime:
    """The world's clock; it runs with real time unless told otherwise."""

    def __init__(self, remote: RemoteWorld) -> None:
        self._remote = remote

    def now(self) -> float:
        """In unix seconds."""
        return self._remote.now()

    def advance(self, span: Span) -> None:
        """Let time pass at once: seconds, or `10m`; what comes due on the way happens."""
        self._remote.advance(seconds(span))

    def freeze(self) -> None:
        """Stop it; from now on it moves only when advanced."""
        self._remote.freeze()

    def resume(self) -> None:
        """Let it go on."""
        self._remote.resume()


class Sandbox:
    """A fresh world with real URLs. Each system is an attribute: `sandbox.shop`, or `sandbox.system("my-shop")`.

    Attributes:
        name: Of the world.
        url: Below it are the systems: `{url}/shop`.
        env: What `sandbox env` prints for this world: URLs and credentials, by the names of the variables.
        clock: The world's time.
    """

    def __init__(self, server: Server, name: str, reconcile_every: float | None = None, clock: Clock = _CLOCK) -> None:
        access = server.access(name)
        self.name = name
        self.url = f"{server.url}/w/{name}"
        self.env = access.environment()
        self._access, self._clock = access, clock
        self._reconcile_every = reconcile_every
        self._project: Project = server.project
        self._remote = RemoteWorld.create(access.control, name)
        self.clock = WorldTime(self._remote)
        secrets = secrets_of(access.credentials) | {access.webhook_secret: "webhook"}
        self._redactor = Redactor(str(server.seed).encode(), secrets, headers_of(access.credentials))
        self._handles: dict[str, SystemHandle] = {}

    def __repr__(self) -> str:
        return f"<sandbox world {self.name} at {self.url}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(name.replace("-", "_") for name in self._project.specs)]

    def __getattr__(self, name: str) -> SystemHandle:
        __tracebackhide__ = True
        if not name.startswith("_"):
            for known in self._project.specs:
                if known.replace("-", "_") == name:
                    return self.system(known)
            raise AttributeError(f"there is no system {name!r}; {nearest(name, list(self._project.specs))}")
        raise AttributeError(name)

    def system(self, name: str) -> SystemHandle:
        """A system by its name, also where a method has the same."""
        __tracebackhide__ = True
        if name not in self._project.specs:
            raise SandboxError(f"there is no system {name!r}; {nearest(name, list(self._project.specs))}")
        if name not in self._handles:
            mine = [credential for credential in self._access.credentials if credential.system == name]
            url = self._access.systems[name]["url"]
            self._handles[name] = SystemHandle(self._project.specs[name], url, mine, self._remote)
        return self._handles[name]

    def close(self) -> None:
        """Forget the world."""
        for handle in self._handles.values():
            handle.close()
        self._remote.close()

    def subscribe(self, url: str, *events: str) -> list[dict[str, Any]]:
        """Have webhooks sent to a URL of this machine, signed with `env["WEBHOOK_SECRET"]`.

        Args:
            events: Which; left out, all events of all systems.

        Returns:
            The subscriptions, one for each system that has such events.
        """
        __tracebackhide__ = True
        known = self._catalog.events
        for event in events:
            if event not in known:
                raise SandboxError(f"no system has an event {event!r}; {nearest(event, known)}")
        made = []
        for name, spec in self._project.specs.items():
            wanted = [event for event in spec.events if not events or event in events]
            if wanted:
                body = {"url": url, "events": wanted}
                made.append(self.system(name).operation(spec.subscribe_operations[0])(body))
        return made

    def inject(
        self,
        point: str,
        fault: str,
        *,
        effect: Effect | None = None,
        key: str | None = None,
        occurrence: int | str = 1,
        subscriber: str | None = None,
        match: Mapping[str, Mapping[str, Any]] | None = None,
        count: int | None = None,
        ttl: Span | None = None,
        **parameters: Any,
    ) -> Fault:
        """Arm a fault, in the words of plan files: `inject("accounting.create_invoice", "timeout", effect="applied")`.

        Args:
            point: `system.operation` of a call, `system` for all its calls, or an event such as `order.paid`.
            fault: Its name.
            effect: Whether the work is done before the caller sees the fault.
            key: The business key; left out, each of them.
            occurrence: The n-th arrival for that key, a range such as `1-2`, or `any`.
            subscriber: The id of a webhook subscription; left out, each of them.
            match: `{"body": {pointer: value}, "header": {name: value}}`.
            count: It fires so many times at most.
            ttl: It lifts by itself after this span of the world's clock.
            parameters: What a plan has under `with:`; `for_` is its `for`.

        Raises:
            PlanError: when it does not fit, with the nearest right name.
        """
        __tracebackhide__ = True
        given = {"effect": effect, "match": match, "count": count, "ttl": ttl}
        on = {**address(point, fault, list(self._project.specs)), "occurrence": occurrence}
        on |= {name: value for name, value in {"key": key, "subscriber": subscriber}.items() if value is not None}
        document: dict[str, Any] = {"on": on, "inject": fault}
        document |= {name: value for name, value in given.items() if value is not None}
        if parameters:
            document["with"] = {name.removesuffix("_"): value for name, value in parameters.items()}
        _plainly(lambda: read_fault(document, self._catalog))
        return Fault(self._remote, self._remote.add_fault(document))

    def apply(self, plan: str | Path | Mapping[str, Any] | Plan) -> None:
        """Arm the faults of a plan in place of those armed now.

        Args:
            plan: A named failure or profile (`lost-answer`, `flaky`), a plan file, or a plan.
        """
        __tracebackhide__ = True
        self._remote.put_plan(_plainly(lambda: self._plan(plan)).to_json())

    def _plan(self, given: str | Path | Mapping[str, Any] | Plan) -> Plan:
        if isinstance(given, (str, Path)):
            return Library(self._project).find(str(given))[1]
        return read_plan(given, self._catalog) if isinstance(given, Mapping) else given

    def journal(self, system: str | None = None, operation: str | None = None, key: str | None = None) -> list[Entry]:
        """The journal so far: calls, deliveries and notes; secrets and personal values are hidden."""
        shown = None if key is None else self._redactor.text(key)
        return list(Filter(system, operation, shown).apply(self._remote.journal()[0]))

    def state(self) -> State:
        """All records, by system and collection."""
        return self._remote.everything()

    def deliveries(self) -> list[dict[str, Any]]:
        """The webhooks on their way and at their end."""
        return self._remote.deliveries()

    def check(self, *rules: str, within: Span = 0) -> None:
        """Judge what happened so far by rules, those of the project among them.

        A rule that is named fails by any violation; without names all are judged, and only errors count. Nothing
        passes unseen: it is a failure, too, when a fault that was armed has not struck, when a rule could not be
        checked, or when nothing happened that one of the rules speaks of.

        Args:
            rules: Their ids, such as `F01`.
            within: So long is the program under test waited for.

        Raises:
            AssertionError: with the sentences of the rules.
        """
        __tracebackhide__ = True
        known = {rule.id: rule for rule in self._rules}
        for name in rules:
            if name not in known:
                raise SandboxError(f"there is no rule {name!r}; {nearest(name, list(known))}")
        found = self._until(lambda: self._complaint(rules), within, lambda text: not text)
        if found:
            raise AssertionError(found)

    def _complaint(self, rules: tuple[str, ...]) -> str:
        entries, dropped = self._remote.journal()
        settings = Settings(reconcile_every=self._reconcile_every, virtual=False, ended_at=self._remote.now())
        run = Run(entries, self._remote.everything(), self._facts, settings)
        return complaint(run, self._rules, rules, self._remote.faults(), dropped, self._muted)

    def calls(self, point: str = "", *, own: bool = False, **wanted: Unpack[Wanted]) -> list[Call]:
        """The calls of the program under test that match, in the order of arrival.

        Args:
            point: `system.operation`, or `system`; left out, all.
            own: Whether the test's own calls count, too.
            wanted: What they are like: `key`, `status` and so on, as `Wanted` has it.
        """
        __tracebackhide__ = True
        criteria = self._criteria(point, wanted)
        mine, theirs = self._calls()
        return self._matching(criteria, [*mine, *theirs] if own else mine)

    def expect(
        self,
        point: str = "",
        *,
        times: int | None = None,
        at_least: int | None = None,
        at_most: int | None = None,
        within: Span = 0,
        own: bool = False,
        **wanted: Unpack[Wanted],
    ) -> list[Call]:
        """Demand calls of the program under test; criteria as for `calls`.

        Args:
            times: Exactly so many; 1 when no number is given.
            within: So long they are waited for.

        Returns:
            The calls.

        Raises:
            AssertionError: with the nearest misses, and the fields in which they differ.
        """
        __tracebackhide__ = True
        criteria = self._criteria(point, wanted)
        if times is None and at_least is None and at_most is None:
            times = 1
        least = max(number for number in (times, at_least, 0) if number is not None)
        bounds = [number for number in (times, at_most) if number is not None]
        most = min(bounds) if bounds else None

        def look() -> tuple[list[Call], list[Call], list[Call]]:
            mine, theirs = self._calls()
            counted = [*mine, *theirs] if own else mine
            return self._matching(criteria, counted), counted, [] if own else theirs

        def enough(seen: tuple[list[Call], list[Call], list[Call]]) -> bool:
            return len(seen[0]) >= least

        found, counted, theirs = self._until(look, within, enough)
        if least <= len(found) and (most is None or len(found) <= most):
            return found
        uncounted = len(self._matching(criteria, theirs))
        raise AssertionError(unmet(criteria, _number(least, most), found, counted, uncounted, self._equal))

    def timeline(self) -> str:
        """The journal as a report shows it: a line for each entry, the last ones when there are many."""
        try:
            entries, dropped = self._remote.journal()
        except Exception as error:  # noqa: BLE001 - whatever a test did to HTTP, its own failure is what is to be seen
            return f"the journal could not be read: {type(error).__name__}: {error}"
        if not entries:
            return "nothing was called; does the program under test take its URLs from sandbox.env?"
        left_out = len(entries) - _MOST_LINES + dropped
        earlier = [f"({left_out} earlier entries are not shown)"] if left_out > 0 else []
        return "\n".join([*earlier, HEADING, *(line(entry).plain.rstrip() for entry in entries[-_MOST_LINES:])])

    @cached_property
    def _catalog(self) -> Catalog:
        return Catalog(self._project.specs)

    @cached_property
    def _rules(self) -> tuple[Rule, ...]:
        return (*load_invariants(self._project.root), *RULES)

    @cached_property
    def _muted(self) -> Mapping[str, str]:
        return muted_rules(read_settings(self._project.root), self._rules)

    @cached_property
    def _facts(self) -> Facts:
        return facts_of(self._project.specs.values())

    @cached_property
    def _equal(self) -> Redacted:
        return Redacted(self._redactor)

    def _calls(self) -> tuple[list[Call], list[Call]]:
        """The calls of the program under test, and those of the test itself."""
        run = Run(self._remote.journal()[0], {}, self._facts)
        return run.calls, [call for call in run.others if call.scenario]

    def _matching(self, criteria: Criteria, calls: list[Call]) -> list[Call]:
        found = [call for call in calls if not criteria.differences(call, self._equal)]
        return sorted(found, key=lambda call: call.seq)

    def _criteria(self, point: str, wanted: Wanted) -> Criteria:
        __tracebackhide__ = True
        unknown = [name for name in wanted if name not in Wanted.__annotations__]
        if unknown:
            raise TypeError(f"calls have no {unknown[0]!r}; {nearest(unknown[0], list(Wanted.__annotations__))}")
        system, _, operation = point.partition(".")
        specs = self._project.specs
        if system and system not in specs:
            raise SandboxError(f"there is no system {system!r}; {nearest(system, list(specs))}")
        if operation and operation not in specs[system].operations:
            known = nearest(operation, list(specs[system].operations))
            raise SandboxError(f"{system} has no operation {operation!r}; {known}")
        return Criteria(
            point or None,
            wanted.get("key"),
            wanted.get("occurrence"),
            wanted.get("status"),
            wanted.get("body") or {},
            wanted.get("header") or {},
            wanted.get("effect"),
            wanted.get("fault"),
        )

    def _until(self, ask: Callable[[], T], within: Span, good: Callable[[T], bool]) -> T:
        """Ask again and again until the answer is good or the time is up."""
        deadline = self._clock.now() + seconds(within, "within")
        while not good(answer := ask()) and self._clock.now() < deadline:
            self._clock.sleep(_PAUSE)
        return answer


def _number(least: int, most: int | None) -> str:
    if most == least:
        return "no call" if most == 0 else f"{most} call{'s' if most > 1 else ''}"
    if most is None:
        return f"at least {least} call{'s' if least > 1 else ''}"
    return f"{least} to {most} calls"


def _plainly(read: Callable[[], T]) -> T:
    """What a plan says; what is wrong with it is told in one line, without our stack."""
    __tracebackhide__ = True
    try:
        return read()
    except PlanError as error:
        raise PlanError(told(error), pointer=error.pointer) from None
