"""Focused classification (``--mask``): maps differ inside a mask only; elsewhere they are the same.

Of two maps that are equal outside a mask, a particle's likelihoods differ by what lies inside it:
the difference of their projections is zero outside the mask's projection, and so is its share of
the noise. The density outside still holds the particle in its pose.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np

from mapsort.array_types import Float32, Real
from mapsort.errors import ConfigError
from mapsort.geometry.symmetry import Symmetry
from mapsort.model.particles import Particles
from mapsort.model.volume import Volume
from mapsort.options.multi import MultiOptions
from mapsort.physics.map_symmetry import check_symmetry
from mapsort.physics.resample import match_box

#: Values of a mask may overshoot 0 and 1 by this much, as soft edges made by filters do.
OVERSHOOT = 0.1
#: Part of a region that another one may share without a word: soft edges of neighbours meet.
SHARED = 0.1


def open_focus_mask(path: Path, particles: Particles) -> Float32:
    """Read ``--mask`` at the particles' box and pixel size.

    Returns
    -------
    ndarray of shape (box, box, box), float32
        Values from 0 to 1.

    Raises
    ------
    ConfigError
        The mask's values are not those of a mask, or it leaves nothing, or leaves all.
    FormatError
        The file is missing or damaged.
    """
    volume = Volume.open(path, default_apix=particles.apix)
    low, high = float(volume.data.min()), float(volume.data.max())
    if low < -OVERSHOOT or high > 1 + OVERSHOOT or not high > 0.5:
        raise ConfigError(
            f"--mask={path}: values from {low:.3g} to {high:.3g}; a mask goes from 0 "
            "(outside) to 1 (inside)"
        )
    mask = match_box(volume.data, volume.apix, box=particles.box, target_apix=particles.apix)
    mask = np.clip(mask, 0.0, 1.0).astype(np.float32)
    if not mask.max() > 0.5:
        raise ConfigError(f"--mask={path}: nothing of it lies inside the particles' box")
    if mask.min() > 0.5:
        raise ConfigError(f"--mask={path}: leaves nothing outside; there is no focus")
    return mask


def open_focus(
    options: MultiOptions, particles: Particles
) -> tuple[Float32 | None, tuple[str, ...]]:
    """Read every mask of ``--mask``; return that of the only one, and what is doubtful of several.

    Raises
    ------
    ConfigError, FormatError
        As `open_focus_mask`.
    """
    masks = [open_focus_mask(path, particles) for path in options.mask]
    if len(masks) == 1:
        return masks[0], ()
    shared = (
        (a, b, float(np.minimum(masks[a], masks[b]).sum() / min(masks[a].sum(), masks[b].sum())))
        for a, b in combinations(range(len(masks)), 2)
    )
    return None, tuple(
        f"--mask: regions {a + 1} and {b + 1} share {part:.0%} of the smaller one: what lies there "
        "tells in the classes of both"
        for a, b, part in shared
        if part > SHARED
    )


def mask_warning(options: MultiOptions, mask: Float32, group: Symmetry, apix: float) -> str | None:
    """Return what to know when a mask does not have a map's symmetry."""
    if group.order == 1 or check_symmetry(mask, group, apix=apix).agrees:
        return None
    return (
        f"--mask={options.mask[0]}: does not have the symmetry {group.name} of the maps, whose "
        "copies of the region lie outside it; focus on one of them with --sym=c1"
    )


def same_outside(
    volumes: tuple[Float32, ...], mask: Float32 | None, shares: Real | None = None
) -> tuple[Float32, ...]:
    """Return maps that keep their own density inside a mask and have their mean outside.

    Parameters
    ----------
    volumes : tuple of ndarray (box, box, box)
    mask : ndarray of shape (box, box, box), or None
        None changes nothing.
    shares : ndarray of shape (n_models,), optional
        Weights of the mean: each map's share of the particles. Equal by default.
    """
    if mask is None:
        return volumes
    weights = np.ones(len(volumes)) if shares is None else np.asarray(shares, dtype=np.float64)
    total = max(float(weights.sum()), np.finfo(np.float64).tiny)
    mean = np.zeros_like(volumes[0])
    for volume, weight in zip(volumes, weights, strict=True):
        mean += np.float32(weight / total) * volume
    return tuple(mask * volume + (1 - mask) * mean for volume in volumes)
