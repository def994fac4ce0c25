"""Project maps: central slices of their Fourier transforms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mapsort.physics.fourier_projection import DEFAULT_TOLERANCE, FourierProjector
from mapsort.stages.fourier_grid import Complex64


def project_slices(
    volume: npt.NDArray[np.floating],
    rotations: npt.NDArray[np.floating],
    *,
    tolerance: float = DEFAULT_TOLERANCE,
    max_radius: float | None = None,
    n_threads: int = 1,
) -> Complex64:
    """Return the Fourier transforms of projections of a map.

    Parameters
    ----------
    volume : ndarray of shape (box, box, box)
        Density, (z, y, x), centre at pixel box//2.
    rotations : ndarray of shape (n, 3, 3)
        Object to view; the projection runs along the view's z axis.
    tolerance : float
        Relative l2 error of the slices, 1e-6 to 0.01; see `mapsort.physics.fourier_projection`.
    max_radius : float, optional
        Highest frequency in Fourier pixels; beyond it the slices are zero. Default box//2.

    Returns
    -------
    ndarray of shape (n, box, box//2+1), complex64
        rfft2 layout, phases about the centre: rfft2(ifftshift(projection)). The Nyquist row and
        column of an even box are zero.

    Notes
    -----
    Projection-slice theorem: the slice at (kx, ky) is the volume's transform at R^T (kx, ky, 0).
    """
    projector = FourierProjector.plan(
        volume, tolerance=tolerance, max_radius=max_radius, n_threads=n_threads
    )
    return projector.cartesian(rotations, n_threads=n_threads)
