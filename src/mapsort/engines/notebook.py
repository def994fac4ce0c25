"""A job's progress in a notebook: one bar for the running stage, shown by default there."""

from __future__ import annotations

import html
import importlib
import sys
from collections.abc import Callable
from typing import Any

from mapsort.engines.progress import Progress, SilentProgress


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
