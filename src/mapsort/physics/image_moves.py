"""Moving images and maps on their grid: flips, shifts, centring, rigid transforms."""

from __future__ import annotations

from typing import Literal

import numpy as np
import scipy.ndimage
from numpy.typing import ArrayLike

from mapsort.array_types import Array, Float32, Float64
from mapsort.errors import NumericalError
from mapsort.geometry.arrays import real_array
from mapsort.physics.filters import apply_transfer, gaussian_lowpass
from mapsort.physics.normalization import squared_radius
from mapsort.physics.shells import box_of, fourier_radius

# More than the rounding of coordinates, less than what changes a density [pixels].
_NUDGE = 1e-9


def transform_image(image: Array, matrix: ArrayLike, *, order: Literal[1, 3] = 1) -> Float32:
    """Move the content of an image or map by an affine transform about the centre n//2.

    A point p, relative to the centre, order x, y(, z), goes to ``matrix[:, :-1] p + matrix[:,
    -1]``: ``output(p) = image(T^-1 p)``, interpolated by splines of an ``order``, linear by
    default; 0 where the source lies outside the grid. In the last half-open pixel, n-1 to n, the
    last pixel is its own neighbour (EMAN2's xform processor).

    Raises
    ------
    ValueError
        If the matrix is not (2, 3) for an image, (3, 4) for a map.
    """
    n = box_of(image, "image")
    ndim = image.ndim
    rows = real_array(matrix, "matrix")
    if rows.shape != (ndim, ndim + 1):
        raise ValueError(f"matrix: expected shape ({ndim}, {ndim + 1}), got {rows.shape}")
    # the source of each pixel, with the axes in the order of the array; after quarter turns it is
    # whole, and must be inside at 0 and outside at n in spite of rounding
    back = np.round(np.linalg.inv(rows[:, :-1]), 12)[::-1, ::-1]
    middle = np.full(ndim, n // 2, dtype=np.float64)
    offset = middle - back @ (middle + rows[::-1, -1]) + _NUDGE
    # a copy of the last pixel is its neighbour
    padded = np.pad(np.asarray(image, dtype=np.float64), (0, 1), mode="edge")
    moved = scipy.ndimage.affine_transform(
        padded, back, offset, output_shape=image.shape, order=order, prefilter=order > 1
    )
    return np.asarray(moved, dtype=np.float32)


def flip(image: Array, *, axis: int) -> Float32:
    """Invert an axis about the centre n//2; for even n the first layer becomes 0."""
    n = image.shape[axis]
    result = np.flip(image, axis).astype(np.float32)
    if n % 2 == 0:
        result = np.roll(result, 1, axis)
        np.moveaxis(result, axis, 0)[0] = 0.0
    return result


def periodic_mirror(image: Array, *, axis: int) -> Float32:
    """Invert an axis about the centre n//2; for even n the first layer stays where it is."""
    result = np.flip(image, axis).astype(np.float32)
    return np.roll(result, 1, axis) if image.shape[axis] % 2 == 0 else result


def shift_pixels(image: Array, shift: tuple[int, ...]) -> Float32:
    """Move by whole pixels, per axis in the order of the axes; what is vacated becomes 0."""
    result = np.zeros(image.shape, dtype=np.float32)
    new = tuple(slice(max(0, d), n + min(0, d)) for d, n in zip(shift, image.shape, strict=True))
    old = tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(shift, image.shape, strict=True))
    if all(abs(d) < n for d, n in zip(shift, image.shape, strict=True)):
        result[new] = image[old]
    return result


def centre_of_mass(image: Array, *, threshold: float = 0.0, squared: bool = False) -> Float64:
    """Centre of mass of the densities from a threshold on, relative to pixel n//2.

    In the order of the axes. With `squared`, densities are squared first; the threshold is for the
    squares.

    Raises
    ------
    NumericalError
        If nothing reaches the threshold.
    """
    weight = np.asarray(image, dtype=np.float64)
    if squared:
        weight = weight**2
    weight = np.where(weight >= threshold, weight, 0.0)
    if not weight.sum() > 0:
        raise NumericalError(f"centre of mass: no density reaches the threshold {threshold:g}")
    centre = np.array(scipy.ndimage.center_of_mass(weight), dtype=np.float64)
    middle = np.array([n // 2 for n in image.shape], dtype=np.float64)
    return centre - middle


def centred(
    image: Array, *, threshold: float = 0.0, squared: bool = False, whole_pixels: bool = True
) -> Float32:
    """Move the `centre_of_mass` to pixel n//2; by whole pixels, so that nothing is interpolated."""
    centre = centre_of_mass(image, threshold=threshold, squared=squared)
    if whole_pixels:
        return shift_pixels(image, tuple(-int(d) for d in np.floor(centre + 0.5)))
    return transform_image(image, np.column_stack([np.eye(image.ndim), -centre[::-1]]))


def object_centred(image: Array) -> Float32:
    """Move the object, the brightest compact tenth of the area, to pixel n//2, by whole pixels.

    As EMAN2's xform.center: densities are squared after a high-pass (3 Fourier pixels) and a
    circular mask, low-passed (0.05 cycles per pixel), and cut at the level that a tenth of the area
    exceeds; the centre of mass of the largest connected piece goes to the centre.
    """
    n = box_of(image, "image")
    radius = fourier_radius(n, ndim=image.ndim)
    clean = apply_transfer(image, 1.0 - gaussian_lowpass(radius, cutoff=3.0))
    inside = squared_radius(n, ndim=image.ndim) < (n / 2 - 1) ** 2
    squares = np.where(inside, clean, 0.0) ** 2
    smooth = apply_transfer(squares, gaussian_lowpass(radius / n, cutoff=0.05))
    labels, n_pieces = scipy.ndimage.label(smooth > np.quantile(smooth, 0.9))
    if n_pieces == 0:
        raise NumericalError("xform.center: the image is constant: there is nothing to centre")
    masses = scipy.ndimage.sum_labels(smooth, labels, np.arange(1, n_pieces + 1))
    piece = labels == 1 + int(np.argmax(masses))
    centre = scipy.ndimage.center_of_mass(np.where(piece, smooth, 0.0))
    return shift_pixels(image, tuple(-round(c - n // 2) for c in centre))
