"""Euler angles and rotation matrices.

A rotation matrix maps object coordinates to view coordinates, ``x' = R x`` with vectors ordered
x, y, z; its third row is the projection direction in the object's frame.  EMAN's Z-X-Z angles
``(az, alt, phi)`` and RELION's Z-Y-Z angles ``(rot, tilt, psi)`` describe the same matrix::

    rot = az - 90,   tilt = alt,   psi = phi + 90
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from mapsort.array_types import Float64
from mapsort.geometry.arrays import real_array

# Below this sine of the polar angle az and phi cannot be told apart in single precision.
_POLE_SINE = 1e-6


def eman_to_matrix(angles_deg: ArrayLike) -> Float64:
    """Rotation matrices of EMAN Euler angles.

    Parameters
    ----------
    angles_deg : array_like of shape (3,) or (n, 3)
        az, alt, phi in degrees.

    Returns
    -------
    ndarray of shape (3, 3) or (n, 3, 3), float64
        ``R = Rz(phi) Rx(alt) Rz(az)`` in the coordinate-rotation sense, object to view.

    Raises
    ------
    ValueError
        If the last axis does not hold three angles.

    Notes
    -----
    With c = cos, s = sin, a = az, b = alt, g = phi the rows are
    ``[cg ca - cb sa sg, cg sa + cb ca sg, sb sg]``,
    ``[-sg ca - cb sa cg, -sg sa + cb ca cg, sb cg]`` and ``[sb sa, -sb ca, cb]``
    (EMAN2, ``Transform::set_rotation``).

    Examples
    --------
    >>> eman_to_matrix([0.0, 0.0, 90.0]).round(6) + 0.0
    array([[ 0.,  1.,  0.],
           [-1.,  0.,  0.],
           [ 0.,  0.,  1.]])
    """
    angles = _angle_rows(angles_deg)
    cos, sin = np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles))
    ca, cb, cg = np.moveaxis(cos, -1, 0)
    sa, sb, sg = np.moveaxis(sin, -1, 0)
    rows = [
        [cg * ca - cb * sa * sg, cg * sa + cb * ca * sg, sb * sg],
        [-sg * ca - cb * sa * cg, -sg * sa + cb * ca * cg, sb * cg],
        [sb * sa, -sb * ca, cb],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def matrix_to_eman(matrices: ArrayLike) -> Float64:
    """EMAN Euler angles of rotation matrices.

    Parameters
    ----------
    matrices : array_like of shape (3, 3) or (n, 3, 3)
        Proper rotations, object to view.

    Returns
    -------
    ndarray of shape (3,) or (n, 3), float64
        az and phi in [0, 360), alt in [0, 180], degrees.  At alt 0 and 180 az is 0 and phi holds
        the whole in-plane rotation, as in EMAN2.

    Raises
    ------
    ValueError
        If the last two axes are not (3, 3).
    """
    az, alt, phi = _decode(_matrix_stack(matrices), pole_az_deg=0.0)
    return np.stack([_positive_turn(az), alt, _positive_turn(phi)], axis=-1)


def relion_to_matrix(angles_deg: ArrayLike) -> Float64:
    """Rotation matrices of RELION Euler angles.

    Parameters
    ----------
    angles_deg : array_like of shape (3,) or (n, 3)
        rot, tilt, psi in degrees (rlnAngleRot, rlnAngleTilt, rlnAnglePsi).

    Returns
    -------
    ndarray of shape (3, 3) or (n, 3, 3), float64
        RELION's matrix A, object to view.  It equals the EMAN matrix of
        ``(rot + 90, tilt, psi - 90)`` element by element.

    Raises
    ------
    ValueError
        If the last axis does not hold three angles.

    References
    ----------
    Heymann, Chagoyen, Belnap (2005), J. Struct. Biol. 151, 196 (the 3DEM convention),
    doi:10.1016/j.jsb.2005.06.001
    """
    return eman_to_matrix(_angle_rows(angles_deg) + np.array([90.0, 0.0, -90.0]))


def matrix_to_relion(matrices: ArrayLike) -> Float64:
    """RELION Euler angles of rotation matrices.

    Parameters
    ----------
    matrices : array_like of shape (3, 3) or (n, 3, 3)
        Proper rotations, object to view.

    Returns
    -------
    ndarray of shape (3,) or (n, 3), float64
        rot and psi in (-180, 180], tilt in [0, 180], degrees.  At tilt 0 and 180 rot is 0.

    Raises
    ------
    ValueError
        If the last two axes are not (3, 3).
    """
    az, tilt, phi = _decode(_matrix_stack(matrices), pole_az_deg=90.0)
    return np.stack([_signed_turn(az - 90.0), tilt, _signed_turn(phi + 90.0)], axis=-1)


def _decode(matrices: Float64, *, pole_az_deg: float) -> tuple[Float64, Float64, Float64]:
    m = matrices
    sine = np.hypot(m[..., 2, 0], m[..., 2, 1])
    at_pole = sine < _POLE_SINE
    az = np.where(at_pole, np.deg2rad(pole_az_deg), np.arctan2(m[..., 2, 0], -m[..., 2, 1]))
    alt = np.where(at_pole, np.where(m[..., 2, 2] > 0, 0.0, np.pi), np.arctan2(sine, m[..., 2, 2]))
    # R (cos az, sin az, 0) = (cos phi, -sin phi, 0): unlike the third column this does not
    # lose accuracy towards the poles, and it stays consistent with the az found above.
    ca, sa = np.cos(az), np.sin(az)
    phi = np.arctan2(
        -(m[..., 1, 0] * ca + m[..., 1, 1] * sa), m[..., 0, 0] * ca + m[..., 0, 1] * sa
    )
    return np.rad2deg(az), np.rad2deg(alt), np.rad2deg(phi)


def _positive_turn(angle_deg: Float64) -> Float64:
    turned = np.mod(angle_deg, 360.0)
    # np.mod of a tiny negative number rounds up to the modulus itself
    return np.where(turned >= 360.0, 0.0, turned)


def _signed_turn(angle_deg: Float64) -> Float64:
    return 180.0 - _positive_turn(180.0 - angle_deg)


def _angle_rows(angles_deg: ArrayLike) -> Float64:
    angles = real_array(angles_deg, "angles_deg")
    if angles.ndim not in (1, 2) or angles.shape[-1] != 3:
        raise ValueError(f"angles_deg: expected shape (3,) or (n, 3), got {angles.shape}")
    return angles


def _matrix_stack(matrices: ArrayLike) -> Float64:
    stack = real_array(matrices, "matrices")
    if stack.ndim not in (2, 3) or stack.shape[-2:] != (3, 3):
        raise ValueError(f"matrices: expected shape (3, 3) or (n, 3, 3), got {stack.shape}")
    return stack
