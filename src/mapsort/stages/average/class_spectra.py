"""Change class averages as images, while they stay sums that maps can be solved from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from mapsort.array_types import Complex64, Float32, Float64
from mapsort.model.class_averages import ClassAverages
from mapsort.model.half_sets import N_HALVES
from mapsort.modules.processors import apply_chain
from mapsort.modules.registry import BoundModule
from mapsort.physics.shells import shell_index, shell_means
from mapsort.stages.fourier_grid import centred_images, centred_transform

#: Part of the classes' mean density that holds back terms of an average that hardly any particle
#: contributed to.
DAMPING = 0.1
#: A map's filter leaves nothing where it holds amplitudes down to this part of the mean: as the
#: original's ``filter.matchto:keephires=1``.
LEAST_FACTOR = 0.01


def matched_to_projections(
    averages: ClassAverages, slices: Complex64, *, maps: Sequence[slice] = ()
) -> ClassAverages:
    """Return averages each with the radial spectrum of its projection (``--classrefsf``).

    Projections are slices (n_classes, box, box//2+1) on the scale of the particles. In each shell
    the power of an average is that of its numerator over the square of its density: noise included,
    so that shells of noise are held down to what the projection has there.

    Parameters
    ----------
    maps : sequence of slice
        The classes of each map whose projections were filtered with it. The filter is no part of
        the spectrum: averages that took it over would give a map that is filtered twice, and ever
        more so. In each shell the averages of such a map keep their power together, and their
        projections tell how it is distributed among them; where the filter leaves next to nothing
        they tell nothing.
    """
    box = averages.box
    numerator = averages.numerator.sum(axis=0)
    density = averages.density.sum(axis=0)
    power = shell_means(np.abs(numerator) ** 2, box)
    squares = shell_means(density.astype(np.float64) ** 2, box)
    wanted = shell_means(np.abs(slices) ** 2, box)
    factor = _amplitudes(wanted, _quotient(power, squares))
    for own in maps:
        filtered = _amplitudes((squares[own] * wanted[own]).sum(axis=0), power[own].sum(axis=0))
        told = filtered > LEAST_FACTOR * filtered.mean()
        factor[own] = np.where(told, _quotient(factor[own], filtered), 1.0)
    shells = np.minimum(shell_index(box, ndim=2), box // 2)
    changed = averages.numerator * factor.astype(np.float32)[:, shells]
    return replace(averages, numerator=changed)


def _amplitudes(wanted: Float64, power: Float64) -> Float64:
    """Return what multiplies amplitudes of one power to have another; 0 where there is none."""
    return np.sqrt(_quotient(wanted, power))


def _quotient(above: Float64, below: Float64) -> Float64:
    """Return a quotient, 0 where it is none; ``below`` may be one row for all."""
    below = np.broadcast_to(below, above.shape)
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def processed_averages(
    averages: ClassAverages, chain: Sequence[BoundModule[..., Float32]], apix: float
) -> ClassAverages:
    """Return averages after processors of their images that keep the size (``--m3dpreprocess``).

    With numerator N, density D and a damping t the image N / (D + t) is processed, and what comes
    out times D + t is the new numerator: processors that do nothing change nothing. Afterwards all
    averages are multiplied by one number that restores the power that even and odd halves share,
    that of the signal: the map must stay on the scale of the particles.
    """
    if not chain:
        return averages
    box = averages.box
    level = averages.density.sum(axis=0)[averages.count > 0]
    if not len(level):
        return averages
    damping = np.float32(DAMPING * float(level.mean()))
    changed = np.zeros_like(averages.numerator)
    for half in range(N_HALVES):
        for number in np.flatnonzero(averages.count > 0):
            numerator = averages.numerator[half, number]
            if not numerator.any():
                continue
            weight = averages.density[half, number] + damping
            image = centred_images((numerator / weight)[None], box)[0]
            processed, _ = apply_chain(chain, image, apix=apix, index=int(number))
            if processed.shape != image.shape:
                raise ValueError("processors of class averages must keep their size")
            changed[half, number] = centred_transform(processed[None])[0] * weight
    before, after = _shared_power(averages.numerator), _shared_power(changed)
    if before > 0 and after > 0:
        changed *= np.float32(np.sqrt(before / after))
    return replace(averages, numerator=changed)


def _shared_power(numerator: Complex64) -> float:
    return float(np.real(np.vdot(numerator[0], numerator[1])))


def cross_power(averages: ClassAverages) -> Float64:
    """Return the power that even and odd halves of class averages share, (box//2 + 1,).

    Noise of the halves is independent: what they share on average is the power of the projections,
    the radial spectrum (structure factor) of the particles seen.
    """
    box = averages.box
    one, two = averages.numerator
    d_one, d_two = averages.density
    shared = shell_means(np.real(one * np.conj(two)), box).sum(axis=0)
    weight = shell_means(d_one.astype(np.float64) * d_two, box).sum(axis=0)
    return np.asarray(np.maximum(_quotient(shared, weight), 0.0))
