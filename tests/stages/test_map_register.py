"""Maps come into register whatever was done to them, and in the right hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.geometry.transform3d import Transform3D
from mapsort.physics.fsc import fsc
from mapsort.physics.image_moves import transform_image
from mapsort.physics.phantom import phantom_map
from mapsort.physics.symmetrize import symmetrize
from mapsort.stages.map_register import _compared, _simplex, in_register, other_hand

BOX, APIX = 32, 4.0
C1 = (symmetry("c1"),) * 2


@pytest.fixture(scope="module")
def density():
    return phantom_map(0, BOX, APIX)


def turned(volume, degrees, shift=(0.0, 0.0, 0.0)):
    rotation = Rotation.from_rotvec(np.deg2rad(degrees)).as_matrix()
    return transform_image(volume, Transform3D(rotation, shift).matrix)


def likeness(volume, fixed):
    """Mean FSC over the shells that hold the molecule's shape."""
    return float(fsc(volume, fixed)[1:9].mean())


@pytest.mark.parametrize("box", [31, 32])
def test_the_other_hand_is_the_mirror_image_about_the_centre(box):
    volume = np.random.default_rng(0).standard_normal((box,) * 3).astype(np.float32)
    mirrored = other_hand(volume)
    np.testing.assert_array_equal(mirrored[box // 2 + 3], volume[box // 2 - 3])
    np.testing.assert_array_equal(mirrored[box // 2], volume[box // 2])
    np.testing.assert_array_equal(other_hand(mirrored), volume)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_small_turn_and_either_hand(density, mirrored):
    moved = turned(density, (12.0, -9.0, 8.0), (0.8, -0.5, 0.6))
    moved = other_hand(moved) if mirrored else moved
    found = in_register(moved, density, C1, apix=APIX)
    assert found.mirrored is mirrored
    assert found.correlation > 0.98
    # Moving twice interpolates twice; that costs the outer shells.
    assert likeness(found.applied(moved), density) > 0.95
    assert likeness(found.applied(moved), density) > likeness(moved, density)


@pytest.mark.slow
@pytest.mark.parametrize("mirrored", [False, True])
def test_any_turn_and_either_hand(density, mirrored):
    moved = turned(density, (70.0, -80.0, 60.0), (1.0, 1.0, -1.0))
    moved = other_hand(moved) if mirrored else moved
    found = in_register(moved, density, C1, apix=APIX)
    assert found.mirrored is mirrored
    assert likeness(found.applied(moved), density) > 0.9


def test_a_map_in_place_stays_as_it_is(density):
    found = in_register(density, density, C1, apix=APIX)
    assert not found.mirrored
    assert found.correlation > 0.999
    assert likeness(found.applied(density), density) > 0.99


def test_cyclic_maps_turn_about_their_axis_only(density):
    group = symmetry("c3")
    volume = symmetrize(density, group)
    moved = turned(volume, (0.0, 0.0, 20.0), (0.0, 0.0, 1.0))
    found = in_register(moved, volume, (group, group), apix=APIX)
    np.testing.assert_allclose(found.transform.rotation[2], [0, 0, 1], atol=1e-9)
    np.testing.assert_allclose(found.transform.shift[:2], 0, atol=1e-9)
    assert likeness(found.applied(moved), volume) > 0.95


def test_dihedral_maps_are_only_mirrored(density):
    group = symmetry("d3")
    volume = symmetrize(density, group)
    for mirrored in (False, True):
        moved = other_hand(volume) if mirrored else volume
        found = in_register(moved, volume, (group, group), apix=APIX)
        np.testing.assert_array_equal(found.transform.matrix, np.eye(3, 4))
        assert found.mirrored is mirrored
        np.testing.assert_array_equal(found.applied(moved), volume)


def test_maps_are_compared_smooth_and_small(density):
    """Low-passed to 20 A (1/e there), at no more than 24 pixels."""
    found = _compared(density, 24, APIX)
    assert found.shape == (24,) * 3
    spectrum, before = (np.fft.rfftn(volume) for volume in (found, density))
    for k in (1, 3, 5):
        # frequency k of 128 A; the box shrinks, densities stay
        expected = np.exp(-((k * 20.0 / 128) ** 2)) * abs(before[0, 0, k]) * (24 / 32) ** 3
        assert abs(spectrum[0, 0, k]) == pytest.approx(expected, rel=1e-3)
    whole = _compared(density, BOX, APIX)
    assert whole.shape == density.shape
    assert abs(np.fft.rfftn(whole)[0, 0, 4]) == pytest.approx(
        np.exp(-((4 * 20.0 / 128) ** 2)) * abs(before[0, 0, 4]), rel=1e-3
    )


@pytest.mark.parametrize(
    ("names", "step_px", "step_deg"),
    [
        (("c1", "c1"), (1, 1, 1), (6, 6, 6)),
        (("c3", "c1"), (0, 0, 1), (0, 0, 6)),
        (("c4", "c4"), (0, 0, 1), (0, 0, 6)),
        (("d2", "c1"), (0, 0, 0), (0, 0, 0)),
        (("c1", "tet"), (0, 0, 0), (0, 0, 0)),
    ],
)
def test_symmetry_leaves_less_freedom(names, step_px, step_deg):
    found = _simplex(tuple(symmetry(name) for name in names))
    assert (found.step_px, found.step_deg) == (step_px, step_deg)
