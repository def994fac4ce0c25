"""From an in-plane match with a reference projection to a full 3-D pose, and back.

The match ``(alpha, dx, dy, mirror)`` is the 2-D transform that, applied to the *particle*, brings
it onto the projection of reference orientation ``R_ref``.  A particle pixel x and the reference
pixel y it lands on obey ``y = M (R_a x + t)``, and the object point r lies at ``y = P R_ref r``
(P keeps x and y).  Hence ``x = R_a^T M P R_ref r - R_a^T t``: the particle's orientation is
``A = Rz^T M3 R_ref`` with ``M3 = diag(-1, 1, -1)`` for a mirrored match (a proper rotation whose
upper left block is M), and the RELION origin, the shift that centres the particle, is ``R_a^T t``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mapsort.array_types import Bool, Float64
from mapsort.geometry.arrays import real_array

_MIRROR_SIGNS = np.array([-1.0, 1.0, -1.0])


def match_to_pose(
    reference_rotations: ArrayLike,
    alpha_deg: ArrayLike,
    dx: ArrayLike,
    dy: ArrayLike,
    mirror: ArrayLike,
) -> tuple[Float64, Float64]:
    """Poses of particles from their matches.

    Parameters
    ----------
    reference_rotations : array_like of shape (n, 3, 3)
        Object to view rotation of the reference that each particle matched.
    alpha_deg : array_like of shape (n,)
        In-plane rotation applied to the particle, degrees.
    dx, dy : array_like of shape (n,)
        Translation applied to the particle after the rotation, pixels.
    mirror : array_like of shape (n,)
        Whether the particle's x was inverted after the translation; 0/1 or bool.

    Returns
    -------
    rotations : ndarray of shape (n, 3, 3), float64
        Object to view rotation of each particle (RELION's matrix A).
    origins_px : ndarray of shape (n, 2), float64
        rlnOriginX, rlnOriginY in pixels: the shift that centres the particle.

    Raises
    ------
    ValueError
        If the arguments do not have the same length.
    """
    references = _rotation_stack(reference_rotations, "reference_rotations")
    n = len(references)
    shifts = np.stack([_column(dx, n, "dx"), _column(dy, n, "dy")], axis=-1)
    mirrored = _column(mirror, n, "mirror") != 0
    in_plane = _in_plane(np.deg2rad(_column(alpha_deg, n, "alpha_deg")))
    flipped = np.where(mirrored[:, None, None], _MIRROR_SIGNS[:, None], 1.0) * references
    rotations = np.swapaxes(in_plane, 1, 2) @ flipped
    origins_px = np.einsum("nji,nj->ni", in_plane[:, :2, :2], shifts)
    return rotations, origins_px


def pose_to_match(
    reference_rotations: ArrayLike, rotations: ArrayLike, origins_px: ArrayLike
) -> tuple[Float64, Float64, Float64, Bool]:
    """Match of each particle's pose with a given reference; inverse of `match_to_pose`.

    Parameters
    ----------
    reference_rotations : array_like of shape (n, 3, 3)
        Object to view rotation of the reference chosen for each particle.
    rotations : array_like of shape (n, 3, 3)
        Object to view rotation of each particle.
    origins_px : array_like of shape (n, 2)
        Shift that centres each particle, pixels, x before y.

    Returns
    -------
    alpha_deg, dx, dy : ndarray of shape (n,), float64
        In-plane rotation in [0, 360) degrees and translation in pixels, to be applied to the
        particle.
    mirror : ndarray of shape (n,), bool
        True where the opposite of the particle's viewing direction is nearer to the reference's.

    Raises
    ------
    ValueError
        If the arguments do not have the same length.

    Notes
    -----
    If the viewing directions differ, alpha is that of the nearest in-plane rotation, the Rz that
    maximises ``trace(Rz^T M3 R_ref A^T)``.
    """
    references = _rotation_stack(reference_rotations, "reference_rotations")
    particles = _rotation_stack(rotations, "rotations")
    origins = real_array(origins_px, "origins_px")
    if len(particles) != len(references) or origins.shape != (len(references), 2):
        raise ValueError(
            f"expected {len(references)} rotations and origins of shape ({len(references)}, 2), "
            f"got {particles.shape} and {origins.shape}"
        )
    relative = references @ np.swapaxes(particles, 1, 2)
    mirror = relative[:, 2, 2] < 0
    relative = np.where(mirror[:, None, None], _MIRROR_SIGNS[:, None], 1.0) * relative
    alpha = np.arctan2(relative[:, 0, 1] - relative[:, 1, 0], relative[:, 0, 0] + relative[:, 1, 1])
    shifts = np.einsum("nij,nj->ni", _in_plane(alpha)[:, :2, :2], origins)
    return np.rad2deg(alpha) % 360.0, shifts[:, 0], shifts[:, 1], mirror


def _in_plane(alpha_rad: Float64) -> Float64:
    """Matrices of EMAN (0, 0, alpha), shape (n, 3, 3)."""
    matrices = np.zeros((len(alpha_rad), 3, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = np.cos(alpha_rad)
    matrices[:, 0, 1] = np.sin(alpha_rad)
    matrices[:, 1, 0] = -matrices[:, 0, 1]
    matrices[:, 2, 2] = 1.0
    return matrices


def _rotation_stack(rotations: ArrayLike, name: str) -> Float64:
    stack = real_array(rotations, name)
    if stack.ndim != 3 or stack.shape[1:] != (3, 3):
        raise ValueError(f"{name}: expected shape (n, 3, 3), got {stack.shape}")
    return stack


def _column(values: ArrayLike, n: int, name: str) -> Float64:
    column = real_array(values, name)
    if column.shape != (n,):
        raise ValueError(f"{name}: expected shape ({n},), got {column.shape}")
    return column
