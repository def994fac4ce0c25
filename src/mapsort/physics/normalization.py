"""Statistics of images and maps, and their scaling: by molecular mass, by the background."""

from __future__ import annotations

import numpy as np

from mapsort.array_types import Array, Bool, Float32, Float64
from mapsort.errors import ConfigError, NumericalError
from mapsort.geometry.arrays import real_array
from mapsort.physics.shells import box_of


def sample_sigma(image: Array) -> float:
    """Return the standard deviation with n - 1 in the denominator (EMAN2's ``sigma``)."""
    return float(np.std(image, ddof=1, dtype=np.float64))


def edge_mean(image: Array) -> float:
    """Return the mean of the outermost pixels (EMAN2, ``get_edge_mean``).

    2-D: over the four edges, corners counted twice; 3-D: over the surface, each voxel counted once.
    """
    pixels = np.asarray(image, dtype=np.float64)
    if pixels.ndim == 2:
        edges = (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1])
        return float(np.concatenate(edges).mean())
    inner = pixels[1:-1, 1:-1, 1:-1]
    return float((pixels.sum() - inner.sum()) / (pixels.size - inner.size))


def circle_mean(image: Array, *, radius: float | None = None, width: float = 2.0) -> float:
    """Return the mean over a ring (shell), ``radius <= r < radius + width`` [pixels].

    By default the radius is n/2 - 2; a negative one counts inwards from n//2.

    Raises
    ------
    NumericalError
        If there is no such pixel.
    """
    box = box_of(image, "image")
    inner = box / 2 - 2 if radius is None else radius
    if inner < 0:
        inner = max(inner + box // 2, 0.0)
    square = squared_radius(box, ndim=image.ndim)
    ring = (square >= inner**2) & (square < (inner + width) ** 2)
    if not ring.any():
        raise NumericalError(f"circle mean: a box of {box} has no pixel near radius {inner:g}")
    return float(np.mean(image[ring], dtype=np.float64))


def squared_radius(
    box: int, *, ndim: int, centre_px: tuple[float, ...] = (0.0, 0.0, 0.0)
) -> Float64:
    """Return the squared distance of each pixel from a point, (box,) * ndim float64.

    The point is relative to pixel n//2, order x, y, z [pixels].
    """
    offset = np.arange(box, dtype=np.float64) - box // 2
    x, y = (offset - centre_px[0]) ** 2, (offset - centre_px[1]) ** 2
    square = y[:, None] + x
    if ndim == 2:
        return square
    return np.asarray(((offset - centre_px[2]) ** 2)[:, None, None] + square)


def least_squares_plane(image: Array) -> Float64:
    """Return the plane (hyperplane of a map) that fits the densities best, float64."""
    pixels = np.asarray(image, dtype=np.float64)
    plane = np.full(pixels.shape, pixels.mean())
    # Centred coordinates of a grid are orthogonal: each slope is a quotient of its own.
    for axis, n in enumerate(pixels.shape):
        ramp = np.arange(n) - (n - 1) / 2
        shape = [1] * pixels.ndim
        shape[axis] = n
        ramp = ramp.reshape(shape)
        others = pixels.size / n
        plane += ramp * (float(np.sum(pixels * ramp)) / (others * float(np.sum(ramp**2))))
    return plane


def linear_density_fit(
    image: Array, target: Array, chosen: Bool | None = None
) -> tuple[float, float]:
    """Return slope and offset by which ``slope * image + offset`` is nearest to the target.

    Of the chosen pixels, all by default; the slope is 0 for a constant image.

    Raises
    ------
    NumericalError
        If no pixel is chosen.
    """
    x = np.asarray(image if chosen is None else image[chosen], dtype=np.float64).ravel()
    y = np.asarray(target if chosen is None else target[chosen], dtype=np.float64).ravel()
    if x.size == 0:
        raise NumericalError("fit of densities: no pixel is left to fit")
    deviation = x - x.mean()
    power = float(np.sum(deviation**2))
    slope = float(np.sum(deviation * (y - y.mean()))) / power if power > 0 else 0.0
    return slope, float(y.mean() - slope * x.mean())


PROTEIN_DENSITY_DA_PER_ANG3 = 0.81


def density_at_mass(volume: Array, apix: float, mass_kda: float) -> float:
    """Return the density above which a map holds a mass of protein: the k-th highest one.

    k is the smallest count of voxels with ``k apix^3 0.81 Da/A^3 >= mass``.

    Raises
    ------
    ConfigError
        If mass [kDa] or pixel size [A] is not positive or the mass does not fit into the box.
    NumericalError
        If the map holds NaN or infinity.
    """
    box_of(volume, "volume")
    if not mass_kda > 0 or not apix > 0:
        raise ConfigError(f"mass and pixel size must be positive, got {mass_kda} kDa, {apix} A")
    count = int(np.ceil(mass_kda * 1e3 / (PROTEIN_DENSITY_DA_PER_ANG3 * apix**3) * (1 - 1e-12)))
    if count > volume.size:
        raise ConfigError(
            f"a mass of {mass_kda} kDa needs {count} voxels of {apix} A, the map has {volume.size};"
            " check --mass and --apix"
        )
    if not np.isfinite(volume).all():
        raise NumericalError("the map holds NaN or infinity: it cannot be normalized by mass")
    return float(np.partition(volume, volume.size - count, axis=None)[volume.size - count])


def normalize_by_mass(
    volume: Array, apix: float, mass_kda: float, *, threshold: float = 1.0
) -> Float32:
    """Scale a map so that the density at a threshold encloses a given mass [kDa].

    EMAN2's normalize.bymass with 0.81 Da/A^3, by sorting in place of a stepwise search.

    Raises
    ------
    ConfigError
        If an argument is not positive or the mass does not fit into the box.
    NumericalError
        If the density to be scaled is zero or negative, or the map is not finite.
    """
    if not threshold > 0:
        raise ConfigError(f"normalize by mass: the threshold must be positive, got {threshold}")
    density = density_at_mass(volume, apix, mass_kda)
    if density <= 0:
        raise NumericalError(
            f"normalize by mass: {mass_kda} kDa are enclosed only at density {density:.4g}, which "
            "is not positive; check --mass, --apix and the contrast of the map"
        )
    # divide before multiplying: the voxel at `density` itself must come out at the threshold
    return (np.asarray(volume, dtype=np.float64) / density * threshold).astype(np.float32)


def background_normalize(images: Array, radius_px: float) -> Float32:
    """Give every image mean 0 and standard deviation 1 outside a circle (RELION's convention).

    Parameters
    ----------
    images : ndarray of shape (n, box, box) or (box, box)
    radius_px : float
        Radius of the circle about pixel box//2, pixels.

    Raises
    ------
    ConfigError
        If the circle leaves fewer than two pixels outside.
    NumericalError
        If the background of an image is constant or not finite; the message gives its index.
    ValueError
        If the images are not square.
    """
    # what is no number is told below, with the image's index
    stack = real_array(images, "images", np.float32, finite=False)
    square = stack.ndim in (2, 3) and stack.shape[-1] == stack.shape[-2] > 0
    if not square:
        raise ValueError(f"images: expected shape (n, box, box) or (box, box), got {stack.shape}")
    outside = _outside_circle(stack.shape[-1], radius_px)
    pixels = stack.reshape(*stack.shape[:-2], -1)
    background = np.take(pixels, np.flatnonzero(outside), axis=-1)
    mean = background.mean(axis=-1, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        deviation = background.std(axis=-1, dtype=np.float64)
    # a constant image of value c has a rounding noise of about 1e-16 c in double precision
    usable = np.isfinite(deviation) & (deviation > 1e-12 * np.abs(mean))
    if not usable.all():
        index = int(np.flatnonzero(~np.atleast_1d(usable))[0])
        raise NumericalError(
            f"image {index} (counted from 0): the background outside radius {radius_px} is "
            "constant or not finite, so it cannot be normalized; exclude this image"
        )
    # in single precision, as the images are; a large mean goes first
    scaled = stack - mean.astype(np.float32)[..., None, None]
    scaled /= deviation.astype(np.float32)[..., None, None]
    return np.asarray(scaled)


def _outside_circle(box: int, radius_px: float) -> Bool:
    outside = squared_radius(box, ndim=2) > radius_px**2
    if radius_px <= 0 or int(outside.sum()) < 2:
        raise ConfigError(
            f"background radius {radius_px} pixels does not suit a box of {box}; use 0 < radius < "
            f"{box / 2}"
        )
    return np.asarray(outside)
