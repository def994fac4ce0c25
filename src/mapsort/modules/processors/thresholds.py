"""Processors threshold.*."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mapsort.errors import ConfigError
from mapsort.modules.processors.registry import PROCESSORS, Float32, Pixels
from mapsort.modules.registry import Limits, Parameter
from mapsort.physics.image_statistics import sample_sigma

_MIN = Parameter("minval", float, 0.0, "lower threshold")
_MAX = Parameter("maxval", float, 0.0, "upper threshold")
_REPLACEMENT = (
    Parameter("tomean", bool, False, "replace by the mean, not by the limit"),
    Parameter("tozero", bool, False, "replace by 0, not by the limit"),
)


def _require(parameter: Parameter) -> Parameter:
    return Parameter(
        parameter.name, parameter.type, None, parameter.help, parameter.limits, required=True
    )


def _check_range(low: str, high: str) -> Any:
    def check(arguments: Mapping[str, Any]) -> None:
        if not arguments[low] <= arguments[high]:
            raise ConfigError(
                f"threshold: {low}={arguments[low]:g} is above {high}={arguments[high]:g}"
            )

    return check


@PROCESSORS.register("threshold.belowtozero", help="x < minval becomes 0", parameters=(_MIN,))
def _belowtozero(image: Pixels, *, apix: float, minval: float) -> Float32:  # noqa: ARG001
    return np.where(image < np.float32(minval), np.float32(0), image).astype(np.float32)


@PROCESSORS.register(
    "threshold.belowtominval",
    help="x < minval becomes newval",
    parameters=(_MIN, Parameter("newval", float, None, "new density, by default minval")),
)
def _belowtominval(
    image: Pixels,
    *,
    apix: float,  # noqa: ARG001
    minval: float,
    newval: float | None,
) -> Float32:
    value = np.float32(minval if newval is None else newval)
    return np.where(image < np.float32(minval), value, image).astype(np.float32)


@PROCESSORS.register("threshold.belowtozero_cut", help="max(x - minval, 0)", parameters=(_MIN,))
def _belowtozero_cut(image: Pixels, *, apix: float, minval: float) -> Float32:  # noqa: ARG001
    return np.asarray(np.maximum(image - np.float32(minval), 0), dtype=np.float32)


@PROCESSORS.register("threshold.abovetozero", help="x > maxval becomes 0", parameters=(_MAX,))
def _abovetozero(image: Pixels, *, apix: float, maxval: float) -> Float32:  # noqa: ARG001
    return np.where(image > np.float32(maxval), np.float32(0), image).astype(np.float32)


@PROCESSORS.register(
    "threshold.binary",
    help="1 where x >= value, else 0",
    parameters=(Parameter("value", float, 0.0, "threshold"),),
)
def _binary(image: Pixels, *, apix: float, value: float) -> Float32:  # noqa: ARG001
    return np.asarray(image >= np.float32(value), dtype=np.float32)


@PROCESSORS.register(
    "threshold.binaryrange",
    help="1 where low <= x <= high, else 0",
    parameters=(
        _require(Parameter("low", float, None, "lower threshold")),
        _require(Parameter("high", float, None, "upper threshold")),
    ),
    check=_check_range("low", "high"),
)
def _binaryrange(image: Pixels, *, apix: float, low: float, high: float) -> Float32:  # noqa: ARG001
    inside = (image >= np.float32(low)) & (image <= np.float32(high))
    return np.asarray(inside, dtype=np.float32)


@PROCESSORS.register("threshold.notzero", help="1 where x is not 0, else 0")
def _notzero(image: Pixels, *, apix: float) -> Float32:  # noqa: ARG001
    return np.asarray(image != 0, dtype=np.float32)


@PROCESSORS.register(
    "threshold.clampminmax",
    help="limit densities to minval ... maxval",
    parameters=(_require(_MIN), _require(_MAX), *_REPLACEMENT),
    check=_check_range("minval", "maxval"),
)
def _clampminmax(
    image: Pixels,
    *,
    apix: float,  # noqa: ARG001
    minval: float,
    maxval: float,
    tomean: bool,
    tozero: bool,
) -> Float32:
    return _clamped(image, minval, maxval, tomean=tomean, tozero=tozero)


@PROCESSORS.register(
    "threshold.clampminmax.nsigma",
    help="limit densities to mean -/+ nsigma standard deviations",
    parameters=(
        Parameter("nsigma", float, 2.0, "half width of the range", Limits(above=0.0)),
        *_REPLACEMENT,
    ),
)
def _clampminmax_nsigma(
    image: Pixels,
    *,
    apix: float,  # noqa: ARG001
    nsigma: float,
    tomean: bool,
    tozero: bool,
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
    parameters=(
        Parameter("value", float, 0.0, "middle of the range"),
        Parameter("range", float, 0.0, "half width of the range", Limits(low=0.0)),
    ),
)
def _compress(image: Pixels, *, apix: float, value: float, range: float) -> Float32:  # noqa: ARG001
    offset = image.astype(np.float64) - value
    beyond = np.sign(offset) * np.maximum(np.abs(offset) - range, 0.0)
    return np.asarray(value + beyond, dtype=np.float32)


@PROCESSORS.register(
    "threshold.rangetozero",
    help="densities from minval to maxval become 0",
    parameters=(_require(_MIN), _require(_MAX)),
    check=_check_range("minval", "maxval"),
)
def _rangetozero(
    image: Pixels,
    *,
    apix: float,  # noqa: ARG001
    minval: float,
    maxval: float,
) -> Float32:
    inside = (image >= np.float32(minval)) & (image <= np.float32(maxval))
    return np.where(inside, np.float32(0), image).astype(np.float32)
