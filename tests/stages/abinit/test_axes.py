"""Symmetry after the search, against maps that are known to have it, or not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, shift
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.physics.image_moves import transform_image
from mapsort.physics.map_symmetry import check_symmetry, symmetrize
from mapsort.stages.abinit.axes import on_axes
from mapsort.stages.abinit.search import FoundMaps

BOX = 32


def blobs(seed):
    """Some of them within the sphere, nothing of them symmetric."""
    rng = np.random.default_rng(seed)
    line = np.arange(BOX) - BOX // 2
    near = line[:, None, None] ** 2 + line[:, None] ** 2 + line**2 < (0.3 * BOX) ** 2
    made = gaussian_filter(rng.standard_normal((BOX,) * 3) * near, 1.8)
    return np.asarray(np.maximum(made, 0), np.float32)


def found_of(maps, number, rotations, origins):
    share = np.bincount(number, minlength=len(maps)) / len(number)
    none, junk = np.zeros((9, len(maps))), np.zeros(len(number))
    return FoundMaps(maps, 8, none, share, {}, "1", 5.0, 0.1, number, rotations, origins, junk)


def image(volume, rotation, origin):
    """Return a particle's image: the view of the map, off the centre by minus the origin."""
    view = transform_image(volume, np.hstack([rotation, np.zeros((3, 1))]), order=3).sum(axis=0)
    return shift(view, -origin[::-1], order=3)


@pytest.mark.parametrize("name", ["c3", "d2"])
def test_a_map_comes_to_the_usual_axes_and_its_particles_with_it(name):
    group = symmetry(name)
    right = symmetrize(blobs(1), group)
    turn = Rotation.from_rotvec([0.4, -0.9, 0.5]).as_matrix()
    moved = transform_image(right, np.hstack([turn, [[0.5], [-0.4], [0.3]]]), order=3)
    maps = np.stack([moved, blobs(2)])
    rotations = Rotation.random(8, random_state=3).as_matrix()
    origins = np.random.default_rng(4).uniform(-2, 2, (8, 2))
    number = np.arange(8) % 2
    before = found_of(maps, number, rotations, origins)
    found, against = on_axes(before, group)

    assert check_symmetry(moved, group).agreement < 0.7
    assert check_symmetry(found.maps[0], group).agreement > 0.99
    for particle in np.flatnonzero(number == 0):
        own, other = (
            image(item.maps[0], item.rotations[particle], item.origins[particle])
            for item in (before, found)
        )
        assert np.corrcoef(own.ravel(), other.ravel())[0, 1] > 0.97
    # the other map has no symmetry: nothing of it changes
    assert against == (against[0],)
    assert against[0].startswith(f"map 2 has no symmetry {name}")
    np.testing.assert_array_equal(found.maps[1], maps[1])
    np.testing.assert_array_equal(found.rotations[number == 1], rotations[number == 1])
    np.testing.assert_array_equal(found.origins[number == 1], origins[number == 1])
