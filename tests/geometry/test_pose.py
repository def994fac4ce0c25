from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapsort.geometry.euler import eman_to_matrix, relion_to_matrix
from mapsort.geometry.pose import match_to_pose, pose_to_match
from mapsort.geometry.transforms import Transform2D

angle = st.floats(0.0, 359.9)
shift = st.floats(-20.0, 20.0)
ATOMS = np.array([[5.0, 1.0, -3.0], [-2.0, 7.0, 4.0], [0.5, -6.0, 8.0], [9.0, 2.0, 1.0]])


def _project(rotation):
    """Where the atoms' projections lie, shape (atoms, 2)."""
    return (ATOMS @ rotation.T)[:, :2]


@given(angle, st.floats(0.0, 180.0), angle, angle, shift, shift, st.booleans())
def test_matched_particle_has_this_pose(az, alt, phi, alpha, dx, dy, mirror):
    reference = eman_to_matrix([az, alt, phi])
    # the particle: atoms lie where the transform takes them onto the reference projection
    particle = Transform2D(alpha, dx, dy, mirror).inverse().apply(_project(reference))
    (rotation,), (origin,) = match_to_pose(reference[None], [alpha], [dx], [dy], [mirror])
    # RELION: moving the particle by its origin gives the centred projection of its rotation
    np.testing.assert_allclose(particle + origin, _project(rotation), atol=1e-9)
    assert np.linalg.det(rotation) == pytest.approx(1.0)


@given(angle, st.floats(0.0, 180.0), angle, angle, shift, shift, st.booleans())
def test_match_round_trip(az, alt, phi, alpha, dx, dy, mirror):
    reference = eman_to_matrix([[az, alt, phi]])
    rotations, origins = match_to_pose(reference, [alpha], [dx], [dy], [mirror])
    alpha_2, dx_2, dy_2, mirror_2 = pose_to_match(reference, rotations, origins)
    assert mirror_2[0] == mirror
    assert abs((alpha_2[0] - alpha + 180) % 360 - 180) < 1e-6
    np.testing.assert_allclose([dx_2[0], dy_2[0]], [dx, dy], atol=1e-9)


@given(angle, st.floats(0.0, 180.0), angle, shift, shift, st.floats(0.0, 8.0), st.booleans())
def test_nearby_reference_gives_nearby_pose(az, alt, phi, ox, oy, off, opposite):
    particle = eman_to_matrix([[az, alt, phi]])
    reference = eman_to_matrix([[0.0, 180.0 * opposite + off, 0.0]]) @ particle
    match = pose_to_match(reference, particle, np.array([[ox, oy]]))
    assert match[3][0] == opposite
    rotations, origins = match_to_pose(reference, *match)
    cosine = (np.trace(rotations[0].T @ particle[0]) - 1) / 2
    assert np.rad2deg(np.arccos(np.clip(cosine, -1, 1))) < off + 1e-4
    np.testing.assert_allclose(origins, [[ox, oy]], atol=1e-9)


def test_relion_pose_matches_eman_transform(golden):
    # the EMAN transform of a RELION pose moves the reference projection onto the raw particle:
    # its translation is the inverse of the origin
    table = golden.inputs["relion_pose"].astype(float)
    expected = golden.outputs["transform.relion_to_eman"]
    rotations = relion_to_matrix(table[:, :3])
    alpha, dx, dy, mirror = pose_to_match(rotations, rotations, table[:, 3:])
    assert not mirror.any()
    np.testing.assert_allclose((alpha + 180) % 360 - 180, 0.0, atol=1e-9)
    np.testing.assert_allclose(np.stack([-dx, -dy], 1), expected[:, 3:5], atol=2e-3)


def test_lengths_must_agree():
    reference = np.eye(3)[None]
    with pytest.raises(ValueError, match="dy"):
        match_to_pose(reference, [0.0], [0.0], [0.0, 1.0], [False])
    with pytest.raises(ValueError, match="reference_rotations"):
        match_to_pose(np.eye(3), [0.0], [0.0], [0.0], [False])
    with pytest.raises(ValueError, match="expected 1 rotations"):
        pose_to_match(reference, np.stack([np.eye(3)] * 2), np.zeros((2, 2)))
