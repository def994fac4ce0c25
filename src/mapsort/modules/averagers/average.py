"""Running averagers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from mapsort.array_types import Array, Float32, Float64
from mapsort.errors import ConfigError
from mapsort.geometry.arrays import real_array
from mapsort.modules.averagers.declare import Members
from mapsort.modules.modopt import ModuleCall
from mapsort.modules.registries import AVERAGERS
from mapsort.physics.averaging import Average
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
