"""A run as its directory tells it: state, progress, figures of every iteration, log."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any

from mapsort.errors import FormatError
from mapsort.rundir.layout import RunDirectory
from mapsort.rundir.manifest import Manifest, read_manifest
from mapsort.rundir.run_lock import LockHolder, killed_holder
from mapsort.rundir.set_counts import SetCounts
from mapsort.rundir.text import read_convergence

_LOG_LINE = re.compile(r"(?P<when>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) (?P<level>[A-Z]+) (?P<text>.*)")
#: A run that has written nothing for this many times its longest iteration has likely stopped.
_SILENCE = 5.0


class RunState(StrEnum):
    """How a run stands; the value is what the report calls it."""

    RUNNING = "running"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True)
class LogLine:
    """One line of run.log."""

    level: str
    text: str
    whole: str
    when: datetime | None = None

    @classmethod
    def of(cls, whole: str) -> LogLine:
        """Return a line as it stands in the file; a traceback's lines have no level and time."""
        match = _LOG_LINE.fullmatch(whole)
        if match is None:
            return cls("INFO", whole, whole)
        when = datetime.fromisoformat(match["when"])
        return cls(match["level"], match["text"], whole, when)


@dataclass(frozen=True)
class RunRecord:
    """What a run directory tells."""

    directory: RunDirectory
    manifest: Manifest
    #: Records of convergence.json, first iteration first; empty at the beginning.
    iterations: list[dict[str, Any]]

    @cached_property
    def log(self) -> tuple[LogLine, ...]:
        """The lines of run.log."""
        path = self.directory.log
        text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
        return tuple(map(LogLine.of, text.splitlines()))

    @cached_property
    def killed(self) -> LockHolder | None:
        """The process that worked here and was killed, where one was."""
        return None if self.has_ended else killed_holder(self.directory.lock)

    @property
    def has_ended(self) -> bool:
        """Whether all was done: the last iteration said so, or what is written last is there."""
        ended = bool(self.iterations) and self.iterations[-1].get("end") is not None
        return ended or self.directory.pca.exists() or self.directory.abinit.exists()

    @cached_property
    def state(self) -> RunState:
        """How the run stands, as far as its files tell."""
        if self.has_ended:
            return RunState.FINISHED
        if self.killed is not None:
            return RunState.STOPPED
        last = self.log[-1] if self.log else LogLine("", "", "")
        # Until this version an interruption was logged as an error.
        if last.text.startswith(("interrupted", "cancelled")):
            return RunState.INTERRUPTED
        failed = last.level in ("ERROR", "CRITICAL")
        return RunState.FAILED if failed else RunState.RUNNING

    @property
    def name(self) -> str:
        """Name of the run directory."""
        return self.directory.path.resolve().name

    @property
    def n_planned(self) -> int | None:
        """Number of iterations asked for; None if that is left to the run."""
        asked = self.manifest.options.get("iter")
        return asked if isinstance(asked, int) else None

    @property
    def n_models(self) -> int:
        """Number of maps."""
        if self.iterations:
            return len(self.iterations[-1]["maps"])
        return max(1, len(self.manifest.options.get("models") or ()))

    @property
    def n_particles(self) -> int | None:
        """Number of particles; None before the first iteration has ended."""
        return self.counts[-1].total if self.iterations else None

    @property
    def counts(self) -> list[SetCounts]:
        """Particles of each map and each set of junk after every iteration."""
        counts = [SetCounts.of_entry(entry) for entry in self.iterations]
        # Earlier versions did not tell of junk before they had found any.
        most = max((len(item.junk) for item in counts), default=0)
        return [replace(item, junk=item.junk + (0,) * (most - len(item.junk))) for item in counts]

    @property
    def n_junk(self) -> int:
        """Number of sets of junk; 0 where that was not asked for."""
        return len(self.counts[-1].junk) if self.iterations else 0

    @property
    def is_single(self) -> bool:
        """Whether it is a single-map refinement, by independent halves."""
        return bool(self.manifest.options.get("independent_halves"))

    @property
    def last(self) -> int:
        """Number of the last finished iteration; 0 for none."""
        return int(self.iterations[-1]["iteration"]) if self.iterations else 0

    @property
    def iteration_numbers(self) -> list[int]:
        """Numbers of the finished iterations."""
        return [int(entry["iteration"]) for entry in self.iterations]

    @property
    def seconds_left(self) -> float | None:
        """Time that the iterations to come will take, if they take as long as the last one.

        Maps get sharper and the search finer, so that the last iteration foretells better than
        the mean of all. Writing goes on beside the next computation and does not count.
        """
        if self.state is not RunState.RUNNING or not self.iterations or self.n_planned is None:
            return None
        return max(0, self.n_planned - self.last) * computing_seconds(self.iterations[-1])

    @property
    def seconds_of_silence(self) -> float:
        """After how long without news a reader may believe that a running run has died [s]."""
        longest = max((computing_seconds(entry) for entry in self.iterations), default=3600.0)
        return max(600.0, _SILENCE * longest)

    @property
    def elapsed_seconds(self) -> float:
        """From the start until now, or from the first to the last line of an ended run's log."""
        if self.state is RunState.RUNNING:
            return max(0.0, time.time() - datetime.fromisoformat(self.manifest.started).timestamp())
        moments = [line.when for line in self.log if line.when is not None]
        return (moments[-1] - moments[0]).total_seconds() if moments else 0.0

    def warnings(self) -> list[LogLine]:
        """Return the log's warnings and errors."""
        return [line for line in self.log if line.level not in ("INFO", "DEBUG")]


def read_run(path: str | Path) -> RunRecord:
    """Read a run directory, finished or not."""
    path = Path(path)
    if not path.is_dir():
        raise FormatError(f"{path}: no such run directory.")
    directory = RunDirectory(path)
    manifest = read_manifest(directory.parms)
    if manifest.options.get("format") == "hdf":
        directory = RunDirectory(path, map_suffix=".hdf")
    return RunRecord(directory, manifest, read_convergence(directory.convergence))


def computing_seconds(entry: dict[str, Any]) -> float:
    """Return how long an iteration took [s]: its files are written while the next one computes."""
    seconds: dict[str, float] = entry["seconds"]
    return sum(value for stage, value in seconds.items() if stage != "write")
