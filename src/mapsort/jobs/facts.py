"""What ``mapsort info`` says of a file or a run, for people and for programs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mapsort.errors import FormatError
from mapsort.io.star import resolve_stack, split_image_names
from mapsort.model.half_sets import SUBSET, half_sets, image_numbers, original_images


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


def image_facts(path: Path, table: pd.DataFrame) -> Facts:
    """Tell how many distinct images there are where some occur twice, and what half-sets there are.

    Parameters
    ----------
    path : Path
        The particles' file.
    table : DataFrame
        Its particles, RELION column names.
    """
    try:
        indices, names = split_image_names(path, table["rlnImageName"])
        file_of, distinct = pd.factorize(pd.Series(names, dtype=object))
        places = [_place(str(name), path) for name in distinct]
        image = image_numbers(places, file_of, indices, original_images(table))
        halves = half_sets(path, table, image)
    except FormatError as error:
        return [plain("note", str(error).removeprefix(f"{path}: "))]
    facts: Facts = []
    if halves.has_copies:
        n, total = halves.n_images, len(table)
        facts.append(Fact("distinct images", f"{n} in {total} rows", n))
    if SUBSET in table:
        facts += [
            plain("half-sets", note.removeprefix(f"{path}: "))
            for note in halves.notes
            if SUBSET in note
        ]
    return facts


def _place(name: str, path: Path) -> Path:
    """Return the file of a name; where there is none, names are told apart as they stand."""
    try:
        return resolve_stack(name, path)
    except FormatError:
        return Path(os.path.normpath(name))
