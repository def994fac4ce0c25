"""Large arrays of a run in files without names: in memory only while somebody looks at them."""

from __future__ import annotations

import dataclasses
import math
import mmap
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Generic, TypeVar
from weakref import WeakSet, finalize

import numpy as np
import numpy.typing as npt
import pandas as pd

from mapsort.array_types import Array, Indices, UInt8

T = TypeVar("T")

#: Smaller arrays are not worth a file, which takes whole pages.
_LEAST_BYTES = 2**16
_ZEROS = bytes(2**20)


def sparse_zeros(shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
    """Return zeros in memory that is taken page by page, as it is written in.

    Large arrays of NumPy ask for pages of some MiB, all of which is cleared for one row that is
    written.
    """
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if size < _LEAST_BYTES or not hasattr(mmap, "MADV_NOHUGEPAGE"):
        return np.zeros(shape, kind)
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, kind).reshape(shape)


class Scratch:
    """Room for arrays that grow with the number of particles or classes.

    Each array is a file in the directory that has no name (it is gone when the process ends,
    however it ends), mapped into memory. The system fetches what is looked at, and takes it back
    when memory is short or `release` is called. Without a directory arrays are plain ones.

    Parameters
    ----------
    directory : Path, optional
        An existing directory that can be written in.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._mapped: WeakSet[mmap.mmap] = WeakSet()

    def zeros(self, shape: tuple[int, ...], dtype: npt.DTypeLike) -> Array:
        """Return an array of zeros that can be written in."""
        kind = np.dtype(dtype)
        size = math.prod(shape) * kind.itemsize
        if self._directory is None or size < _LEAST_BYTES:
            return np.zeros(shape, kind)
        with self._file() as file:
            with self._named_errors():
                _reserve(file, size)
            return self._array(mmap.mmap(file.fileno(), size), shape, kind)

    def placed(self, array: Array) -> Array:
        """Return the array, or a copy of it here if it is large."""
        if self._directory is None or array.nbytes < _LEAST_BYTES or array.dtype.hasobject:
            return array
        owner = _owner(array)
        if isinstance(owner, mmap.mmap) and owner in self._mapped:
            return array
        copy = self.zeros(array.shape, array.dtype)
        copy[...] = array
        self.release()
        return copy

    def with_arrays(self, record: T) -> T:
        """Return a dataclass with its arrays, however deep they are, placed here."""
        return _rebuilt(record, map(self.placed, _arrays(record)))

    def put_together(self, parts: Sequence[T], part_of: UInt8) -> T:
        """Return the record of particles that were dealt out to several parts, in their order.

        Parameters
        ----------
        parts : sequence of dataclass
            Alike; the first axis of every array counts the particles of a part.
        part_of : ndarray of shape (n,), uint8
            Which part each particle went to.
        """
        if len(parts) == 1:
            return parts[0]
        columns = zip(*(_arrays(part) for part in parts), strict=True)
        return _rebuilt(parts[0], (self._whole(arrays, part_of) for arrays in columns))

    def release(self) -> None:
        """Let the memory go that was taken to look at arrays; they stay what they are."""
        # Elsewhere the system finds out by itself.
        advice = getattr(mmap, "MADV_DONTNEED", None)
        if advice is not None:
            for mapped in list(self._mapped):
                mapped.madvise(advice)

    def _whole(self, arrays: tuple[Array, ...], part_of: UInt8) -> Array:
        whole = self.zeros((len(part_of), *arrays[0].shape[1:]), arrays[0].dtype)
        for number, array in enumerate(arrays):
            whole[part_of == number] = array
        return whole

    def _file(self) -> IO[bytes]:
        with self._named_errors():
            return tempfile.TemporaryFile(dir=self._directory)

    def _array(self, mapped: mmap.mmap, shape: tuple[int, ...], kind: np.dtype[Any]) -> Array:
        self._mapped.add(mapped)
        return np.frombuffer(mapped, kind, math.prod(shape)).reshape(shape)

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        """Let errors of the disk say where it was full: writing, unlike opening, does not."""
        try:
            yield
        except OSError as error:
            if error.errno is None or error.filename is not None:
                raise
            raise OSError(error.errno, error.strerror, str(self._directory)) from error


class Gathered(Generic[T]):
    """Records of consecutive particles, put together as they come.

    With a directory only what was added last is in memory.
    """

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._records: list[T] = []
        self._files: list[IO[bytes]] = []
        self._rows = 0
        finalize(self, _close, self._files)

    def __len__(self) -> int:
        return self._rows

    def add(self, record: T) -> None:
        """Add a dataclass; the first axis of its arrays counts particles."""
        arrays = _arrays(record)
        self._rows += len(arrays[0])
        if self._scratch._directory is None:
            self._records.append(record)
            return
        if not self._files:
            # What the arrays of every record are like.
            self._records.append(_rebuilt(record, (array[:0].copy() for array in arrays)))
            self._files.extend(self._scratch._file() for _ in arrays)
        with self._scratch._named_errors():
            for file, array in zip(self._files, arrays, strict=True):
                file.write(np.ascontiguousarray(array).data.cast("B") if array.size else b"")

    def joined(self, first: int = 0) -> T:
        """Return everything added, from particle ``first`` on, as one record.

        Raises
        ------
        ValueError
            Nothing was added.
        """
        if not self._records:
            raise ValueError("nothing was gathered")
        if self._scratch._directory is None:
            parts = zip(*(_arrays(record) for record in self._records), strict=True)
            arrays = [np.concatenate(part)[first:] for part in parts]
        else:
            kinds = _arrays(self._records[0])
            arrays = [self._mapped(*pair)[first:] for pair in zip(self._files, kinds, strict=True)]
        return _rebuilt(self._records[0], iter(arrays))

    def _mapped(self, file: IO[bytes], like: Array) -> Array:
        with self._scratch._named_errors():
            file.flush()
        shape = (self._rows, *like.shape[1:])
        if not math.prod(shape):
            return np.zeros(shape, like.dtype)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        return self._scratch._array(mapped, shape, like.dtype)


def _close(files: list[IO[bytes]]) -> None:
    for file in files:
        file.close()


def _owner(array: Array) -> object:
    """Return what holds the memory of an array."""
    owner: object = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return owner.obj if isinstance(owner, memoryview) else owner


def _reserve(file: IO[bytes], size: int) -> None:
    """Make a file of zeros whose blocks are there: a full disk met later would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
        return
    for first in range(0, size, len(_ZEROS)):
        file.write(_ZEROS[: size - first])
    file.flush()


def _arrays(value: object) -> list[Array]:
    """Return the arrays in a value of dataclasses, tuples and lists, in order."""
    found: list[Array] = []

    def noted(array: Array) -> Array:
        found.append(array)
        return array

    _visited(value, noted)
    return found


def _rebuilt(value: T, arrays: Iterator[Array]) -> T:
    """Return the value with other arrays, in the same order."""
    rebuilt: T = _visited(value, lambda _: next(arrays))
    return rebuilt


def _visited(value: Any, change: Callable[[Array], Array]) -> Any:
    if isinstance(value, np.ndarray):
        return change(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = {
            item.name: _visited(getattr(value, item.name), change)
            for item in dataclasses.fields(value)
        }
        return dataclasses.replace(value, **items)
    if isinstance(value, tuple | list):
        return type(value)(_visited(item, change) for item in value)
    return value


#: Rows of text that are worked on together.
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class KeptTable:
    """The columns of a table, numbers as they were and everything else as text."""

    n_rows: int
    #: By name; None for a column of empty texts.
    columns: dict[str, Array | None]

    @classmethod
    def of(cls, table: pd.DataFrame, scratch: Scratch, *, emptied: Iterable[str] = ()) -> KeptTable:
        """Keep a table, but for the texts of ``emptied`` columns."""
        columns: dict[str, Array | None] = {}
        for name in map(str, table.columns):
            column = table[name]
            if name in emptied:
                columns[name] = None
            elif isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
                columns[name] = scratch.placed(column.to_numpy())
            else:
                columns[name] = _text_column(column, scratch)
        return cls(len(table), columns)

    def only(self, chosen: Indices) -> KeptTable:
        """Return the table of some of its rows, in memory."""
        columns = {
            name: None if column is None else column[chosen]
            for name, column in self.columns.items()
        }
        return KeptTable(len(chosen), columns)

    def rows(self, where: slice, names: Iterable[str] | None = None) -> pd.DataFrame:
        """Return consecutive rows, of all columns or some, numbered from 0.

        ``where`` has a start and a stop within the table.
        """
        wanted = self.columns if names is None else {name: self.columns[name] for name in names}
        empty = np.full(where.stop - where.start, "", dtype=object)
        return pd.DataFrame(
            {
                name: empty if column is None else _as_given(column[where])
                for name, column in wanted.items()
            }
        )


def _text_column(column: pd.Series, scratch: Scratch) -> npt.NDArray[np.bytes_]:
    """Keep texts as UTF-8 of one width; missing values as a STAR file has them."""

    def encoded(first: int) -> list[bytes]:
        part = column.iloc[first : first + _ROWS_AT_ONCE]
        rows = zip(part.tolist(), part.isna().tolist(), strict=True)
        return [("nan" if absent else str(value)).encode() for value, absent in rows]

    starts = range(0, len(column), _ROWS_AT_ONCE)
    width = max((len(text) for first in starts for text in encoded(first)), default=1)
    kept = scratch.zeros((len(column),), f"S{max(1, width)}")
    for first in starts:
        kept[first : first + _ROWS_AT_ONCE] = encoded(first)
    return kept


def _as_given(values: Array) -> Array:
    """Return a copy of kept values, texts as such."""
    texts = values.dtype.kind == "S"
    return np.char.decode(values, "utf-8").astype(object) if texts else np.array(values)
