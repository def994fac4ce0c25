"""Processors mask.*."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from mapsort.array_types import Float32
from mapsort.errors import ConfigError
from mapsort.modules.parameter import Limits, Parameter
from mapsort.modules.registry import PROCESSORS, Pixels
from mapsort.physics.auto_mask import auto_mask
from mapsort.physics.masks import (
    decay_edges,
    gaussian_mask,
    sharp_mask,
    soft_mask,
    zero_edges,
)
from mapsort.physics.normalization import sample_sigma

_POSITIVE = Limits(above=0.0)
_NOT_NEGATIVE = Limits(low=0.0)

_INNER = Parameter("inner_radius", float, 0.0, "inner radius [pixels]", _NOT_NEGATIVE)
_OUTER = Parameter(
    "outer_radius", float, None, "outer radius [pixels]; negative: n/2 + radius + 1; none: no limit"
)
_VALUE = Parameter("value", float, 0.0, "density outside")
_AXES = ("dx", "dy", "dz")
_CENTRE = tuple(
    Parameter(name, float, 0.0, f"centre relative to n/2 along {name[1]} [pixels]")
    for name in _AXES
)


def _centred(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return a mask's arguments with its centre in one."""
    own = {name: value for name, value in arguments.items() if name not in _AXES}
    return own | {"centre_px": tuple(arguments[name] for name in _AXES)}


@PROCESSORS.register(
    "mask.sharp",
    help="set densities outside inner <= r < outer to a value",
    parameters=(_INNER, _OUTER, _VALUE, *_CENTRE),
)
def _sharp(image: Pixels, **arguments: Any) -> Float32:
    return sharp_mask(image, **_centred(arguments))


@PROCESSORS.register(
    "mask.soft",
    help="densities decay to a value outside inner <= r <= outer",
    parameters=(
        _INNER,
        _OUTER,
        _VALUE,
        Parameter("width", float, 4.0, "distance to 1/e [pixels]", _POSITIVE),
        *_CENTRE,
    ),
)
def _soft(image: Pixels, **arguments: Any) -> Float32:
    return soft_mask(image, **_centred(arguments))


@PROCESSORS.register(
    "mask.gaussian",
    help="multiply by a Gaussian of the radius, from the inner radius on",
    parameters=(
        _INNER,
        Parameter(
            "outer_radius", float, None, "distance to 1/e [pixels]", _POSITIVE, required=True
        ),
        Parameter("exponent", float, 2.0, "exponent, without an inner radius", _POSITIVE),
        *_CENTRE,
    ),
)
def _gaussian(image: Pixels, **arguments: Any) -> Float32:
    return gaussian_mask(image, **_centred(arguments))


@PROCESSORS.register(
    "mask.decayedge2d", help="let images fall to zero linearly towards their edges", ndim=2
)
def _decayedge2d(
    image: Pixels, *, width: Annotated[int, "width of the ramp [pixels]", Limits(low=1)]
) -> Float32:
    return decay_edges(image, width=width)


def _layers(axes: str) -> tuple[Parameter, ...]:
    """Return how many layers to clear at both ends of each axis."""
    return tuple(
        Parameter(f"{axis}{end}", int, 0, f"layers at the {where} of {axis}", Limits(low=0))
        for axis in axes
        for end, where in ((0, "start"), (1, "end"))
    )


@PROCESSORS.register(
    "mask.zeroedge2d",
    help="set rows and columns at the edges to zero",
    parameters=_layers("xy"),
    ndim=2,
)
def _zeroedge2d(image: Pixels, **layers: int) -> Float32:
    return zero_edges(image, rows=tuple((layers[f"{a}0"], layers[f"{a}1"]) for a in "yx"))


@PROCESSORS.register(
    "mask.zeroedge3d", help="set slabs at the faces to zero", parameters=_layers("xyz"), ndim=3
)
def _zeroedge3d(image: Pixels, **layers: int) -> Float32:
    return zero_edges(image, rows=tuple((layers[f"{a}0"], layers[f"{a}1"]) for a in "zyx"))


_LAYERS = Limits(low=0)
_AUTO = (
    Parameter("threshold", float, None, "density that counts as connected; or sigma"),
    Parameter("sigma", float, None, "threshold as mean + sigma standard deviations"),
    Parameter("radius", float, 0.0, "seeds lie this near to the centre [pixels]", _NOT_NEGATIVE),
    Parameter("nmaxseed", int, 0, "so many of the highest densities are seeds", _LAYERS),
    Parameter("nshells", int, 0, "layers by which the mask grows [pixels]", _LAYERS),
    Parameter("nshellsgauss", int, 0, "width of the soft edge [pixels]", _LAYERS),
    Parameter("return_mask", bool, False, "return the mask, not the masked density"),
)


def _check_auto(arguments: Mapping[str, Any]) -> None:
    if (arguments["threshold"] is None) == (arguments["sigma"] is None):
        raise ConfigError("automatic mask: give exactly one of threshold and sigma")
    if arguments["radius"] == 0 and arguments["nmaxseed"] == 0:
        raise ConfigError("automatic mask: give radius or nmaxseed above 0, or nothing is a seed")


def _declare_auto(name: str, help: str, ndim: int) -> None:
    @PROCESSORS.register(name, help=help, parameters=_AUTO, check=_check_auto, ndim=ndim)
    def run(
        image: Pixels,
        *,
        threshold: float | None,
        sigma: float | None,
        return_mask: bool,
        **arguments: Any,
    ) -> Float32:
        if threshold is None:
            mean = float(np.mean(image, dtype=np.float64))
            threshold = mean + (sigma or 0.0) * sample_sigma(image)
        mask = auto_mask(image, threshold=threshold, **arguments)
        return mask if return_mask else (image * mask).astype(np.float32)


_CONNECTED = "mask of the density connected with the centre or with the highest"
_declare_auto("mask.auto3d", f"{_CONNECTED} voxels", 3)
_declare_auto("mask.auto2d", f"{_CONNECTED} maxima of an image", 2)
