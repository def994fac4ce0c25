"""STAR files as tables: every block of a file, or a few columns of a large one.

The text is taken apart word by word as RELION does. A quote counts only where a word begins, and
ends only before a blank: ``O'Neil`` is a word. ``#`` begins a comment only where a word would.
"""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from mapsort.errors import FormatError, reading
from mapsort.io.star_joined import joined_tables
from mapsort.io.star_loops import has_quoted_values, read_plain_loops

_LINE_END = re.compile(r"\r\n|\r|\n")
_WORD = re.compile(r"[^ \t]+")
_MISSING = ("nan", "NaN", "<NA>")


@dataclass
class _Block:
    """A block while it is read."""

    name: str
    line: int
    is_loop: bool = False
    labels: list[str] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)


def decoded(path: Path, content: bytes) -> str:
    """Return the text of a file, without a mark of the byte order.

    Raises
    ------
    FormatError
        It is not UTF-8; the message names the line of the first bad byte.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start]
        line = len(re.findall(rb"\r\n|\r|\n", before)) + 1
        raise FormatError(
            f"{path}: line {line}: it is not text in UTF-8: byte 0x{content[error.start]:02X}. "
            "If a name has accented letters: iconv -f LATIN1 -t UTF-8."
        ) from error


def read_blocks(path: Path, text: str) -> list[tuple[str, pd.DataFrame]]:
    """Take a STAR file apart: name (without ``data_``) and table of every block that is not empty.

    In the file's order; one name may be there several times. Every value is text, or NaN where it
    is missing. A block without ``loop_`` is a table of one row.

    Raises
    ------
    FormatError
        A row has too few or too many values, a column is twice there, a quote is not closed; the
        message names the line.
    """
    return [(block.name, _table(block)) for block in _blocks(path, text) if block.labels]


def _blocks(path: Path, text: str) -> Iterator[_Block]:
    block: _Block | None = None
    for number, raw in enumerate(_LINE_END.split(text), start=1):
        line = raw.strip(" \t\n\v\f")
        if not line or line.startswith("#"):
            continue
        if line.startswith("data_"):
            if block is not None:
                yield block
            block = _Block(line[5:].split()[0] if line[5:].strip() else "", number)
        elif block is not None:
            _add(path, number, block, line)
    if block is not None:
        yield block


def _add(path: Path, number: int, block: _Block, line: str) -> None:
    """Take one line into the block."""
    if line == "loop_" or line.startswith("loop_ "):
        if block.labels:
            raise FormatError(
                f"{path}: line {number}: a second table in data_{block.name}; "
                "each needs a data_ line of its own."
            )
        block.is_loop = True
    elif line.startswith("_") and not (block.is_loop and block.rows):
        words = _words(path, number, line)
        _add_label(path, number, block, words[0][1:])
        if not block.is_loop:
            block.rows.append([words[1] if len(words) > 1 else ""])
    elif block.is_loop:
        _add_row(path, number, block, line)
    else:
        raise FormatError(
            f"{path}: line {number}: not a readable STAR file: {line[:40]!r} belongs to no column."
        )


def _add_label(path: Path, number: int, block: _Block, label: str) -> None:
    if label in block.labels:
        raise FormatError(f"{path}: line {number}: column {label} is twice in data_{block.name}.")
    block.labels.append(label)


def _add_row(path: Path, number: int, block: _Block, line: str) -> None:
    words = _words(path, number, line)
    found, wanted = len(words), len(block.labels)
    if found != wanted:
        why = "the file may be cut off" if found < wanted else "names with blanks need quotes"
        raise FormatError(f"{path}: line {number}: {found} values for {wanted} columns; {why}.")
    block.rows.append(words)


def _words(path: Path, number: int, line: str) -> list[str]:
    words = _WORD.findall(line)
    if not any(word[0] in "\"'#" for word in words):
        return words
    words, at = [], 0
    while (match := _WORD.search(line, at)) is not None:
        quote = match[0][0]
        if quote == "#":
            break
        if quote not in "\"'":
            words.append(match[0])
            at = match.end()
            continue
        closing = re.compile(rf"{quote}(?=[ \t]|$)").search(line, match.start() + 1)
        if closing is None:
            raise FormatError(f"{path}: line {number}: the quote {quote} is not closed.")
        words.append(line[match.start() + 1 : closing.start()])
        at = closing.end()
    return words


def _table(block: _Block) -> pd.DataFrame:
    if not block.is_loop:
        columns = [[row[0]] for row in block.rows]
    else:
        columns = [list(column) for column in zip(*block.rows, strict=True)]
        columns = columns or [[] for _ in block.labels]
    table = pd.DataFrame(dict(zip(block.labels, columns, strict=True)), dtype=object)
    return table.mask(table.isin(_MISSING))


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


def read_columns(
    path: str | Path, block: str, labels: Sequence[str], *, texts: Sequence[str] = ()
) -> pd.DataFrame:
    """Read some columns of one loop (block), in the file's order: numbers but for ``texts``.

    For figures over all particles of a table that this program wrote; `read_tables` reads and
    checks any STAR file. Labels that are not there are left out.

    Raises
    ------
    FormatError
        The file is missing, has no such loop, or a wanted column of numbers holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise FormatError(f"{path}: no such file.")
    names, first = _loop_position(path, block)
    wanted = [name for name in names if name in labels]
    if has_quoted_values(path.read_bytes()):  # blanks in names: pandas knows double quotes only
        table = read_tables(path)[block][wanted]
        return _as_numbers(path, block, table)
    try:
        return pd.read_csv(
            path,
            sep=r"\s+",
            names=names,
            usecols=wanted,
            skiprows=first,
            header=None,
            dtype=dict.fromkeys(wanted, float) | {name: str for name in wanted if name in texts},
            # The loop ends at the first blank line; a run's table is the last block.
            skip_blank_lines=True,
            comment="#",
            quoting=csv.QUOTE_NONE,
        )[wanted]
    except ValueError as error:  # pandas' ParserError is a ValueError
        raise FormatError(f"{path}: data_{block}: not columns of numbers: {error}.") from error


def _as_numbers(path: Path, block: str, table: pd.DataFrame) -> pd.DataFrame:
    try:
        return table.astype(float)
    except ValueError as error:
        raise FormatError(f"{path}: data_{block}: not columns of numbers: {error}.") from error


def _loop_position(path: Path, block: str) -> tuple[list[str], int]:
    """Return the labels of a block's loop and the number of lines before its first row."""
    names: list[str] = []
    inside = False
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            words = line.split()
            if words and words[0].startswith("data_"):
                inside = words[0] == f"data_{block}"
            elif inside and words and words[0].startswith("_"):
                names.append(words[0][1:])
            elif inside and names and words and not words[0].startswith("#"):
                return names, number
    raise FormatError(f"{path}: no loop data_{block} with rows.")
