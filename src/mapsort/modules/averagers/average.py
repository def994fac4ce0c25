"""The averagers, and running them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike

from mapsort.array_types import Array, Float32, Float64
from mapsort.errors import ConfigError
from mapsort.geometry.arrays import real_array
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.parameter import Limits, Parameter
from mapsort.modules.registry import AVERAGERS, Pixels
from mapsort.physics.averaging import (
    Average,
    autofiltered_average,
    extreme,
    iterated_mean,
    locally_weighted,
    locally_weighted_fourier,
    pixel_sigma,
    ring_weighted_average,
    snr_average,
    squared_ctf_average,
    standardised,
    weighted_mean,
    wiener_average,
)
from mapsort.physics.ctf import ContrastTransfer


def averaged(
    spec: ModuleCall | str,
    images: Array,
    *,
    ctf: ContrastTransfer | None = None,
    weights: ArrayLike | None = None,
    snr: ArrayLike | None = None,
    apix: float = 1.0,
    **parameters: Any,
) -> Average:
    """Average aligned images; return what is known of the average, too.

    Parameters
    ----------
    spec : ModuleCall or str
        Averager and parameters, for example ``"ctf.auto"``.
    images : ndarray of shape (n, box, box) or (n, box, box, box)
        Aligned; for the ctf.* averagers images that are phase-flipped.
    ctf : ContrastTransfer, optional
        Of each image; required by the ctf.* averagers.
    weights : array_like of shape (n,), optional
        Not negative; 1 by default.
    snr : array_like of shape (n, m), optional
        Signal-to-noise ratio of each image (for weightedfourier: its weight) at 0, 1, ... Fourier
        pixels.
    apix : float
        Pixel size, Angstrom.
    **parameters
        More parameters of the averager.

    Returns
    -------
    Average

    Raises
    ------
    ConfigError
        Unknown name or parameter, a wrong value, or shapes or numbers that do not fit.
    """
    bound = AVERAGERS.bind(spec, parameters)
    pixels = real_array(images, "images", None)
    if pixels.ndim not in (3, 4) or len(pixels) == 0 or len(set(pixels.shape[1:])) != 1:
        raise ConfigError(f"images: expected square images (n, box, box), got {pixels.shape}")
    members = Members(
        weights=_weights(weights, len(pixels)),
        ctf=_ctf(ctf, pixels),
        snr=_snr(snr, len(pixels)),
        apix=apix,
    )
    result: Any = bound(pixels, members)
    if isinstance(result, Average):
        return result
    # a user's averager returns its image alone
    return Average(np.asarray(result, dtype=np.float32), members.n_averaged)


def average(
    spec: ModuleCall | str,
    images: Array,
    *,
    ctf: ContrastTransfer | None = None,
    weights: ArrayLike | None = None,
    snr: ArrayLike | None = None,
    apix: float = 1.0,
    **parameters: Any,
) -> Float32:
    """Average aligned images; arguments and errors as `averaged`.

    Returns
    -------
    ndarray of one image's shape, float32

    Examples
    --------
    >>> import numpy as np
    >>> average("mean", np.stack([np.zeros((2, 2)), np.ones((2, 2))]))[0, 0]
    np.float32(0.5)
    """
    return averaged(spec, images, ctf=ctf, weights=weights, snr=snr, apix=apix, **parameters).image


def _weights(weights: ArrayLike | None, n: int) -> Float64:
    values = np.ones(n) if weights is None else real_array(weights, "weights")
    if values.shape != (n,):
        raise ConfigError(f"weights: expected shape ({n},), got {values.shape}")
    if values.min() < 0 or not values.any():
        raise ConfigError("weights: expected numbers from 0, one of them above 0")
    return values


def _ctf(ctf: ContrastTransfer | None, pixels: Array) -> ContrastTransfer | None:
    if ctf is not None and pixels.ndim != 3:
        raise ConfigError("ctf: belongs to images, not to maps")
    if ctf is not None and len(ctf) != len(pixels):
        raise ConfigError(f"ctf: expected {len(pixels)} images, got {len(ctf)}")
    return ctf


def _snr(snr: ArrayLike | None, n: int) -> Float64 | None:
    if snr is None:
        return None
    values = np.asarray(snr, dtype=np.float64)
    if values.ndim != 2 or len(values) != n or not np.isfinite(values).all():
        raise ConfigError(f"snr: expected finite numbers of shape ({n}, m), got {values.shape}")
    return values


_Normimage = Annotated[bool, "give every image mean 0 and standard deviation 1 first"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Members:
    """What is known of the images besides their pixels."""

    #: (n,).
    weights: Float64
    #: Of length n.
    ctf: ContrastTransfer | None
    #: Signal-to-noise ratio of each image at 0, 1, .. Fourier pixels, (n, m).
    snr: Float64 | None
    #: Pixel size, Angstrom.
    apix: float

    @property
    def n_averaged(self) -> int:
        """Number of images with a weight above 0."""
        return int(np.count_nonzero(self.weights > 0))

    def require_ctf(self, name: str) -> ContrastTransfer:
        """Return the CTF, or refuse to average without.

        Raises
        ------
        ConfigError
            If there is none.
        """
        if self.ctf is None:
            raise ConfigError(f"averager {name}: the images need a CTF (ctf=); mean does without")
        return self.ctf

    def refuse_weights(self, name: str) -> None:
        """Refuse weights other than 0 and one value.

        Raises
        ------
        ConfigError
            If images have different weights.
        """
        used = self.weights[self.weights > 0]
        if not np.all(used == used[0]):
            raise ConfigError(f"averager {name}: takes no weights; use mean or sigma")


@AVERAGERS.register("mean", help="mean of each pixel")
def _mean(
    images: Pixels,
    members: Members,
    *,
    ignore0: Annotated[bool, "pixels that are exactly 0 do not count"] = False,
    normimage: _Normimage = False,
) -> Average:
    pixels = standardised(images) if normimage else images
    image = weighted_mean(pixels, members.weights, ignore_zero=ignore0)
    return Average(image, members.n_averaged)


@AVERAGERS.register("sigma", help="standard deviation of each pixel, n in the denominator")
def _sigma(images: Pixels, members: Members) -> Average:
    return Average(pixel_sigma(images, members.weights), members.n_averaged)


@AVERAGERS.register("median", help="median of each pixel")
def _median(images: Pixels, members: Members) -> Average:
    members.refuse_weights("median")
    image = np.median(images[members.weights > 0], axis=0).astype(np.float32)
    return Average(image, members.n_averaged)


@AVERAGERS.register(
    "minmax",
    help="smallest (largest) value of each pixel",
    parameters=(
        Parameter("max", bool, False, "largest"),
        Parameter("abs", bool, False, "compare absolute values"),
    ),
)
def _minmax(images: Pixels, members: Members, **arguments: bool) -> Average:
    members.refuse_weights("minmax")
    used = images[members.weights > 0]
    image = extreme(used, largest=arguments["max"], by_absolute=arguments["abs"])
    return Average(image, members.n_averaged)


@AVERAGERS.register(
    "iterative", help="mean in which Fourier terms far from the others lose influence, 4 passes"
)
def _iterative(images: Pixels, members: Members) -> Average:
    return Average(iterated_mean(images, members.weights), members.n_averaged)


@AVERAGERS.register(
    "localweight", help="mean in which an image counts where it agrees with the others"
)
def _localweight(
    images: Pixels,
    members: Members,
    *,
    dampnoise: Annotated[
        float,
        "0: regions without agreement stay dark; 1: they are scaled up",
        Limits(low=0.0, high=1.0),
    ] = 0.5,
    fourier: Annotated[bool, "agreement of Fourier terms, not of regions"] = False,
    normimage: _Normimage = False,
) -> Average:
    pixels = standardised(images) if normimage else images
    if fourier:
        image = locally_weighted_fourier(pixels, members.weights, damp_noise=dampnoise)
    else:
        image = locally_weighted(pixels, members.weights, apix=members.apix, damp_noise=dampnoise)
    return Average(image, members.n_averaged)


@AVERAGERS.register(
    "weightedfourier", help="mean weighted per image and Fourier ring by the curves snr"
)
def _weightedfourier(images: Pixels, members: Members) -> Average:
    return ring_weighted_average(images, members.weights, members.snr)


def _declare_with_snr(name: str, run: Callable[..., Average], help: str) -> None:
    @AVERAGERS.register(name, help=f"{help}; phase-flipped images with CTF, weighted by SNR")
    def average(images: Pixels, members: Members) -> Average:
        ctf = members.require_ctf(name)
        return run(images, members.weights, ctf, apix=members.apix, snr=members.snr)


def _declare_with_ctf(name: str, run: Callable[..., Average], help: str) -> None:
    @AVERAGERS.register(name, help=f"{help}; phase-flipped images with CTF")
    def average(images: Pixels, members: Members) -> Average:
        ctf = members.require_ctf(name)
        return run(images, members.weights, ctf, apix=members.apix)


_declare_with_snr("ctf.auto", snr_average, "amplitudes corrected, not filtered")
_declare_with_snr("ctfw.auto", wiener_average, "amplitudes corrected, Wiener filter")
_declare_with_ctf("ctf.weight", squared_ctf_average, "mean weighted by the squared CTF")
_declare_with_ctf(
    "ctf.weight.autofilt",
    autofiltered_average,
    "ctf.weight filtered by the correlation of its halves",
)
