"""Where commands write: results to standard output, everything else to standard error."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

#: Lines longer than this are hard to read, and what is no terminal has no width of its own.
_WIDEST = 100


def terminal_width() -> int:
    """Return how many columns help may take: those of the terminal, 100 at most."""
    # Not by shutil, which loads every compressor.
    with suppress(OSError, ValueError):
        columns = int(os.environ.get("COLUMNS") or os.get_terminal_size(1).columns)
        return min(_WIDEST, columns) if columns > 0 else _WIDEST
    return _WIDEST


def say(text: str) -> None:
    """Write one result line to standard output."""
    sys.stdout.write(text + "\n")


def warn(text: str) -> None:
    """Write a message to standard error, each of its lines marked as ours."""
    for line in text.splitlines() or [""]:
        sys.stderr.write(f"mapsort: {line}\n")


def explained(error: BaseException) -> str:
    """Return one or two plain lines for an error."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, MemoryError):
        return f"out of memory: {error}" if str(error) else "out of memory"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if type(error).__module__.startswith("mapsort"):
        return str(error)
    return (
        f"{type(error).__name__}: {error}\n"
        "this is an error in mapsort; -v 9 shows where, please report it"
    )
