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
