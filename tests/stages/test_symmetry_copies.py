"""Copies of slices: at every rotation of a point group, and along a helix, too."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import Symmetry, symmetry
from mapsort.physics.phantom import phantom_slice
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.slice_sums import SliceSums, insert_copies

BOX, APIX = 16, 8.0


def inserted(slices, weights, rotations, group):
    sums = SliceSums.empty(InsertionGrid.for_box(BOX), BOX / 2)
    insert_copies(sums, slices, weights, rotations, group, apix=APIX)
    return sums.window


def some_slices():
    rotations = np.ascontiguousarray(Rotation.random(5, rng=np.random.default_rng(1)).as_matrix())
    weights = np.random.default_rng(2).uniform(0.5, 1, (5, BOX, BOX // 2 + 1)).astype(np.float32)
    return phantom_slice(0, BOX, APIX, rotations).astype(np.complex64), weights, rotations


def test_a_copy_lies_at_the_rotated_view():
    slices, weights, rotations = some_slices()
    group = symmetry("d2")
    found = inserted(slices, weights, rotations, group)
    expected = sum(
        inserted(slices, weights, np.ascontiguousarray(rotations @ turn), symmetry("c1"))
        for turn in group.matrices
    )
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(found).max())


def test_copies_along_a_helix_are_moved_with_their_axis():
    """V(S x + t) = V(x): a view R S of the same image, moved by -(R t) in the plane."""
    slices, weights, rotations = some_slices()
    turn = Rotation.from_euler("z", 40, degrees=True).as_matrix()
    helix = Symmetry(
        "h", np.stack([np.eye(3), turn]), np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 12.0]])
    )
    assert helix.helical
    found = inserted(slices, weights, rotations, helix)
    moved = -(rotations @ [0, 0, 12.0])[:, :2] / APIX
    kx, ky = np.fft.rfftfreq(BOX), np.fft.fftfreq(BOX)[:, None]
    phase = kx * moved[:, 0, None, None] + ky * moved[:, 1, None, None]
    copies = (slices * np.exp(-2j * np.pi * phase)).astype(np.complex64)
    expected = inserted(slices, weights, rotations, symmetry("c1"))
    expected = expected + inserted(
        copies, weights, np.ascontiguousarray(rotations @ turn), symmetry("c1")
    )
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(found).max())
