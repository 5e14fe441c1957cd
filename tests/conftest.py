"""What every test may use, whatever it is about."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
DEADLINE = pytest.StashKey[float]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("sandbox", "the long checks")
    group.addoption("--shard", type=_shard, default=(1, 1), metavar="k/n", help="run the k-th of n parts of the tests")
    group.addoption(
        "--budget", type=float, default=math.inf, metavar="SECONDS", help="start no further test once this is used up"
    )


def _shard(text: str) -> tuple[int, int]:
    number, _, total = text.partition("/")
    if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        raise pytest.UsageError(f"--shard {text}: expected k/n with 1 <= k <= n, for example 2/4")
    return int(number), int(total)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[DEADLINE] = time.monotonic() + config.getoption("budget")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    number, total = config.getoption("shard")
    if total == 1:
        return
    chosen = items[number - 1 :: total]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(chosen)])
    items[:] = chosen


def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() > item.config.stash[DEADLINE]:
        pytest.skip(f"not covered: the budget of {item.config.getoption('budget'):.0f} s was used up")


@pytest.fixture
def time_left(request: pytest.FixtureRequest) -> float:
    """Seconds until the budget is used up; infinite without `--budget`. For tests that can do more or less."""
    return request.config.stash[DEADLINE] - time.monotonic()


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of this repository, which is the reference project."""
    return CHECKOUT


@pytest.fixture(scope="session", autouse=True)
def only_loopback() -> Iterator[None]:
    """Keeps a proxy of the machine away from the tests' own servers."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            patch.delenv(name, raising=False)
            patch.delenv(name.upper(), raising=False)
        patch.setenv("NO_PROXY", "*")
        yield


@pytest.fixture
def outside(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment for subprocesses without anything that makes the checkout importable; moves to a fresh folder."""
    monkeypatch.chdir(tmp_path)
    dropped = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {
        name: value for name, value in os.environ.items() if name not in dropped and not name.startswith("SANDBOX_")
    }
