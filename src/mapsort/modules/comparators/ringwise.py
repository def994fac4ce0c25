"""Comparators in Fourier space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mapsort.errors import ConfigError
from mapsort.modules.array_parameter import CURVE
from mapsort.modules.comparators.pixelwise import Maxres, Minres, check_band
from mapsort.modules.parameter import Limits, Parameter
from mapsort.modules.registries import COMPARATORS, Pixels
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.pair_comparison_fourier import (
    SoftBand,
    masked_to_common,
    mean_phase_difference,
    negative_log_likelihood,
    ring_correlation,
)
from mapsort.physics.radial_matching import shell_means

Float64 = NDArray[np.float64]

# An unknown or negative signal-to-noise ratio.
_LEAST_SNR = 0.001

_SNR_WEIGHT = Parameter(
    "snrweight", bool, False, "weigh rings by the signal-to-noise ratio: snr, else the CTF squared"
)
_SNR = Parameter("snr", CURVE, None, "frequency [1/A] and signal-to-noise ratio, for snrweight")
_AMP_WEIGHT = Parameter("ampweight", bool, False, "weigh by amplitude")
_ZERO_MASK = Parameter("zeromask", bool, False, "zero both images where either is 0")


def _resolution(name: str, default: float, end: str) -> Parameter:
    return Parameter(
        name, float, None, f"{end} resolution [A], soft; by default {default:g}; 0: no limit"
    )


def _band_parameters(minres: float, maxres: float) -> tuple[Parameter, ...]:
    """Return the parameters of a soft band; the search uses all frequencies by default."""
    return (
        _resolution("minres", minres, "coarsest"),
        _resolution("maxres", maxres, "finest"),
        Parameter("pmin", float, None, "first ring [Fourier pixels], in place of minres"),
        Parameter("pmax", float, None, "last ring [Fourier pixels], in place of maxres"),
    )


def _check_soft_band(arguments: Mapping[str, Any]) -> None:
    """As `check_band`, but 0 stands for no limit."""
    check_band({name: arguments[name] or None for name in ("minres", "maxres")})


def _band(
    image: Pixels, apix: float, defaults: tuple[float, float], arguments: Mapping[str, Any]
) -> Float64:
    minres, maxres = arguments["minres"], arguments["maxres"]
    band = SoftBand.of(
        box=len(image),
        apix=apix,
        minres=defaults[0] if minres is None else minres,
        maxres=defaults[1] if maxres is None else maxres,
        pmin=arguments["pmin"],
        pmax=arguments["pmax"],
    )
    return band.weights(len(image) // 2)


def _signal_to_noise(
    image: Pixels, apix: float, snr: NDArray[Any] | None, ctf: ContrastTransfer | None
) -> Float64:
    """Signal-to-noise ratio of rings 0 to n//2 - 1, from a curve or as the squared CTF."""
    box = len(image)
    if snr is not None:
        s = np.arange(box // 2) / (box * apix)
        ratio = np.interp(s, snr[:, 0], snr[:, 1])
    elif ctf is not None and image.ndim == 2:
        ratio = shell_means(ctf_images(ctf, box, apix)[0] ** 2, box=box, ndim=2)[: box // 2]
    else:
        raise ConfigError("comparator: snrweight=1 needs the curve snr, or images with a CTF")
    return np.where(ratio > 0, ratio, _LEAST_SNR)


_FRC_BAND = (200.0, 8.0)


@COMPARATORS.register(
    "frc",
    help="Fourier ring correlation, weighted by ring size",
    parameters=(
        *_band_parameters(*_FRC_BAND),
        _SNR_WEIGHT,
        _SNR,
        _AMP_WEIGHT,
        Parameter("sweight", bool, True, "weigh rings by their number of terms"),
        Parameter("nweight", bool, False, "reduce the correlation to that of a single particle"),
        Parameter(
            "ptcl_repr",
            float,
            1.0,
            "particles averaged in the reference, for nweight",
            Limits(above=0.0),
        ),
        _ZERO_MASK,
    ),
    check=_check_soft_band,
)
def _frc(
    this: Pixels,
    other: Pixels,
    *,
    apix: float,
    ctf: ContrastTransfer | None,
    snrweight: bool,
    snr: NDArray[Any] | None,
    ampweight: bool,
    sweight: bool,
    nweight: bool,
    ptcl_repr: float,
    zeromask: bool,
    **band: float | None,
) -> float:
    weights = _band(this, apix, _FRC_BAND, band)
    if snrweight:
        weights = weights * _signal_to_noise(this, apix, snr, ctf)
    if zeromask:
        this, other = masked_to_common(this, other)
    return ring_correlation(
        this,
        other,
        weights=weights,
        by_count=sweight,
        by_amplitude=ampweight,
        n_averaged=ptcl_repr if nweight else None,
    )


_PHASE_BAND = (500.0, 10.0)


@COMPARATORS.register(
    "phase",
    help="mean difference of phases [radians], amplitudes left out",
    parameters=(
        *_band_parameters(*_PHASE_BAND),
        _SNR_WEIGHT,
        _SNR,
        Parameter("snrfn", bool, False, "weight x exp(-x), x = 10 r / (n/2)"),
        _AMP_WEIGHT,
        _ZERO_MASK,
    ),
    check=_check_soft_band,
)
def _phase(
    this: Pixels,
    other: Pixels,
    *,
    apix: float,
    ctf: ContrastTransfer | None,
    snrweight: bool,
    snr: NDArray[Any] | None,
    snrfn: bool,
    ampweight: bool,
    zeromask: bool,
    **band: float | None,
) -> float:
    weights = _band(this, apix, _PHASE_BAND, band)
    if snrweight:
        weights = weights * _signal_to_noise(this, apix, snr, ctf)
    elif snrfn:
        x = 10.0 * np.arange(len(weights)) / (len(this) // 2)
        weights = weights * x * np.exp(-x)
    if zeromask:
        this, other = masked_to_common(this, other)
    return mean_phase_difference(this, other, weights=weights, by_amplitude=ampweight)


@COMPARATORS.register(
    "loglik",
    help="log-likelihood under Gaussian noise with the spectrum that the data show",
    check=check_band,
)
def _loglik(
    this: Pixels,
    other: Pixels,
    *,
    apix: float,
    ctf: ContrastTransfer | None,
    minres: Minres = None,
    maxres: Maxres = None,
) -> float:
    length = len(this) * apix
    transfer = None
    if ctf is not None:
        if this.ndim != 2:
            raise ConfigError("comparator loglik: a CTF belongs to images, not to maps")
        transfer = ctf_images(ctf, len(this), apix)[0].astype(np.float64)
    return negative_log_likelihood(
        this,
        other,
        transfer=transfer,
        lowest=0.0 if minres is None else length / minres,
        highest=float(len(this)) if maxres is None else length / maxres,
    )
