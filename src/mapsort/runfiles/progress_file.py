"""``progress.json``: where a run stands, for monitors to poll."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mapsort.engines.progress import Progress, warn
from mapsort.errors import Interrupted
from mapsort.rundir.relion_job import abort_asked
from mapsort.rundir.text import write_json

#: The file is written anew at the start and end of every stage, and within one after this time [s].
WRITE_SECONDS = 5.0
#: Within a stage, what asks to stop is looked for after this time [s]: disks may be far away.
LOOK_SECONDS = 1.0


class ProgressFile:
    """Shows progress as another display does, and keeps ``progress.json`` beside.

    The file is replaced in one step: who polls it always reads a whole one. Its items: ``state``
    (running, finished, interrupted or failed), ``iteration``, ``n_iterations``, ``stage``,
    ``done`` and ``total`` units of it, ``seconds`` in it and ``seconds_left`` of it (null before
    the first unit), ``message`` (the last line told), ``pid``, ``host``, ``updated``.

    Parameters
    ----------
    shown : Progress
        The display.
    path : Path
        The file. A file beside it that asks a job to stop (`abort_asked`) ends the run between two
        units of work.
    """

    def __init__(self, shown: Progress, path: Path) -> None:
        self._shown = shown
        self._path = path
        self._now: dict[str, Any] = {
            "state": "running",
            "iteration": 0,
            "n_iterations": 0,
            "stage": None,
            "done": 0,
            "total": 0,
            "seconds": 0.0,
            "seconds_left": None,
            "message": "",
        }
        # Durations by a clock that never jumps.
        self._started = self._written = self._looked = time.monotonic()

    def start(self, stage: str, total: int, *, iteration: int, n_iterations: int) -> None:
        """Begin a stage, or stop."""
        self._stop_if_asked()
        self._now |= {"iteration": iteration, "n_iterations": n_iterations, "stage": stage}
        self._now |= {"done": 0, "total": total}
        self._started = time.monotonic()
        self._write()
        self._shown.start(stage, total, iteration=iteration, n_iterations=n_iterations)

    def advance(self, amount: int) -> None:
        """Count units, or stop."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._stop_if_asked()
        self._now["done"] += amount
        if time.monotonic() - self._written > WRITE_SECONDS:
            self._write()
        self._shown.advance(amount)

    def finish(self, summary: str) -> None:
        """End a stage."""
        self._now["done"] = self._now["total"]
        self._write()
        self._shown.finish(summary)

    def message(self, text: str) -> None:
        """Tell one line."""
        self._now["message"] = text
        self._shown.message(text)

    def warning(self, text: str) -> None:
        """Tell one line about what is doubtful."""
        self._now["message"] = text
        warn(self._shown, text)

    def finish_run(self, message: str, *, iteration: int, n_iterations: int) -> None:
        """Say why the run ended by itself, and after which iteration.

        A run that is resumed when it had ended goes through no stage: its files tell where.
        """
        self._now |= {"iteration": iteration, "n_iterations": n_iterations}
        self.end("finished", message)

    def end(self, state: str, message: str) -> None:
        """Say how the run ended: finished, interrupted or failed."""
        self._now |= {"state": state, "message": message}
        self._write()

    def _stop_if_asked(self) -> None:
        self._looked = time.monotonic()
        name = abort_asked(self._path.parent)
        if name is not None:
            raise Interrupted(f"stopped by {name}; finished files are kept")

    def _write(self) -> None:
        self._written = time.monotonic()
        seconds = self._written - self._started
        done, total = self._now["done"], self._now["total"]
        self._now["seconds"] = round(seconds, 3)
        self._now["seconds_left"] = round(seconds * (total - done) / done, 1) if done else None
        content = self._now | {
            "pid": os.getpid(),
            "host": platform.node(),
            "updated": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_json(self._path, content)
