"""From images at known poses to what a reconstruction inserts: centred transforms, CTF, weights."""

from __future__ import annotations

import numpy as np
import scipy.fft

from mapsort.array_types import Complex64, Float32, Real
from mapsort.stages.fourier_grid import shift_images


def weighted_slices(
    images: Real,
    *,
    shifts: Real | None = None,
    transfer: Float32 | None = None,
    weights: Real | None = None,
    n_threads: int = 1,
) -> tuple[Complex64, Float32]:
    """Return what least squares sums over images: w C X and w C^2, (n, box, box//2+1) each.

    Phases are about the centre pixel box//2.

    Parameters
    ----------
    images : ndarray of shape (n, box, box)
    shifts : ndarray of shape (n, 2), optional
        By how much each image's content is off-centre [pixels]; undone.
    transfer : ndarray of shape (n, box, box//2+1), optional
        Contrast transfer functions C.
    weights : ndarray of shape (n,), optional
        w.
    """
    box = images.shape[1]
    pixels = images.astype(np.float32, copy=False)
    numerator: Complex64 = np.asarray(scipy.fft.rfft2(pixels, workers=n_threads), np.complex64)
    # phases about the centre: content at pixel box//2 is moved to pixel 0
    offset = np.full((len(images), 2), -float(box // 2))
    shift_images(numerator, offset if shifts is None else offset - shifts)
    if transfer is None:
        density = np.ones(numerator.shape, dtype=np.float32)
    else:
        numerator *= transfer
        density = np.square(transfer)
    if weights is not None:
        share = np.asarray(weights, dtype=np.float32)[:, None, None]
        numerator *= share
        density *= share
    return numerator, density
