"""What is said of a file or a run: for people, and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple


class Fact(NamedTuple):
    """One thing to say of a file or a run: for people, and for programs (``--json``)."""

    name: str
    text: str
    value: Any


Facts = list[Fact]


def plain(name: str, value: str | int) -> Fact:
    """Return a fact that is told as it is."""
    return Fact(name, str(value), value)


def measure(name: str, value: float | None, unit: str) -> Fact:
    """Return a fact with a unit, or that it is not stated."""
    text = "not stated" if value is None else f"{value:g} {unit}".strip()
    return Fact(name, text, value)


def size(sides: Sequence[int]) -> Fact:
    """Return sides in pixels, x first."""
    return Fact("size", " x ".join(map(str, sides)), list(sides))
