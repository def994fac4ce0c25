"""What a running job tells of itself; how it is shown is the caller's."""

from __future__ import annotations

from typing import Protocol


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
