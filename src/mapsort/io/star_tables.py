"""STAR files as tables: every block of a file, with the text of unknown columns kept."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.errors import FormatError, reading
from mapsort.io.star_joined import joined_tables
from mapsort.io.star_loops import read_plain_loops
from mapsort.io.star_text import decoded, read_blocks

# RELION labels that are text whatever they look like: a micrograph may be called "0012".
_TEXT_LABEL = re.compile(r"(Name|File|Comment|Path|Label|Extension|Filename)$")
_LEADING_ZERO = r"[+-]?0[0-9]"
# Control characters and what some readers take for a line's end.
_UNWRITABLE = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]")
_DOUBTFUL = re.compile("[\"'\x00-\x1f\x7f\x85\u2028\u2029]")
_BLANK = re.compile(r"\s")
_QUOTES = ('"', "'")
_KEYWORDS = ("_", "data_", "loop_")
# Written by RELION 3.1 and later; older readers take it for a comment.
_VERSION_LINE = "# version 30001"
#: Rows that are made into text together.
_ROWS_AT_ONCE = 8192


def read_tables(path: str | Path) -> dict[str, pd.DataFrame]:
    """Read all blocks of a STAR file: name (without ``data_``) to table.

    Labels are without the leading underscore. A block without ``loop_`` is a table of one row.
    Columns of numbers are numeric; names, and numbers with leading zeros, stay text.

    Raises
    ------
    FormatError
        The file is missing, not text, holds no block, or a row is too short or too long.
    """
    return read_noted_tables(path)[0]


def read_noted_tables(path: str | Path) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Read all blocks of a STAR file, as `read_tables`, and say what was unusual."""
    path = Path(path)
    with reading(path):
        content = path.read_bytes()
    plain = read_plain_loops(content, _TEXT_LABEL.search)
    if plain is not None:
        return plain, []
    text = decoded(path, content)
    tables, notes = joined_tables(path, read_blocks(path, text))
    if not tables:
        raise FormatError(f"{path}: not a STAR file, or it holds no table (no data_ block).")
    if "\r" in text.replace("\r\n", ""):
        notes.append(f"{path}: its line ends are those of old Macs (CR), which RELION cannot read")
    return {name: _with_numbers(table) for name, table in tables.items()}, notes


def write_tables(
    path: str | Path, tables: Mapping[str, pd.DataFrame | Iterable[pd.DataFrame]]
) -> None:
    """Write tables, whole or as parts of their rows, as loops of a STAR file, or nothing at all.

    Numbers are written with as many digits as it takes to read the same number back; missing values
    as ``nan``. Equal tables give equal bytes: no time is written.

    Raises
    ------
    FormatError
        A text holds a character that a STAR file cannot keep (tab, line end, or both kinds of
        quotes before blanks).
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for name, table in tables.items():
                file.write(f"\n{_VERSION_LINE}\n\n")
                for text in _loop(path, name, table):
                    file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_unwritable(path: str | Path, table: pd.DataFrame) -> None:
    """Refuse texts that a STAR file cannot keep, before any work; errors as `write_tables`."""
    for label in table.columns:
        if pd.api.types.is_numeric_dtype(table[label].dtype):
            continue
        text = table[label].astype(str)
        for row in np.flatnonzero(text.str.contains(_DOUBTFUL).to_numpy(dtype=bool)).tolist():
            _quoted(Path(path), str(label), row + 1, text.iloc[row])


def _with_numbers(table: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({label: _numeric(str(label), table[label]) for label in table.columns})


def _numeric(label: str, column: pd.Series) -> pd.Series:
    if _TEXT_LABEL.search(label) or not len(column):
        return column
    present = column.dropna().astype(str)
    if present.str.match(_LEADING_ZERO).any() and not present.str.contains(".", regex=False).all():
        return column
    try:
        return pd.to_numeric(column)
    except (ValueError, OverflowError):
        return column


def _loop(path: Path, name: str, table: pd.DataFrame | Iterable[pd.DataFrame]) -> Iterator[str]:
    """Make the text of a loop, some rows at a time: as text they take ten times the memory.

    Yields
    ------
    str
        Pieces of the text.
    """
    first = 0
    for number, part in enumerate(_parts(table)):
        if not number:
            yield _loop_head(path, name, [str(label) for label in part.columns])
        columns = [_cells(path, label, part[label], first) for label in part.columns]
        # Joining columns of ready text is four times faster than DataFrame.to_csv.
        rows = "\n".join(map("\t".join, zip(*columns, strict=True)))
        yield f"\n{rows}" if number else rows
        first += len(part)
    yield "\n\n"


def _parts(table: pd.DataFrame | Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
    if not isinstance(table, pd.DataFrame):
        yield from table
        return
    for first in range(0, max(1, len(table)), _ROWS_AT_ONCE):
        yield table.iloc[first : first + _ROWS_AT_ONCE]


def _loop_head(path: Path, name: str, labels: list[str]) -> str:
    for label in labels:
        if label.split() != [label] or label.startswith("#"):
            raise FormatError(f"{path}: not written: {label!r} cannot be a column name.")
    head = "".join(f"_{label} #{number}\n" for number, label in enumerate(labels, start=1))
    return f"data_{name}\n\nloop_\n{head}"


def _cells(path: Path, label: str, column: pd.Series, first: int) -> list[str]:
    """Text of every cell; a float is written as the shortest decimal that reads back equal.

    ``first`` is the number of rows before these.
    """
    if pd.api.types.is_bool_dtype(column.dtype):
        return [str(int(value)) for value in column]
    if pd.api.types.is_integer_dtype(column.dtype):
        return list(map(str, column.tolist()))
    if column.dtype == np.float32:
        return column.to_numpy().astype(str).tolist()
    if pd.api.types.is_float_dtype(column.dtype):
        return list(map(repr, column.to_numpy(dtype=np.float64).tolist()))
    numbered = enumerate(column.tolist(), start=first + 1)
    return [_quoted(path, label, row, value) for row, value in numbered]


def _quoted(path: Path, label: str, row: int, value: object) -> str:
    text = "nan" if value is None or value is pd.NA or value != value else str(value)
    if _UNWRITABLE.search(text):
        raise FormatError(
            f"{path}: not written: {label} in row {row} holds a tab or line end ({text!r}). "
            "Rename it."
        )
    # Quoted is what a reader would take for two values, none, a comment or a keyword.
    first = text[:1]
    special = not text or first in _QUOTES or "#" in text or text.startswith(_KEYWORDS)
    if not (special or _BLANK.search(text)):
        return text
    # A quote ends a value only before a blank or at the end.
    for quote in _QUOTES:
        if not re.search(rf"{quote}(\s|$)", text):
            return f"{quote}{text}{quote}"
    raise FormatError(
        f"{path}: not written: {label} in row {row} holds both kinds of quotes before blanks "
        f"({text!r}). Rename it."
    )
