"""The transforms that alignments of images and of maps yield, in EMAN's sense."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mapsort.array_types import Float64
from mapsort.geometry.euler import matrix_to_eman


@dataclass(frozen=True)
class Transform2D:
    """Rotation, then translation, then mirror of x, about the image centre ``n//2``.

    A point x (relative to the centre, order x, y) goes to ``M (R x + t)`` with
    ``R = [[cos, sin], [-sin, cos]]`` and ``M = diag(-1, 1)`` if mirrored: the content turns
    clockwise when y points up, and the translation is the one before mirroring.

    Attributes
    ----------
    alpha : float
        Rotation in degrees.
    tx, ty : float
        Translation in pixels.
    mirror : bool
        Whether x is inverted at the end.

    Examples
    --------
    >>> Transform2D(90.0).apply([6.0, 0.0]).round(6) + 0.0
    array([ 0., -6.])
    >>> Transform2D(tx=2.0, ty=3.0, mirror=True).apply([6.0, 0.0])
    array([-8.,  3.])
    """

    alpha: float = 0.0
    tx: float = 0.0
    ty: float = 0.0
    mirror: bool = False

    @classmethod
    def from_matrix(cls, matrix: ArrayLike) -> Transform2D:
        """Factorise a rigid 2 x 3 matrix ``[M R | M t]``, shift in pixels; alpha is in [0, 360).

        Raises
        ------
        ValueError
            If the shape is not (2, 3) or the 2 x 2 part is not orthogonal (to 1e-4).
        """
        rows = np.array(matrix, dtype=np.float64)
        if rows.shape != (2, 3):
            raise ValueError(f"matrix: expected shape (2, 3), got {rows.shape}")
        rotation = rows[:, :2]
        if not np.allclose(rotation @ rotation.T, np.eye(2), atol=1e-4):
            raise ValueError("matrix: expected a rotation or mirrored rotation without scale")
        mirror = bool(np.linalg.det(rotation) < 0)
        if mirror:
            rows[0] *= -1.0
        alpha = float(np.rad2deg(np.arctan2(rows[0, 1], rows[0, 0])) % 360.0)
        return cls(alpha, float(rows[0, 2]), float(rows[1, 2]), mirror)

    @property
    def matrix(self) -> Float64:
        """The transform as a matrix ``[M R | M t]`` of shape (2, 3), float64, x before y."""
        angle = np.deg2rad(self.alpha)
        c, s = np.cos(angle), np.sin(angle)
        rows = np.array([[c, s, self.tx], [-s, c, self.ty]])
        if self.mirror:
            rows[0] *= -1.0
        return rows

    def apply(self, points: ArrayLike) -> Float64:
        """Move points (..., 2): x, y in pixels relative to the image centre.

        Raises
        ------
        ValueError
            If the last axis does not hold two coordinates.
        """
        xy = np.asarray(points, dtype=np.float64)
        if xy.ndim == 0 or xy.shape[-1] != 2:
            raise ValueError(f"points: expected shape (..., 2), got {xy.shape}")
        matrix = self.matrix
        return np.asarray(xy @ matrix[:, :2].T + matrix[:, 2])

    def compose(self, first: Transform2D) -> Transform2D:
        """Return the transform that applies `first` and then this one (EMAN's ``self * first``)."""
        outer, inner = self.matrix, first.matrix
        product = outer[:, :2] @ inner
        product[:, 2] += outer[:, 2]
        return Transform2D.from_matrix(product)

    def inverse(self) -> Transform2D:
        """Return the inverse; alpha and mirror stay the same if this one is mirrored."""
        matrix = self.matrix
        back = matrix[:, :2].T
        return Transform2D.from_matrix(np.column_stack([back, -back @ matrix[:, 2]]))


@dataclass(frozen=True, eq=False)
class Transform3D:
    """Rotation, then translation, about the map's centre ``n//2``.

    A point x (relative to the centre, order x, y, z) goes to ``R x + t``.

    Attributes
    ----------
    rotation : ndarray of shape (3, 3), float64
        Proper rotation R.
    shift : ndarray of shape (3,), float64
        Translation t, order x, y, z, pixels.

    Raises
    ------
    ValueError
        If the rotation is not a proper rotation (to 1e-4) or a shape is wrong.

    Examples
    --------
    >>> Transform3D(shift=[1.0, 0.0, 0.0]).apply([0.0, 2.0, 0.0])
    array([1., 2., 0.])
    """

    rotation: Float64 = field(default_factory=lambda: np.eye(3))
    shift: Float64 = field(default_factory=lambda: np.zeros(3))

    def __post_init__(self) -> None:
        rotation = np.array(self.rotation, dtype=np.float64)
        shift = np.array(self.shift, dtype=np.float64)
        if rotation.shape != (3, 3) or shift.shape != (3,):
            raise ValueError(f"expected shapes (3, 3) and (3,): {rotation.shape}, {shift.shape}")
        proper = np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-4)
        if not proper or np.linalg.det(rotation) < 0:
            raise ValueError("rotation: expected a proper rotation matrix")
        for array in (rotation, shift):
            array.flags.writeable = False
        object.__setattr__(self, "rotation", rotation)
        object.__setattr__(self, "shift", shift)

    @property
    def matrix(self) -> Float64:
        """The transform as ``[R | t]`` of shape (3, 4), float64."""
        return np.column_stack([self.rotation, self.shift])

    @property
    def angles_deg(self) -> Float64:
        """EMAN's az, alt, phi of the rotation, degrees."""
        return matrix_to_eman(self.rotation)

    def apply(self, points: ArrayLike) -> Float64:
        """Move points of shape (..., 3), order x, y, z, in pixels relative to the centre."""
        return np.asarray(np.asarray(points, dtype=np.float64) @ self.rotation.T + self.shift)

    def compose(self, first: Transform3D) -> Transform3D:
        """Return the transform that applies `first` and then this one."""
        return Transform3D(self.rotation @ first.rotation, self.apply(first.shift))

    def inverse(self) -> Transform3D:
        """Return the inverse."""
        return Transform3D(self.rotation.T, -(self.rotation.T @ self.shift))
