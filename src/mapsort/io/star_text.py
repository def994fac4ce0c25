"""The text of any STAR file → its blocks, word by word as RELION takes it apart.

A quote counts only where a word begins, and ends only before a blank: ``O'Neil`` is a word. ``#``
begins a comment only where a word would begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mapsort.errors import FormatError

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
