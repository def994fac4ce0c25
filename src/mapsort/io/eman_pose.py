"""EMAN2's ``xform.projection`` ↔ RELION's angles and origins.

Both mean the same rotation; EMAN2's translation says how the projection of the map moves onto the
particle, RELION's origin how the particle moves to the centre: they are opposite. A mirrored
transform, ``M (R x + t)`` with ``M = diag(-1, 1, 1)``, projects like the rotation ``diag(-1, 1, -1)
R``: turning the object over mirrors its projection.
"""

from __future__ import annotations

import numpy as np

from mapsort.array_types import Array, Float64
from mapsort.geometry.euler import matrix_to_relion, relion_to_matrix

_ROTATION_TOLERANCE = 1e-3


def poses_from_eman(matrices: Array) -> tuple[Float64, Float64]:
    """Return RELION's poses of EMAN2's transforms (n, 3, 4), shifts in pixels.

    Angles rot, tilt, psi (n, 3) [degrees], and rlnOriginX, rlnOriginY (n, 2) in pixels.

    Raises
    ------
    ValueError
        A matrix is not a rotation or a mirrored one (it is scaled or sheared); the message gives
        its index.
    """
    values = np.asarray(matrices, dtype=np.float64)
    turn, shift = values[:, :, :3], values[:, :2, 3]
    with np.errstate(all="ignore"):
        error = np.abs(turn @ turn.swapaxes(1, 2) - np.eye(3)).max(axis=(1, 2), initial=0)
        usable = (error < _ROTATION_TOLERANCE) & np.isfinite(values).all(axis=(1, 2))
    if not usable.all():
        raise ValueError(f"transform {int(np.argmin(usable))} is not a rotation and a shift")
    mirrored = np.linalg.det(turn) < 0
    # M R has the mirror in its first row; the proper rotation that projects alike has M3 = M Mz.
    proper = np.where(mirrored[:, None, None], np.diag([1.0, 1.0, -1.0]) @ turn, turn)
    return matrix_to_relion(proper), -shift


def eman_from_poses(angles_deg: Array, origins_px: Array) -> Float64:
    """Return EMAN2's transforms (n, 3, 4), never mirrored, of RELION's poses in pixels."""
    matrices = np.zeros((len(angles_deg), 3, 4))
    matrices[:, :, :3] = relion_to_matrix(np.asarray(angles_deg, dtype=np.float64))
    matrices[:, :2, 3] = -np.asarray(origins_px, dtype=np.float64)
    return matrices
