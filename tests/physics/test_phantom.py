"""The phantom: density and projections agree, and the conformations are what they should be."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.errors import ConfigError
from mapsort.geometry.euler import relion_to_matrix
from mapsort.physics.phantom import MAX_STATES, RADIUS_ANG, phantom_map, phantom_slice

ANGLES = [(0, 0, 0), (35, 70, -20), (-120, 135, 80), (10, 180, 0)]


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize(("box", "apix"), [(64, 2.0), (65, 2.0), (48, 3.0)])
def test_slice_is_the_transform_of_the_summed_map(box, apix):
    image = phantom_map(1, box, apix).astype(float).sum(axis=0)
    expected = np.fft.rfft2(np.fft.ifftshift(image))
    assert relative(phantom_slice(1, box, apix, np.eye(3))[0], expected) < 1e-4


@pytest.mark.parametrize("angles", ANGLES)
def test_slice_of_any_rotation_is_the_transform_of_the_map(angles):
    """Against a direct Fourier sum over the voxels, for some frequencies of the slice."""
    box, apix = 64, 2.0
    rotation = relion_to_matrix(angles)
    volume = phantom_map(0, box, apix).astype(float)
    row, column = np.array([0, 3, 60, 17, 50]), np.array([0, 2, 5, 9, 14])
    frequency = np.stack([column / box, np.fft.fftfreq(box)[row], np.zeros(5)], axis=1) @ rotation
    axis = np.arange(box) - box // 2
    expected = [
        np.einsum(
            "zyx,z,y,x->",
            volume,
            np.exp(-2j * np.pi * fz * axis),
            np.exp(-2j * np.pi * fy * axis),
            np.exp(-2j * np.pi * fx * axis),
            optimize=True,
        )
        for fx, fy, fz in frequency
    ]
    found = phantom_slice(0, box, apix, rotation)[0, row, column]
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected[0]))


def test_several_rotations_are_several_slices():
    rotations = relion_to_matrix(np.array(ANGLES, float))
    together = phantom_slice(0, 64, 2.0, rotations)
    assert together.shape == (4, 64, 33)
    assert together.dtype == np.complex64
    for index, rotation in enumerate(rotations):
        np.testing.assert_array_equal(together[index], phantom_slice(0, 64, 2.0, rotation)[0])


def test_neighbouring_conformations_are_alike_and_not_the_same():
    volumes = [phantom_map(state, 64, 2.0).ravel() for state in range(3)]
    correlation = np.corrcoef(volumes)
    assert 0.7 < correlation[0, 1] < 0.85
    assert 0.7 < correlation[1, 2] < 0.85
    assert correlation[0, 2] < correlation[0, 1]


@pytest.mark.parametrize("state", range(MAX_STATES))
def test_every_conformation_fits_its_radius(state):
    volume = phantom_map(state, 64, 2.0)
    axis = np.arange(64) - 32
    radius = np.sqrt(sum(np.meshgrid(axis**2, axis**2, axis**2)))
    assert volume[radius * 2.0 > RADIUS_ANG].sum() < 1e-3 * volume.sum()
    assert RADIUS_ANG / 2.0 <= 0.35 * 64


def test_it_has_a_hand_and_no_symmetry():
    volume = phantom_map(0, 65, 2.0)
    mirrored = [np.flip(volume, axes) for axes in [0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2)]]
    assert max(np.corrcoef(volume.ravel(), m.ravel())[0, 1] for m in mirrored) < 0.8


def test_what_does_not_fit_or_exist_is_refused():
    with pytest.raises(ConfigError, match="too small"):
        phantom_map(0, 32, 2.0)
    with pytest.raises(ConfigError, match="state 8"):
        phantom_map(MAX_STATES, 64, 2.0)
