"""Maps come into register whatever was done to them, and in the right hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.geometry.transforms import Transform3D
from mapsort.physics.fourier_projection import FourierProjector
from mapsort.physics.fsc import fsc
from mapsort.physics.image_moves import transform_image
from mapsort.physics.map_symmetry import symmetrize
from mapsort.physics.phantom import phantom_map
from mapsort.stages.map_register import (
    TOGETHER,
    Register,
    _compared,
    _simplex,
    in_common_frame,
    in_register,
    other_hand,
)
from mapsort.stages.subtract import PosedParticles

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


@pytest.mark.parametrize("mirrored", [False, True])
def test_poses_in_register_show_the_same(density, mirrored):
    """A map's image at a pose is that of the map in register at the pose that is told."""
    turn = Rotation.from_rotvec([0.4, -0.9, 0.7]).as_matrix()
    found = Register(Transform3D(turn, [2.0, -1.0, 3.0]), mirrored, 1.0)
    rotations = Rotation.random(5, random_state=1).as_matrix()
    origins = np.random.default_rng(2).uniform(-2, 2, (5, 2))
    before, after = (
        PosedParticles(rotations=turns, origins=shifts, transfer=lambda _: None).images(
            FourierProjector.plan(volume), slice(0, 5)
        )
        for volume, (turns, shifts) in (
            (density, (rotations, origins)),
            (found.applied(density, order=3), found.poses(rotations, origins)),
        )
    )
    # A map that is moved loses its last shells, by splines less than by straight lines.
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.99


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


def test_several_maps_come_into_the_frame_of_the_first(density):
    """A map unlike all others leads none astray."""
    other = phantom_map(1, BOX, APIX)
    noise = np.random.default_rng(0).normal(size=density.shape).astype(np.float32)
    maps = [
        density,
        noise,
        turned(density, (12.0, -9.0, 8.0), (0.8, -0.5, 0.6)),
        other_hand(turned(density, (9.0, 8.0, -11.0))),
        other,
    ]
    found = in_common_frame(maps, [symmetry("c1")] * 5, apix=APIX)
    assert found[0].transform.matrix.tolist() == np.eye(3, 4).tolist()
    assert [item.mirrored for item in found[2:4]] == [False, True]
    placed = [item.applied(volume) for item, volume in zip(found, maps, strict=True)]
    for number in (2, 3):
        assert likeness(placed[number], density) > 0.95
    assert likeness(placed[2], placed[3]) > 0.95


def test_maps_unlike_the_first_come_into_register_with_each_other(density):
    """Where the first is noise."""
    noise = np.random.default_rng(0).normal(size=density.shape).astype(np.float32)
    moved = turned(density, (12.0, -9.0, 8.0), (0.8, -0.5, 0.6))
    maps = [noise, density, moved]
    found = in_common_frame(maps, [symmetry("c1")] * 3, apix=APIX)
    placed = [item.applied(volume) for item, volume in zip(found, maps, strict=True)]
    assert found[1].correlation < TOGETHER < found[2].correlation
    assert likeness(placed[1], placed[2]) > 0.9 > likeness(density, moved)


def test_two_maps_are_registered_as_a_pair(density):
    moved = turned(density, (12.0, -9.0, 8.0))
    pair = in_register(moved, density, C1, apix=APIX)
    first, second = in_common_frame([density, moved], C1, apix=APIX)
    assert not first.mirrored
    assert second.correlation == pair.correlation
    np.testing.assert_array_equal(second.transform.matrix, pair.transform.matrix)


@pytest.mark.parametrize("n_maps", [2, 3, 8])
def test_searches_grow_with_the_number_of_maps(density, n_maps, monkeypatch):
    """Not with that of pairs, of which 40 maps have 780."""
    searched, wide = [], []
    module = "mapsort.stages.map_register"
    unlike = Register(Transform3D(), False, 0.5)
    monkeypatch.setattr(f"{module}._turned_a_little", lambda *_: searched.append(1) or unlike)
    monkeypatch.setattr(f"{module}._searched", lambda *_: wide.append(1) or unlike)
    rng = np.random.default_rng(0)
    maps = [density + rng.normal(size=density.shape).astype(np.float32) for _ in range(n_maps)]
    found = in_common_frame(maps, [symmetry("c1")] * n_maps, apix=APIX)
    assert len(found) == n_maps
    assert len(searched) == 2 * (n_maps - 1) - 1
    assert len(wide) == 2 * (n_maps - 1)
