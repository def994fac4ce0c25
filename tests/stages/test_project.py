"""Slices of a map need no more shells than the map has."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from mapsort.physics.fourier_projection import DEFAULT_TOLERANCE
from mapsort.stages.project import last_shell, project_slices

BOX = 48


def blobs(width_px: float) -> np.ndarray:
    """Return a map of Gaussian blobs about its centre."""
    volume = np.zeros((BOX,) * 3, np.float32)
    for at in np.random.default_rng(4).integers(BOX // 2 - 6, BOX // 2 + 6, (8, 3)):
        volume[tuple(at)] += 1
    return gaussian_filter(volume, width_px)


@pytest.mark.parametrize("width_px", [2.0, 3.0])
def test_slices_up_to_the_last_shell_are_whole(width_px):
    volume = blobs(width_px)
    rotations = Rotation.random(12, rng=np.random.default_rng(5)).as_matrix()
    whole = project_slices(volume, rotations, tolerance=1e-5)
    shell = last_shell(volume)
    assert shell < 0.9 * BOX / 2
    short = project_slices(volume, rotations, max_radius=shell, tolerance=1e-5)
    error = np.linalg.norm(short - whole) / np.linalg.norm(whole)
    assert 0 < error < 0.2 * DEFAULT_TOLERANCE
    fewer = project_slices(volume, rotations, max_radius=0.5 * shell, tolerance=1e-5)
    assert np.linalg.norm(fewer - whole) / np.linalg.norm(whole) > DEFAULT_TOLERANCE


def test_no_map_reaches_beyond_the_box():
    noise = np.random.default_rng(6).normal(size=(BOX,) * 3).astype(np.float32)
    assert last_shell(noise) == BOX // 2
