"""Starting maps that are made at random: several of one map, and other ones for each start."""

from __future__ import annotations

import numpy as np

from mapsort.array_types import Float32
from mapsort.model.volume import Volume
from mapsort.options.multi import MultiOptions
from mapsort.options.types import SeedMethod
from mapsort.physics.masks import soft_sphere
from mapsort.stages.seeds import noisy, random_phases, without_segments

#: Radius and edge of the ball that stands for a map [boxes].
_BALL, _BALL_EDGE = 0.3, 0.1


def made_of_one(
    options: MultiOptions, volume: Float32, apix: float, *, start: int = 0
) -> tuple[Float32, ...]:
    """Return ``--nmodels`` starting maps made of one, as ``--seedmethod`` says.

    Parameters
    ----------
    volume : ndarray of shape (box, box, box)
    apix : float
        Pixel size [A].
    start : int
        Each start (from 0) draws other maps.
    """
    # of classes whose number is to be found there is one as yet
    count = len(options.models)
    rng = np.random.default_rng([options.randomseed or 0, count, start])
    match options.seedmethod:
        case SeedMethod.NOISE:
            return tuple(noisy(volume, count, rng))
        case SeedMethod.RANDOM_PHASES:
            return tuple(random_phases(volume, count, apix, rng))
        case SeedMethod.FRAGMENTS:
            return tuple(without_segments(volume, count, rng))
        case SeedMethod.AUTO if not options.finds_classes:
            return tuple(noisy(volume, count, rng))
        case SeedMethod.RANDOM_CLASSES | SeedMethod.AUTO | SeedMethod.COMPONENTS:
            return (volume,) * count


def of_start(
    options: MultiOptions,
    given: tuple[Float32, ...],
    one: Float32 | None,
    apix: float,
    start: int,
) -> tuple[Float32, ...]:
    """Return the starting maps of one start (from 0).

    Those of the first are the given ones. Later ones are made anew of ``one``; where the user gave
    every map, noise of each map's own spectrum is added to it.
    """
    if start == 0:
        return given
    if one is not None:
        return made_of_one(options, one, apix, start=start)
    rng = np.random.default_rng([options.randomseed or 0, len(given), start])
    return tuple(noisy(volume, 1, rng)[0] for volume in given)


def first_maps(options: MultiOptions, box: int, apix: float) -> list[Volume]:
    """Open ``--models``; where maps are to be made of the particles, balls stand for them."""
    if options.makes_maps:
        return [ball(box, apix)] * len(options.models)
    return [Volume.open(path, default_apix=options.apix) for path in options.models]


def ball(box: int, apix: float) -> Volume:
    """Return what stands for a map until maps are made of the particles: as large as any."""
    return Volume(soft_sphere(box, _BALL * box, _BALL_EDGE * box), apix)
