"""Words that depend on numbers."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a number of things: ``1 map``, ``2 maps``; ``plural`` where it is not ``noun`` + s."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"
