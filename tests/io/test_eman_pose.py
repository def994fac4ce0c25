from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mapsort.geometry.euler import eman_to_matrix, relion_to_matrix
from mapsort.io.eman_tables import eman_from_poses, poses_from_eman

angles = st.tuples(st.floats(-180, 180), st.floats(0, 180), st.floats(-180, 180))
shifts = st.tuples(st.floats(-20, 20), st.floats(-20, 20))
POINTS = np.random.default_rng(3).normal(size=(7, 3))


@given(angles, shifts, st.booleans())
@settings(deadline=None)
def test_a_point_is_seen_at_the_same_place(
    eman: tuple[float, ...], shift: tuple[float, ...], mirrored: bool
) -> None:
    """EMAN2: M (R r + t); RELION: A r - origin; x and y of both must agree for every r."""
    mirror = np.diag([-1.0, 1.0, 1.0]) if mirrored else np.eye(3)
    turn = eman_to_matrix(np.array(eman))
    moved = np.array([*shift, 0.0])
    matrix = mirror @ np.column_stack([turn, moved])
    found, origins = poses_from_eman(matrix[None])
    seen_by_eman = POINTS @ matrix[:, :3].T + matrix[:, 3]
    seen_by_relion = (POINTS @ relion_to_matrix(found[0]).T)[:, :2] - origins[0]
    # Near the poles the decoded angles are good to the square root of a double's precision.
    np.testing.assert_allclose(seen_by_relion, seen_by_eman[:, :2], atol=2e-6)


@given(angles, shifts)
@settings(deadline=None)
def test_round_trip(relion: tuple[float, ...], origin: tuple[float, ...]) -> None:
    matrices = eman_from_poses(np.array([relion]), np.array([origin]))
    found, origins = poses_from_eman(matrices)
    # Angles themselves are not unique at the poles; the rotation is.
    np.testing.assert_allclose(
        relion_to_matrix(found[0]), relion_to_matrix(np.array(relion)), atol=2e-6
    )
    np.testing.assert_allclose(origins[0], origin, atol=1e-12)


@pytest.mark.parametrize("value", [0.0, 0.5, np.nan, np.inf])
def test_not_a_rotation(value: float) -> None:
    good, bad = np.eye(3, 4), np.eye(3, 4)
    bad[1, 1] = value
    with pytest.raises(ValueError, match="transform 1 is not a rotation"):
        poses_from_eman(np.stack([good, bad]))


def test_a_shift_moves_the_projection_and_an_origin_the_particle() -> None:
    """EMAN2 moves the map's projection by (3, -2) pixels; a mirror does so before it mirrors x."""
    matrix = np.eye(3, 4)
    matrix[:, 3] = 3, -2, 7
    turned_over = np.diag([-1.0, 1, 1]) @ matrix
    angles, origins = poses_from_eman(np.stack([matrix, turned_over]))
    np.testing.assert_array_equal(origins, [[-3, 2], [3, 2]])
    view = relion_to_matrix(angles)
    np.testing.assert_allclose(view, [np.eye(3), np.diag([-1.0, 1, -1])], atol=1e-12)
    back = eman_from_poses(angles[:1], origins[:1])
    assert back.shape == (1, 3, 4)
    np.testing.assert_allclose(back[0, :2], matrix[:2], atol=1e-12)
    assert back[0, 2, 3] == 0  # along the beam nothing moves
    assert eman_from_poses(np.zeros((0, 3)), np.zeros((0, 2))).shape == (0, 3, 4)


@pytest.mark.parametrize(("scale", "usable"), [(1.0004, True), (1.0006, False), (0.9996, True)])
def test_a_rotation_may_be_off_by_a_thousandth(scale: float, usable: bool) -> None:
    """In its products: of 1.0004 that is 0.0008, of 1.0006 0.0012."""
    matrices = np.stack([np.eye(3, 4)] * 3)
    matrices[2, :, :3] *= scale
    if usable:
        assert len(poses_from_eman(matrices)[0]) == 3
        return
    with pytest.raises(ValueError, match="transform 2 is not a rotation and a shift"):
        poses_from_eman(matrices)
