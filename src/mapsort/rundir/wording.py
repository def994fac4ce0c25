"""Counts, times and sizes as people write them."""

from __future__ import annotations


def counted(n: int, noun: str, plural: str = "") -> str:
    """Return a number of things: ``1 map``, ``2 maps``; ``plural`` where it is not ``noun`` + s."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"


def readable_time(seconds: float) -> str:
    """Return a duration as people write it."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if not hours:
        return f"{minutes} min {rest:02d} s"
    days, hours = divmod(hours, 24)
    return f"{hours} h {minutes:02d} min" if not days else f"{days} d {hours} h"


def readable_size(n_bytes: float) -> str:
    """Return a number of bytes as people write it."""
    if n_bytes < 1024:
        return f"{n_bytes:.0f} B"
    for unit in ("KiB", "MiB"):
        n_bytes /= 1024
        if n_bytes < 1024:
            return f"{n_bytes:.1f} {unit}"
    return f"{n_bytes / 1024:.1f} GiB"
