"""The rigid transform of maps, against plain matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from mapsort.geometry.euler import eman_to_matrix
from mapsort.geometry.transforms import Transform3D

SEEDS = st.integers(0, 2**32 - 1)


def some(seed):
    rng = np.random.default_rng(seed)
    turn = Rotation.random(random_state=rng).as_matrix()
    return Transform3D(rotation=turn, shift=rng.uniform(-9, 9, 3))


@given(SEEDS)
def test_a_point_is_turned_and_then_moved(seed):
    transform = some(seed)
    point = np.random.default_rng(seed + 1).uniform(-20, 20, 3)
    expected = transform.rotation @ point + transform.shift
    np.testing.assert_allclose(transform.apply(point), expected, atol=1e-12)
    homogeneous = transform.matrix @ np.r_[point, 1.0]
    np.testing.assert_allclose(homogeneous, expected, atol=1e-12)


@given(SEEDS)
def test_the_angles_are_those_of_the_rotation(seed):
    transform = some(seed)
    again = eman_to_matrix(np.atleast_2d(transform.angles_deg))[0]
    np.testing.assert_allclose(again, transform.rotation, atol=1e-9)


def test_without_arguments_nothing_moves():
    np.testing.assert_array_equal(Transform3D().apply([1.0, 2.0, 3.0]), [1.0, 2.0, 3.0])


def test_arrays_cannot_be_changed_behind_its_back():
    shift = np.zeros(3)
    transform = Transform3D(shift=shift)
    shift[0] = 5.0
    assert transform.shift[0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        transform.rotation[0, 0] = 2.0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rotation": np.eye(2)}, "expected shapes"),
        ({"shift": np.zeros(2)}, "expected shapes"),
        ({"rotation": 2 * np.eye(3)}, "proper rotation"),
        ({"rotation": np.diag([1.0, 1.0, -1.0])}, "proper rotation"),
        ({"rotation": np.diag([1.0, 1.0, 1.001])}, "proper rotation"),
    ],
)
def test_what_is_no_rigid_transform_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Transform3D(**wrong)


@given(SEEDS)
def test_composition_and_inverse_are_those_of_the_matrices(seed):
    first, second = some(seed), some(seed + 1)
    point = np.random.default_rng(seed + 2).uniform(-20, 20, 3)
    both = second.compose(first)
    np.testing.assert_allclose(both.apply(point), second.apply(first.apply(point)), atol=1e-10)
    np.testing.assert_allclose(first.inverse().apply(first.apply(point)), point, atol=1e-10)
