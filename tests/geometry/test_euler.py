from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.geometry.euler import (
    eman_to_matrix,
    matrix_to_eman,
    matrix_to_relion,
    relion_to_matrix,
)

angle = st.floats(-720.0, 720.0)
# polar angles on, next to and away from the poles
polar = st.one_of(st.sampled_from([0.0, 180.0, 1e-7, 1e-3, 179.9999]), st.floats(0.0, 180.0))


def test_matrices_of_eman_angles(golden):
    (entry,) = golden.select(lambda e: e["id"] == "transform.matrix")
    golden.check(entry, eman_to_matrix(golden.inputs["euler_eman"]))


def test_matrices_of_relion_angles(golden):
    (entry,) = golden.select(lambda e: e["id"] == "transform.relion_matrix")
    golden.check(entry, relion_to_matrix(golden.inputs["relion_pose"][:, :3]))


def test_relion_pose_in_eman_angles(golden):
    expected = golden.outputs["transform.relion_to_eman"][:, :3]
    ours = matrix_to_eman(relion_to_matrix(golden.inputs["relion_pose"][:, :3]))
    assert np.abs((ours - expected + 180) % 360 - 180).max() < 2e-3


def test_spider_angles_are_relion_angles(golden):
    expected = golden.outputs["transform.to_spider"]
    ours = matrix_to_relion(eman_to_matrix(golden.inputs["euler_eman"]))
    np.testing.assert_allclose(relion_to_matrix(ours), relion_to_matrix(expected), atol=2e-5)
    away = np.abs(np.sin(np.deg2rad(expected[:, 1]))) > 1e-3
    assert away.any()
    assert np.abs((ours - expected + 180) % 360 - 180)[away].max() < 2e-3


def test_decoded_eman_angles(golden):
    expected = golden.outputs["transform.to_eman"]
    ours = matrix_to_eman(eman_to_matrix(golden.inputs["euler_eman"]))
    assert np.abs((ours - expected + 180) % 360 - 180).max() < 2e-3


def test_equivalent_angles_give_one_matrix():
    np.testing.assert_allclose(
        eman_to_matrix([30, 40, 50]), relion_to_matrix([300, 40, 140]), atol=1e-12
    )


@given(angle, polar, angle)
def test_eman_round_trip(az, alt, phi):
    matrix = eman_to_matrix([az, alt, phi])
    decoded = matrix_to_eman(matrix)
    assert 0 <= decoded[0] < 360
    assert 0 <= decoded[2] < 360
    assert 0 <= decoded[1] <= 180
    np.testing.assert_allclose(eman_to_matrix(decoded), matrix, atol=3e-6)


@given(angle, polar, angle)
def test_relion_round_trip(rot, tilt, psi):
    matrix = relion_to_matrix([rot, tilt, psi])
    decoded = matrix_to_relion(matrix)
    assert -180 < decoded[0] <= 180
    assert -180 < decoded[2] <= 180
    np.testing.assert_allclose(relion_to_matrix(decoded), matrix, atol=3e-6)


@given(angle, polar, angle)
def test_single_precision_matrix_decodes_to_itself(az, alt, phi):
    matrix = eman_to_matrix([az, alt, phi]).astype(np.float32)
    np.testing.assert_allclose(eman_to_matrix(matrix_to_eman(matrix)), matrix, atol=3e-6)


@given(angle, polar, angle)
def test_matrices_are_rotations(az, alt, phi):
    matrix = eman_to_matrix([az, alt, phi])
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1.0)


@pytest.mark.parametrize(("alt", "phi"), [(0.0, 75.0), (180.0, 345.0)])
def test_poles_put_everything_into_phi(alt, phi):
    # alt 0: phi = az + phi; alt 180: phi = phi - az
    az, in_plane = (30.0, 45.0) if alt == 0 else (60.0, 45.0)
    np.testing.assert_allclose(
        matrix_to_eman(eman_to_matrix([az, alt, in_plane])), [0.0, alt, phi], atol=1e-9
    )
    assert matrix_to_relion(eman_to_matrix([az, alt, in_plane]))[0] == 0.0


def test_projection_direction_is_third_row():
    az, alt = np.deg2rad(25.0), np.deg2rad(70.0)
    np.testing.assert_allclose(
        eman_to_matrix([25.0, 70.0, 111.0])[2],
        [np.sin(alt) * np.sin(az), -np.sin(alt) * np.cos(az), np.cos(alt)],
        atol=1e-12,
    )


def test_shapes():
    assert eman_to_matrix(np.zeros((0, 3))).shape == (0, 3, 3)
    assert matrix_to_eman(np.zeros((0, 3, 3))).shape == (0, 3)
    assert matrix_to_relion(np.eye(3)).shape == (3,)
    with pytest.raises(ValueError, match="expected shape"):
        eman_to_matrix([1.0, 2.0])
    with pytest.raises(ValueError, match="expected shape"):
        matrix_to_eman(np.eye(2))
