"""The pytest plugin of the wheel: the fixtures `sandbox`, `sandbox_server` and `chaos`, and reproducers as tests.

Every pytest session of an environment loads this module, most of them for nothing. So it imports nothing but pytest;
what does the work lies in `sandbox.testing` and is imported when a test asks for it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from sandbox.server import Server
    from sandbox.testing.exploration import Case
    from sandbox.testing.world import Sandbox

_PROBE: Final = "sandbox.probe.plugin"
_REPRODUCERS: Final = "reproducers"
_SUFFIXES: Final = frozenset({".yaml", ".yml"})
_MARK: Final = (
    "chaos(subject=None, scenario='one-paid-order', depth=1, seed=None, budget=None): "
    "run the test, which takes `chaos`, once for each fault that the subject must survive"
)
_WORLD: Final = pytest.StashKey["Sandbox"]()
_CASE: Final = pytest.StashKey["Case"]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    group = parser.getgroup("integration-sandbox", "mock API sandbox")
    # The provider suites have the same option, for the same purpose.
    if not pluginmanager.hasplugin(_PROBE):
        group.addoption("--sandbox-project", type=Path, metavar="DIR", help="the sandbox's project folder")
    group.addoption("--sandbox-seed", type=int, metavar="N", help="decides all data, ids and credentials")
    group.addoption(
        "--sandbox-subject",
        metavar="SUBJECT",
        help="what chaos and reproducers run, unless a mark names another: a command, an address, module:name",
    )
    group.addoption(
        "--sandbox-reproducers", action="store_true", help="run the project's contracts/reproducers as tests too"
    )
    group.addoption("--sandbox-report", type=Path, metavar="DIR", help="where the reports of failing plans go")
    parser.addini("sandbox_project", "project folder, relative to this file; else the nearest with a sandbox.yaml")
    parser.addini("sandbox_seed", "decides all data, ids and credentials", default="0")
    parser.addini("sandbox_rate_limits", "whether the rate limits of the specs apply", type="bool", default=True)
    parser.addini("sandbox_reconcile_every", "span between two reconciling polls of the program under test")
    parser.addini("sandbox_subject", "what chaos and reproducers run; else that of sandbox.yaml, else the reference")
    parser.addini(
        "sandbox_reproducers", "whether contracts/reproducers of the project run as tests", type="bool", default=False
    )
    parser.addini("sandbox_report", "where the reports of failing plans go", default=".sandbox/pytest")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARK)
    asked = config.getoption("sandbox_reproducers")
    whole = config.args_source is not pytest.Config.ArgsSource.ARGS
    if asked or (whole and config.getini("sandbox_reproducers")):
        import_module("sandbox.testing.reproducers").add_folder(config)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix not in _SUFFIXES or file_path.parent.name != _REPRODUCERS:
        return None
    session, config = parent.session, parent.config
    named = session.isinitpath(file_path)
    wanted = config.getoption("sandbox_reproducers") or config.getini("sandbox_reproducers")
    if not (named or wanted or session.isinitpath(file_path.parent)):
        return None
    found: pytest.Collector | None = import_module("sandbox.testing.reproducers").collect(file_path, parent, named)
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    mark = metafunc.definition.get_closest_marker("chaos")
    if mark is not None and "chaos" in metafunc.fixturenames:
        import_module("sandbox.testing.exploration").parametrize(metafunc, mark)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    __tracebackhide__ = True
    result = yield
    # A test that took a plan and forgot to ask what came of it must not pass unseen.
    if (case := item.stash.get(_CASE, None)) is not None:
        case.check()
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.when != "teardown" and (world := item.stash.get(_WORLD, None)) is not None:
        report.sections.append((f"sandbox journal of world {world.name}", world.timeline()))
    return report


@pytest.fixture(scope="session")
def sandbox_server(pytestconfig: pytest.Config) -> Iterator[Server]:
    """The project's systems on a free port of this process; each test has a world of its own there."""
    with import_module("sandbox.testing.world").serving(pytestconfig) as server:
        yield server


@pytest.fixture
def sandbox(request: pytest.FixtureRequest, sandbox_server: Server) -> Iterator[Sandbox]:
    """A fresh world with real URLs, gone after the test; a `unittest.TestCase` finds it as `self.sandbox`."""
    with import_module("sandbox.testing.world").opened(request, sandbox_server) as world:
        request.node.stash[_WORLD] = world
        yield world


@pytest.fixture
def chaos(request: pytest.FixtureRequest) -> Case:
    """One plan of those that the mark `chaos` asks for, and what came of it."""
    if not hasattr(request, "param"):
        pytest.fail("chaos: mark the test with @pytest.mark.chaos(subject=...)", pytrace=False)
    case: Case = import_module("sandbox.testing.exploration").begin(request)
    request.node.stash[_CASE] = case
    return case
