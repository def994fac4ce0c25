"""How far orientations are apart, symmetry considered."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mapsort.geometry.symmetry import Symmetry


def turns_deg(
    before: NDArray[np.float64], after: NDArray[np.float64], group: Symmetry
) -> NDArray[np.float64]:
    """Angle of the rotation that leads from one orientation to the other.

    Parameters
    ----------
    before, after : ndarray of shape (n, 3, 3)
        Object to view.
    group : Symmetry
        Orientations R and R S are equal for every operator S.

    Returns
    -------
    ndarray of shape (n,), float64
        To the nearest symmetry mate [degrees], 0 to 180.
    """
    cosine = np.full(len(after), -1.0)
    for operator in group.matrices:
        trace = np.einsum("nij,nij->n", after @ operator, before)
        cosine = np.maximum(cosine, 0.5 * (trace - 1.0))
    return np.asarray(np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0))))
