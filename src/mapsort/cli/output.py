"""Where commands write: results to standard output, everything else to standard error."""

from __future__ import annotations

import sys


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
