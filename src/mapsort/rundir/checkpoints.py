"""What a run needs to go on after it was stopped: its state and the results of its stages."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from mapsort.errors import Interrupted
from mapsort.rundir.record_file import read_record, write_record
from mapsort.rundir.scratch import Gathered, Scratch

T = TypeVar("T")

#: Results of single chunks are saved when the last saving is this long ago [s]: what a killed run
#: loses of its longest stage.
SAVE_SECONDS = 60.0


@dataclass(frozen=True)
class Checkpoints:
    """Records in the run's ``checkpoint`` directory, by iteration and stage.

    A stage's result depends on the run's inputs and the state before it only, so that a record
    that is there can be taken in place of computing it again, whatever happened in between.
    """

    #: The directory; with None nothing is kept.
    path: Path | None = None
    #: Called before a result is saved; raises when the inputs are not what they were.
    verify: Callable[[], None] = lambda: None
    #: Room for the arrays of what is read or put together.
    scratch: Scratch = field(default_factory=Scratch)

    def kept(self, iteration: int, stage: str, kind: type[T], compute: Callable[[], T]) -> T:
        """Return a stage's result, a dataclass: read, if it is there, or computed and saved."""
        file = self.file(f"{stage}_{iteration:02d}")
        if file is None:
            return compute()
        if file.exists():
            return read_record(file, kind, place=self.scratch.placed)
        result = compute()
        self.verify()
        write_record(file, result, written=self.scratch.release)
        for part in file.parent.glob(f"{stage}*_{iteration:02d}_part_*.npz"):
            part.unlink()
        return result

    def save(self, iteration: int, stage: str, record: object) -> None:
        """Save a record, replacing one of that name."""
        file = self.file(f"{stage}_{iteration:02d}")
        if file is not None:
            write_record(file, record, written=self.scratch.release)

    def latest(self, stage: str, kind: type[T]) -> T | None:
        """Return the record of the highest iteration that has one of this name."""
        if self.path is None:
            return None
        found = sorted(self.path.glob(f"{stage}_[0-9][0-9].npz"))
        return read_record(found[-1], kind, place=self.scratch.placed) if found else None

    def drop_before(self, iteration: int, *, states: bool = True) -> None:
        """Remove the records of earlier iterations, and the stages that led to this one.

        Parameters
        ----------
        states : bool
            Whether the states of earlier iterations go, too.
        """
        self._drop(
            lambda name, number: (
                states and number < iteration if name == "state" else number <= iteration
            )
        )

    def drop_after(self, iteration: int) -> None:
        """Remove what came after an iteration."""
        self._drop(lambda _, number: number > iteration)

    def drop_stages(self) -> None:
        """Remove the results of an unfinished iteration's stages: it is to be done otherwise."""
        self._drop(lambda name, _: name != "state")

    def _drop(self, is_done_with: Callable[[str, int], bool]) -> None:
        for file in self.path.glob("*_[0-9][0-9]*.npz") if self.path is not None else ():
            name, _, rest = file.stem.partition("_")
            if is_done_with(name, int(rest[:2])):
                file.unlink(missing_ok=True)

    def of_part(self, name: str) -> Checkpoints:
        """Return those of a refinement that is part of the run, in a directory of their own."""
        if self.path is None:
            return self
        self.path.mkdir(exist_ok=True)
        return replace(self, path=self.path / name)

    def drop_part(self, name: str) -> None:
        """Remove those of a part that is done."""
        if self.path is not None:
            shutil.rmtree(self.path / name, ignore_errors=True)

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
    """Results of consecutive chunks, put together."""

    n_chunks: int
    rows: Any


@dataclass
class ChunkResults(Generic[T]):
    """Results of chunks in their order; those of an interrupted run are there at the start.

    A result is a dataclass whose arrays have a row for each particle of the chunk.
    """

    checkpoints: Checkpoints
    iteration: int
    stage: str
    kind: type[T]
    _gathered: Gathered[T] = field(init=False)
    _chunks: int = field(init=False, default=0)
    _saved_chunks: int = field(init=False, default=0)
    _saved_rows: int = field(init=False, default=0)
    _when: float = field(init=False, default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self._gathered = Gathered(self.checkpoints.scratch)
        while (file := self._next_part()) is not None and file.exists():
            part = read_record(file, _Part, holding=(self.kind,))
            self._gathered.add(part.rows)
            self._chunks += part.n_chunks
            self._all_saved()

    def __len__(self) -> int:
        return self._chunks

    def add(self, result: T) -> None:
        """Add the next chunk's result."""
        self._gathered.add(result)
        self._chunks += 1
        if time.monotonic() - self._when > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Save what was added since the last time."""
        self._when = time.monotonic()
        file = self._next_part()
        if file is None or self._saved_chunks == self._chunks:
            return
        self.checkpoints.verify()
        rows = self._gathered.joined(self._saved_rows)
        release = self.checkpoints.scratch.release
        write_record(file, _Part(self._chunks - self._saved_chunks, rows), written=release)
        self._all_saved()

    def joined(self) -> T:
        """Return the results of all chunks as one."""
        return self._gathered.joined()

    def _all_saved(self) -> None:
        self._saved_chunks, self._saved_rows = self._chunks, len(self._gathered)

    def _next_part(self) -> Path | None:
        """Return the file of the part that starts with the first result not saved."""
        name = f"{self.stage}_{self.iteration:02d}_part_{self._saved_chunks:07d}"
        return self.checkpoints.file(name)
