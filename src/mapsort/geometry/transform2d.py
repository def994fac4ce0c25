"""The in-plane transform that an alignment yields, in EMAN's sense."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mapsort.array_types import Float64


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
