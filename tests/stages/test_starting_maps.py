"""Starting maps made of one."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from mapsort.geometry.transforms import Transform3D
from mapsort.physics.image_moves import transform_image
from mapsort.physics.phantom import phantom_map
from mapsort.stages.map_register import Register, other_hand
from mapsort.stages.seeds import random_phases, without_segments


def test_phases_change_from_the_first_frequency_beyond_50_ang():
    """A box of 32 pixels of 8 A: frequency 5 is 51.2 A, frequency 6 is 42.7 A."""
    volume = phantom_map(0, 32, 8.0)
    (seed,) = random_phases(volume, 1, 8.0, np.random.default_rng(13))
    before, after = scipy.fft.rfftn(volume), scipy.fft.rfftn(seed)
    k = np.fft.fftfreq(32, 1 / 32)
    radius = np.sqrt(k[:, None, None] ** 2 + k[:, None] ** 2 + np.arange(17) ** 2)
    kept = radius <= 256 / 50
    scale = np.abs(before).max()
    np.testing.assert_allclose(after[kept], before[kept], atol=1e-5 * scale)
    changed = (radius > 256 / 50) & (np.abs(before) > 1e-3 * scale)
    turned = np.abs(np.angle(after[changed] / before[changed]))
    assert np.mean(turned > 0.1) > 0.9
    np.testing.assert_allclose(np.abs(after[changed]), np.abs(before[changed]), rtol=0.01)


def test_only_density_of_the_molecule_is_cut_into_segments():
    """Two strong blobs are a segment each; a weak one, of 0.14 of the highest, is of none."""
    axis = np.arange(24)

    def blob(x, y, z, height):
        square = (axis[:, None, None] - z) ** 2 + (axis[:, None] - y) ** 2 + (axis - x) ** 2
        return height * np.exp(-square / (2 * 1.5**2))

    volume = (blob(6, 6, 6, 1.0) + blob(17, 17, 17, 0.9) + blob(6, 18, 6, 0.14)).astype(np.float32)
    seeds = without_segments(volume, 2, np.random.default_rng(14))
    left = {tuple(np.round(seed[[6, 17, 6], [6, 17, 18], [6, 17, 6]], 2)) for seed in seeds}
    whole = volume[[6, 17, 6], [6, 17, 18], [6, 17, 6]]
    strong = sorted(left, key=lambda heights: heights[0])
    assert strong[0][0] < 0.1
    assert strong[0][1] == pytest.approx(whole[1], abs=0.01)
    assert strong[1][0] == pytest.approx(whole[0], abs=0.01)
    assert strong[1][1] < 0.1
    for heights in strong:
        assert heights[2] == pytest.approx(0.14, abs=0.01)


def test_a_map_is_mirrored_before_it_is_moved():
    volume = np.random.default_rng(15).standard_normal((9, 9, 9)).astype(np.float32)
    moved = Transform3D(shift=(2.0, 0.0, -1.0))
    found = Register(moved, True, 1.0).applied(volume)
    np.testing.assert_allclose(found, transform_image(other_hand(volume), moved.matrix))
    plain = Register(moved, False, 1.0).applied(volume)
    np.testing.assert_allclose(plain, transform_image(volume, moved.matrix))
    still = Register(Transform3D(), False, 1.0)
    assert still.applied(volume) is volume
