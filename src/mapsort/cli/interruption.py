"""Signals that ask a run to stop: noted at once, acted on at the next safe point."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mapsort.engines.progress import Progress, SilentProgress, warn
from mapsort.errors import Interrupted

# SIGUSR1 is what Slurm sends ahead of the time limit (--signal=USR1@300); SIGHUP comes when the
# terminal or the connection is closed.
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)


class InterruptibleProgress:
    """A progress display that raises Interrupted between two units of work.

    Raising inside the signal handler could cut a file write or a kernel call in two; `start` and
    `advance` are called where everything finished is saved or belongs to one stage only.
    """

    def __init__(self, shown: Progress) -> None:
        self._shown = shown
        self._received: signal.Signals | None = None

    def note(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal; the second interrupt from the keyboard stops without waiting."""
        if self._received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._received = signal.Signals(number)
        if number == signal.SIGHUP:
            # What was shown on has gone; what is written there fails.
            self._shown = SilentProgress()
            return
        # Not through the display or sys.stderr: the signal may have come in the middle of a write
        # of theirs, and buffered writers refuse to be entered twice.
        os.write(2, f"mapsort: {self._received.name}: stopping soon\n".encode())

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:
        """Begin a stage, or stop."""
        self._stop_if_asked()
        self._shown.start(stage, total, iteration=iteration, n_iterations=n_iterations)

    def advance(self, amount: int) -> None:
        """Count units, or stop."""
        self._stop_if_asked()
        self._shown.advance(amount)

    def finish(self, summary: str) -> None:
        """End a stage; its results are saved before anything stops."""
        self._shown.finish(summary)

    def message(self, text: str) -> None:
        """Tell the user one line."""
        self._shown.message(text)

    def warning(self, text: str) -> None:
        """Tell the user one line about what is doubtful."""
        warn(self._shown, text)

    def _stop_if_asked(self) -> None:
        if self._received is not None:
            raise Interrupted(f"interrupted by {self._received.name}; finished files are kept")


@contextmanager
def interruptible(shown: Progress) -> Iterator[InterruptibleProgress]:
    """Give a progress that stops the job when a signal asks for it; handlers are put back."""
    progress = InterruptibleProgress(shown)
    # nohup has SIGHUP ignored, and means it.
    wanted = [n for n in STOPPING if (n, signal.getsignal(n)) != (signal.SIGHUP, signal.SIG_IGN)]
    before = {number: signal.signal(number, progress.note) for number in wanted}
    try:
        yield progress
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
