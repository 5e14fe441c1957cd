"""The pytest plugin under `sandbox contracts`: which systems, where they are, and a fresh world for each test.

A suite's test takes `provider` and runs for each system; one that also takes `operation` runs for each operation, or
for those that its mark `operations(predicate)` picks. Further marks: `writes` (needs leave to change something),
`mock_only(reason)` (needs a world whose time and faults it rules), `rate_limits` (those of the specs apply; elsewhere
they do not).
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Phase, settings

from sandbox.clock import SystemClock
from sandbox.credentials import Credential
from sandbox.errors import ProviderError, SandboxError
from sandbox.layout import Sources
from sandbox.probe.provider import Provider, real_credentials
from sandbox.probe.receiver import Receiver
from sandbox.probe.target import TARGET, Target
from sandbox.probe.workbench import Impossible, Workbench
from sandbox.project import Project
from sandbox.remote import fetch
from sandbox.remote_world import RemoteWorld
from sandbox.server import Server
from sandbox.spec import Operation, Spec

MARKS: Final = (
    "operations(predicate): run it for the operations that the predicate accepts",
    "systems(predicate): run it for the systems whose Spec the predicate accepts",
    "writes: needs leave to change something at a real provider",
    "mock_only(reason): needs a mock, whose time, faults and records it rules",
    "rate_limits: the rate limits of the specs apply",
)
_NUMBERS: Final = itertools.count(1)


PHASES = (Phase.explicit, Phase.generate, Phase.shrink)
BEGAN: Final = pytest.StashKey[float]()
_CLOCK: Final = SystemClock()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sandbox", "contract suites")
    group.addoption("--sandbox-project", type=Path, metavar="DIR", help="project folder")
    group.addoption("--sandbox-spec", action="append", default=[], metavar="NAME=FILE", help="specs of no project")
    group.addoption("--sandbox-remote-refs", action="store_true", help="references to other machines are followed")
    group.addoption("--sandbox-system", action="append", default=[], metavar="NAME", help="only these systems")
    group.addoption("--sandbox-base-url", action="append", default=[], metavar="NAME=URL", help="a real provider")
    group.addoption("--sandbox-write", action="store_true", help="real providers may be changed")
    group.addoption("--sandbox-examples", type=int, default=20, metavar="N", help="Schemathesis' --max-examples")
    group.addoption("--sandbox-budget", type=float, metavar="SECONDS", help="begin no test after so long")
    group.addoption("--sandbox-schemathesis", action="append", default=[], metavar="OPTION", help="for Schemathesis")


def pytest_configure(config: pytest.Config) -> None:
    for mark in MARKS:
        config.addinivalue_line("markers", mark)
    config.stash[BEGAN] = _CLOCK.now()
    try:
        remote = fetch if config.getoption("sandbox_remote_refs") else None
        sources = Sources.find(config.getoption("sandbox_project"), config.getoption("sandbox_spec"), remote)
        project = Project.load(sources)
    except SandboxError as error:
        raise pytest.UsageError(str(error)) from error
    real = dict(text.partition("=")[::2] for text in config.getoption("sandbox_base_url"))
    config.stash[TARGET] = Target(
        project=project,
        systems=tuple(config.getoption("sandbox_system") or project.specs),
        real=real,
        writable=config.getoption("sandbox_write"),
        examples=config.getoption("sandbox_examples"),
        options=tuple(config.getoption("sandbox_schemathesis")),
    )
    # The same cases each time, on each machine; a finding that comes and goes helps nobody.
    settings.register_profile(
        "contracts",
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        phases=PHASES,
    )
    settings.load_profile("contracts")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    target = metafunc.config.stash[TARGET]
    specs = [spec for name, spec in target.project.specs.items() if name in target.systems]
    for mark in metafunc.definition.iter_markers("systems"):
        specs = [spec for spec in specs if mark.args[0](spec)]
    if "operation" in metafunc.fixturenames:
        operations = [operation for spec in specs for operation in spec.operations.values()]
        for mark in metafunc.definition.iter_markers("operations"):
            operations = [operation for operation in operations if mark.args[0](operation)]
        metafunc.parametrize("operation", operations, ids=[f"{one.system}.{one.id}" for one in operations])
    elif "system" in metafunc.fixturenames:
        metafunc.parametrize("system", [spec.name for spec in specs], indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    target = config.stash[TARGET]
    for item in items:
        system = _system_of(item)
        if system not in target.real:
            continue
        reason = None
        for mark in item.iter_markers("mock_only"):
            reason = f"only against a mock: {mark.args[0]}"
        if item.get_closest_marker("writes") is not None and not target.writable:
            reason = f"would change something at {target.real[system]}; allow it with --write"
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_runtest_setup(item: pytest.Item) -> None:
    budget = item.config.getoption("sandbox_budget")
    if budget is not None and _CLOCK.now() > item.config.stash[BEGAN] + budget:
        pytest.skip(f"not covered: the budget of {budget:g} s was used up")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, None, None]:
    """A provider that cannot be asked is told in one sentence, not in a traceback through the suite."""
    try:
        yield
    except Impossible as reason:
        if reason.blames:
            pytest.fail(str(reason), pytrace=False)
        pytest.skip(str(reason))
    except ProviderError as error:
        pytest.fail(f"{error.message}; {error.hint}" if error.hint else error.message, pytrace=False)


def _system_of(item: pytest.Item) -> str:
    parameters = getattr(getattr(item, "callspec", None), "params", {})
    operation = parameters.get("operation")
    return operation.system if isinstance(operation, Operation) else str(parameters.get("system", ""))


@pytest.fixture(scope="session")
def target(pytestconfig: pytest.Config) -> Target:
    """What is under contract."""
    return pytestconfig.stash[TARGET]


@pytest.fixture(scope="session")
def _servers(target: Target) -> Iterator[Callable[[bool], Server]]:
    """The project's mocks, served with or without rate limits, each once it is asked for."""
    started: dict[bool, Server] = {}
    stack: list[object] = []

    def serve(rate_limits: bool) -> Server:
        if rate_limits not in started:
            running = Server(target.project, port=0, rate_limits=rate_limits).running()
            started[rate_limits] = running.__enter__()
            stack.append(running)
        return started[rate_limits]

    yield serve
    for running in stack:
        running.__exit__(None, None, None)  # type: ignore[attr-defined]  # of mixed kinds


Make = Callable[[], Provider]


@pytest.fixture
def system(request: pytest.FixtureRequest) -> str:
    """The name of the system that the test is about."""
    return _system_of(request.node)


@pytest.fixture
def make_provider(
    request: pytest.FixtureRequest, target: Target, system: str, _servers: Callable[[bool], Server]
) -> Iterator[Make]:
    """Makes providers of the test's system; of a mock each in a fresh world of its own."""
    spec = target.project.specs[system]
    made: list[Provider] = []

    def make() -> Provider:
        if system in target.real:
            made.append(_real(spec, target))
        else:
            made.append(_mock(spec, _servers(request.node.get_closest_marker("rate_limits") is not None)))
        return made[-1]

    yield make
    for provider in made:
        provider.close()
        if provider.world is not None:
            provider.world.close()


def _real(spec: Spec, target: Target) -> Provider:
    credentials = real_credentials(spec, os.environ)
    return Provider(spec, target.real[spec.name], credentials, writable=target.writable)


def _mock(spec: Spec, server: Server) -> Provider:
    name = f"contract-{os.getpid()}-{next(_NUMBERS)}"
    access = server.access(name)
    mine: list[Credential] = [credential for credential in access.credentials if credential.system == spec.name]
    world = RemoteWorld.create(access.control, name)
    return Provider(spec, access.systems[spec.name]["url"], mine, world=world)


@pytest.fixture
def provider(make_provider: Make) -> Provider:
    """The system under contract."""
    return make_provider()


@pytest.fixture
def bench(provider: Provider) -> Workbench:
    """Makes valid requests of it."""
    return Workbench(provider)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Takes webhooks."""
    taking = Receiver()
    yield taking
    taking.close()
