"""Maps of trailing sums: what the last batches say, older ones forgotten little by little.

Half of each batch goes to each of two sums. The correlation of their maps, shell by shell, is the
Wiener filter: shells come in as far as batches agree on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mapsort.array_types import Complex64, Float32, Float64
from mapsort.geometry.symmetry import Symmetry
from mapsort.stages.abinit.expectation import Sums
from mapsort.stages.abinit.junk import Prior
from mapsort.stages.abinit.polar import PolarGrid
from mapsort.stages.components.observed import power_of
from mapsort.stages.components.slice_grid import FINENESS

#: A voxel's density counts as no less than this part of its shell's mean.
_LEAST_DENSITY = 0.3
#: Correlation of the whole that is believed, at least and at most.
_LEAST_FSC, _MOST_FSC = 0.05, 0.999
#: The noise is no less than this part of what particles have in all.
_LEAST_NOISE = 0.004
#: Density below this part of the highest does not count for a map's centre.
_SOLVENT = 0.1


@dataclass(frozen=True)
class Trailing:
    """Sums of the particles so far, the latest counting most."""

    #: Of both halves, per particle, (2, voxels, K).
    numerator: Complex64
    #: (2, voxels, K).
    density: Float32
    #: (rings,).
    noise: Float64
    #: Mean squared shift along both axes [pixels^2].
    shift_square: float
    #: Part of the images in each map, (K,); the rest is junk.
    share: Float64
    #: Log likelihood that particles lose by the maps' errors [nat].
    misfit: float

    @property
    def kinds(self) -> Prior:
        """What is known of an image before it is looked at."""
        return Prior.learnt(1.0 - float(self.share.sum()), self.misfit)

    def mixed(self, other: Trailing, part: float) -> Trailing:
        """Return sums of which another's are a part."""
        kept = 1.0 - part
        old, new = np.float32(kept), np.float32(part)
        return Trailing(
            old * self.numerator + new * other.numerator,
            old * self.density + new * other.density,
            kept * self.noise + part * other.noise,
            kept * self.shift_square + part * other.shift_square,
            kept * self.share + part * other.share,
            # maps and their rings change faster than old batches are forgotten
            other.misfit,
        )

    def with_map(self, number: int, other: Trailing, part: float) -> Trailing:
        """Return the sums with those of one map replaced by another's only map's.

        Parameters
        ----------
        part : float
            Of the particles, how many the other's are.
        """
        numerator, density = self.numerator.copy(), self.density.copy()
        numerator[:, :, number] = np.float32(part) * other.numerator[:, :, 0]
        density[:, :, number] = np.float32(part) * other.density[:, :, 0]
        return replace(self, numerator=numerator, density=density)

    def on(self, before: PolarGrid, grid: PolarGrid, noise: Float64) -> Trailing:
        """Return the same on a grid of other rings; new rings have the noise that is given."""
        old = [on_grid(half, before, grid) for half in self.numerator]
        density = [on_grid(half, before, grid) for half in self.density]
        known = min(before.rings, grid.rings)
        return replace(
            self,
            numerator=np.stack(old),
            density=np.stack(density),
            noise=np.concatenate([self.noise[:known], noise[known:]]),
        )


def on_grid(
    volumes: npt.NDArray[np.generic], before: PolarGrid, grid: PolarGrid
) -> npt.NDArray[np.generic]:
    """Return transforms (voxels, K) on a grid of other rings: cut, or 0 beyond."""
    found = np.zeros((*grid.shape, volumes.shape[1]), volumes.dtype)
    reach = min(before.half, grid.half)

    def middle(of: PolarGrid) -> tuple[slice, slice, slice]:
        along = slice(of.half - reach, of.half + reach + 1)
        return along, along, slice(reach + 1)

    found[middle(grid)] = volumes.reshape(*before.shape, -1)[middle(before)]
    return found.reshape(grid.voxels, -1)


def inserted(
    grid: PolarGrid,
    halves: tuple[Sums, Sums],
    weight: Float32,
    rotations: Float64,
    symmetry: Symmetry,
) -> Trailing:
    """Return the sums that a batch makes.

    Parameters
    ----------
    halves : pair of Sums
        Of each half of the batch.
    weight : ndarray of shape (rings,), float32
        What a ring's mean counts in the likelihood.
    rotations : ndarray of shape (d, 3, 3)
        The views, those of all maps.
    """
    whole, views = halves[0] + halves[1], len(rotations)
    columns = []
    for first in range(0, whole.share.size, views):
        own = slice(first, first + views)
        columns.append(
            [
                filled(
                    grid,
                    sums.numerator[0, own] * (weight / np.float32(sums.count))[:, None],
                    sums.density[0, own] * (weight / np.float32(sums.count)),
                    rotations,
                    symmetry.matrices,
                )
                for sums in halves
            ]
        )
    return Trailing(
        *stacked(columns),
        whole.residual / whole.count,
        whole.mean_shift_square,
        whole.share.reshape(-1, views).sum(axis=1) / whole.count,
        whole.misfit,
    )


def filled(
    grid: PolarGrid, numerator: Complex64, density: Float32, rotations: Float64, operations: Float64
) -> tuple[Complex64, Float32]:
    """Return what slices add to a map and to its density, (voxels, 1) each.

    Parameters
    ----------
    numerator : ndarray of shape (d, rings, angles / 2), complex64
    density : ndarray of shape (d, rings), float32
    rotations : ndarray of shape (d, 3, 3)
    operations : ndarray of shape (g, 3, 3)
        Of the map's symmetry.
    """
    one = np.full((len(rotations), 1), 1.0 / grid.half_angles, np.float32)
    data = numerator.reshape(-1, grid.n_points)
    counted = np.repeat(density, grid.half_angles, axis=1)
    above = np.zeros((grid.voxels, 1), np.complex64)
    below = np.zeros((grid.voxels, 1), np.float32)
    for operation in operations:
        added = grid.insert(data, one, counted, one, rotations @ operation)
        above += added[0]
        below += added[1]
    return above, below


def stacked(
    columns: list[list[tuple[Complex64, Float32]]],
) -> tuple[Complex64, Float32]:
    """Return maps and densities (2, voxels, K) of the halves of each map."""
    above, below = (
        np.stack([np.concatenate([maps[half][which] for maps in columns], 1) for half in (0, 1)])
        for which in (0, 1)
    )
    return above, below


def solved(grid: PolarGrid, sums: Trailing) -> tuple[Complex64, Float64]:
    """Return the maps (voxels, K) that sums make, and the halves' correlations (rings + 1, K)."""
    maps, curves = [], []
    for model in range(sums.numerator.shape[2]):
        above, below = sums.numerator[:, :, model], sums.density[:, :, model]
        mean = grid.shell_means(below.mean(axis=0)[grid.kept, None])[:, 0]
        shell = np.minimum(grid.shell, grid.rings)
        least = (_LEAST_DENSITY * mean + np.finfo(np.float32).tiny)[shell].astype(np.float32)
        halves = [
            grid.masked((a / (b + least))[:, None] * grid.inside)
            for a, b in zip(above, below, strict=True)
        ]
        curve = _correlation(grid, halves[0], halves[1])
        whole = np.clip(2 * curve / (1 + np.maximum(curve, 0)), _LEAST_FSC, _MOST_FSC)
        prior = (2 * mean * (1 - whole) / whole + np.finfo(np.float32).tiny)[shell]
        total = above.sum(axis=0) / (below.sum(axis=0) + prior.astype(np.float32))
        maps.append(grid.masked(total[:, None] * grid.inside) * grid.inside)
        curves.append(curve)
    return np.concatenate(maps, axis=1), np.stack(curves, axis=1)


def _correlation(grid: PolarGrid, one: Complex64, other: Complex64) -> Float64:
    one, other = one[grid.kept], other[grid.kept]
    cross = grid.shell_means((one * other.conj()).real)[:, 0]
    power = grid.shell_means(power_of(one))[:, 0] * grid.shell_means(power_of(other))[:, 0]
    return np.asarray(cross / np.sqrt(np.maximum(power, np.finfo(np.float64).tiny)))


def limited_noise(noise: Float64, power: Float64) -> Float64:
    """Return noise that can be divided by; power is the particles' own, by ring."""
    return np.maximum(noise, _LEAST_NOISE * power)


def centred(
    grid: PolarGrid, maps: Complex64, sums: Trailing, symmetry: Symmetry
) -> tuple[Complex64, Trailing]:
    """Return maps and sums moved so that each map's density has its mean in the centre.

    An axis of symmetry stays where it is.
    """
    fixed = symmetry.matrices.mean(axis=0)
    moved, numerator = maps.copy(), sums.numerator.copy()
    for model in range(maps.shape[1]):
        offset = fixed @ _offset(grid, maps[:, model : model + 1])
        turn = _phases(grid, offset)
        moved[:, model] *= turn
        numerator[:, :, model] *= turn
    return moved, replace(sums, numerator=numerator)


def _offset(grid: PolarGrid, volume: Complex64) -> Float64:
    """Return the mean place of a map's density, (x, y, z) [pixels]."""
    density = grid.real(volume)[..., 0]
    density = np.maximum(density - np.float32(_SOLVENT) * density.max(), 0)
    total = float(density.sum(dtype=np.float64))
    if total <= 0:
        return np.zeros(3)
    along = np.fft.ifftshift(np.arange(grid.side) - grid.half) * grid.pixel
    sums = [density.sum(axis=other, dtype=np.float64) for other in ((0, 1), (0, 2), (1, 2))]
    return np.array([float(line @ along) / total for line in sums])


def _phases(grid: PolarGrid, offset: Float64) -> Complex64:
    """Return what moves a map by minus an offset (x, y, z) [pixels], (voxels,)."""
    line = (np.arange(grid.side) - grid.half) / FINENESS
    x, y, z = line[grid.half :] * offset[0], line * offset[1], line * offset[2]
    phase = z[:, None, None] + y[:, None] + x
    turns = np.exp((2j * np.pi / grid.band.box) * phase)
    return np.asarray(turns.ravel(), np.complex64)
