"""A table of particles in scratch files, read back some rows at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from mapsort.rundir.scratch import Gathered, Scratch

#: Rows of text that are worked on together.
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class _Text:
    """UTF-8, one byte an element."""

    characters: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class _TextColumn:
    """Texts one after the other; that of row i is at ``end[i]`` to ``end[i + 1]``."""

    characters: npt.NDArray[np.uint8]
    end: npt.NDArray[np.int64]

    def __getitem__(self, where: slice) -> npt.NDArray[np.object_]:
        first, last = where.start, where.stop
        bounds = self.end[first : last + 1].tolist()
        text = self.characters[bounds[0] : bounds[-1]].tobytes()
        ends = [bound - bounds[0] for bound in bounds]
        rows = [text[a:b].decode() for a, b in pairwise(ends)]
        return np.array(rows, dtype=object)


@dataclass(frozen=True)
class KeptTable:
    """The columns of a table, numbers as they were and everything else as text.

    Attributes
    ----------
    n_rows : int
    columns : dict
        By name; None for a column of empty texts.
    """

    n_rows: int
    columns: dict[str, npt.NDArray[Any] | _TextColumn | None]

    @classmethod
    def of(cls, table: pd.DataFrame, scratch: Scratch, *, emptied: Iterable[str] = ()) -> KeptTable:
        """Keep a table.

        Parameters
        ----------
        table : DataFrame
        scratch : Scratch
        emptied : iterable of str
            Columns whose texts are not kept.

        Raises
        ------
        OSError
            The disk is full.
        """
        columns: dict[str, npt.NDArray[Any] | _TextColumn | None] = {}
        for name in map(str, table.columns):
            column = table[name]
            if name in emptied:
                columns[name] = None
            elif isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
                columns[name] = scratch.placed(column.to_numpy())
            else:
                columns[name] = _text_column(column, scratch)
        return cls(len(table), columns)

    def rows(self, where: slice, names: Iterable[str] | None = None) -> pd.DataFrame:
        """Return consecutive rows, of all columns or some, numbered from 0.

        Parameters
        ----------
        where : slice
            With a start and a stop within the table.
        names : iterable of str, optional
        """
        wanted = self.columns if names is None else {name: self.columns[name] for name in names}
        empty = np.full(where.stop - where.start, "", dtype=object)
        return pd.DataFrame(
            {
                name: empty if column is None else np.array(column[where])
                for name, column in wanted.items()
            }
        )


def _text_column(column: pd.Series, scratch: Scratch) -> _TextColumn:
    """Keep texts; missing values as a STAR file has them."""
    gathered: Gathered[_Text] = Gathered(scratch)
    lengths = np.zeros(len(column) + 1, dtype=np.int64)
    for first in range(0, max(1, len(column)), _ROWS_AT_ONCE):
        part = column.iloc[first : first + _ROWS_AT_ONCE]
        missing = part.isna().tolist()
        texts = [
            ("nan" if absent else str(value)).encode()
            for value, absent in zip(part.tolist(), missing, strict=True)
        ]
        lengths[first + 1 : first + 1 + len(texts)] = list(map(len, texts))
        gathered.add(_Text(np.frombuffer(b"".join(texts), dtype=np.uint8)))
    return _TextColumn(gathered.joined().characters, scratch.placed(np.cumsum(lengths)))
