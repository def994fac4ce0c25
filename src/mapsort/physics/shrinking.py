"""Smaller images: means and medians of blocks, and Fourier cropping that keeps pixel 0."""

from __future__ import annotations

import numpy as np
import scipy.fft

from mapsort.array_types import Array, Float32
from mapsort.errors import ConfigError
from mapsort.physics.shells import box_of


def mean_shrink(image: Array, *, factor: float) -> Float32:
    """Mean over blocks of an edge that is a whole number or 1.5; the box becomes floor(n / factor).

    The mean of the image is kept; pixels at the end that fill no block are left out.

    Raises
    ------
    ConfigError
        For any other factor, or one above n.
    """
    box = box_of(image, "image")
    if factor != 1.5 and (factor != int(factor) or factor < 1):
        raise ConfigError(f"n={factor:g}: expected a whole number or 1.5")
    size = int(box / factor)
    if size < 1:
        raise ConfigError(f"n={factor:g}: the box is only {box} pixels")
    # overlap of each new pixel with each old one, as a part of the new one
    left = np.arange(size)[:, None] * factor
    overlap = np.minimum(left + factor, np.arange(box) + 1) - np.maximum(left, np.arange(box))
    operator = np.clip(overlap, 0.0, None) / factor
    result = np.asarray(image, dtype=np.float64)
    for axis in range(result.ndim):
        result = np.moveaxis(np.tensordot(operator, result, axes=(1, axis)), 0, axis)
    return result.astype(np.float32)


def median_shrink(image: Array, *, factor: int) -> Float32:
    """Median over blocks; of an even number of values the upper of the two middle ones.

    The box becomes floor(n / factor).

    Raises
    ------
    ConfigError
        If the factor is not between 1 and n.
    """
    box = box_of(image, "image")
    if not 1 <= factor <= box:
        raise ConfigError(f"n={factor}: expected 1 to the box, {box}")
    size = box // factor
    whole = np.asarray(image, dtype=np.float32)[(slice(size * factor),) * image.ndim]
    blocks = whole.reshape((size, factor) * image.ndim)
    last = tuple(range(1, 2 * image.ndim, 2))
    flat = np.moveaxis(blocks, last, range(image.ndim, 2 * image.ndim))
    flat = flat.reshape((size,) * image.ndim + (-1,))
    return np.ascontiguousarray(np.partition(flat, flat.shape[-1] // 2)[..., flat.shape[-1] // 2])


def fourier_shrink(image: Array, *, factor: float) -> Float32:
    """Crop (or pad) the Fourier transform to the box round(n / factor); pixel 0 stays where it is.

    EMAN2's math.fft.resample: sums are kept, values scale by the ratio of the numbers of pixels. Of
    the terms at the new Nyquist frequency the positive one is kept alone; when an even box is
    enlarged, its Nyquist term goes to both sides with the weight 1/sqrt(2). `fourier_resample`
    keeps values and the centre n//2 instead.

    Raises
    ------
    ConfigError
        If nothing would be left.
    """
    box = box_of(image, "image")
    size = int(np.floor(box / factor + 0.5))
    if size < 1:
        raise ConfigError(f"n={factor:g}: nothing is left of a box of {box}")
    spectrum = scipy.fft.rfftn(np.asarray(image, dtype=np.float64))
    for axis in range(image.ndim):
        terms = np.moveaxis(spectrum, axis, 0)
        if axis < image.ndim - 1:
            resized = _resized(terms, box, size)
        else:
            resized = _resized_half(terms, box, size)
        spectrum = np.moveaxis(resized, 0, axis)
    result = scipy.fft.irfftn(spectrum, s=(size,) * image.ndim)
    # the transform divides by the new number of pixels: sums stay
    return np.asarray(result, dtype=np.float32)


def _resized_half(spectrum: Array, box: int, size: int) -> Array:
    """Return the terms of a half-complex axis that both sizes have."""
    result = np.zeros((size // 2 + 1, *spectrum.shape[1:]), dtype=spectrum.dtype)
    both = min(box, size) // 2 + 1
    result[:both] = spectrum[:both]
    if box % 2 == 0 and size > box:
        result[box // 2] /= np.sqrt(2.0)
    return result


def _resized(spectrum: Array, box: int, size: int) -> Array:
    """Return the terms of the first axis that both sizes have, at their places."""
    both = min(box, size)
    result = np.zeros((size, *spectrum.shape[1:]), dtype=spectrum.dtype)
    positive, negative = both // 2 + 1, (both - 1) // 2
    result[:positive] = spectrum[:positive]
    if negative:
        result[-negative:] = spectrum[-negative:]
    if box % 2 == 0 and size > box:
        result[box // 2] /= np.sqrt(2.0)
        result[size - box // 2] = result[box // 2]
    return result
