"""A table of particles in scratch files, read back some rows at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from mapsort.array_types import Array
from mapsort.rundir.scratch import Scratch

#: Rows of text that are worked on together.
_ROWS_AT_ONCE = 8192


@dataclass(frozen=True)
class KeptTable:
    """The columns of a table, numbers as they were and everything else as text.

    Attributes
    ----------
    columns : dict
        By name; None for a column of empty texts.
    """

    n_rows: int
    columns: dict[str, Array | None]

    @classmethod
    def of(cls, table: pd.DataFrame, scratch: Scratch, *, emptied: Iterable[str] = ()) -> KeptTable:
        """Keep a table, but for the texts of ``emptied`` columns.

        Raises
        ------
        OSError
            The disk is full.
        """
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
