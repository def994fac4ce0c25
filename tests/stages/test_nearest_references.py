"""Poses become matches with the nearest projections, and back."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.model.poses import Poses
from mapsort.model.references import References
from mapsort.modules.orientgen import orientations
from mapsort.stages.search.nearest_references import nearest_references

N = 60


def problem(names):
    groups = [symmetry(name) for name in names]
    references = References.of_models([orientations("eman:delta=12", g) for g in groups])
    rng = np.random.default_rng(1)
    k = len(names)
    rotation = Rotation.random(N * k, rng=rng).as_matrix().reshape(N, k, 3, 3)
    model = np.tile(np.arange(k, dtype=np.int32), (N, 1))
    poses = Poses(model, rotation, rng.normal(0, 2, (N, k, 2)), np.ones((N, k), np.float32))
    return groups, references, poses


@pytest.mark.parametrize("names", [("c1",), ("d7", "c1"), ("tet", "c4", "d2")])
def test_the_match_is_with_the_nearest_view_of_its_own_map(names):
    groups, references, poses = problem(names)
    matches = nearest_references(poses, references, groups)
    for column, group in enumerate(groups):
        assert np.all(references.model[matches.reference[:, column]] == column)
        found, origins = matches.poses(references, column)
        np.testing.assert_allclose(origins, poses.origin[:, column], atol=1e-5)
        best = np.full(N, -1.0)
        for operator in group.matrices:
            mates = poses.rotation[:, column] @ operator
            best = np.maximum(best, np.einsum("nij,nij->n", found, mates) / 2 - 0.5)
        # Views are 12 degrees apart at most, so one lies within 8.5 of any pose, and the nearest
        # in-plane angle adds no more.
        assert np.rad2deg(np.arccos(np.clip(best, -1, 1))).max() < 9.0


def test_a_pose_of_a_projection_is_that_projection():
    group, references = symmetry("c1"), References.of_models([orientations("eman:delta=20", "c1")])
    n = len(references)
    poses = Poses(
        np.zeros((n, 1), np.int32),
        references.rotations[:, None].copy(),
        np.zeros((n, 1, 2)),
        np.full((n, 1), 8.0, np.float32),
    )
    matches = nearest_references(poses, references, [group])
    np.testing.assert_array_equal(matches.reference[:, 0], np.arange(n))
    np.testing.assert_allclose(np.cos(np.deg2rad(matches.alpha)), 1.0, atol=1e-6)
    np.testing.assert_allclose(matches.quality, 4.0)


def test_no_other_view_is_nearer():
    """By brute force over all views and mates; a view and its opposite are as near."""
    groups, references, poses = problem(("d2", "c1"))
    poses.model[5, 0] = -1
    poses.score[7, 1], poses.score[8, 1] = -3.0, 4.5
    matches = nearest_references(poses, references, groups)
    assert matches.reference[5, 0] == -1
    assert (matches.quality[7, 1], matches.quality[8, 1]) == (0, 3)
    np.testing.assert_array_equal(matches.score, poses.score)
    for column, group in enumerate(groups):
        own = references.rotations[references.block(column)][:, 2]
        for row in np.delete(np.arange(N), 5):
            mates = (poses.rotation[row, column] @ group.matrices)[:, 2]
            closeness = np.abs(mates @ own.T).max(axis=0)
            found = matches.reference[row, column] - references.block(column).start
            assert closeness[found] == pytest.approx(closeness.max(), abs=1e-8)
    with pytest.raises(ValueError, match="poses: expected at least one column"):
        nearest_references(
            Poses(*(np.zeros((N, 0, *rest)) for rest in ((), (3, 3), (2,), ()))), references, groups
        )
