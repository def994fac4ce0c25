"""What a run needs to go on after it was stopped: its state and the results of its stages."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from mapsort.errors import Interrupted
from mapsort.rundir.record_file import read_record, write_record

T = TypeVar("T")

#: Results of single chunks are saved when the last saving is this long ago [s]: what a killed run
#: loses of its longest stage.
SAVE_SECONDS = 60.0


def _nothing() -> None:
    """Verify nothing."""


@dataclass(frozen=True)
class Checkpoints:
    """Records in the run's ``checkpoint`` directory, by iteration and stage.

    A stage's result depends on the run's inputs and the state before it only, so that a record
    that is there can be taken in place of computing it again, whatever happened in between.

    Attributes
    ----------
    path : Path or None
        The directory; with None nothing is kept.
    verify : callable
        Called before a result is saved; raises when the inputs are not what they were.
    """

    path: Path | None = None
    verify: Callable[[], None] = _nothing

    def kept(self, iteration: int, stage: str, kind: type[T], compute: Callable[[], T]) -> T:
        """Return a stage's result: read, if it is there, or computed and saved.

        Parameters
        ----------
        iteration : int
        stage : str
            Name in the file's name.
        kind : type
            Dataclass of the result.
        compute : callable
            Makes the result.
        """
        file = self.file(f"{stage}_{iteration:02d}")
        if file is None:
            return compute()
        if file.exists():
            return read_record(file, kind)
        result = compute()
        self.verify()
        write_record(file, result)
        for part in file.parent.glob(f"{stage}*_{iteration:02d}_part_*.npz"):
            part.unlink()
        return result

    def save(self, iteration: int, stage: str, record: object) -> None:
        """Save a record, replacing one of that name."""
        file = self.file(f"{stage}_{iteration:02d}")
        if file is not None:
            write_record(file, record)

    def latest(self, stage: str, kind: type[T]) -> T | None:
        """Return the record of the highest iteration that has one of this name."""
        if self.path is None:
            return None
        found = sorted(self.path.glob(f"{stage}_[0-9][0-9].npz"))
        return read_record(found[-1], kind) if found else None

    def drop_before(self, iteration: int) -> None:
        """Remove the records of earlier iterations, and the stages that led to this one."""
        if self.path is None:
            return
        for file in self.path.glob("*_[0-9][0-9]*.npz"):
            name, _, rest = file.stem.partition("_")
            number = int(rest[:2])
            if number < iteration or (number == iteration and name != "state"):
                file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything: the run has ended."""
        if self.path is not None and self.path.exists():
            shutil.rmtree(self.path)

    @contextmanager
    def chunks(self, iteration: int, stage: str, kind: type[T]) -> Iterator[ChunkResults[T]]:
        """Collect the results of a stage's chunks; saved now and then, and when interrupted."""
        results = ChunkResults(self, iteration, stage, kind)
        try:
            yield results
        except (Interrupted, OSError):
            results.save()
            raise

    def file(self, name: str) -> Path | None:
        """Return the file of a record; its directory is there."""
        if self.path is None:
            return None
        self.path.mkdir(exist_ok=True)
        return self.path / f"{name}.npz"


@dataclass(frozen=True)
class _Part:
    """Results of consecutive chunks."""

    results: tuple[Any, ...]


@dataclass
class ChunkResults(Generic[T]):
    """Results of chunks in their order; those of an interrupted run are there at the start."""

    checkpoints: Checkpoints
    iteration: int
    stage: str
    kind: type[T]
    results: list[T] = field(init=False, default_factory=list)
    _saved: int = field(init=False, default=0)
    _when: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        while (file := self._next_part()) is not None and file.exists():
            self.results.extend(read_record(file, _Part, holding=(self.kind,)).results)
            self._saved = len(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def add(self, result: T) -> None:
        """Add the next chunk's result."""
        self.results.append(result)
        if time.monotonic() - self._when > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Save what was added since the last time."""
        self._when = time.monotonic()
        file = self._next_part()
        if file is None or self._saved == len(self.results):
            return
        self.checkpoints.verify()
        write_record(file, _Part(tuple(self.results[self._saved :])))
        self._saved = len(self.results)

    def _next_part(self) -> Path | None:
        """Return the file of the part that starts with the first result not saved."""
        name = f"{self.stage}_{self.iteration:02d}_part_{self._saved:07d}"
        return self.checkpoints.file(name)
