"""Continuous poses as matches with the nearest projections: the classes that they belong to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mapsort.geometry.nearest_views import NearestViews
from mapsort.geometry.pose import pose_to_match
from mapsort.geometry.symmetry import Symmetry
from mapsort.model.matches import Matches
from mapsort.model.poses import Poses
from mapsort.model.references import References


def nearest_references(
    poses: Poses, references: References, symmetries: Sequence[Symmetry]
) -> Matches:
    """Return each pose (n, k) as a match with the projection whose view is nearest, in their order.

    V(S x) = V(x): R and R S are the same pose, and the nearest is sought among all mates; a view
    and its opposite are mirror images. The in-plane angle is the nearest one, the score the pose's,
    the quality what the score allows for: sqrt(2 score).
    """
    n, k = poses.model.shape
    columns = [_column(poses, column, references, symmetries) for column in range(k)]
    if not columns:
        raise ValueError("poses: expected at least one column")
    return Matches(
        reference=np.stack([c[0] for c in columns], axis=1).astype(np.int32).reshape(n, k),
        score=poses.score.astype(np.float32),
        quality=np.sqrt(2.0 * np.maximum(poses.score, 0.0)).astype(np.float32),
        alpha=np.stack([c[1] for c in columns], axis=1).astype(np.float32),
        dx=np.stack([c[2] for c in columns], axis=1).astype(np.float32),
        dy=np.stack([c[3] for c in columns], axis=1).astype(np.float32),
        mirror=np.stack([c[4] for c in columns], axis=1).astype(np.int32),
    )


def _column(
    poses: Poses, column: int, references: References, symmetries: Sequence[Symmetry]
) -> tuple[npt.NDArray[np.generic], ...]:
    """Return reference, alpha, dx, dy and mirror of one column, (n,) each."""
    model = poses.model[:, column]
    reference = np.full(len(poses), -1, dtype=np.int64)
    rotation = poses.rotation[:, column].copy()
    every = references.rotations
    for m, group in enumerate(symmetries):
        block = references.block(m)
        rows = np.flatnonzero(model == m)
        number, operator = NearestViews(every[block, 2], group).nearest(rotation[rows, 2])
        reference[rows] = number + block.start
        rotation[rows] = rotation[rows] @ group.matrices[operator]
    there = np.maximum(reference, 0)
    alpha, dx, dy, mirror = pose_to_match(every[there], rotation, poses.origin[:, column])
    return reference, alpha, dx, dy, mirror
