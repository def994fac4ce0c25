"""Values of options that are more than a number or a name: choices, and lists with a meaning."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from mapsort.options.kinds import ValueKind, or_auto, real_number, whole_number


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
#: Where ``--iter auto`` ends at the latest.
MOST_ITERATIONS = 25

ITERATION_COUNT = or_auto(whole_number(1))
#: Number of maps, or None for as many as there are classes.
MAP_COUNT = or_auto(whole_number(1, 99))
