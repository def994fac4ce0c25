"""Processors filter.*: by curves that are given, and by what the image or a curve shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

import numpy as np

from mapsort.array_types import Float32, Float64
from mapsort.errors import ConfigError
from mapsort.modules.parameter import CURVE, IMAGE, Limits, Parameter
from mapsort.modules.registry import PROCESSORS, Pixels
from mapsort.physics.filters import (
    apply_radial_curve,
    apply_transfer,
    butterworth_lowpass,
    butterworth_stop,
    gaussian_bandpass,
    gaussian_lowpass,
    randomise_phases,
    tanh_bandpass,
    tanh_lowpass,
    tophat_bandpass,
    tophat_lowpass,
)
from mapsort.physics.normalization import least_squares_plane
from mapsort.physics.radial_matching import (
    flatten_spectrum,
    match_amplitudes,
    set_structure_factor,
    wiener_by_fsc,
    zero_low_peak,
)
from mapsort.physics.shells import box_of, fourier_radius

_POSITIVE = Limits(above=0.0)

APIX = Parameter("apix", float, None, "pixel size [A] in place of the image's own", _POSITIVE)
CUTOFFS = (
    Parameter("cutoff_abs", float, None, "cutoff [cycles/pixel], 0.5 is Nyquist", _POSITIVE),
    Parameter("cutoff_freq", float, None, "cutoff [1/A]: 0.05 is a 20 A filter", _POSITIVE),
    Parameter("cutoff_pixels", float, None, "cutoff [Fourier pixels], up to n/2", _POSITIVE),
)
_CUTOFF_NAMES = tuple(parameter.name for parameter in CUTOFFS)
_SIGMA = Parameter("sigma", float, None, "Gaussian sigma [cycles/pixel]; or a cutoff", _POSITIVE)
_RESOLVE = Parameter(
    "cutoff_resolv", float, None, "frequency [1/A] of the resolution aimed at", _POSITIVE
)
_FALL_OFF = Parameter(
    "fall_off", float, 0.5, "width of the edge as a fraction of the cutoff", _POSITIVE
)
_LOW = Parameter("low_cutoff_frequency", float, None, "lower limit [cycles/pixel]", _POSITIVE)
_HIGH = Parameter("high_cutoff_frequency", float, None, "upper limit [cycles/pixel]", _POSITIVE)

# The Gaussian that EMAN2 takes to reach a resolution: the transform of a Gaussian in real space
# that has fallen to 0.36 at half the distance resolved.
_RESOLVE_FACTOR = float(np.sqrt(-4.0 * np.log(0.36)) / np.pi)


def cutoff_of(arguments: Mapping[str, Any], *, apix: float, box: int) -> float:
    """Return the cutoff in cycles per pixel from whichever of `CUTOFFS` was given."""
    if arguments["cutoff_abs"] is not None:
        return float(arguments["cutoff_abs"])
    if arguments["cutoff_freq"] is not None:
        return float(arguments["cutoff_freq"]) * apix
    return float(arguments["cutoff_pixels"]) / box


def one_cutoff(*others: str) -> Callable[[Mapping[str, Any]], None]:
    """Return a check that refuses all but exactly one of the cutoffs and other parameters."""
    names = (*others, *_CUTOFF_NAMES)

    def check(arguments: Mapping[str, Any]) -> None:
        given = [name for name in names if arguments[name] is not None]
        if len(given) != 1:
            raise ConfigError(
                f"filter: give exactly one of {', '.join(names)}, not "
                f"{' and '.join(given) if given else 'none'}"
            )

    return check


def _frequencies(image: Pixels) -> Float64:
    """Radius of each Fourier term, cycles per pixel."""
    box = box_of(image, "image")
    return fourier_radius(box, ndim=image.ndim) / box


def _declare_pair(
    shape: str, lowpass: Callable[..., Float64], *, help: str, extra: tuple[Parameter, ...] = ()
) -> None:
    """Declare filter.lowpass.SHAPE and filter.highpass.SHAPE, 1 minus the former."""

    def declare(kind: str, sign: str) -> None:
        @PROCESSORS.register(
            f"filter.{kind}.{shape}",
            help=f"{kind} filter, {sign}{help}",
            parameters=(*CUTOFFS, *extra, APIX),
            check=one_cutoff(),
        )
        def run(image: Pixels, **arguments: Any) -> Float32:
            apix = arguments["apix"]
            cutoff = cutoff_of(arguments, apix=apix, box=len(image))
            more = {parameter.name: arguments[parameter.name] for parameter in extra}
            curve = lowpass(_frequencies(image), cutoff=cutoff, **more)
            return apply_transfer(image, curve if kind == "lowpass" else 1.0 - curve)

    declare("lowpass", "")
    declare("highpass", "1 - ")


_declare_pair("tophat", tophat_lowpass, help="1 up to the cutoff c, 0 beyond")
_declare_pair(
    "tanh",
    tanh_lowpass,
    help="(tanh(k(s+c)) - tanh(k(s-c)))/2, k = pi/(2 fall_off c)",
    extra=(_FALL_OFF,),
)


def _gaussian(image: Pixels, arguments: Mapping[str, Any]) -> Float64:
    if arguments["sigma"] is not None:
        cutoff = float(np.sqrt(2.0)) * arguments["sigma"]
    elif arguments.get("cutoff_resolv") is not None:
        cutoff = _RESOLVE_FACTOR * arguments["cutoff_resolv"] * arguments["apix"]
    else:
        cutoff = cutoff_of(arguments, apix=arguments["apix"], box=len(image))
    return gaussian_lowpass(_frequencies(image), cutoff=cutoff)


@PROCESSORS.register(
    "filter.lowpass.gauss",
    help="Gaussian low-pass exp(-s^2/c^2), 1/e at the cutoff c; with sigma exp(-s^2/2 sigma^2)",
    parameters=(_SIGMA, *CUTOFFS, _RESOLVE, APIX),
    check=one_cutoff("sigma", "cutoff_resolv"),
)
def _lowpass_gauss(image: Pixels, **arguments: Any) -> Float32:
    return apply_transfer(image, _gaussian(image, arguments))


@PROCESSORS.register(
    "filter.highpass.gauss",
    help="Gaussian high-pass, 1 - filter.lowpass.gauss",
    parameters=(_SIGMA, *CUTOFFS, APIX),
    check=one_cutoff("sigma"),
)
def _highpass_gauss(image: Pixels, **arguments: Any) -> Float32:
    return apply_transfer(image, 1.0 - _gaussian(image, arguments))


def _check_butterworth(arguments: Mapping[str, Any]) -> None:
    band = (arguments["low_cutoff_frequency"], arguments["high_cutoff_frequency"])
    single = [name for name in _CUTOFF_NAMES if arguments[name] is not None]
    if None in band and band != (None, None):
        raise ConfigError(
            "filter: low_cutoff_frequency and high_cutoff_frequency are given together"
        )
    if (band == (None, None)) != (len(single) == 1) or len(single) > 1:
        raise ConfigError(
            "filter: give low_cutoff_frequency and high_cutoff_frequency, or one of "
            + ", ".join(_CUTOFF_NAMES)
        )


def _butterworth(image: Pixels, arguments: Mapping[str, Any]) -> Float64:
    low, high = arguments["low_cutoff_frequency"], arguments["high_cutoff_frequency"]
    if low is None:
        low = cutoff_of(arguments, apix=arguments["apix"], box=len(image))
        high = butterworth_stop(low)
    return butterworth_lowpass(_frequencies(image), low=low, high=high)


_BUTTERWORTH = (_LOW, _HIGH, *CUTOFFS, APIX)


@PROCESSORS.register(
    "filter.lowpass.butterworth",
    help="Butterworth low-pass between a pass band and a stop band, or of a single cutoff",
    parameters=_BUTTERWORTH,
    check=_check_butterworth,
)
def _lowpass_butterworth(image: Pixels, **arguments: Any) -> Float32:
    return apply_transfer(image, _butterworth(image, arguments))


@PROCESSORS.register(
    "filter.highpass.butterworth",
    help="1 - filter.lowpass.butterworth",
    parameters=_BUTTERWORTH,
    check=_check_butterworth,
)
def _highpass_butterworth(image: Pixels, **arguments: Any) -> Float32:
    return apply_transfer(image, 1.0 - _butterworth(image, arguments))


def _check_band(arguments: Mapping[str, Any]) -> None:
    low, high = arguments["low_cutoff_frequency"], arguments["high_cutoff_frequency"]
    if not low < high:
        raise ConfigError(
            f"filter: low_cutoff_frequency={low:g} must be below high_cutoff_frequency={high:g}"
        )


@PROCESSORS.register(
    "filter.bandpass.tophat", help="keep frequencies between two limits", check=_check_band
)
def _bandpass_tophat(
    image: Pixels,
    *,
    low_cutoff_frequency: Annotated[float, "lower limit [cycles/pixel]", Limits(above=0.0)],
    high_cutoff_frequency: Annotated[float, "upper limit [cycles/pixel]", Limits(above=0.0)],
) -> Float32:
    s = _frequencies(image)
    curve = tophat_bandpass(s, low=low_cutoff_frequency, high=high_cutoff_frequency)
    return apply_transfer(image, curve)


@PROCESSORS.register("filter.bandpass.gauss", help="Gaussian band exp(-(s - center)^2 / 2 sigma^2)")
def _bandpass_gauss(
    image: Pixels,
    *,
    center: Annotated[float, "middle [cycles/pixel]", Limits(low=0.0)],
    sigma: Annotated[float, "width [cycles/pixel]", Limits(above=0.0)],
) -> Float32:
    return apply_transfer(image, gaussian_bandpass(_frequencies(image), center=center, sigma=sigma))


@PROCESSORS.register(
    "filter.bandpass.tanh",
    help="band between two edges of tanh shape",
    parameters=(
        replace(_LOW, required=True),
        replace(_HIGH, required=True),
        Parameter("Low_fall_off", float, 0.1, "lower edge as a fraction of the band", _POSITIVE),
        Parameter("high_fall_off", float, 0.1, "upper edge as a fraction of the band", _POSITIVE),
    ),
    check=_check_band,
)
def _bandpass_tanh(image: Pixels, **arguments: Any) -> Float32:
    curve = tanh_bandpass(
        _frequencies(image),
        low=arguments["low_cutoff_frequency"],
        high=arguments["high_cutoff_frequency"],
        low_fall_off=arguments["Low_fall_off"],
        high_fall_off=arguments["high_fall_off"],
    )
    return apply_transfer(image, curve)


@PROCESSORS.register(
    "filter.lowpass.randomphase",
    help="random phases from the cutoff on, amplitudes kept",
    parameters=(
        *CUTOFFS,
        APIX,
        Parameter("seed", int, 0, "seed of the random numbers", Limits(low=0)),
    ),
    check=one_cutoff(),
)
def _randomphase(image: Pixels, **arguments: Any) -> Float32:
    cutoff = cutoff_of(arguments, apix=arguments["apix"], box=len(image))
    rng = np.random.default_rng(arguments["seed"])
    return randomise_phases(image, cutoff=cutoff, rng=rng)


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
