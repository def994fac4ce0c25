"""Symmetrise maps in real space."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mapsort.array_types import Float32, Float64, Real
from mapsort.geometry.symmetry import Symmetry

#: Degrees of the interpolating spline: trilinear and cubic.
SplineOrder = Literal[1, 3]


def symmetrize(
    volume: Real, group: Symmetry, *, apix: float = 1.0, order: SplineOrder = 3
) -> Float32:
    """Return the mean of a map's symmetry copies.

    The mean over all operations of V(S x + t): it obeys V(S x + t) = V(x) but for interpolation;
    what turns in from outside the cube counts as 0. For a point group that is the projection onto
    the symmetric maps; applied twice it changes nothing more. The spline's order 3 keeps fine
    detail, 1 is trilinear; the pixel size [A] is for helices only.
    """
    source = np.asarray(volume, dtype=np.float64)
    if order > 1:
        # once for all operations
        source = ndimage.spline_filter(source, order=order, mode="constant")
    total = np.zeros(source.shape)
    for matrix, shift_ang in zip(group.matrices, group.shifts_ang, strict=True):
        total += moved(source, matrix, shift_ang / apix, order=order, prefilter=False)
    return (total / group.order).astype(np.float32)


def moved(
    volume: Float64,
    matrix: Real,
    shift_px: npt.ArrayLike = (0.0, 0.0, 0.0),
    *,
    order: SplineOrder = 1,
    prefilter: bool = True,
) -> Float64:
    """Return W(x) = V(M x + t) about the centre pixel; M and t in the order x, y, z.

    Parameters
    ----------
    volume : ndarray of shape (box, box, box)
    matrix : ndarray of shape (3, 3)
    shift_px : array_like of shape (3,)
        t [pixels].
    order, prefilter
        As `scipy.ndimage.affine_transform`.
    """
    along = np.asarray(matrix, dtype=np.float64)[::-1, ::-1]
    centre = np.array([n // 2 for n in volume.shape], dtype=np.float64)
    offset = centre - along @ centre + np.asarray(shift_px, dtype=np.float64)[::-1]
    return ndimage.affine_transform(
        volume, along, offset, order=order, mode="constant", prefilter=prefilter, output=float
    )
