"""What a running job tells of itself; how it is shown is the caller's, a notebook's bar apart."""

from __future__ import annotations

import html
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from mapsort.errors import Interrupted


class Progress(Protocol):
    """Receiver of a job's progress: one stage at a time, from start to finish.

    `start` and `advance` are also the safe points at which an implementation may raise
    `mapsort.errors.Interrupted`: the job is between two units of work there.
    """

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:
        """Begin a stage of `total` units in iteration `iteration` (0: preparation)."""

    def advance(self, amount: int) -> None:
        """Count `amount` more units of the running stage as done."""

    def finish(self, summary: str) -> None:
        """End the running stage; `summary` is one line for the log."""

    def message(self, text: str) -> None:
        """Tell the user one line."""


def warn(progress: Progress, text: str) -> None:
    """Tell the user one line about doubtful input or results.

    A receiver with a method ``warning`` gets it there, so that a display that shows no progress can
    show this all the same; others get it as a message.
    """
    getattr(progress, "warning", progress.message)(text)


class SilentProgress:
    """Shows nothing."""

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:
        """Ignore the start of a stage."""

    def advance(self, amount: int) -> None:
        """Ignore the units done."""

    def finish(self, summary: str) -> None:
        """Ignore the end of a stage."""

    def message(self, text: str) -> None:
        """Ignore the line."""


@dataclass(frozen=True)
class ProgressEvent:
    """Where a job stands.

    Attributes
    ----------
    stage : str
        ``match``, ``average``, ``reconstruct`` ...; empty before the first.
    iteration, n_iterations : int
        Iteration of how many; 0 while the job is prepared.
    done, total : int
        Units of the stage that are done, of how many.
    message : str
        A line for the user: the summary of a finished stage, or a note; else empty.
    """

    stage: str = ""
    iteration: int = 0
    n_iterations: int = 0
    done: int = 0
    total: int = 0
    message: str = ""


class CallbackProgress:
    """A progress that calls a function, and stops the job when another one says so.

    Parameters
    ----------
    told : callable, optional
        Called with a `ProgressEvent` at each step, in the thread that runs the job.
    cancelled : callable, optional
        Asked between two units of work; once it returns true the job ends with
        `mapsort.errors.Interrupted`, and everything finished stays on disk. The method ``is_set``
        of a `threading.Event` will do.

    Examples
    --------
    >>> progress = CallbackProgress(lambda event: print(event.stage, event.done, event.total))
    >>> progress.start("match", 4, iteration=1, n_iterations=2)
    match 0 4
    >>> progress.advance(3)
    match 3 4
    """

    def __init__(
        self,
        told: Callable[[ProgressEvent], None] | None = None,
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self._told = told if told is not None else _ignore
        self._cancelled = cancelled if cancelled is not None else _never
        self._at = ProgressEvent()

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:
        """Tell of a new stage, or stop."""
        self._stop_if_cancelled()
        self._at = ProgressEvent(stage, iteration, n_iterations, 0, total)
        self._told(self._at)

    def advance(self, amount: int) -> None:
        """Tell of units done, or stop."""
        self._stop_if_cancelled()
        self._at = replace(self._at, done=self._at.done + amount)
        self._told(self._at)

    def finish(self, summary: str) -> None:
        """Tell that the stage is over."""
        self._told(replace(self._at, message=summary))

    def message(self, text: str) -> None:
        """Pass the line on."""
        self._told(replace(self._at, message=text))

    def _stop_if_cancelled(self) -> None:
        if self._cancelled():
            raise Interrupted("cancelled; finished files are kept")


def _ignore(event: ProgressEvent) -> None:
    """Take no notice."""


def _never() -> bool:
    return False


class NotebookProgress:
    """A bar in the output of a notebook's cell, and the last lines that the job told.

    Parameters
    ----------
    show : callable, optional
        ``IPython.display.display`` by default; called with an object that has ``_repr_html_``, then
        the handle that it returns is updated.
    """

    _LINES = 12

    def __init__(self, show: Callable[..., Any] | None = None) -> None:
        self._show = show or importlib.import_module("IPython.display").display
        self._handle: Any = None
        self._told: list[str] = []
        self._label, self._done, self._total = "", 0, 0

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:
        """Show an empty bar."""
        place = f"{iteration}/{n_iterations} " if iteration else ""
        self._label, self._done, self._total = f"{place}{stage}", 0, total
        self._refresh()

    def advance(self, amount: int) -> None:
        """Lengthen the bar."""
        self._done += amount
        self._refresh()

    def finish(self, summary: str) -> None:
        """Replace the bar by a line."""
        self.message(f"{self._label}: {summary}")

    def message(self, text: str) -> None:
        """Show a line, below those before."""
        self._told = [*self._told, text][-self._LINES :]
        self._label, self._total = "", 0
        self._refresh()

    def _repr_html_(self) -> str:
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self._told)
        if not self._label:
            return lines
        bar = f'<progress value="{self._done}" max="{max(self._total, 1)}"></progress>'
        return f"{lines}<div>{html.escape(self._label)} {bar} {self._done}/{self._total}</div>"

    def _refresh(self) -> None:
        if self._handle is None:
            self._handle = self._show(self, display_id=True)
        else:
            self._handle.update(self)


def default_progress() -> Progress:
    """Return what shows a job's progress where the caller gave nothing: a bar in a notebook."""
    shell = sys.modules.get("IPython")
    kernel = shell.get_ipython() if shell is not None else None
    if kernel is not None and hasattr(kernel, "kernel"):
        return NotebookProgress()
    return SilentProgress()
