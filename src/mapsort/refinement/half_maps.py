"""Half-sets kept apart (``--halves``): own starting maps, own references, own poses.

Particles of each half-set (`mapsort.model.half_sets`) are matched with references made of their own
half only.
They share what cannot carry structure at high resolution from one to the other: the noise
spectrum, the scale, the maps' shares of the particles, the mask, the filter (from the FSC between
them), and the Fourier terms at low resolution, which hold the halves of a map in one frame, and
both halves' map 1 the same state.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import scipy.optimize

from mapsort.array_types import Float32
from mapsort.engines.progress import warn
from mapsort.options.multi import MultiOptions
from mapsort.physics.filters import randomise_phases
from mapsort.physics.fsc import fsc
from mapsort.physics.half_maps import HalfMapFsc, half_map_curves, joined_at_low_resolution
from mapsort.refinement.run import Run

LOGGER = logging.getLogger(__name__)

#: Starting maps differ between the halves beyond this resolution [A], or twice --targetres; never
#: finer than so many pixels.
START_ANG, START_PIXELS = 24.0, 5.0
#: Halves of a map share what is coarser than this [A], never finer than so many pixels.
JOINED_ANG, JOINED_PIXELS = 40.0, 8.0


@dataclass(frozen=True)
class HalfMaps:
    """Unfiltered maps of the two half-sets of one map, and their FSC."""

    even: Float32
    odd: Float32
    curves: HalfMapFsc


def start_resolution_ang(options: MultiOptions, apix: float) -> float:
    """Return the resolution [A] beyond which the halves' starting maps have nothing in common."""
    wanted = START_ANG if options.targetres is None else 2.0 * options.targetres
    return max(wanted, START_PIXELS * apix)


def joined_resolution_ang(options: MultiOptions, apix: float) -> float:
    """Return the resolution [A] up to which the halves of a map are made equal."""
    return max(JOINED_ANG, JOINED_PIXELS * apix, start_resolution_ang(options, apix))


def half_seeds(
    run: Run, seeds: tuple[Float32, ...]
) -> tuple[tuple[Float32, ...], tuple[Float32, ...]]:
    """Return starting maps for the halves: phases beyond the start resolution random, in each."""
    rng = np.random.default_rng([run.plan.seed, len(seeds)])
    cutoff = run.inputs.apix / start_resolution_ang(run.options, run.inputs.apix)
    sphere = run.sphere
    even, odd = (
        tuple(
            np.asarray(randomise_phases(seed, cutoff=cutoff, rng=rng) * sphere, np.float32)
            for seed in seeds
        )
        for _ in range(2)
    )
    return even, odd


def compared_halves(
    run: Run, even: Float32, odd: Float32, mask: Float32, *, iteration: int, model: int
) -> HalfMaps:
    """Return two half maps with their FSC, without mask, under it, and corrected for it."""
    rng = np.random.default_rng([run.plan.seed, iteration, model])
    return HalfMaps(even, odd, half_map_curves(even, odd, mask, rng=rng))


def joined(run: Run, even: Float32, odd: Float32, mask: Float32) -> tuple[Float32, Float32]:
    """Return the halves' references: low resolution shared, masked."""
    cutoff = run.inputs.apix / joined_resolution_ang(run.options, run.inputs.apix)
    first, second = joined_at_low_resolution(even, odd, cutoff=cutoff)
    return first * mask, second * mask


def warn_of_exchanged_maps(run: Run, halves: tuple[HalfMaps, ...]) -> None:
    """Tell it when a run ends with the odd particles' maps like the even ones in another order.

    On the way there it passes by itself.
    """
    likeness = np.array([[float(fsc(a.even, b.odd)[1:].mean()) for b in halves] for a in halves])
    own, other = scipy.optimize.linear_sum_assignment(-likeness)
    if np.array_equal(own, other):
        return
    pairs = ", ".join(f"even {a + 1} with odd {b + 1}" for a, b in zip(own, other, strict=True))
    text = (
        f"the half maps agree better in another order: {pairs}; the halves are classified "
        "differently and resolutions are too low: start from --models that differ, or with another "
        "--randomseed"
    )
    LOGGER.warning("%s", text)
    warn(run.execution.progress, text)
