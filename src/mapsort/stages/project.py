"""Project maps: central slices of their Fourier transforms."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mapsort import _core
from mapsort.stages.fourier_grid import Complex64, FourierGrid


def project_slices(
    volume: npt.NDArray[np.floating],
    rotations: npt.NDArray[np.floating],
    *,
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
    box = volume.shape[0]
    radius = float(box // 2) if max_radius is None else max_radius
    grid = FourierGrid.for_box(box)
    window = grid.volume_window(volume, max_radius=radius, n_threads=n_threads)
    return np.asarray(
        _core.project_cartesian(
            window,
            scale=grid.scale,
            oversampling=grid.scale,
            rotations=np.ascontiguousarray(rotations, dtype=np.float64),
            max_radius=radius,
            box=box,
            n_threads=n_threads,
        )
    )
