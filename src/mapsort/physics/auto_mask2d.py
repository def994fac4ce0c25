"""Automatic mask of an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.ndimage
from numpy.typing import NDArray

from mapsort.errors import ConfigError, NumericalError
from mapsort.physics.image_statistics import squared_radius
from mapsort.physics.shells import box_of


def auto_mask2d(
    image: NDArray[Any],
    *,
    threshold: float,
    radius: float = 0.0,
    nshells: int = 0,
    nshellsgauss: int = 0,
    nmaxseed: int = 0,
) -> NDArray[np.float32]:
    """Mask of the density connected with the centre or with the highest local maxima.

    Parameters
    ----------
    image : ndarray of shape (n, n)
    threshold : float
        Density above which pixels are connected.
    radius : float
        Pixels at most this far from the centre n//2 with density >= `threshold` are seeds.
    nshells : int
        Layers of pixels by which the mask is grown at value 1.
    nshellsgauss : int
        Layers of the soft edge; layer i (from 0) has the value ``exp(-(2 i / nshellsgauss)^2)``.
    nmaxseed : int
        Number of highest local maxima that are seeds, too.

    Returns
    -------
    ndarray of shape (n, n), float32
        0 to 1.

    Raises
    ------
    ConfigError
        If an argument is negative or gives no seeds at all.
    NumericalError
        If no pixel is in the mask, or the image is not finite.

    Notes
    -----
    EMAN2's mask.auto2d: flood fill over four neighbours that does not enter the outermost pixels,
    then growth in layers. Seeds are right on odd boxes, too.
    """
    box = box_of(image, "image")
    if min(radius, nshells, nshellsgauss, nmaxseed) < 0 or (radius == 0 and nmaxseed == 0):
        raise ConfigError(
            "mask.auto2d: radius, nshells, nshellsgauss and nmaxseed must not be negative, and "
            "radius or nmaxseed must be positive"
        )
    if not np.isfinite(image).all():
        raise NumericalError("mask.auto2d: the image holds NaN or infinity")
    seeds = (squared_radius(box, ndim=2) <= radius**2) & (image >= threshold) & (radius > 0)
    if nmaxseed:
        seeds |= _highest_maxima(image, nmaxseed)
    passable = np.zeros(image.shape, dtype=bool)
    passable[1:-1, 1:-1] = image[1:-1, 1:-1] > threshold
    core = scipy.ndimage.binary_propagation(seeds, mask=passable | seeds)
    if not core.any():
        raise NumericalError(
            f"mask.auto2d: no density reaches {threshold:.4g} within {radius} pixels of the centre;"
            " use a lower threshold, a larger radius or nmaxseed"
        )
    mask = _grown(core, nshells).astype(np.float32)
    for layer in range(nshellsgauss):
        inside = mask > 0
        edge = _grown(inside, 1) & ~inside
        mask[edge] = np.exp(-((2.0 * layer / nshellsgauss) ** 2))
    return mask


def _grown(core: NDArray[np.bool_], layers: int) -> NDArray[np.bool_]:
    return np.asarray(scipy.ndimage.binary_dilation(core, iterations=layers) if layers else core)


def _highest_maxima(image: NDArray[Any], count: int) -> NDArray[np.bool_]:
    """Find the highest pixels that no neighbour (of eight) exceeds, off the border."""
    peaks = image >= scipy.ndimage.maximum_filter(image, size=3)
    peaks[[0, -1]] = False
    peaks[:, [0, -1]] = False
    places = np.flatnonzero(peaks)
    order = np.argsort(image.ravel()[places], kind="stable")[::-1][:count]
    seeds = np.zeros(image.shape, dtype=bool)
    seeds.ravel()[places[order]] = True
    return seeds
