"""Masks that depend on the distance from a point or from the edges (EMAN2's mask.* processors)."""

from __future__ import annotations

import numpy as np

from mapsort.array_types import Array, Float32
from mapsort.errors import ConfigError
from mapsort.physics.image_statistics import squared_radius
from mapsort.physics.shells import box_of


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
