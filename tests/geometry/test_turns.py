"""Angles between orientations, symmetry considered."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry, turns_deg


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 20.0), st.sampled_from(["c1", "c4", "d2", "tet"]))
def test_a_small_turn_and_a_symmetry_copy_are_seen_as_the_turn(seed, angle, name):
    """20 degrees are less than half of the smallest angle between operators of these groups."""
    rng = np.random.default_rng(seed)
    group = symmetry(name)
    before = Rotation.random(3, rng=rng).as_matrix()
    axis = rng.standard_normal((3, 3))
    axis *= angle / np.linalg.norm(axis, axis=1, keepdims=True)
    operator = group.matrices[rng.integers(len(group.matrices))]
    after = Rotation.from_rotvec(axis, degrees=True).as_matrix() @ before @ operator
    np.testing.assert_allclose(turns_deg(before, after, group), angle, atol=1e-5)
