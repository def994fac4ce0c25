"""Whether two starts found the same map, of which views differ by its own symmetry."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from tests.stages.abinit.test_axes import blobs

from mapsort.geometry.symmetry import symmetry
from mapsort.physics.image_moves import transform_image
from mapsort.physics.map_symmetry import symmetrize
from mapsort.stages.abinit.agreement import MIRROR
from mapsort.stages.abinit.rivals import Rival, turns_onto_itself
from mapsort.stages.map_register import other_hand

COUNT, RINGS = 300, 8


def moved(volume, turn, rng, part=0.01):
    """Return the map turned and off the centre, with noise."""
    there = transform_image(volume, np.hstack([turn, [[0.5], [-0.4], [0.3]]]), order=3)
    return (there + part * there.max() * rng.standard_normal(there.shape)).astype(np.float32)


def two_starts(volume, group, *, mirrored, wrong_part=0.0, error_deg=4.0):
    """Return maps and views of two starts, each of whose views is any of those of a symmetry."""
    rng = np.random.default_rng(7)
    true = Rotation.from_quat(rng.standard_normal((COUNT, 4))).as_matrix()
    maps, views = [], []
    for start in range(2):
        turn = Rotation.from_quat(rng.standard_normal(4)).as_matrix()
        off = Rotation.from_rotvec(np.deg2rad(error_deg) * rng.standard_normal((COUNT, 3)))
        own = true @ group.matrices[rng.integers(0, group.order, COUNT)] @ turn.T @ off.as_matrix()
        wrong = rng.random(COUNT) < wrong_part
        own[wrong] = Rotation.from_quat(rng.standard_normal((wrong.sum(), 4))).as_matrix()
        there = moved(volume, turn, rng)
        if start and mirrored:
            there, own = other_hand(there), MIRROR @ own @ MIRROR
        maps.append(there)
        views.append(own)
    return tuple(maps), tuple(views)


@pytest.mark.parametrize(
    ("name", "mirrored"),
    [("c2", True), ("c5", False), ("d2", True), ("d7", False), ("tet", True), ("oct", False)],
)
def test_starts_that_differ_by_the_map_s_own_symmetry_are_the_same(name, mirrored):
    group = symmetry(name)
    starts = two_starts(symmetrize(blobs(1), group), group, mirrored=mirrored, wrong_part=0.1)
    found = turns_onto_itself(*starts, RINGS)
    assert found is not None
    assert 0.9 * group.order < len(found.turns) <= group.order
    assert found.group == name
    assert found.apart_deg < 10.0


def test_one_map_without_symmetry_has_one_turn():
    starts = two_starts(blobs(1), symmetry("c1"), mirrored=False)
    found = turns_onto_itself(*starts, RINGS)
    assert found is not None
    assert len(found.turns) == 1
    assert found.group is None


def test_views_without_order_are_no_symmetry():
    """The maps are the same, yet particles lie anywhere: they do not tell their views."""
    starts = two_starts(blobs(1), symmetry("c1"), mirrored=False, wrong_part=0.7)
    assert turns_onto_itself(*starts, RINGS) is None


def test_other_maps_are_not_the_same_whatever_their_views():
    group = symmetry("d2")
    maps, views = two_starts(symmetrize(blobs(1), group), group, mirrored=False)
    other = two_starts(symmetrize(blobs(2), group), group, mirrored=False)[0][1]
    assert turns_onto_itself((maps[0], other), views, RINGS) is None


def test_a_start_whose_views_differ_by_symmetry_does_not_disagree():
    assert Rival(0.1, 0.2, 70.0, 8).differs
    same = Rival(0.1, 0.2, 3.0, 8, turns=14, symmetry="d7")
    assert not same.differs
    assert same.words.endswith("views 3 degrees apart up to 14 turns of the map onto itself")
