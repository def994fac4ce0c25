"""Noise, brightness and pose errors of particles, by their mean map alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mapsort.array_types import Float32, Float64
from mapsort.errors import NumericalError
from mapsort.stages.components.class_maps import FoldMaps, compared, mean_map
from mapsort.stages.components.observed import Observed, Piece, power_of
from mapsort.stages.components.pose_errors import PoseErrors
from mapsort.stages.components.scale import LEAST_GAUGE, MORE_PROBABLE, ScaleModel
from mapsort.stages.components.slice_grid import SliceGrid

#: Corrections of the poses; later ones move little.
POSE_ROUNDS = 2
_SCALE_ROUNDS = 20
#: Agreement with the mean map must exceed its own chance deviations this many times.
_LEAST_SIGNIFICANCE = 5.0
#: Precision of the prior that holds the scale of junk at 0.
_JUNK_PRECISION = 10.0


@dataclass(frozen=True)
class Brightness:
    """How bright particles are relative to their mean map."""

    #: Probability of being a particle, (n,).
    real: Float64
    #: scale and square, (n,): mean of the scale and of its square.
    scale: Float64
    square: Float64

    @classmethod
    def unknown(cls, n: int) -> Brightness:
        """Return what is known of n particles before any is looked at."""
        return cls(np.ones(n), np.ones(n), np.ones(n))

    @property
    def counted(self) -> Float64:
        """1 for particles, 0 for what is more probably junk, (n,)."""
        return (self.real > MORE_PROBABLE).astype(np.float64)


@dataclass(frozen=True)
class Polished:
    """Particles after their noise, brightness and poses were learnt."""

    observed: Observed
    brightness: Brightness
    errors: PoseErrors


def polished(
    observed: Observed,
    grid: SliceGrid,
    *,
    junk: bool,
    correct_poses: bool,
    told: Callable[[], None],
) -> Polished:
    """Learn noise, brightness and poses in turn.

    Parameters
    ----------
    junk : bool
        Whether some images may hold no particle.
    told : callable
        Called after each round.

    Raises
    ------
    NumericalError
        Particles and mean map do not agree beyond chance.
    """
    brightness = Brightness.unknown(len(observed))
    errors = PoseErrors.unknown(len(observed), observed.particles.apix)
    _, brightness = _judged(observed, grid, brightness, junk=junk)
    for _ in range(POSE_ROUNDS if correct_poses else 1):
        maps, brightness = _judged(observed, grid, brightness, junk=junk)
        observed = _with_noise_left(observed, grid, maps, brightness)
        if correct_poses:
            which = brightness.counted.astype(np.intp) - 1  # -1: not moved
            errors, observed = errors.corrected(observed, grid, maps, which, brightness.scale)
        told()
    maps, brightness = _judged(observed, grid, brightness, junk=junk)
    return Polished(_with_noise_left(observed, grid, maps, brightness), brightness, errors)


def _judged(
    observed: Observed, grid: SliceGrid, brightness: Brightness, *, junk: bool
) -> tuple[FoldMaps, Brightness]:
    """Return the mean map, of the particles' own brightness, and how bright each one is."""
    counted = brightness.counted
    maps = mean_map(observed, grid, counted, brightness.scale, brightness.square)
    norm, cross = compared(observed, grid, maps)
    # of noise alone the sum's variance is that of the norms
    if not cross.sum() > _LEAST_SIGNIFICANCE * np.sqrt(norm.sum()):
        raise NumericalError(
            "the particles do not agree with their own mean map beyond chance: are the poses those "
            "of these images, or do most of them hold no particle?"
        )
    gauge = max(float(np.median(cross / np.maximum(norm, LEAST_GAUGE))), LEAST_GAUGE)
    norm, cross = norm * gauge**2, cross * gauge
    _, found = ScaleModel.start(junk=junk).settled(norm, cross, np.ones(1), _SCALE_ROUNDS)
    real = found.responsibilities[:, 0]
    dim = (cross / (norm + _JUNK_PRECISION))[:, 0]
    scale = np.where(real > MORE_PROBABLE, found.scale[:, 0], dim)
    return maps.scaled(gauge), Brightness(real, scale, found.square[:, 0])


def _with_noise_left(
    observed: Observed, grid: SliceGrid, maps: FoldMaps, brightness: Brightness
) -> Observed:
    def power_left(piece: Piece) -> Float32:
        seen = grid.slices(maps.maps[piece.fold], piece.rotations)[..., 0] * piece.transfer
        scale = brightness.scale[piece.rows, None].astype(np.float32)
        return power_of(piece.data - scale * seen)

    return observed.with_noise_of(power_left, grid.rings)
