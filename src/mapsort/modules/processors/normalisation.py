"""Processors normalize.*."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
import scipy.fft

from mapsort.array_types import Float32
from mapsort.errors import ConfigError, NumericalError
from mapsort.modules.parameter import IMAGE, Limits
from mapsort.modules.processors.filters import APIX
from mapsort.modules.registry import PROCESSORS, Pixels
from mapsort.physics.normalization import (
    circle_mean,
    edge_mean,
    least_squares_plane,
    linear_density_fit,
    normalize_by_mass,
    sample_sigma,
    squared_radius,
)

_POSITIVE = Limits(above=0.0)


def scaled(image: Pixels, level: float, deviation: float, *, what: str) -> Float32:
    """Return ``(image - level) / deviation``, or refuse a deviation of zero.

    Raises
    ------
    NumericalError
        If the deviation is zero or not finite.
    """
    if not (np.isfinite(deviation) and deviation != 0.0):
        raise NumericalError(f"{what}: the densities are constant or not finite: nothing to scale")
    return ((np.asarray(image, dtype=np.float64) - level) / deviation).astype(np.float32)


def _declare_background(name: str, help: str, level: Callable[[Pixels], float]) -> None:
    """Declare a processor that subtracts a level and divides by the whole image's sigma."""

    @PROCESSORS.register(name, help=f"({help}) / standard deviation of the whole image")
    def run(image: Pixels) -> Float32:
        return scaled(image, level(image), sample_sigma(image), what=name)


_declare_background("normalize", "x - mean", lambda image: float(np.mean(image, dtype=np.float64)))
_declare_background("normalize.edgemean", "x - mean of the edge", edge_mean)


@PROCESSORS.register(
    "normalize.circlemean", help="(x - mean of a ring) / standard deviation of the whole image"
)
def _circlemean(
    image: Pixels,
    *,
    radius: Annotated[
        float | None, "inner radius [pixels], by default n/2 - 2; below 0: from n/2"
    ] = None,
    width: Annotated[float, "width of the ring [pixels]", Limits(above=0.0)] = 2.0,
) -> Float32:
    level = circle_mean(image, radius=radius, width=width)
    return scaled(image, level, sample_sigma(image), what="normalize.circlemean")


@PROCESSORS.register(
    "normalize.lredge",
    help="(x - mean of the two first and two last columns) / standard deviation",
    ndim=2,
)
def _lredge(image: Pixels) -> Float32:
    columns = np.concatenate([image[:, :2], image[:, -2:]], axis=1)
    level = float(np.mean(columns, dtype=np.float64))
    return scaled(image, level, sample_sigma(image), what="normalize.lredge")


@PROCESSORS.register("normalize.unitlen", help="divide so that the sum of squares is 1")
def _unitlen(image: Pixels) -> Float32:
    length = float(np.linalg.norm(image.astype(np.float64)))
    return scaled(image, 0.0, length, what="normalize.unitlen")


@PROCESSORS.register("normalize.unitsum", help="divide so that the sum is 1")
def _unitsum(image: Pixels) -> Float32:
    return scaled(image, 0.0, float(np.sum(image, dtype=np.float64)), what="normalize.unitsum")


@PROCESSORS.register(
    "normalize.maxmin",
    help="(x - (max - min)/2) / ((max + min)/2), as the original's: the maximum becomes 1",
)
def _maxmin(image: Pixels) -> Float32:
    low, high = float(image.min()), float(image.max())
    return scaled(image, (high - low) / 2, (high + low) / 2, what="normalize.maxmin")


@PROCESSORS.register("normalize.mask", help="mean 0 and standard deviation 1 under a mask")
def _mask(
    image: Pixels,
    *,
    mask: Annotated[Float32, "mask; densities count where it is > 0.5", IMAGE],
    no_sigma: Annotated[bool, "only subtract the mean"] = False,
    apply_mask: Annotated[bool, "multiply by the mask at the end"] = False,
) -> Float32:
    if mask.shape != image.shape:
        raise ConfigError(f"normalize.mask: the mask is {mask.shape}, the image {image.shape}")
    inside = image[mask > 0.5]
    if inside.size < 2:
        raise NumericalError("normalize.mask: the mask is empty")
    level = float(np.mean(inside, dtype=np.float64))
    deviation = 1.0 if no_sigma else float(np.std(inside, dtype=np.float64))
    result = scaled(image, level, deviation, what="normalize.mask")
    return (result * mask).astype(np.float32) if apply_mask else result


@PROCESSORS.register(
    "normalize.ramp.normvar",
    help="subtract the best plane; then mean 0, standard deviation 1 beyond radius n/2 - 2",
)
def _ramp_normvar(image: Pixels) -> Float32:
    box = len(image)
    flat = image - least_squares_plane(image)
    outside = flat[squared_radius(box, ndim=image.ndim) > (box // 2 - 2) ** 2]
    level = float(outside.mean())
    return scaled(flat, level, sample_sigma(outside), what="normalize.ramp.normvar")


@PROCESSORS.register(
    "normalize.toimage", help="the linear change of densities that comes nearest to another image"
)
def _toimage(
    image: Pixels,
    *,
    to: Annotated[Float32, "image to match", IMAGE],
    ignore_zero: Annotated[bool, "leave out pixels that are 0 in either image"] = True,
    fourieramp: Annotated[bool, "fit Fourier amplitudes, not densities"] = False,
    low_threshold: Annotated[float | None, "use pixels of the target above this"] = None,
    high_threshold: Annotated[float | None, "use pixels of the target below this"] = None,
) -> Float32:
    if to.shape != image.shape:
        raise ConfigError(f"normalize.toimage: the target is {to.shape}, the image {image.shape}")
    if fourieramp:
        a, b = (np.abs(scipy.fft.rfftn(m.astype(np.float64))) for m in (image, to))
        a.flat[0] = b.flat[0] = 0.0
        slope = float(np.sum(a * b) / np.sum(a * a)) if a.any() else 0.0
        return np.asarray(slope * (image - image.mean()) + to.mean(), dtype=np.float32)
    chosen = np.ones(image.shape, dtype=bool)
    if ignore_zero:
        chosen &= (image != 0) & (to != 0)
    if low_threshold is not None:
        chosen &= to > low_threshold
    if high_threshold is not None:
        chosen &= to < high_threshold
    slope, offset = linear_density_fit(image, to, chosen)
    return np.asarray(slope * image.astype(np.float64) + offset, dtype=np.float32)


@PROCESSORS.register(
    "normalize.bymass", help="scale a map so that the density thr encloses the mass", ndim=3
)
def _bymass(
    image: Pixels,
    *,
    mass: Annotated[float, "mass [kDa]", Limits(above=0.0)],
    apix: Annotated[float, APIX],
    thr: Annotated[float, "density that shall enclose the mass", Limits(above=0.0)] = 1.0,
) -> Float32:
    return normalize_by_mass(image, apix, mass, threshold=thr)
