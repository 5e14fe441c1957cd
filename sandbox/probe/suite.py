"""Runs the provider suites of a project with pytest underneath."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from sandbox.errors import ProviderError
from sandbox.layout import Sources, reference_root
from sandbox.probe.contradictions import contradictions
from sandbox.probe.provider import Provider, Request, real_credentials
from sandbox.probe.target import TARGET
from sandbox.project import Project

SUITES: Final = ("schema", "idempotency", "retry", "webhooks", "state")
PLUGIN: Final = "sandbox.probe.plugin"
_FOLDER: Final = "provider"
_MOST_TOLD: Final = 20
_AUTOLOAD: Final = "PYTEST_DISABLE_PLUGIN_AUTOLOAD"
# pytest's exit codes and ours: 3 is an error within pytest, 4 its usage, 5 that no test was left to run.
_CODES: Final = {0: 0, 1: 1, 2: 130, 3: 3, 4: 2, 5: 2}


@dataclass(slots=True)
class Outcome:
    """What the suites came to.

    Attributes:
        failures: Test and reason of each failure.
        skipped: By reason, how many tests were left out.
        told: What tests have to tell besides, such as how many cases were tried.
        contradictions: What the specifications say against themselves, which is no provider's failure.
    """

    exit_code: int = 0
    passed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    skipped: dict[str, int] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "exit_code": self.exit_code,
            "passed": self.passed,
            "failed": len(self.failures),
            "skipped": self.skipped,
            "failures": [{"test": test, "reason": reason} for test, reason in self.failures],
            "told": self.told,
            "contradictions": self.contradictions,
        }


class _Collector:
    """Hears what became of each test, wherever it ran."""

    def __init__(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        outcome = self._outcome
        outcome.told += [str(text) for name, text in report.user_properties if name == "told" and report.when == "call"]
        if report.failed:
            reason = report.longreprtext.strip().splitlines()
            told = [line.removeprefix("E   ").strip() for line in reason if line.startswith("E   ")]
            outcome.failures.append((report.nodeid, (told or reason or [""])[0]))
        elif report.skipped:
            why = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else str(report.longrepr)
            why = why.removeprefix("Skipped: ")
            outcome.skipped[why] = outcome.skipped.get(why, 0) + 1
        elif report.when == "call":
            outcome.passed += 1

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._outcome.told:
            terminalreporter.section("told")
            terminalreporter.write("".join(f"{text}\n" for text in sorted(self._outcome.told)))
        target = terminalreporter.config.stash.get(TARGET, None)
        specs = [] if target is None else [target.project.specs[name] for name in target.systems]
        found = self._outcome.contradictions = [one for spec in specs for one in contradictions(spec)]
        if found:
            terminalreporter.section("no failures: the specification contradicts itself")
            terminalreporter.write("".join(f"{text}\n" for text in found[:_MOST_TOLD]))
            more = len(found) - _MOST_TOLD
            terminalreporter.write(f"… and {more} more, which --json lists\n" if more > 0 else "")


@contextmanager
def _no_other_plugins() -> Iterator[None]:
    """Keep pytest from loading whatever is installed beside us: it takes seconds, and may have opinions."""
    before = os.environ.get(_AUTOLOAD)
    os.environ[_AUTOLOAD] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_AUTOLOAD]
        else:
            os.environ[_AUTOLOAD] = before


def suite_files(root: Path, suites: Sequence[str]) -> list[Path]:
    """The files of the named suites: the project's own, else those of the reference project."""
    folders = (root / "contracts" / _FOLDER, reference_root() / "contracts" / _FOLDER)
    found = []
    for suite in suites:
        candidates = [folder / f"test_{suite}.py" for folder in folders]
        found.append(next((path for path in candidates if path.is_file()), candidates[-1]))
    return found


def run_suites(sources: Sources, suites: Sequence[str], options: Sequence[str]) -> Outcome:
    """Run suites and say what they came to.

    Args:
        sources: The project's.
        suites: Of `SUITES`.
        options: For pytest and for our plugin under it.
    """
    outcome = Outcome()
    settings = reference_root() / "contracts" / "pytest.ini"
    arguments = ["-c", str(settings), "--rootdir", str(settings.parent), "-p", PLUGIN]
    arguments += ["--sandbox-project", str(sources.root)] if sources.folder else []
    arguments += [f"--sandbox-spec={name}={path.absolute()}" for name, path in sources.given]
    arguments += ["--sandbox-remote-refs"] if sources.remote is not None else []
    files = map(str, suite_files(sources.root, suites))
    with _no_other_plugins():
        code = pytest.main([*arguments, *options, *files], plugins=[_Collector(outcome)])
    outcome.exit_code = _CODES.get(int(code), 3)
    return outcome


def preflight(project: Project, real: Mapping[str, str], environment: Mapping[str, str]) -> None:
    """Ask each real provider one safe question, so that what is wrong with all of it is said once and clearly.

    Raises:
        ProviderError: when it cannot be reached, refuses our credentials, or is not what the specification describes.
    """
    for name, url in real.items():
        provider = Provider(
            project.specs[name], url, real_credentials(project.specs[name], environment), writable=False
        )
        try:
            _ask(provider)
        finally:
            provider.close()


def _ask(provider: Provider) -> None:
    safe = [
        operation
        for operation in provider.spec.operations.values()
        if operation.method == "GET" and "{" not in operation.path and not any(p.required for p in operation.parameters)
    ]
    answers = [(operation, provider.send(Request(operation, operation.path))) for operation in safe[:3]]
    if any(answer.status == 401 for _, answer in answers):
        missing = [name for wanted in provider.credentials("integrator") for name in wanted.environment()]
        raise ProviderError(
            f"{provider.name}: {provider.url} refuses our credentials (401)",
            f"are they expired? they are taken from {' and '.join(missing) or 'the environment'}",
        )
    strange = [operation for operation, answer in answers if answer.status == 404 or "html" in answer.content_type]
    if answers and len(strange) == len(answers):
        raise ProviderError(
            f"{provider.name}: nothing at {provider.url} is what {provider.spec.path.name} describes: "
            f"GET {strange[0].path} is unknown there",
            "is --base-url the URL that the paths of the specification continue?",
        )
