"""Comparators in Fourier space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from mapsort.array_types import Array, Float64
from mapsort.errors import ConfigError
from mapsort.modules.comparators.pixelwise import Maxres, Minres, check_band
from mapsort.modules.parameter import CURVE, Limits
from mapsort.modules.registry import COMPARATORS, Pixels
from mapsort.physics.ctf import ContrastTransfer, ctf_images
from mapsort.physics.pair_comparison import (
    SoftBand,
    masked_to_common,
    mean_phase_difference,
    negative_log_likelihood,
    ring_correlation,
)
from mapsort.physics.radial_matching import linear_shell_means

# An unknown or negative signal-to-noise ratio.
_LEAST_SNR = 0.001

_SnrWeight = Annotated[bool, "weigh rings by the signal-to-noise ratio: snr, else the CTF squared"]
_Snr = Annotated[Array | None, "frequency [1/A] and signal-to-noise ratio, for snrweight", CURVE]
_AmpWeight = Annotated[bool, "weigh by amplitude"]
_ZeroMask = Annotated[bool, "zero both images where either is 0"]
_Pmin = Annotated[float | None, "first ring [Fourier pixels], in place of minres"]
_Pmax = Annotated[float | None, "last ring [Fourier pixels], in place of maxres"]


def _resolution(end: str, default: float) -> str:
    return f"{end} resolution [A], soft; by default {default:g}; 0: no limit"


def _check_soft_band(arguments: Mapping[str, Any]) -> None:
    """As `check_band`, but 0 stands for no limit."""
    check_band({name: arguments[name] or None for name in ("minres", "maxres")})


def _signal_to_noise(
    image: Pixels, apix: float, snr: Array | None, ctf: ContrastTransfer | None
) -> Float64:
    """Signal-to-noise ratio of rings 0 to n//2 - 1, from a curve or as the squared CTF."""
    box = len(image)
    if snr is not None:
        s = np.arange(box // 2) / (box * apix)
        ratio = np.interp(s, snr[:, 0], snr[:, 1])
    elif ctf is not None and image.ndim == 2:
        ratio = linear_shell_means(ctf_images(ctf, box, apix)[0] ** 2, box=box, ndim=2)[: box // 2]
    else:
        raise ConfigError("comparator: snrweight=1 needs the curve snr, or images with a CTF")
    return np.where(ratio > 0, ratio, _LEAST_SNR)


@COMPARATORS.register(
    "frc", help="Fourier ring correlation, weighted by ring size", check=_check_soft_band
)
def _frc(
    this: Pixels,
    other: Pixels,
    *,
    apix: float,
    ctf: ContrastTransfer | None,
    minres: Annotated[float | None, _resolution("coarsest", 200.0)] = None,
    maxres: Annotated[float | None, _resolution("finest", 8.0)] = None,
    pmin: _Pmin = None,
    pmax: _Pmax = None,
    snrweight: _SnrWeight = False,
    snr: _Snr = None,
    ampweight: _AmpWeight = False,
    sweight: Annotated[bool, "weigh rings by their number of terms"] = True,
    nweight: Annotated[bool, "reduce the correlation to that of a single particle"] = False,
    ptcl_repr: Annotated[
        float, "particles averaged in the reference, for nweight", Limits(above=0.0)
    ] = 1.0,
    zeromask: _ZeroMask = False,
) -> float:
    band = SoftBand.of(len(this) * apix, (minres, 200.0), (maxres, 8.0), pmin, pmax)
    weights = band.weights(len(this) // 2)
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


@COMPARATORS.register(
    "phase",
    help="mean difference of phases [radians], amplitudes left out",
    check=_check_soft_band,
)
def _phase(
    this: Pixels,
    other: Pixels,
    *,
    apix: float,
    ctf: ContrastTransfer | None,
    minres: Annotated[float | None, _resolution("coarsest", 500.0)] = None,
    maxres: Annotated[float | None, _resolution("finest", 10.0)] = None,
    pmin: _Pmin = None,
    pmax: _Pmax = None,
    snrweight: _SnrWeight = False,
    snr: _Snr = None,
    snrfn: Annotated[bool, "weight x exp(-x), x = 10 r / (n/2)"] = False,
    ampweight: _AmpWeight = False,
    zeromask: _ZeroMask = False,
) -> float:
    band = SoftBand.of(len(this) * apix, (minres, 500.0), (maxres, 10.0), pmin, pmax)
    weights = band.weights(len(this) // 2)
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
