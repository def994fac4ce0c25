"""Spherical and automatic masks."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy  # its parts are loaded when they are used
from numpy.typing import NDArray

from mapsort.errors import ConfigError, NumericalError
from mapsort.physics.filters import apply_transfer, gaussian_lowpass
from mapsort.physics.shells import box_of, fourier_radius

#: Soft edges of spheres, of the box: of those that bound a run's maps, and of the largest one about
#: a map, which leaves the box's corners out.
SPHERE_EDGE, INSCRIBED_EDGE = 0.0625, 0.05
# The soft edge of an automatic mask ends where it falls below this (EMAN2).
_EDGE_END = 0.002

# Envelope: density counts if it exceeds the background by so many standard deviations ...
_ENVELOPE_SIGMAS = 4.0
# ... and this fraction of the highest density, which is the limit in maps without noise ...
_ENVELOPE_PEAK_FRACTION = 0.05
# ... and lies in a connected piece with this fraction of the heaviest piece's mass.
_ENVELOPE_PIECE_FRACTION = 0.05
# Radii are told apart to this part of a pixel.
_STEPS_PER_PIXEL = 8
# Median absolute deviation of a normal distribution, in standard deviations.
_MAD_OF_NORMAL = 0.67449


def soft_sphere(
    box: int, radius_px: float, width_px: float, *, ndim: Literal[2, 3] = 3
) -> NDArray[np.float32]:
    """Disc or ball with a raised-cosine edge.

    Parameters
    ----------
    box : int
        Edge of the image or volume, pixels.
    radius_px : float
        Radius about pixel box//2 within which the mask is 1, pixels.
    width_px : float
        Width of the edge outside the radius, pixels; 0 gives a sharp mask.
    ndim : {2, 3}
        Disc or ball.

    Returns
    -------
    ndarray of shape (box, box) or (box, box, box), float32
        1 for r <= radius, 0 for r >= radius + width, ``(1 + cos(pi (r - radius) / width)) / 2``
        between.

    Raises
    ------
    ConfigError
        If the box is not positive or the radius or width negative.
    """
    if box < 1 or not radius_px >= 0 or not width_px >= 0:
        raise ConfigError(f"spherical mask: box {box}, radius {radius_px} or width {width_px} < 0")
    radius = _distance(box, ndim)
    if width_px == 0:
        return (radius <= radius_px).astype(np.float32)
    edge = np.clip((radius - radius_px) / width_px, 0.0, 1.0)
    return (0.5 + 0.5 * np.cos(np.pi * edge)).astype(np.float32)


def inscribed_sphere(
    box: int, edge: float = INSCRIBED_EDGE, *, ndim: Literal[2, 3] = 3
) -> NDArray[np.float32]:
    """Return the largest soft ball (disc) of a box, (box,) * ndim; `edge` is a part of the box."""
    return soft_sphere(box, box / 2 - edge * box, edge * box, ndim=ndim)


def auto_mask3d(
    volume: NDArray[Any],
    *,
    threshold: float,
    radius: float = 0.0,
    nshells: int = 0,
    nshellsgauss: int = 0,
    nmaxseed: int = 0,
) -> NDArray[np.float32]:
    """Mask of the density connected with its centre or with its highest voxels.

    Parameters
    ----------
    volume : ndarray of shape (n, n, n)
        Map.
    threshold : float
        Density above which voxels are connected.
    radius : float
        Voxels at most this far from the centre n//2 with density >= `threshold` are seeds, pixels.
    nshells : int
        Layers of voxels by which the mask is grown.
    nshellsgauss : int
        Width of the soft edge, voxels; half of it is grown before the smoothing.
    nmaxseed : int
        Number of highest voxels that are seeds, too.

    Returns
    -------
    ndarray of shape (n, n, n), float32
        About 0 to 1; the smoothing of thick masks may overshoot 1 by a few percent, as in EMAN2.

    Raises
    ------
    ConfigError
        If an argument is negative or gives no seeds at all.
    NumericalError
        If no voxel is in the mask, or the map is not finite.

    Notes
    -----
    Modern mask.auto3d of EMAN2: flood fill over 6 neighbours, not entering the outermost voxels;
    ``nshells + nshellsgauss // 2`` layers of growth; Gaussian low-pass (1/e at 1/nshellsgauss
    cycles per pixel); what is below 0.002 set to 0.  Seeds are right on odd boxes, too.
    """
    box_of(volume, "volume")
    if min(radius, nshells, nshellsgauss, nmaxseed) < 0 or (radius == 0 and nmaxseed == 0):
        raise ConfigError(
            "mask.auto3d: radius, nshells, nshellsgauss and nmaxseed must not be negative, and "
            "radius or nmaxseed must be positive"
        )
    if not np.isfinite(volume).all():
        raise NumericalError("mask.auto3d: the map holds NaN or infinity")
    core = _flood(volume, _seeds(volume, threshold, radius, nmaxseed), threshold)
    if not core.any():
        raise NumericalError(
            f"mask.auto3d: no density reaches {threshold:.4g} within {radius} pixels of the centre;"
            " use a lower threshold, a larger radius or nmaxseed"
        )
    layers = nshells + nshellsgauss // 2
    if layers:
        core = _grow(core, layers)
    mask = core.astype(np.float32)
    return _smooth(mask, nshellsgauss) if nshellsgauss else mask


def envelope_radius(
    volume: NDArray[Any], *, fraction: float = 0.998, smoothing_px: float = 6.0
) -> float:
    """Radius of the smallest sphere about the centre that holds (nearly) all of the molecule.

    Parameters
    ----------
    volume : ndarray of shape (n, n, n)
        Map with positive density; noise, a solvent offset and any low-pass are allowed.
    fraction : float
        Part of the density above the solvent that the sphere shall hold.
    smoothing_px : float
        Period, in pixels, at which the Gaussian low-pass before the measurement is 1/e.

    Returns
    -------
    float
        Radius about pixel n//2, pixels.

    Raises
    ------
    ConfigError
        If `fraction` is not in (0, 1] or `smoothing_px` not at least 2.
    NumericalError
        If the map is not finite or shows no density above its background.

    Notes
    -----
    The solvent's level and noise are the median and the median absolute deviation of the smoothed
    map outside the inscribed sphere.  Density counts when it exceeds the level by four standard
    deviations and by 5 % of the map's range, and only in connected pieces that weigh at least 5 %
    of the heaviest one: isolated noise peaks far out cannot blow the sphere up.
    """
    box = box_of(volume, "volume")
    if not 0 < fraction <= 1 or not smoothing_px >= 2:
        raise ConfigError(
            f"envelope radius: fraction {fraction} must lie in (0, 1] and smoothing_px "
            f"{smoothing_px} be at least 2"
        )
    if not np.isfinite(volume).all():
        raise NumericalError("envelope radius: the map holds NaN or infinity")
    excess = _excess(_lowpassed(volume, 1.0 / smoothing_px), box)
    total = float(excess.sum(dtype=np.float64))
    if total <= 0:
        raise NumericalError("envelope radius: the map shows no density above its background")
    steps = np.ceil(_distance(box, volume.ndim) * _STEPS_PER_PIXEL).astype(np.intp)
    held = np.cumsum(np.bincount(steps.ravel(), excess.ravel()))
    last = min(int(np.searchsorted(held, fraction * total)), len(held) - 1)
    return last / _STEPS_PER_PIXEL


def envelope_mask(
    volume: NDArray[Any],
    *,
    margin_px: float,
    edge_px: float,
    smoothing_px: float = 6.0,
) -> NDArray[np.float32]:
    """Soft mask that follows the molecule's outline at a distance.

    Parameters
    ----------
    volume : ndarray of shape (n, n, n)
        Map with positive density.
    margin_px : float
        Distance from the density within which the mask is 1, pixels.
    edge_px : float
        Width of the raised-cosine edge beyond, pixels.
    smoothing_px : float
        As for `envelope_radius`, which also says what counts as density.

    Returns
    -------
    ndarray of shape (n, n, n), float32
        Between 0 and 1.

    Raises
    ------
    NumericalError
        If the map shows no density above its background.
    """
    smooth = _lowpassed(volume, 1.0 / smoothing_px)
    core = _excess(smooth, box_of(volume, "volume")) > 0
    if not core.any():
        raise NumericalError("envelope mask: the map shows no density above its background")
    distance = scipy.ndimage.distance_transform_edt(~core)
    beyond = np.clip((distance - margin_px) / max(edge_px, 1e-6), 0.0, 1.0)
    return np.asarray(0.5 + 0.5 * np.cos(np.pi * beyond), dtype=np.float32)


def density_above_background(
    volume: NDArray[Any], *, smoothing_px: float = 6.0
) -> NDArray[np.float32]:
    """Return the smoothed density above the solvent, in the pieces that `envelope_radius` counts.

    Parameters
    ----------
    volume : ndarray of shape (n, n, n)
        Map with positive density.
    smoothing_px : float
        As for `envelope_radius`.

    Returns
    -------
    ndarray of shape (n, n, n), float32
        Zero where there is no density.
    """
    return _excess(_lowpassed(volume, 1.0 / smoothing_px), box_of(volume, "volume"))


def smoothed_deviations(
    volume: NDArray[Any], *, smoothing_px: float = 6.0
) -> tuple[NDArray[np.float32], float]:
    """Return the smoothed density from the solvent's level, and the solvent's noise.

    Parameters
    ----------
    volume : ndarray of shape (n, n, n)
        Map of either contrast.
    smoothing_px : float
        As for `envelope_radius`, which also says what level and noise are.

    Returns
    -------
    deviations : ndarray of shape (n, n, n), float32
    noise : float
    """
    smooth = _lowpassed(volume, 1.0 / smoothing_px)
    level, noise = _solvent(smooth, box_of(volume, "volume"))
    return smooth - np.float32(level), noise


def _solvent(smooth: NDArray[np.float32], box: int) -> tuple[float, float]:
    """Level and noise outside the inscribed sphere."""
    outside = smooth[_distance(box, smooth.ndim) > box // 2]
    level = float(np.median(outside))
    return level, float(np.median(np.abs(outside - level))) / _MAD_OF_NORMAL


def _excess(smooth: NDArray[np.float32], box: int) -> NDArray[np.float32]:
    """Density above the solvent, in the pieces that count."""
    level, noise = _solvent(smooth, box)
    above = smooth - np.float32(level)
    limit = max(_ENVELOPE_SIGMAS * noise, _ENVELOPE_PEAK_FRACTION * float(above.max()))
    labels, n_pieces = scipy.ndimage.label(above > limit)
    masses = np.bincount(labels.ravel(), above.ravel(), n_pieces + 1)
    masses[0] = 0.0
    counts = masses >= _ENVELOPE_PIECE_FRACTION * masses.max()
    counts[0] = False
    return np.where(counts[labels], above, np.float32(0.0))


def _distance(box: int, ndim: int) -> NDArray[np.float64]:
    offset = np.arange(box, dtype=np.float64) - box // 2
    square = offset[:, None] ** 2 + offset**2
    return np.asarray(np.sqrt(square if ndim == 2 else offset[:, None, None] ** 2 + square))


def _seeds(
    volume: NDArray[Any], threshold: float, radius: float, nmaxseed: int
) -> NDArray[np.bool_]:
    near = _distance(volume.shape[0], 3) <= radius if radius > 0 else np.zeros(volume.shape, bool)
    seeds = np.asarray(near & (volume >= threshold))
    if nmaxseed:
        count = min(nmaxseed, volume.size)
        highest = np.argpartition(volume, volume.size - count, axis=None)[volume.size - count :]
        seeds.ravel()[highest] = True
    return seeds


def _flood(volume: NDArray[Any], seeds: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    passable = np.zeros(volume.shape, dtype=bool)
    inner = (slice(1, -1),) * 3
    passable[inner] = volume[inner] > threshold
    # a seed is in the mask even if it does not exceed the threshold, and it connects neighbours
    labels, _ = scipy.ndimage.label(passable | seeds)
    reached = np.unique(labels[seeds])
    return np.asarray(np.isin(labels, reached[reached > 0]))


def _grow(core: NDArray[np.bool_], layers: int) -> NDArray[np.bool_]:
    return np.asarray(scipy.ndimage.binary_dilation(core, iterations=layers))


def _smooth(mask: NDArray[np.float32], width: int) -> NDArray[np.float32]:
    smooth = _lowpassed(mask, 1.0 / width)
    smooth[smooth < _EDGE_END] = 0.0
    return smooth


def _lowpassed(volume: NDArray[Any], cutoff: float) -> NDArray[np.float32]:
    """Gaussian low-pass, cutoff in cycles per pixel."""
    box = volume.shape[0]
    frequency = fourier_radius(box, ndim=volume.ndim) / box
    return apply_transfer(volume, gaussian_lowpass(frequency, cutoff=cutoff))
