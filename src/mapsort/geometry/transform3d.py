"""The rigid transform that an alignment of maps yields, in EMAN's sense."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mapsort.array_types import Float64
from mapsort.geometry.euler import matrix_to_eman


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
