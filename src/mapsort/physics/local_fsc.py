"""Down to which resolution two maps agree about each voxel."""

from __future__ import annotations

import numpy as np
import scipy  # its parts are loaded when they are used

from mapsort.array_types import Array, Float32, Float64
from mapsort.errors import ConfigError
from mapsort.physics.filters import apply_transfer
from mapsort.physics.shells import box_of, fourier_radius

#: Standard deviation of the window, in periods of what is compared, and its limits: pixels, box.
WINDOW_PERIODS, NARROWEST_PX, WIDEST = 1.0, 2.0, 0.125
#: So many bands at most are compared between shell 1 and the last.
MOST_BANDS = 24


def local_resolution(
    a: Array, b: Array, *, apix: float, threshold: float, last_shell: int
) -> Float32:
    """Return where the Fourier shell correlation about each voxel falls below a threshold [A].

    Parameters
    ----------
    a, b : ndarray of shape (n, n, n)
        Maps in register.
    apix : float
        Pixel size [A].
    threshold : float
    last_shell : int
        Voxels whose maps agree up to this shell have its resolution.

    Returns
    -------
    ndarray of shape (n, n, n), float32

    Raises
    ------
    ConfigError
        The last shell is not one of 2 to n//2.

    Notes
    -----
    Both maps are filtered to one band of frequencies after another (Gaussian, as wide as the step)
    and correlated in a Gaussian window one period wide (Cardone, Heymann & Steven, J. Struct. Biol.
    184 (2013) 226, with windows that grow with the period).
    """
    box = box_of(a, "a")
    if not 2 <= last_shell <= box // 2:
        raise ConfigError(f"last shell {last_shell}: expected 2 to {box // 2}")
    step = max(1.0, (last_shell - 1) / MOST_BANDS)
    centres = np.arange(1.0, last_shell + 0.5 * step, step)
    radius = fourier_radius(box, ndim=3)
    reached = np.full(a.shape, float(last_shell))
    before = np.ones(a.shape)
    agrees = np.ones(a.shape, bool)
    for centre in centres:
        band = np.exp(-0.5 * ((radius - centre) / step) ** 2)
        width = min(max(WINDOW_PERIODS * box / centre, NARROWEST_PX), WIDEST * box)
        here = _correlation(apply_transfer(a, band), apply_transfer(b, band), width)
        falls = agrees & (here < threshold)
        part = (before - threshold) / np.maximum(before - here, 1e-9)
        reached[falls] = np.maximum(centre - step * (1.0 - part[falls]), 1.0)
        agrees &= ~falls
        before = here
    return np.asarray(box * apix / reached, np.float32)


def _correlation(a: Float32, b: Float32, width_px: float) -> Float64:
    """Return the correlation coefficient of two maps about each voxel."""
    cross, power_a, power_b = (
        scipy.ndimage.gaussian_filter((x * y).astype(np.float64), width_px)
        for x, y in ((a, b), (a, a), (b, b))
    )
    return np.asarray(cross / np.sqrt(np.maximum(power_a * power_b, 1e-60)))
