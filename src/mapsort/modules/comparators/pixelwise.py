"""Comparators in real space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from mapsort.array_types import Bool, Float32
from mapsort.errors import ConfigError
from mapsort.modules.parameter import IMAGE
from mapsort.modules.registry import COMPARATORS, Pixels
from mapsort.physics.filters import apply_transfer
from mapsort.physics.pair_comparison import (
    absolute_difference,
    brightest_column,
    correlation,
    fitted_to,
    least_quadrant_product,
    mean_squared_difference,
    residual_variance,
    scalar_product,
)
from mapsort.physics.shells import fourier_radius

#: Range of resolutions of the comparators without a range of their own; also the search's.
Minres = Annotated[float | None, "coarsest resolution compared [A]; by default all"]
Maxres = Annotated[float | None, "finest resolution compared [A]; by default all"]
_Negative = Annotated[bool, "smaller is better; 0: larger is better"]
_Mask = Annotated[Float32 | None, "compare where this is > 0.5", IMAGE]


def check_band(arguments: Mapping[str, Any]) -> None:
    """Refuse resolutions that are not positive or leave nothing between them."""
    minres, maxres = arguments["minres"], arguments["maxres"]
    for name, value in (("minres", minres), ("maxres", maxres)):
        if value is not None and not value > 0:
            raise ConfigError(f"comparator: {name}={value:g}: expected a resolution above 0 A")
    if minres is not None and maxres is not None and not minres > maxres:
        raise ConfigError(
            f"comparator: minres={minres:g}, maxres={maxres:g}: minres is the coarser of the two "
            "and must be the larger number"
        )


def band_passed(
    image: Pixels, *, apix: float, minres: float | None, maxres: float | None
) -> Pixels:
    """Return an image without what is coarser than minres or finer than maxres [A]."""
    if minres is None and maxres is None:
        return image
    s = fourier_radius(len(image), ndim=image.ndim) / (len(image) * apix)
    kept = np.ones(s.shape)
    if minres is not None:
        kept[s < 1.0 / minres] = 0.0
    if maxres is not None:
        kept[s > 1.0 / maxres] = 0.0
    return apply_transfer(image, kept)


def _chosen(mask: Float32 | None, image: Pixels) -> Bool | None:
    if mask is None:
        return None
    if mask.shape != image.shape:
        raise ConfigError(f"comparator: the mask is {mask.shape}, the images are {image.shape}")
    return np.asarray(mask > 0.5)


@COMPARATORS.register("ccc", help="correlation coefficient, all terms alike", check=check_band)
def _ccc(
    this: Pixels,
    other: Pixels,
    *,
    apix: float,
    minres: Minres = None,
    maxres: Maxres = None,
    negative: _Negative = True,
    mask: _Mask = None,
) -> float:
    a, b = (band_passed(m, apix=apix, minres=minres, maxres=maxres) for m in (this, other))
    value = correlation(a, b, _chosen(mask, this))
    return value if negative else -value


@COMPARATORS.register("dot", help="scalar product", check=check_band)
def _dot(
    this: Pixels,
    other: Pixels,
    *,
    apix: float,
    minres: Minres = None,
    maxres: Maxres = None,
    normalize: Annotated[bool, "divide by the norms, which makes it a correlation"] = False,
    negative: _Negative = True,
    mask: _Mask = None,
) -> float:
    a, b = (band_passed(m, apix=apix, minres=minres, maxres=maxres) for m in (this, other))
    value = scalar_product(a, b, _chosen(mask, this), normalize=normalize)
    return value if negative else -value


@COMPARATORS.register("sqeuclidean", help="mean squared difference", check=check_band)
def _sqeuclidean(
    this: Pixels,
    other: Pixels,
    *,
    apix: float,
    minres: Minres = None,
    maxres: Maxres = None,
    normto: Annotated[bool, "fit the reference's densities to each particle first"] = False,
    zeromask: Annotated[bool, "leave out pixels that are 0 in either image"] = False,
    mask: _Mask = None,
) -> float:
    a, b = (band_passed(m, apix=apix, minres=minres, maxres=maxres) for m in (this, other))
    if normto:
        b = fitted_to(a, b, ignore_zero=zeromask)
    chosen = _chosen(mask, this)
    if chosen is None and zeromask:
        chosen = (a != 0) & (b != 0)
    return mean_squared_difference(a, b, chosen)


@COMPARATORS.register("lod", help="half the sum of absolute differences")
def _lod(
    this: Pixels,
    other: Pixels,
    *,
    normalize: Annotated[bool, "mean 0 and sum of absolute densities 1 first"] = False,
    negative: _Negative = True,
    mask: _Mask = None,
) -> float:
    value = absolute_difference(this, other, _chosen(mask, this), normalize=normalize)
    return value if negative else -value


@COMPARATORS.register(
    "quadmindot", help="least of the scalar products of the four quadrants of an image", ndim=2
)
def _quadmindot(
    this: Pixels,
    other: Pixels,
    *,
    normalize: Annotated[bool, "divide by the norms"] = False,
    negative: _Negative = True,
) -> float:
    value = least_quadrant_product(this, other, normalize=normalize)
    return value if negative else -value


@COMPARATORS.register(
    "vertical", help="largest column sum of the particle, whatever the reference", ndim=2
)
def _vertical(this: Pixels, other: Pixels) -> float:  # noqa: ARG001
    return brightest_column(this)


@COMPARATORS.register(
    "optvariance",
    help="variance left after matching the reference's spectrum and densities to the particle",
)
def _optvariance(
    this: Pixels,
    other: Pixels,
    *,
    keepzero: Annotated[bool, "zeros of the reference stay zero and out of the fit"] = True,
    invert: Annotated[bool, "rescale the particle, not the reference"] = False,
    matchfilt: Annotated[bool, "match the radial spectrum first"] = True,
    matchamp: Annotated[bool, "match every Fourier amplitude, in place of matchfilt"] = False,
    radweight: Annotated[bool, "weigh by the distance from the centre"] = False,
) -> float:
    return residual_variance(
        this,
        other,
        keep_zero=keepzero,
        invert=invert,
        match_spectrum=matchfilt,
        match_each_amplitude=matchamp,
        weigh_by_radius=radweight,
    )
