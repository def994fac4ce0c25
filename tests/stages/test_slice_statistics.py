"""Qualities of slices among their like, terms that are counted, and slices judged in blocks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mapsort.physics.phantom import phantom_slice
from mapsort.stages.average.average import plane_terms
from mapsort.stages.reconstruct import slice_agreement as module
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.reconstruct import solve
from mapsort.stages.reconstruct.slice_agreement import (
    kept_slices,
    relative_quality,
    slice_agreement,
)
from mapsort.stages.reconstruct.slice_sums import SliceSums

BOX = 16


def test_each_slice_is_measured_by_the_twenty_nearest_in_weight():
    rng = np.random.default_rng(1)
    n = 47
    absqual, weight = rng.uniform(0.2, 0.9, n), rng.integers(0, 6, n)
    found = relative_quality(absqual, weight)
    ranked = sorted(np.flatnonzero(weight), key=lambda k: (weight[k], k))
    for place, index in enumerate(ranked):
        nearest = [k for other, k in enumerate(ranked) if 0 < abs(other - place) <= 10]
        assert found[index] == pytest.approx(absqual[index] / absqual[nearest].mean())
    np.testing.assert_array_equal(found[weight == 0], -1.0)


def test_neighbours_that_agree_with_nothing_are_no_measure():
    found = relative_quality(np.array([0.5, 0.001, -0.003]), np.ones(3))
    np.testing.assert_allclose(found, [50.0, 0.001 / 0.2485, -0.003 / 0.2505], rtol=1e-9)


@pytest.mark.parametrize(
    ("keep", "expected"),
    [(1.5, [1, 2, 3]), (1.7, [0, 1, 2, 3]), (0.0, [1, 2, 3]), (-0.2, [2, 3]), (-9.0, [3])],
)
def test_deviations_below_the_mean(keep, expected):
    """Qualities of mean 0.5 and deviation 0.187, the lowest 1.6 of them off; at least one stays."""
    quality = np.array([0.2, 0.5, 0.6, 0.7, 99.0])
    kept = kept_slices(quality, np.array([1, 1, 1, 1, 0]), keep=keep, keep_sigma=True)
    assert np.flatnonzero(kept).tolist() == expected


@pytest.mark.parametrize(("n", "keep", "expected"), [(100, 0.07, 7), (10, 0.3, 3), (10, 1e-12, 1)])
def test_rounding_adds_no_slice(n, keep, expected):
    """0.07 x 100 is 7.000000000000001."""
    assert kept_slices(np.arange(n), np.ones(n), keep=keep).sum() == expected


def test_of_equal_slices_the_first_stay():
    assert kept_slices(np.ones(4), np.ones(4), keep=0.5).tolist() == [True, True, False, False]


@pytest.mark.parametrize("box", [8, 9, 16])
def test_terms_are_counted_as_in_the_plane(box):
    """Each with its mate, none at Nyquist, whose mate is itself; the origin tells nothing."""
    counted = module._terms_counted(box, float(box // 2))
    k = np.fft.fftfreq(box, 1 / box)
    shell = np.rint(np.hypot(k[:, None], np.arange(box // 2 + 1))).astype(int)
    sums = np.bincount(shell.ravel(), counted.ravel())[: box // 2 + 1]
    expected = plane_terms(box)
    expected[0] = 0
    np.testing.assert_array_equal(sums, expected)
    within = module._terms_counted(box, 2.5)
    assert within.sum() == ((np.hypot(k[:, None], k) <= 2.5).sum() - 1)


def slices_of(n, seed):
    rotations = np.ascontiguousarray(
        Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix()
    )
    return rotations, phantom_slice(0, BOX, 8.0, rotations)


def equations_of(numerator, density, rotations):
    sums = SliceSums.empty(InsertionGrid.for_box(BOX), BOX / 2)
    sums.insert(numerator, density, rotations, np.eye(3)[None])
    return NormalEquations.of(sums)


def test_the_point_spread_function_is_cut_to_the_sphere_about_the_centre():
    rotations, slices = slices_of(20, seed=3)
    equations = equations_of(slices, np.ones(slices.shape, np.float32), rotations)
    found = module._point_spread_in_sphere(equations, 1)
    whole = np.fft.fftshift(np.fft.irfftn(equations.transfer, s=(2 * BOX,) * 3, axes=(0, 1, 2)))
    middle = slice(BOX - BOX // 2, BOX + BOX // 2)
    axis = np.arange(BOX) - BOX // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)
    expected = np.where(radius <= BOX / 2, whole[middle, middle, middle], 0.0)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert found[BOX // 2, BOX // 2, BOX // 2] == found.max()


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_slices_are_compared_in_blocks_of_the_memory_given(monkeypatch, at_once):
    """Blocks of 40 bytes for each pixel of an image; how many are compared at once is no matter."""
    rotations, slices = slices_of(20, seed=4)
    density = np.random.default_rng(4).uniform(0.5, 2.0, slices.shape).astype(np.float32)
    numerator = (density * slices).astype(np.complex64)
    equations = equations_of(numerator, density, rotations)
    volume = solve(equations)
    contained = np.arange(20) % 3 > 0
    whole = slice_agreement(equations, volume, numerator, density, rotations, contained=contained)
    blocks = []
    ranges = module.chunk_ranges
    monkeypatch.setattr(
        module, "chunk_ranges", lambda n, length: blocks.append(length) or ranges(n, length)
    )
    monkeypatch.setattr(module, "_BLOCK_BYTES", at_once * 40 * BOX * BOX)
    parts = slice_agreement(equations, volume, numerator, density, rotations, contained=contained)
    assert blocks == [at_once]
    np.testing.assert_allclose(parts.absqual, whole.absqual, rtol=1e-5)
    np.testing.assert_allclose(parts.scale, whole.scale, rtol=1e-5)


def test_what_is_empty_is_not_judged():
    """No agreement, and the scale of all others."""
    rotations, slices = slices_of(30, seed=6)
    ones = np.ones(slices.shape, np.float32)
    slices[3], ones[3] = 0, 0
    equations = equations_of(slices, ones, rotations)
    found = slice_agreement(equations, solve(equations), slices, ones, rotations)
    assert (found.absqual[3], found.scale[3]) == (0, 1)
    assert np.delete(found.absqual, 3).min() > 0.3
