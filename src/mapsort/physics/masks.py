"""Masks: spheres, EMAN2's functions of the distance, and those that follow the density."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy  # its parts are loaded when they are used

from mapsort.array_types import Array, Bool, Float32
from mapsort.errors import ConfigError, NumericalError
from mapsort.physics.filters import apply_transfer, gaussian_lowpass
from mapsort.physics.normalization import squared_radius
from mapsort.physics.shells import box_of, fourier_radius

#: Soft edges of spheres, of the box: of those that bound a run's maps, and of the largest one about
#: a map, which leaves the box's corners out.
SPHERE_EDGE, INSCRIBED_EDGE = 0.0625, 0.05

Mask = Bool

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


def soft_sphere(box: int, radius_px: float, width_px: float, *, ndim: Literal[2, 3] = 3) -> Float32:
    """Return a disc or ball with a raised-cosine edge about pixel box//2, (box,) * ndim float32.

    1 for r <= radius, 0 for r >= radius + width, ``(1 + cos(pi (r - radius) / width)) / 2``
    between; a width of 0 gives a sharp mask.

    Raises
    ------
    ConfigError
        If the box is not positive or the radius or width negative.
    """
    if box < 1 or not radius_px >= 0 or not width_px >= 0:
        raise ConfigError(f"spherical mask: box {box}, radius {radius_px} or width {width_px} < 0")
    # squares of radii are whole numbers, of which a ball has far fewer than pixels
    square = squared_radius(box, ndim=ndim).astype(np.intp)
    radius = np.sqrt(np.arange(ndim * (box // 2) ** 2 + 1, dtype=np.float64))
    if width_px == 0:
        return np.take((radius <= radius_px).astype(np.float32), square)
    edge = np.clip((radius - radius_px) / width_px, 0.0, 1.0)
    return np.take((0.5 + 0.5 * np.cos(np.pi * edge)).astype(np.float32), square)


def inscribed_sphere(box: int, edge: float = INSCRIBED_EDGE, *, ndim: Literal[2, 3] = 3) -> Float32:
    """Return the largest soft ball (disc) of a box, (box,) * ndim; `edge` is a part of the box."""
    return soft_sphere(box, box / 2 - edge * box, edge * box, ndim=ndim)


def envelope_radius(volume: Array, *, fraction: float = 0.998, smoothing_px: float = 6.0) -> float:
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
    excess = _excess(lowpassed(volume, 1.0 / smoothing_px), box)
    total = float(excess.sum(dtype=np.float64))
    if total <= 0:
        raise NumericalError("envelope radius: the map shows no density above its background")
    steps = np.ceil(np.sqrt(squared_radius(box, ndim=volume.ndim)) * _STEPS_PER_PIXEL).astype(
        np.intp
    )
    held = np.cumsum(np.bincount(steps.ravel(), excess.ravel()))
    last = min(int(np.searchsorted(held, fraction * total)), len(held) - 1)
    return last / _STEPS_PER_PIXEL


def envelope_mask(
    volume: Array, *, margin_px: float, edge_px: float, smoothing_px: float = 6.0
) -> Float32:
    """Return a soft mask that follows the molecule's outline at a distance, 0 to 1.

    Parameters
    ----------
    volume : ndarray of shape (n, n, n)
        Map with positive density.
    margin_px, edge_px : float
        The mask is 1 so near to the density; width of the raised-cosine edge beyond.
    smoothing_px : float
        As for `envelope_core`, which also raises.
    """
    core = envelope_core(volume, smoothing_px=smoothing_px)
    return soft_edged(core, margin_px=margin_px, edge_px=edge_px)


def envelope_core(volume: Array, *, smoothing_px: float = 6.0) -> Mask:
    """Return where a map (n, n, n) has density, as `envelope_radius` says what counts.

    Raises
    ------
    NumericalError
        If the map shows no density above its background.
    """
    smooth = lowpassed(volume, 1.0 / smoothing_px)
    core = _excess(smooth, box_of(volume, "volume")) > 0
    if not core.any():
        raise NumericalError("envelope mask: the map shows no density above its background")
    return np.asarray(core)


def soft_edged(core: Mask, *, margin_px: float, edge_px: float) -> Float32:
    """Return a mask about a region, (n, n, n): 1 up to a distance, then a raised-cosine edge.

    The edge is that of `soft_sphere`, of the distance to the nearest voxel of the region [pixels].

    Raises
    ------
    NumericalError
        The region holds no voxel: everything would be infinitely far from it.
    """
    if not core.any():
        raise NumericalError("soft edge: the region holds no voxel")
    near = _within(core, margin_px + edge_px)
    distance = scipy.ndimage.distance_transform_edt(~core[near])
    beyond = np.clip((distance - margin_px) / max(edge_px, 1e-6), 0.0, 1.0)
    mask = np.zeros(core.shape, np.float32)
    mask[near] = 0.5 + 0.5 * np.cos(np.pi * beyond)
    return mask


def _within(core: Mask, reach_px: float) -> tuple[slice, ...]:
    """Return the block of voxels beyond which all are farther than this from a region."""
    reach, block = int(np.ceil(reach_px)), []
    for axis in range(core.ndim):
        others = tuple(other for other in range(core.ndim) if other != axis)
        own = np.flatnonzero(core.any(axis=others))
        block.append(slice(max(0, int(own[0]) - reach), int(own[-1]) + reach + 1))
    return tuple(block)


def density_threshold(smooth: Float32) -> float:
    """Return the density above which a map is not solvent, as `envelope_radius` says it."""
    level, noise = _solvent(smooth, box_of(smooth, "volume"))
    return level + _above_solvent(float(smooth.max()) - level, noise)


def heavy_pieces(inside: Mask, weight: Float32, *, part: float) -> tuple[Mask, int, int]:
    """Find the connected pieces of a region (of voxels that share a face) that count.

    Parameters
    ----------
    inside : ndarray of shape (n, n, n), bool
    weight : ndarray of shape (n, n, n), float32
        Positive inside.
    part : float
        Pieces count that have at least this part of the heaviest one's weight; 1 leaves that.

    Returns
    -------
    pieces : ndarray of shape (n, n, n), bool
        Those that count.
    n_kept, n_pieces : int
        How many count, of how many.
    """
    labels, n_pieces = scipy.ndimage.label(inside)
    masses = np.bincount(labels.ravel(), weight.ravel(), n_pieces + 1)
    masses[0] = 0.0
    counts = masses >= part * masses.max()
    counts[0] = False
    return counts[labels], int(counts.sum()), n_pieces


def density_above_background(volume: Array, *, smoothing_px: float = 6.0) -> Float32:
    """Return the smoothed density above the solvent, 0 out of the pieces of `envelope_radius`."""
    return _excess(lowpassed(volume, 1.0 / smoothing_px), box_of(volume, "volume"))


def smoothed_deviations(volume: Array, *, smoothing_px: float = 6.0) -> tuple[Float32, float]:
    """Return a map's smoothed density from the solvent's level, and the solvent's noise.

    `envelope_radius` says what level, noise and smoothing are; the map may have either contrast.
    """
    smooth = lowpassed(volume, 1.0 / smoothing_px)
    level, noise = _solvent(smooth, box_of(volume, "volume"))
    return smooth - np.float32(level), noise


def _solvent(smooth: Float32, box: int) -> tuple[float, float]:
    """Level and noise outside the inscribed sphere."""
    outside = smooth[squared_radius(box, ndim=smooth.ndim) > (box // 2) ** 2]
    level = float(np.median(outside))
    return level, float(np.median(np.abs(outside - level))) / _MAD_OF_NORMAL


def _excess(smooth: Float32, box: int) -> Float32:
    """Density above the solvent, in the pieces that count."""
    level, noise = _solvent(smooth, box)
    above = smooth - np.float32(level)
    limit = _above_solvent(float(above.max()), noise)
    pieces, _, _ = heavy_pieces(above > limit, above, part=_ENVELOPE_PIECE_FRACTION)
    return np.where(pieces, above, np.float32(0.0))


def _above_solvent(highest: float, noise: float) -> float:
    """How far above the solvent's level density counts; the highest lies so far above it."""
    return max(_ENVELOPE_SIGMAS * noise, _ENVELOPE_PEAK_FRACTION * highest)


def lowpassed(volume: Array, cutoff: float) -> Float32:
    """Return an image or map after a Gaussian low-pass, 1/e at the cutoff [cycles/pixel]."""
    box = volume.shape[0]
    frequency = fourier_radius(box, ndim=volume.ndim) / box
    return apply_transfer(volume, gaussian_lowpass(frequency, cutoff=cutoff))


def _outer(radius_px: float | None, box: int) -> float:
    """Outer radius; None is no limit, negative counts inwards from the edge."""
    if radius_px is None:
        return float("inf")
    return radius_px if radius_px >= 0 else box // 2 + radius_px + 1


def sharp_mask(
    image: Array,
    *,
    inner_radius: float = 0.0,
    outer_radius: float | None = None,
    value: float = 0.0,
    centre_px: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Float32:
    """Set what lies outside a shell to a value; pixels with ``inner <= r < outer`` stay.

    A negative outer radius counts from the edge, ``n//2 + radius + 1``; none is no limit. The
    centre is relative to pixel n//2, order x, y, z.
    """
    box = box_of(image, "image")
    square = squared_radius(box, ndim=image.ndim, centre_px=centre_px)
    outside = (square >= _outer(outer_radius, box) ** 2) | (square < inner_radius**2)
    return np.where(outside, np.float32(value), image).astype(np.float32)


def soft_mask(
    image: Array,
    *,
    inner_radius: float = 0.0,
    outer_radius: float | None = None,
    width: float = 4.0,
    value: float = 0.0,
    centre_px: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Float32:
    """Let densities decay to a value outside a shell of `sharp_mask`, ``exp(-((r - R) / w)^2)``."""
    box = box_of(image, "image")
    radius = np.sqrt(squared_radius(box, ndim=image.ndim, centre_px=centre_px))
    beyond = np.maximum(radius - _outer(outer_radius, box), 0.0)
    beyond = np.maximum(beyond, inner_radius - radius)
    return (value + (image - value) * np.exp(-np.square(beyond / width))).astype(np.float32)


def gaussian_mask(
    image: Array,
    *,
    outer_radius: float,
    inner_radius: float = 0.0,
    exponent: float = 2.0,
    centre_px: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Float32:
    """Multiply by ``exp(-(r / outer)^exponent)``, or by 1 up to an inner radius and then by that.

    The outer radius counts from the inner one, if that is positive; then the exponent is 2.
    """
    box = box_of(image, "image")
    radius = np.sqrt(squared_radius(box, ndim=image.ndim, centre_px=centre_px))
    if inner_radius > 0:
        factor = np.exp(-np.square(np.maximum(radius - inner_radius, 0.0) / outer_radius))
    else:
        factor = np.exp(-((radius / outer_radius) ** exponent))
    return (image * factor).astype(np.float32)


def decay_edges(image: Array, *, width: int) -> Float32:
    """Let an image fall to zero linearly towards its edges.

    Pixel i from an edge is multiplied by i / width, and in the corners by the factors of both
    edges.

    Raises
    ------
    ConfigError
        If the ramps of opposite edges would overlap.
    """
    box = box_of(image, "image")
    if not 1 <= width <= box // 2:
        raise ConfigError(f"width={width}: expected 1 to half the box, {box // 2}")
    index = np.arange(box)
    ramp = np.minimum(np.minimum(index, box - 1 - index) / width, 1.0)
    return (image * ramp[:, None] * ramp).astype(np.float32)


def zero_edges(image: Array, *, rows: tuple[tuple[int, int], ...]) -> Float32:
    """Set so many layers at the start and the end of each axis to zero."""
    kept = tuple(
        slice(first, max(first, n - last))
        for (first, last), n in zip(rows, image.shape, strict=True)
    )
    result = np.zeros(image.shape, dtype=np.float32)
    result[kept] = image[kept]
    return result
