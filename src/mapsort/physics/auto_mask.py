"""EMAN2's automatic masks: the density connected with the centre or with the highest of it."""

from __future__ import annotations

import numpy as np
import scipy  # its parts are loaded when they are used

from mapsort.array_types import Array, Float32
from mapsort.errors import ConfigError, NumericalError
from mapsort.physics.masks import Mask, lowpassed
from mapsort.physics.normalization import squared_radius
from mapsort.physics.shells import box_of

# The soft edge of a map's mask ends where it falls below this (EMAN2).
_EDGE_END = 0.002


def auto_mask(
    density: Array,
    *,
    threshold: float,
    radius: float = 0.0,
    nshells: int = 0,
    nshellsgauss: int = 0,
    nmaxseed: int = 0,
) -> Float32:
    """Mask of the density connected with its centre or with its highest maxima or voxels.

    Parameters
    ----------
    density : ndarray of shape (n, n) or (n, n, n)
        Image or map.
    threshold : float
        Density above which pixels are connected.
    radius : float
        Pixels at most this far from the centre n//2 with density >= `threshold` are seeds, pixels.
    nshells : int
        Layers of pixels by which the mask is grown.
    nshellsgauss : int
        Width of the soft edge, pixels.
    nmaxseed : int
        Number of an image's highest local maxima, of a map's highest voxels, that are seeds, too.

    Returns
    -------
    ndarray of the shape of `density`, float32
        0 to 1; the smoothing of a map's thick mask may overshoot by a few percent, as in EMAN2.

    Raises
    ------
    ConfigError
        If an argument is negative or gives no seeds at all.
    NumericalError
        If no pixel is in the mask, or the density is not finite.

    Notes
    -----
    mask.auto2d and modern mask.auto3d of EMAN2: flood fill over four (six) neighbours that does
    not enter the outermost pixels, then growth in layers. Layer i of an image's edge has the value
    ``exp(-(2 i / nshellsgauss)^2)``; a map's mask is grown by half of its edge more, Gaussian
    low-passed (1/e at 1/nshellsgauss cycles per pixel), and 0 where that is below 0.002. Seeds are
    right on odd boxes, too.
    """
    name = f"mask.auto{density.ndim}d"
    box_of(density, name)
    if min(radius, nshells, nshellsgauss, nmaxseed) < 0 or (radius == 0 and nmaxseed == 0):
        raise ConfigError(
            f"{name}: radius, nshells, nshellsgauss and nmaxseed must not be negative, and "
            "radius or nmaxseed must be positive"
        )
    if not np.isfinite(density).all():
        raise NumericalError(f"{name}: the density holds NaN or infinity")
    core = _flood(density, _seeds(density, threshold, radius, nmaxseed), threshold)
    if not core.any():
        raise NumericalError(
            f"{name}: no density reaches {threshold:.4g} within {radius} pixels of the centre;"
            " use a lower threshold, a larger radius or nmaxseed"
        )
    if density.ndim == 2:
        return _with_layers(_grown(core, nshells), nshellsgauss)
    return _smoothed(_grown(core, nshells + nshellsgauss // 2), nshellsgauss)


def _seeds(density: Array, threshold: float, radius: float, nmaxseed: int) -> Mask:
    near = squared_radius(len(density), ndim=density.ndim) <= radius**2
    seeds = np.asarray(near & (density >= threshold) & (radius > 0))
    if nmaxseed and density.ndim == 2:
        seeds |= _highest_maxima(density, nmaxseed)
    elif nmaxseed:
        count = min(nmaxseed, density.size)
        highest = np.argpartition(density, density.size - count, axis=None)[density.size - count :]
        seeds.ravel()[highest] = True
    return seeds


def _highest_maxima(image: Array, count: int) -> Mask:
    """Find the highest pixels that no neighbour (of eight) exceeds, off the border."""
    peaks = image >= scipy.ndimage.maximum_filter(image, size=3)
    peaks[[0, -1]] = False
    peaks[:, [0, -1]] = False
    places = np.flatnonzero(peaks)
    order = np.argsort(image.ravel()[places], kind="stable")[::-1][:count]
    seeds = np.zeros(image.shape, dtype=bool)
    seeds.ravel()[places[order]] = True
    return seeds


def _flood(density: Array, seeds: Mask, threshold: float) -> Mask:
    passable = np.zeros(density.shape, dtype=bool)
    inner = (slice(1, -1),) * density.ndim
    passable[inner] = density[inner] > threshold
    # a seed is in the mask even if it does not exceed the threshold, and it connects neighbours
    labels, _ = scipy.ndimage.label(passable | seeds)
    reached = np.unique(labels[seeds])
    return np.asarray(np.isin(labels, reached[reached > 0]))


def _grown(core: Mask, layers: int) -> Mask:
    return np.asarray(scipy.ndimage.binary_dilation(core, iterations=layers) if layers else core)


def _with_layers(core: Mask, width: int) -> Float32:
    mask = core.astype(np.float32)
    for layer in range(width):
        inside = mask > 0
        mask[_grown(inside, 1) & ~inside] = np.exp(-((2.0 * layer / width) ** 2))
    return mask


def _smoothed(core: Mask, width: int) -> Float32:
    mask = core.astype(np.float32)
    if width:
        mask = lowpassed(mask, 1.0 / width)
        mask[mask < _EDGE_END] = 0.0
    return mask
