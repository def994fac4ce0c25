"""Processors threshold.*."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from mapsort.array_types import Bool, Float32
from mapsort.errors import ConfigError
from mapsort.modules.parameter import Limits
from mapsort.modules.registry import PROCESSORS, Pixels
from mapsort.physics.normalization import sample_sigma

_Minval = Annotated[float, "lower threshold"]
_Maxval = Annotated[float, "upper threshold"]
_Tomean = Annotated[bool, "replace by the mean, not by the limit"]
_Tozero = Annotated[bool, "replace by 0, not by the limit"]


def _check_range(low: str, high: str) -> Any:
    def check(arguments: Mapping[str, Any]) -> None:
        if not arguments[low] <= arguments[high]:
            raise ConfigError(
                f"threshold: {low}={arguments[low]:g} is above {high}={arguments[high]:g}"
            )

    return check


@PROCESSORS.register("threshold.belowtozero", help="x < minval becomes 0")
def _belowtozero(image: Pixels, *, minval: _Minval = 0.0) -> Float32:
    return np.where(image < np.float32(minval), np.float32(0), image).astype(np.float32)


@PROCESSORS.register("threshold.belowtominval", help="x < minval becomes newval")
def _belowtominval(
    image: Pixels,
    *,
    minval: _Minval = 0.0,
    newval: Annotated[float | None, "new density, by default minval"] = None,
) -> Float32:
    value = np.float32(minval if newval is None else newval)
    return np.where(image < np.float32(minval), value, image).astype(np.float32)


@PROCESSORS.register("threshold.belowtozero_cut", help="max(x - minval, 0)")
def _belowtozero_cut(image: Pixels, *, minval: _Minval = 0.0) -> Float32:
    return np.asarray(np.maximum(image - np.float32(minval), 0), dtype=np.float32)


@PROCESSORS.register("threshold.abovetozero", help="x > maxval becomes 0")
def _abovetozero(image: Pixels, *, maxval: _Maxval = 0.0) -> Float32:
    return np.where(image > np.float32(maxval), np.float32(0), image).astype(np.float32)


@PROCESSORS.register("threshold.binary", help="1 where x >= value, else 0")
def _binary(image: Pixels, *, value: Annotated[float, "threshold"] = 0.0) -> Float32:
    return np.asarray(image >= np.float32(value), dtype=np.float32)


@PROCESSORS.register(
    "threshold.binaryrange",
    help="1 where low <= x <= high, else 0",
    check=_check_range("low", "high"),
)
def _binaryrange(
    image: Pixels,
    *,
    low: Annotated[float, "lower threshold"],
    high: Annotated[float, "upper threshold"],
) -> Float32:
    return _within(image, low, high).astype(np.float32)


def _within(image: Pixels, low: float, high: float) -> Bool:
    return np.asarray((image >= np.float32(low)) & (image <= np.float32(high)))


@PROCESSORS.register("threshold.notzero", help="1 where x is not 0, else 0")
def _notzero(image: Pixels) -> Float32:
    return np.asarray(image != 0, dtype=np.float32)


@PROCESSORS.register(
    "threshold.clampminmax",
    help="limit densities to minval ... maxval",
    check=_check_range("minval", "maxval"),
)
def _clampminmax(
    image: Pixels,
    *,
    minval: Annotated[float, "lower threshold"],
    maxval: Annotated[float, "upper threshold"],
    tomean: _Tomean = False,
    tozero: _Tozero = False,
) -> Float32:
    return _clamped(image, minval, maxval, tomean=tomean, tozero=tozero)


@PROCESSORS.register(
    "threshold.clampminmax.nsigma", help="limit densities to mean -/+ nsigma standard deviations"
)
def _clampminmax_nsigma(
    image: Pixels,
    *,
    nsigma: Annotated[float, "half width of the range", Limits(above=0.0)] = 2.0,
    tomean: _Tomean = False,
    tozero: _Tozero = False,
) -> Float32:
    mean, width = float(np.mean(image, dtype=np.float64)), nsigma * sample_sigma(image)
    return _clamped(image, mean - width, mean + width, tomean=tomean, tozero=tozero)


def _clamped(image: Pixels, low: float, high: float, *, tomean: bool, tozero: bool) -> Float32:
    if not (tomean or tozero):
        return np.clip(image, np.float32(low), np.float32(high)).astype(np.float32)
    value = 0.0 if tozero else float(np.mean(image, dtype=np.float64))
    outside = (image < np.float32(low)) | (image > np.float32(high))
    return np.where(outside, np.float32(value), image).astype(np.float32)


@PROCESSORS.register(
    "threshold.compress",
    help="densities within range of value become value, the others move towards it by range",
)
def _compress(
    image: Pixels,
    *,
    value: Annotated[float, "middle of the range"] = 0.0,
    range: Annotated[float, "half width of the range", Limits(low=0.0)] = 0.0,
) -> Float32:
    offset = image.astype(np.float64) - value
    beyond = np.sign(offset) * np.maximum(np.abs(offset) - range, 0.0)
    return np.asarray(value + beyond, dtype=np.float32)


@PROCESSORS.register(
    "threshold.rangetozero",
    help="densities from minval to maxval become 0",
    check=_check_range("minval", "maxval"),
)
def _rangetozero(
    image: Pixels,
    *,
    minval: Annotated[float, "lower threshold"],
    maxval: Annotated[float, "upper threshold"],
) -> Float32:
    return np.where(_within(image, minval, maxval), np.float32(0), image).astype(np.float32)
