"""The progress bar of a search: on a terminal only, on standard error."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from sandbox.chaos.explore import Exploration
from sandbox.cli.options import verbosity
from sandbox.clock import Clock


class Watch:
    """Shows how far a search is, at which rate, what was found and how long it will still take.

    Args:
        deadline: When the budget is used up, by the clock.
    """

    def __init__(self, clock: Clock, deadline: float) -> None:
        console = Console(stderr=True)
        columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}")
        self._progress = Progress(*columns, console=console, transient=True)
        self._progress.disable = not console.is_terminal or verbosity() < 0
        self._clock = clock
        self._deadline = deadline
        self._task: TaskID | None = None
        self.search: Exploration | None = None

    def __enter__(self) -> Self:
        if not self._progress.disable:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._progress.disable:
            self._progress.stop()

    def tell(self, search: Exploration) -> None:
        """Show where a search is; remembers it, so that what was found outlives an interruption."""
        if self._task is None or search is not self.search:
            if self._task is not None:
                self._progress.remove_task(self._task)
            self._task = self._progress.add_task(search.scenario, total=None, told="")
        self.search = search
        self._progress.update(self._task, completed=search.trials, total=search.possible, told=self._told(search))

    def _told(self, search: Exploration) -> str:
        rate = search.trials / search.seconds if search.seconds else 0.0
        left = max(0.0, self._deadline - self._clock.now())
        if rate:
            left = min(left, (search.possible - search.trials) / rate)
        return f"{search.trials}/{search.possible}  {rate:.0f}/s  {len(search.failures)} failed  {left:.0f} s left"
