"""Insert slices at every place where a map's symmetry puts them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mapsort.geometry.symmetry import Symmetry
from mapsort.stages.fourier_grid import Complex64, Float32, shift_images
from mapsort.stages.reconstruct.slice_sums import SliceSums


def insert_copies(
    sums: SliceSums,
    slices: Complex64,
    weights: Float32,
    rotations: npt.NDArray[np.float64],
    group: Symmetry,
    *,
    apix: float,
    n_threads: int = 1,
) -> None:
    """Add slices (n, box, box//2+1) at rotations (n, 3, 3), all copies of a symmetry.

    Parameters
    ----------
    sums : SliceSums
        Changed in place.
    slices, weights : ndarray of shape (n, box, box//2+1)
    rotations : ndarray of shape (n, 3, 3)
        Object to view.
    group : Symmetry
    apix : float
        Pixel size [A]; helices only.
    n_threads : int

    Notes
    -----
    From V(S x + t) = V(x) the slice at rotation R S is that at R times exp(2 pi i k . (R t)_xy): an
    image moved by -(R t)_xy.
    """
    if not group.helical:
        sums.insert(slices, weights, rotations, group.matrices, n_threads=n_threads)
        return
    for matrix, shift_ang in zip(group.matrices, group.shifts_ang, strict=True):
        moved = -(rotations @ (shift_ang / apix))[:, :2]
        copies = slices.copy()
        shift_images(copies, moved)
        sums.insert(copies, weights, rotations, matrix[None], n_threads=n_threads)
