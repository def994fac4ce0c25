"""The fast way through a plain STAR file: loops of bare words, as RELION writes them.

Pandas' C parser converts numbers while it reads, in a third of the time and a quarter of the
memory that it takes to hold every cell as text first. It is trusted only where it cannot change a
value; files with quoted values, numbers with leading zeros, ragged rows and the like are left to
the general reader.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

_LEADING_ZERO = re.compile(rb"(?<![^\s])[+-]?0[0-9]+(?=[\s.eE])")
_COMMENT = re.compile(rb"(?m)^[ \t]*#.*$")
_KEYWORD = re.compile(rb"(?m)^[ \t]*(loop_|data_|_|save_)")
_MISSING = ("nan", "NaN", "-nan", "NA", "N/A", "n/a", "null", "NULL", "None", "<NA>")
_WORD = re.compile(rb"\S")
_ROWS_AT_ONCE = 100_000  # bounds the memory of the parser, which holds every cell as text
# Bytes that make a file other than plain: other line ends and blanks than ours.
_SPECIAL = (b"\r", b"\x00", b"\x0b", b"\x0c", b"\n;", b"\n ;")
_QUOTED = re.compile(rb"(?<![^\s])[\"']")  # within a word a quote is a letter like others
_HEAD_LINE = 4096  # longer than any line of a loop's head
_NAME = re.compile(rb"[!-~]+")


class NotPlain(Exception):
    """The file holds something that only the general reader understands."""


@dataclass(frozen=True)
class _Loop:
    name: str
    labels: list[str]
    rows: memoryview


def read_plain_loops(
    content: bytes, is_text: Callable[[str], object]
) -> dict[str, pd.DataFrame] | None:
    """Read a file that holds nothing but loops of bare words, by their blocks' names.

    ``is_text`` tells whether the column of a label is text whatever it looks like. None where the
    general reader must be asked.
    """
    if any(sign in content for sign in _SPECIAL) or not content.isascii():
        return None
    if has_quoted_values(content):
        return None
    try:
        return {loop.name: _frame(loop, is_text) for loop in _loops(content)} or None
    except NotPlain:
        return None


def has_quoted_values(content: bytes) -> bool:
    """Return whether a value in a file begins with a quote, so that values are not words."""
    return (b'"' in content or b"'" in content) and _QUOTED.search(content) is not None


def _loops(content: bytes) -> Iterator[_Loop]:
    seen: set[str] = set()
    position = 0
    while (line := _next_line(content, position)) is not None:
        word, position = line
        if not word.startswith(b"data_"):
            raise NotPlain
        name = word[5:].decode()
        if name in seen:
            raise NotPlain
        seen.add(name)
        line = _next_line(content, position)
        if line is None or line[0] != b"loop_":
            raise NotPlain
        labels, position = _labels(content, line[1])
        end = content.find(b"\ndata_", position)
        end = len(content) if end < 0 else end + 1
        yield _Loop(name, labels, _without_comments(content, position, end))
        position = end


class _Rows(io.RawIOBase):
    """The rows as a file that the parser reads, without a copy of them."""

    def __init__(self, rows: memoryview) -> None:
        self._rows = rows
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._rows[self._position : self._position + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)


def _labels(content: bytes, position: int) -> tuple[list[str], int]:
    labels: list[str] = []
    while (line := _next_line(content, position)) is not None and line[0].startswith(b"_"):
        label = line[0].split()[0][1:]
        if not _NAME.fullmatch(label) or label.decode() in labels:
            raise NotPlain
        labels.append(label.decode())
        position = line[1]
    if not labels:
        raise NotPlain
    return labels, position


def _next_line(content: bytes, position: int) -> tuple[bytes, int] | None:
    """Return the next line that is neither blank nor a comment, and where the one after begins."""
    while position < len(content):
        end = content.find(b"\n", position, position + _HEAD_LINE)
        if end < 0:
            end = len(content)
            if end - position > _HEAD_LINE:
                raise NotPlain
        line = content[position:end].strip()
        if line and not line.startswith(b"#"):
            return line, end + 1
        position = end + 1
    return None


def _without_comments(content: bytes, begin: int, end: int) -> memoryview:
    rows = memoryview(content)[begin:end]
    if content.find(b"#", begin, end) < 0:
        return rows
    rows = memoryview(_COMMENT.sub(b"", rows))
    if b"#" in bytes(rows):  # inside a name, or a comment behind a row
        raise NotPlain
    return rows


def _frame(loop: _Loop, is_text: Callable[[str], object]) -> pd.DataFrame:
    # A keyword among the rows is a block that this reader has not understood.
    if not _WORD.search(loop.rows) or _KEYWORD.search(loop.rows):
        raise NotPlain
    if _LEADING_ZERO.search(loop.rows):
        raise NotPlain
    names = [label for label in loop.labels if is_text(label)]
    try:
        parts = list(
            pd.read_csv(
                _Rows(loop.rows),
                sep=r"\s+",
                header=None,
                dtype=dict.fromkeys((loop.labels.index(name) for name in names), str),
                keep_default_na=False,
                na_values=[],
                low_memory=False,
                engine="c",
                quoting=csv.QUOTE_NONE,
                chunksize=_ROWS_AT_ONCE,
            )
        )
    except (ValueError, OverflowError) as error:  # among them rows that are too long
        raise NotPlain from error
    if any(len(part.columns) != len(loop.labels) for part in parts):
        raise NotPlain
    numeric = [[dtype.kind in "iuf" for dtype in part.dtypes] for part in parts]
    if any(kinds != numeric[0] for kinds in numeric):
        raise NotPlain
    table = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    table.columns = pd.Index(loop.labels)
    return _checked(table, set(names))


def _checked(table: pd.DataFrame, names: set[str]) -> pd.DataFrame:
    # Pandas fills the end of a short row: with "" in a column of text, NaN in one of numbers.
    last = table.iloc[:, -1]
    if last.isna().any() or (last.dtype.kind not in "iuf" and (last == "").any()):
        raise NotPlain
    for label, column in table.items():
        if column.dtype == np.bool_:  # the words True and False: text to everybody else
            raise NotPlain
        if label in names or column.dtype.kind in "iuf":
            continue
        try:
            table[label] = pd.to_numeric(column.mask(column.isin(_MISSING)))
        except (ValueError, OverflowError):
            continue
    return table
