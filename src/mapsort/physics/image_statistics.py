"""Statistics of images and maps: background levels, moments, fits of planes and of densities."""

from __future__ import annotations

import numpy as np

from mapsort.array_types import Array, Bool, Float64
from mapsort.errors import NumericalError
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
