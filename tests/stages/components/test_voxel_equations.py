"""Maps from sums, voxel by voxel, are those of the plain formulas."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.stages.components.band import Band
from mapsort.stages.components.class_maps import FoldMaps
from mapsort.stages.components.decomposition import solved_together
from mapsort.stages.components.shrinkage import quotients
from mapsort.stages.components.slice_grid import SliceGrid

GRID = SliceGrid(Band(36, 12), 11, 12.0)
M = len(GRID.kept)


def sums(rng, q):
    shape = (M, q)
    above = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)).astype(np.complex64)
    return above, rng.random(shape).astype(np.float32)


def test_quotients_are_of_differences_and_of_combinations():
    rng = np.random.default_rng(1)
    above, below = sums(rng, 3)
    prior = rng.random((GRID.rings + 1, 1)) + 0.1
    common = GRID.spread(sums(rng, 1)[0])
    combinations = rng.standard_normal((3, 2)).astype(np.float32)
    plain = (above - below * common[GRID.kept]) / (below + prior[GRID.shell_kept])
    for options, expected in (
        ({"common": common}, plain),
        ({"common": common, "combinations": combinations}, plain @ combinations),
        ({}, above / (below + prior[GRID.shell_kept])),
    ):
        found = quotients(GRID, (above, below), prior, **options)
        np.testing.assert_allclose(found, GRID.spread(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("q", [1, 2, 5])
def test_equations_of_all_voxels_are_solved(q):
    rng = np.random.default_rng(q)
    above, _ = sums(rng, q)
    factor = rng.standard_normal((M, q, q + 2))
    matrix = factor @ factor.transpose(0, 2, 1)
    matrix[: M // 3] = 0.0  # where no slice went there is only the prior
    prior = rng.random((GRID.rings + 1, q)) + 0.1
    row, column = np.triu_indices(q)
    found = solved_together(GRID, (above, matrix[:, row, column].astype(np.float32)), prior)
    diagonal = prior[GRID.shell_kept][:, :, None] * np.eye(q)
    exact = np.linalg.solve(matrix + diagonal, above[..., None].astype(complex))[..., 0]
    expected = GRID.masked(GRID.spread(exact.astype(np.complex64)))
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


def test_maps_of_all_folds_are_made_when_they_are_asked_for():
    made = []

    def whole():
        made.append(1)
        return np.full((4, 2), 3.0, np.complex64)

    maps = FoldMaps([np.ones((4, 2), np.complex64)], whole)
    one = maps.scaled(2.0).combined(np.array([[1.0, 1.0]]))
    assert not made
    np.testing.assert_array_equal(one.maps[0], np.full((4, 1), 4.0))
    np.testing.assert_array_equal(one.whole, np.full((4, 1), 12.0))
    np.testing.assert_array_equal(one.whole, maps.whole.sum(axis=1, keepdims=True) * 2)
    assert made == [1]
