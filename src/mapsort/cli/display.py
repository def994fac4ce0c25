"""Showing a job's progress: bars on a terminal, one plain line per stage elsewhere."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from mapsort.cli.output import warn
from mapsort.engines.progress import Progress, SilentProgress

if TYPE_CHECKING:
    from rich.progress import TaskID


class LineDisplay:
    """A line for each finished stage.

    Parameters
    ----------
    write : callable
        Writes a line.
    clock : callable, optional
        Seconds, increasing.
    """

    def __init__(
        self, write: Callable[[str], None], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._write, self._clock = write, clock
        self._label = ""
        self._started = 0.0
        self._last = ""

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:  # noqa: ARG002
        """Note the stage's name and the time."""
        self._label = stage_label(stage, iteration, n_iterations)
        self._started = self._clock()

    def advance(self, amount: int) -> None:
        """Show nothing: a line per chunk would drown a log."""

    def finish(self, summary: str) -> None:
        """Write the stage's line."""
        self.message(finished_line(self._label, summary, self._clock() - self._started))

    def message(self, text: str) -> None:
        """Write one line, once where it is also logged and the log is shown."""
        if text != self._last:
            self._write(text)
        self._last = text

    def close(self) -> None:
        """Take the display down."""


class PlainProgress(LineDisplay):
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
        super().__init__(self._write_line, clock=clock)
        self._stream = sys.stderr if stream is None else stream

    def _write_line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class RichProgress(LineDisplay):
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

        super().__init__(self._print)
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

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:
        """Show a new bar in place of the last one."""
        self._remove_task()
        super().start(stage, total, iteration=iteration, n_iterations=n_iterations)
        self._task = self._bars.add_task(self._label, total=total)

    def advance(self, amount: int) -> None:
        """Move the bar."""
        if self._task is not None:
            self._bars.advance(self._task, amount)

    def finish(self, summary: str) -> None:
        """Replace the bar by the stage's line."""
        self._remove_task()
        super().finish(summary)

    def close(self) -> None:
        """Take the display down; a stage that was stopped in its midst leaves no bar behind."""
        self._remove_task()
        self._bars.stop()

    def _print(self, text: str) -> None:
        self._bars.console.print(text, markup=False, highlight=False)

    def _remove_task(self) -> None:
        if self._task is not None:
            self._bars.remove_task(self._task)
            self._task = None


class LogLines(logging.Handler):
    """Shows what a run writes to run.log: its choices, and from verbosity 2 on its stages.

    Parameters
    ----------
    shown : Progress
        Where lines are shown; warnings get there without the log.
    """

    def __init__(self, shown: Progress, verbosity: int) -> None:
        super().__init__(logging.INFO)
        self._shown, self._verbosity = shown, verbosity

    def emit(self, record: logging.LogRecord) -> None:
        """Show a line."""
        wanted = self._verbosity if hasattr(record, "stage") else self._verbosity + 1
        # A terminal that has gone must not end the run that logs.
        with suppress(OSError):
            if record.levelno == logging.INFO and wanted >= 2:
                self._shown.message(record.getMessage())


class Heartbeat:
    """Silent while work is quick; a line on where it stands whenever it takes long.

    For jobs whose answer is short, like ``--check``: notes and finished stages are not shown.

    Parameters
    ----------
    stream : text stream, optional
        Standard error by default.
    every : float
        Seconds between lines.
    """

    def __init__(self, stream: TextIO | None = None, *, every: float = 4.0) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._every = every
        self._label, self._done, self._total = "reading the input", 0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._over.set()
        self._thread.join()

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:
        """Note the stage."""
        label = stage_label(stage, iteration, n_iterations)
        self._label, self._done, self._total = label, 0, total

    def advance(self, amount: int) -> None:
        """Count."""
        self._done += amount

    def finish(self, summary: str) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Show nothing."""

    def _beat(self) -> None:
        began = time.monotonic()
        while not self._over.wait(self._every):
            count = f" {self._done} of {self._total}" if self._total > 1 else ""
            self._stream.write(f"{self._label}{count} ({time.monotonic() - began:.0f} s)\n")
            self._stream.flush()


@contextmanager
def check_display(*, quiet: bool) -> Iterator[Progress]:
    """Give the display of ``--check``: none if quiet, else a line every few seconds."""
    if quiet:
        yield SilentProgress()
        return
    with Heartbeat() as shown:
        yield shown


def stage_label(stage: str, iteration: int, n_iterations: int) -> str:
    """Return how a stage is called: ``iteration 2/6  match``; preparation has no number."""
    return f"iteration {iteration}/{n_iterations}  {stage}" if iteration > 0 else stage


def finished_line(label: str, summary: str, seconds: float) -> str:
    """Return the line for a finished stage."""
    told = f"{label}: {summary}" if summary else label
    return f"{told} ({seconds:.1f} s)"


class WarningsOnly(SilentProgress):
    """Shows no progress, but what is doubtful."""

    def warning(self, text: str) -> None:
        """Print the line on stderr."""
        warn(text)


@contextmanager
def progress_display(*, quiet: bool, verbosity: int = 0) -> Iterator[Progress]:
    """Give the display that fits: warnings alone if quiet, bars on a terminal, else plain lines."""
    if quiet:
        yield WarningsOnly()
        return
    shown: LineDisplay = RichProgress() if sys.stderr.isatty() else PlainProgress()
    log, lines = logging.getLogger("mapsort"), LogLines(shown, verbosity)
    log.addHandler(lines)
    try:
        yield shown
    finally:
        log.removeHandler(lines)
        # A terminal that has gone (SIGHUP) takes nothing back, and why the run ends must come out.
        with suppress(OSError):
            shown.close()
