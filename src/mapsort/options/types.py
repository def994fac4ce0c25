"""The kinds of values that options take: numbers, words, choices, and lists with a meaning."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

#: Particles and maps must be at least this large for polar matching to make sense [pixel].
SMALLEST_BOX = 16

_WHOLE = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True)
class ValueKind:
    """The values an option takes."""

    #: For messages, after "expected".
    words: str
    #: Text to value; raises ValueError.
    parse: Callable[[str], Any]
    #: Whether a value (of any type) is one of them.
    accepts: Callable[[Any], bool]


def whole_number(low: int, high: int | None = None) -> ValueKind:
    """Return the kind of whole numbers from `low`, up to and including `high`."""
    words = f"a whole number from {low}" + ("" if high is None else f" to {high}")

    def accepts(value: Any) -> bool:
        is_whole = isinstance(value, Integral) and not isinstance(value, bool)
        return is_whole and low <= int(value) and (high is None or int(value) <= high)

    return ValueKind(words, _parse_whole, accepts)


def real_number(*, above: float | None = None, low: float | None = None) -> ValueKind:
    """Return the kind of finite numbers, larger than `above` or not below `low`."""
    words = "a number"
    if above is not None:
        words += f" above {above:g}"
    if low is not None:
        words += f" of at least {low:g}"

    def accepts(value: Any) -> bool:
        if not isinstance(value, Real) or isinstance(value, bool) or not math.isfinite(value):
            return False
        return (above is None or float(value) > above) and (low is None or float(value) >= low)

    return ValueKind(words, float, accepts)


def text(words: str) -> ValueKind:
    """Return the kind of non-empty strings, called `words` in messages."""
    return ValueKind(words, str, _is_text)


def chain_of(words: str) -> ValueKind:
    """Return the kind of several specifications separated by commas, or none."""
    return ValueKind(f"{words}, several separated by commas, or none", str, _is_text)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def file_path(words: str) -> ValueKind:
    """Return the kind of paths, called `words` in messages; whether they exist is not looked at."""

    def parse(written: str) -> Path:
        if not written.strip():
            raise ValueError("empty")
        return Path(written)

    return ValueKind(words, parse, lambda value: isinstance(value, Path))


def one_of(choices: type[StrEnum]) -> ValueKind:
    """Return the kind of an enumeration's members, written as their values."""
    words = "one of " + ", ".join(member.value for member in choices)
    return ValueKind(words, choices, lambda value: isinstance(value, choices))


def list_of(kind: ValueKind, words: str) -> ValueKind:
    """Return the kind of non-empty comma-separated lists of another kind, held as tuples."""

    def parse(written: str) -> tuple[Any, ...]:
        return tuple(kind.parse(item.strip()) for item in written.split(","))

    def accepts(value: Any) -> bool:
        return isinstance(value, tuple) and bool(value) and all(map(kind.accepts, value))

    return ValueKind(words, parse, accepts)


def words_of(kind: ValueKind) -> ValueKind:
    """Return the kind of tuples of another kind whose items are words of their own."""
    return dataclasses.replace(
        kind,
        parse=lambda written: (kind.parse(written),),
        accepts=lambda value: isinstance(value, tuple) and all(map(kind.accepts, value)),
    )


def or_auto(kind: ValueKind) -> ValueKind:
    """Return the kind with the word auto, which is held as None."""
    return dataclasses.replace(
        kind,
        words=f"{kind.words}, or auto",
        parse=lambda written: None if written == "auto" else kind.parse(written),
        accepts=lambda value: value is None or kind.accepts(value),
    )


def _parse_whole(written: str) -> int:
    # int() alone would take "1_000" and surrounding blanks.
    if not _WHOLE.fullmatch(written):
        raise ValueError("not a whole number")
    return int(written)


def _parse_batch(written: str) -> int:
    if written == "all":
        return ALL_PARTICLES
    if not (size := _parse_whole(written)):
        raise ValueError("no particles")
    return size


class CtfHandling(StrEnum):
    """How the particles' contrast transfer is treated."""

    AUTO = "auto"
    APPLY = "apply"
    FLIPPED = "flipped"
    NONE = "none"


class MapFormat(StrEnum):
    """File format of the maps that a run writes."""

    MRC = "mrc"
    HDF = "hdf"


class KeptFiles(StrEnum):
    """Which files of an iteration, besides maps, tables and curves, stay."""

    ALL = "all"
    LAST = "last"
    MAPS = "maps"


class Assignment(StrEnum):
    """How particles are shared among classes."""

    AUTO = "auto"
    HARD = "hard"
    SOFT = "soft"


class InputMode(StrEnum):
    """What maps are made of."""

    CLASSES = "classes"
    PARTICLES = "particles"


class SeedMethod(StrEnum):
    """How several starting maps are made from one."""

    AUTO = "auto"
    COMPONENTS = "pca"
    NOISE = "noise"
    RANDOM_PHASES = "randphase"
    RANDOM_CLASSES = "randclassify"
    FRAGMENTS = "mapfragment"


class Automask3D(NamedTuple):
    """The five numbers of ``--automask3d``.

    Attributes
    ----------
    threshold : float
        Density from which a voxel belongs to the mask.
    radius : float
        Radius of the seed sphere [voxels].
    nshells, nshellsgauss : int
        Hard and soft shells added around it [voxels].
    nmaxseed : int
        Number of densest voxels that are seeds as well.
    """

    threshold: float
    radius: float
    nshells: int
    nshellsgauss: int
    nmaxseed: int


def _parse_automask(written: str) -> Automask3D:
    threshold, radius, nshells, nshellsgauss, nmaxseed = written.split(",")
    return Automask3D(
        float(threshold), float(radius), int(nshells), int(nshellsgauss), int(nmaxseed)
    )


def _accepts_automask(value: Any) -> bool:
    if not isinstance(value, Automask3D):
        return False
    threshold, radius, *counts = value
    return (
        real_number().accepts(threshold)
        and real_number(low=0).accepts(radius)
        and all(map(whole_number(0).accepts, counts))
        # Without either there is no voxel to start from.
        and (radius > 0 or value.nmaxseed > 0)
    )


AUTOMASK_VALUES = ValueKind(
    "five numbers threshold,radius,nshells,nshellsgauss,nmaxseed: two numbers, the radius not "
    "negative, and three whole numbers from 0; radius or nmaxseed must be above 0",
    _parse_automask,
    _accepts_automask,
)


JUNK_SETS = or_auto(whole_number(0, 9))
#: From this ``--speed`` on, iterations after the first search near the last matches.
NARROW_FROM_SPEED = 6
#: Iterations that bring particles to one map before it is known how they differ. Classes found
#: from the poses of 1, 2 and 4 agree with the truth by 0.908, 0.947 and 0.956 (4,000 particles of
#: four states).
CONSENSUS_ITERATIONS = 3
#: Particles that are searched everywhere to see whether they lie where the one map has them, and
#: iterations at most until views have settled where they do not.
VIEWS_SAMPLE, VIEWS_ITERATIONS = 1000, 12
#: Where ``--iter auto`` ends at the latest.
MOST_ITERATIONS = 25

ITERATION_COUNT = or_auto(whole_number(1))
#: What ``--batch all`` is held as.
ALL_PARTICLES = 0
#: Particles of a batch for each map, at least. With 20, one of two maps of a phantom took four
#: fifths of them, and of all later; with 50 they stayed as they were.
LEAST_BATCH = 100
BATCH_SIZE = or_auto(
    ValueKind("a whole number from 1, all", _parse_batch, whole_number(ALL_PARTICLES).accepts)
)
#: Number of maps, or None for as many as there are classes.
MAP_COUNT = or_auto(whole_number(1, 99))
