"""Showing a job's progress: bars on a terminal, one plain line per stage elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol, TextIO

from mapsort.engines.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from rich.progress import TaskID


class _Closable(Progress, Protocol):
    def close(self) -> None: ...


class PlainProgress:
    """One line per finished stage, for logs and pipes.

    Parameters
    ----------
    stream : text stream, optional
        Standard error by default.
    clock : callable, optional
        Seconds, increasing.
    """

    def __init__(
        self, stream: TextIO | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._label = ""
        self._started = 0.0

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:  # noqa: ARG002
        """Note the stage's name and the time."""
        self._label = stage_label(stage, iteration, n_iterations)
        self._started = self._clock()

    def advance(self, amount: int) -> None:
        """Show nothing: a line per chunk would drown a log."""

    def finish(self, summary: str) -> None:
        """Write the stage's line."""
        seconds = self._clock() - self._started
        self.message(finished_line(self._label, summary, seconds))

    def message(self, text: str) -> None:
        """Write one line."""
        self._stream.write(text + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Do nothing: every line is written already."""


class RichProgress:
    """A bar with the time left for the running stage, a line for each finished one; on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as Bars

        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._bars.start()
        self._task: TaskID | None = None
        self._label = ""
        self._started = 0.0

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:
        """Show a new bar in place of the last one."""
        self._remove_task()
        self._label = stage_label(stage, iteration, n_iterations)
        self._started = time.monotonic()
        self._task = self._bars.add_task(self._label, total=total)

    def advance(self, amount: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.advance(self._task, amount)

    def finish(self, summary: str) -> None:
        """Replace the bar by the stage's line."""
        self._remove_task()
        self.message(finished_line(self._label, summary, time.monotonic() - self._started))

    def message(self, text: str) -> None:
        """Write one line above the bar."""
        self._bars.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Take the display down; a stage that was stopped in its midst leaves no bar behind."""
        self._remove_task()
        self._bars.stop()

    def _remove_task(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None


def stage_label(stage: str, iteration: int, n_iterations: int) -> str:
    """Return how a stage is called: ``iteration 2/6  match``; preparation has no number."""
    return f"iteration {iteration}/{n_iterations}  {stage}" if iteration > 0 else stage


def finished_line(label: str, summary: str, seconds: float) -> str:
    """Return the line for a finished stage."""
    told = f"{label}: {summary}" if summary else label
    return f"{told} ({seconds:.1f} s)"


@contextmanager
def progress_display(*, quiet: bool) -> Iterator[Progress]:
    """Give the display that fits: none if quiet, bars on a terminal, plain lines elsewhere."""
    if quiet:
        yield SilentProgress()
        return
    shown: _Closable = RichProgress() if sys.stderr.isatty() else PlainProgress()
    try:
        yield shown
    finally:
        # A terminal that has gone (SIGHUP) takes nothing back, and why the run ends must come out.
        with suppress(OSError):
            shown.close()
