"""Processors filter.*: those that change the radial spectrum by what the image or a curve shows."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np

from mapsort.array_types import Float32
from mapsort.modules.array_parameter import CURVE, IMAGE
from mapsort.modules.parameter import Limits, Parameter
from mapsort.modules.processors.filters import APIX, CUTOFFS, cutoff_of, one_cutoff
from mapsort.modules.registries import PROCESSORS, Pixels
from mapsort.physics.filters import apply_radial_curve
from mapsort.physics.image_statistics import least_squares_plane
from mapsort.physics.radial_matching import (
    flatten_spectrum,
    match_amplitudes,
    set_structure_factor,
    wiener_by_fsc,
    zero_low_peak,
)

_POSITIVE = Limits(above=0.0)
# Slope of filter.linearfourier per Fourier pixel (in the original, entries of its radial curve).
_LINEAR_SLOPE = 8.0


@PROCESSORS.register(
    "filter.matchto", help="filter so that the radial spectrum becomes that of another image"
)
def _matchto(
    image: Pixels,
    *,
    to: Annotated[Pixels, "image to match", IMAGE],
    bydot: Annotated[bool, "least-squares scale of each shell, not equal intensity"] = False,
    keephires: Annotated[bool, "no factor below 1 % of the mean factor"] = False,
    interpolate: Annotated[bool, "interpolate the factor between shells"] = True,
) -> Float32:
    return match_amplitudes(
        image, to, by_dot=bydot, keep_high_resolution=keephires, interpolate=interpolate
    )


@PROCESSORS.register("filter.setstrucfac", help="give the radial intensities of a structure factor")
def _setstrucfac(
    image: Pixels,
    *,
    strucfac: Annotated[Pixels, "frequency [1/A] and intensity", CURVE],
    apix: Annotated[float, APIX],
    scale: Annotated[float, "factor of the curve", Limits(above=0.0)] = 1.0,
) -> Float32:
    return set_structure_factor(image, strucfac, apix=apix, scale=scale)


@PROCESSORS.register("filter.wiener.byfsc", help="Wiener filter by a Fourier shell correlation")
def _wiener_byfsc(
    image: Pixels,
    *,
    fscfile: Annotated[Pixels, "frequency [1/A] and correlation", CURVE],
    snrmult: Annotated[float, "factor of the signal-to-noise ratio", Limits(above=0.0)] = 1.5,
    sscale: Annotated[float, "factor of the curve's frequencies", Limits(above=0.0)] = 1.0,
    maxfreq: Annotated[float, "the curve may only fall beyond [1/A]", Limits(above=0.0)] = 1.0,
    apix: Annotated[float, APIX],
) -> Float32:
    return wiener_by_fsc(
        image, fscfile, apix=apix, snr_factor=snrmult, stretch=sscale, highest=maxfreq
    )


@PROCESSORS.register(
    "filter.lowpass.autob",
    help="flatten the spectrum from 15 A on, then apply the wanted B factor",
    parameters=(
        Parameter("bfactor", float, None, "B of exp(-B s^2/4) [A^2]; or a cutoff"),
        *CUTOFFS,
        Parameter("noisecutoff", float, 1 / 6, "end of the flattening [1/A]", _POSITIVE),
        APIX,
    ),
    check=one_cutoff("bfactor"),
)
def _autob(image: Pixels, *, apix: float, noisecutoff: float, **arguments: Any) -> Float32:
    bfactor = arguments["bfactor"]
    if bfactor is None:
        bfactor = (apix / cutoff_of(arguments, apix=apix, box=len(image))) ** 2
    return flatten_spectrum(image, apix=apix, bfactor_ang2=bfactor, noise_cutoff=noisecutoff)


@PROCESSORS.register(
    "filter.highpass.autopeak",
    help="remove the peak of the spectrum at the origin, at most up to the cutoff",
    parameters=(*CUTOFFS, APIX),
    check=one_cutoff(),
)
def _autopeak(image: Pixels, *, apix: float, **arguments: Any) -> Float32:
    return zero_low_peak(image, limit=cutoff_of(arguments, apix=apix, box=len(image)))


@PROCESSORS.register(
    "filter.linearfourier",
    help="ramp filter: factor 8 r, r the radius in Fourier pixels, constant beyond n/2",
)
def _linearfourier(image: Pixels) -> Float32:
    return apply_radial_curve(image, _LINEAR_SLOPE * np.arange(len(image) // 2 + 1))


@PROCESSORS.register("filter.ramp", help="subtract the plane that fits the densities best")
def _ramp(image: Pixels) -> Float32:
    return (image - least_squares_plane(image)).astype(np.float32)
