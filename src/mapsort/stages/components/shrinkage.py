"""How much of a map is signal, by shell and by place, from halves of the particles."""

from __future__ import annotations

import numpy as np
import scipy.ndimage

from mapsort.array_types import Complex64, Float32, Float64, Real
from mapsort.engines.chunks import chunk_ranges
from mapsort.stages.components.slice_grid import SliceGrid

#: Correlations of halves in use: below the first a shell has no signal that could be told.
LEAST_FSC, MOST_FSC = 1e-3, 0.999
#: Width of the neighbourhood of local correlations, in units of the band's resolution.
LOCAL_WIDTH = 1.0
#: Voxels that are divided together.
_VOXELS_AT_ONCE = 4096


def shell_prior(
    grid: SliceGrid,
    halves: tuple[Complex64, Complex64],
    density: Float64,
    *,
    pooled: bool = False,
) -> Float64:
    """Return the inverse variance of maps by shell: the Wiener filter's term.

    Parameters
    ----------
    halves : pair of ndarray of shape (voxels, q), complex64
        The same maps from two halves of the particles.
    density : ndarray of shape (rings + 1, q)
        Mean weight of all particles in each shell.
    pooled : bool
        One for all maps, from the correlation of all.

    Returns
    -------
    ndarray of shape (rings + 1, q) or, if pooled, with one column
    """
    first, second = (half[grid.kept] for half in halves)
    cross = grid.shell_means((first * second.conj()).real)
    powers = [grid.shell_means(half.real**2 + half.imag**2) for half in (first, second)]
    size = np.sqrt(powers[0] * powers[1])
    if pooled:
        cross, size = cross.sum(axis=1, keepdims=True), size.sum(axis=1, keepdims=True)
    fsc = cross / np.maximum(size, np.finfo(np.float32).tiny)
    fsc[0] = fsc[1]
    if len(fsc) > 3:
        fsc[1:-1] = 0.25 * fsc[:-2] + 0.5 * fsc[1:-1] + 0.25 * fsc[2:]
    fsc = np.clip(fsc, LEAST_FSC, MOST_FSC)
    whole = 2 * fsc / (1 + fsc)
    return np.asarray(density * (1 - whole) / whole)


def solved(grid: SliceGrid, sums: tuple[Complex64, Float32], prior: Real) -> Complex64:
    """Return maps (voxels, q), within the window, each from sums of its own; see `quotients`."""
    return grid.masked(quotients(grid, sums, prior))


def quotients(
    grid: SliceGrid,
    sums: tuple[Complex64, Float32],
    prior: Real,
    *,
    common: Complex64 | None = None,
    combinations: Float32 | None = None,
) -> Complex64:
    """Return sums over their weights, (voxels, q): maps, but for what lies outside the window.

    Parameters
    ----------
    sums : pair of ndarray of shape (m, K)
        Of the voxels that the grid keeps.
    prior : ndarray of shape (rings + 1, K or 1)
    common : ndarray of shape (voxels, 1), optional
        What is taken off the maps.
    combinations : ndarray of shape (K, q), optional
        Sums of the maps that are wanted, by default all K maps.
    """
    numerator, denominator = sums
    term = prior.astype(np.float32) + np.finfo(np.float32).tiny
    found = []
    # what is in between stays in the nearest memory
    for part in chunk_ranges(len(numerator), _VOXELS_AT_ONCE):
        above, below = numerator[part], denominator[part]
        if common is not None:
            above = above - below * common[grid.kept[part]]
        ratio = above * (1 / (below + term[grid.shell_kept[part]]))
        found.append(ratio if combinations is None else ratio @ combinations)
    return grid.spread(np.concatenate(found))


def local_weight(grid: SliceGrid, halves: tuple[Float32, Float32]) -> Float32:
    """Return how far maps can be trusted at each place in the window's cube, (c, c, c), 0 to 1.

    A Wiener filter in real space, from the local correlation of two halves (c, c, c, q) of all
    maps, which are zero outside the cube.
    """
    first, second = halves
    resolution = grid.band.box / grid.rings / grid.pixel
    width = LOCAL_WIDTH * resolution

    def blurred(values: Real) -> Float32:
        return np.asarray(
            scipy.ndimage.gaussian_filter(values.sum(axis=-1), width, mode="constant")
        )

    power = blurred(0.5 * (first * first + second * second))
    cross = blurred(first * second)
    least = np.finfo(np.float32).tiny + 1e-9 * float(power.max())
    correlation = np.clip(cross / np.maximum(power, least), 0.0, 1.0)
    return np.asarray(2 * correlation / (1 + correlation), np.float32)


def shared_combinations(halves: tuple[Float32, Float32], weight: Float32) -> Float32:
    """Return the q combinations of K differences that hold signal, (K, q): ``differences @ it``.

    Many classes may differ in few ways: four parts that are there or not make sixteen states. What
    the halves share tells in which. The noise of each class is its own, so that a class of few
    particles adds little to what others show better. Combinations stay that hold more signal than
    noise when the halves are together, one at least; coordinates of the classes along them are
    about 1.

    Parameters
    ----------
    halves : pair of ndarray of shape (c, c, c, K)
        Differences of K maps from what they have in common.
    weight : ndarray of shape (c, c, c)
        How far they can be trusted at each place.
    """
    first, second = ((half * weight[..., None]).reshape(-1, half.shape[-1]) for half in halves)
    cross = (first.T @ second).astype(np.float64)
    noise = 0.5 * np.square(first - second).sum(axis=0, dtype=np.float64)
    unit = np.sqrt(noise + np.finfo(np.float32).tiny + 1e-9 * noise.max())
    ratio, axes = np.linalg.eigh(0.5 * (cross + cross.T) / np.outer(unit, unit))
    # over the noise of a half, which is twice that of both together
    count = max(1, int((ratio > 0.5).sum()))
    axes = axes[:, ::-1][:, :count]
    size = np.sqrt(np.square(axes * unit[:, None]).mean(axis=0))
    return np.asarray(axes / unit[:, None] * size, np.float32)
