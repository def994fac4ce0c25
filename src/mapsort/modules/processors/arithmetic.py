"""Processors math.*: arithmetic on densities, and smaller images."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import scipy.ndimage

from mapsort.array_types import Float32
from mapsort.modules.parameter import Limits
from mapsort.modules.registry import PROCESSORS, Pixels
from mapsort.physics.normalization import squared_radius
from mapsort.physics.resample import fourier_shrink, mean_shrink, median_shrink
from mapsort.physics.shells import box_of

_POSITIVE = Limits(above=0.0)


@PROCESSORS.register("math.linear", help="scale x + shift")
def _linear(
    image: Pixels,
    *,
    scale: Annotated[float, "factor"] = 1.0,
    shift: Annotated[float, "added after scaling"] = 0.0,
) -> Float32:
    return (scale * image.astype(np.float64) + shift).astype(np.float32)


@PROCESSORS.register("math.sqrt", help="square root; negative densities become 0")
def _sqrt(image: Pixels) -> Float32:
    return np.sqrt(np.maximum(image, 0)).astype(np.float32)


@PROCESSORS.register("math.squared", help="square")
def _squared(image: Pixels) -> Float32:
    return np.square(image).astype(np.float32)


@PROCESSORS.register("math.absvalue", help="absolute value")
def _absvalue(image: Pixels) -> Float32:
    return np.abs(image).astype(np.float32)


@PROCESSORS.register("math.log", help="decimal logarithm; densities of 0 and below become 0")
def _log(image: Pixels) -> Float32:
    return np.log10(image, where=image > 0, out=np.zeros(image.shape, np.float32))


@PROCESSORS.register("math.exp", help="exp(x / low - high)")
def _exp(
    image: Pixels,
    *,
    low: Annotated[float, "divisor of the density", Limits(above=0.0)] = 1.0,
    high: Annotated[float, "subtracted from the exponent"] = 0.0,
) -> Float32:
    # what float32 cannot hold becomes its largest number
    exponent = np.clip(image.astype(np.float64) / low - high, -87.0, 88.0)
    return np.exp(exponent).astype(np.float32)


@PROCESSORS.register("math.reciprocal", help="1 / x")
def _reciprocal(
    image: Pixels, *, zero_to: Annotated[float, "what densities of 0 become"] = 0.0
) -> Float32:
    result = np.full(image.shape, zero_to, dtype=np.float64)
    return np.divide(1.0, image, where=image != 0, out=result).astype(np.float32)


@PROCESSORS.register("math.finite", help="replace NaN and infinity")
def _finite(
    image: Pixels,
    *,
    to: Annotated[float | None, "new density; by default the mean of finite neighbours"] = None,
) -> Float32:
    finite = np.isfinite(image)
    if to is not None:
        return np.where(finite, image, np.float32(to)).astype(np.float32)
    known = np.where(finite, image, 0.0).astype(np.float64)
    total = scipy.ndimage.uniform_filter(known, size=3, mode="constant")
    count = scipy.ndimage.uniform_filter(finite.astype(np.float64), size=3, mode="constant")
    mean = np.divide(total, count, where=count > 1e-9, out=np.zeros(image.shape))
    return np.where(finite, image, mean).astype(np.float32)


@PROCESSORS.register(
    "math.addnoise", help="add normal deviates of mean noise and standard deviation noise / 2"
)
def _addnoise(
    image: Pixels,
    *,
    noise: Annotated[float, "mean of what is added", Limits(low=0.0)],
    seed: Annotated[int, "seed of the random numbers", Limits(low=0)] = 0,
) -> Float32:
    deviates = np.random.default_rng(seed).normal(noise, noise / 2, image.shape)
    return (image + deviates).astype(np.float32)


@PROCESSORS.register(
    "math.meanshrink", help="mean over blocks of n pixels; the box becomes floor(box / n)"
)
def _meanshrink(
    image: Pixels, *, n: Annotated[float, "edge of a block: whole or 1.5", Limits(low=1)]
) -> Float32:
    return mean_shrink(image, factor=n)


@PROCESSORS.register(
    "math.medianshrink", help="median over blocks of n pixels; the box becomes floor(box / n)"
)
def _medianshrink(image: Pixels, *, n: Annotated[int, "edge of a block", Limits(low=1)]) -> Float32:
    return median_shrink(image, factor=n)


@PROCESSORS.register(
    "math.fft.resample",
    help="Fourier cropping or padding to the box round(box / n); the sum of densities is kept",
)
def _fft_resample(
    image: Pixels, *, n: Annotated[float, "old box / new box", Limits(above=0.0)]
) -> Float32:
    return fourier_shrink(image, factor=n)


@PROCESSORS.register("math.rotationalaverage", help="mean over rotations about the centre")
def _rotationalaverage(image: Pixels) -> Float32:
    radius = np.sqrt(squared_radius(box_of(image, "image"), ndim=image.ndim))
    lower = radius.astype(np.intp)
    share = radius - lower
    size = int(lower.max()) + 2
    total, count = np.zeros(size), np.zeros(size)
    for ring, weight in ((lower, 1.0 - share), (lower + 1, share)):
        total += np.bincount(ring.ravel(), (weight * image).ravel(), size)
        count += np.bincount(ring.ravel(), weight.ravel(), size)
    mean = np.divide(total, count, where=count > 0, out=np.zeros(size))
    return np.interp(radius, np.arange(size), mean).astype(np.float32)


@PROCESSORS.register(
    "math.gausskernelfix",
    help="divide by exp(-r^2 gauss_width / n^2), the transform of a Gaussian kernel",
)
def _gausskernelfix(
    image: Pixels, *, gauss_width: Annotated[float, "width of the kernel", Limits(above=0.0)]
) -> Float32:
    box = box_of(image, "image")
    square = squared_radius(box, ndim=image.ndim)
    return (image * np.exp(square * gauss_width / box**2)).astype(np.float32)
