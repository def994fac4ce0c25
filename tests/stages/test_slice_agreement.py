"""Agreement of slices with the map of all others, and what is left out for it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft
from scipy.spatial.transform import Rotation

from mapsort.geometry.symmetry import symmetry
from mapsort.model.class_averages import ClassAverages
from mapsort.physics.masks import soft_sphere
from mapsort.physics.phantom import phantom_map, phantom_slice
from mapsort.stages.fourier_grid import centred_transform
from mapsort.stages.project import project_slices
from mapsort.stages.reconstruct.class_reconstruction import AverageSelection, MapSlices
from mapsort.stages.reconstruct.insertion_grid import InsertionGrid
from mapsort.stages.reconstruct.normal_equations import NormalEquations
from mapsort.stages.reconstruct.reconstruct import solve, wiener_term
from mapsort.stages.reconstruct.slice_agreement import (
    kept_slices,
    relative_quality,
    slice_agreement,
)
from mapsort.stages.reconstruct.slice_sums import SliceSums

BOX, APIX = 32, 4.0


def random_rotations(n, seed):
    return np.ascontiguousarray(Rotation.random(n, rng=np.random.default_rng(seed)).as_matrix())


def noisy_slices(rotations, *, noise, seed, particles=None, clean=None):
    """Sums C X and C^2 over particles: a ringing C^2, noise of variance proportional to it."""
    rng = np.random.default_rng(seed)
    n = len(rotations)
    clean = phantom_slice(0, BOX, APIX, rotations) if clean is None else clean
    particles = rng.integers(1, 20, n) if particles is None else particles
    radius = np.hypot(scipy.fft.fftfreq(BOX)[:, None], scipy.fft.rfftfreq(BOX))
    turns = rng.uniform(6, 14, n)[:, None, None]
    density = particles[:, None, None] * (0.05 + np.sin(turns * (2 * radius) ** 2 + 0.1) ** 2)
    white = centred_transform(rng.standard_normal((n, BOX, BOX)).astype(np.float32)) / BOX
    level = noise * np.sqrt(np.mean(np.abs(clean) ** 2))
    numerator = density * clean + level * np.sqrt(density) * white
    return numerator.astype(np.complex64), density.astype(np.float32), particles


def equations_of(numerator, density, rotations, ops):
    sums = SliceSums.empty(InsertionGrid.for_box(BOX), BOX / 2)
    sums.insert(numerator, density, rotations, ops)
    return NormalEquations.of(sums)


@pytest.mark.parametrize(
    ("name", "n", "noise", "ratio"),
    [("c1", 84, 2.0, 0.1), ("c1", 84, 6.0, 1.0), ("d2", 60, 2.0, 0.1)],
)
def test_the_slice_itself_has_no_part_in_what_it_is_compared_with(name, n, noise, ratio):
    """Against solving again without the slice: correlations to 0.05, the mean to 0.015.

    With the slice in the map correlations are 0.1 to 0.6 higher.
    """
    ops, rotations = symmetry(name).matrices, random_rotations(n, seed=1)
    clean = phantom_slice(0, BOX, APIX, rotations)
    clean[::7] = 0
    numerator, density, _ = noisy_slices(rotations, noise=noise, seed=2, clean=clean)
    whole = equations_of(numerator, density, rotations, ops)
    noise_to_signal = np.full(BOX // 2 + 1, ratio)
    volume = solve(whole, noise_to_signal=noise_to_signal, tolerance=1e-5)
    found = slice_agreement(
        whole, volume, numerator, density, rotations, noise_to_signal=noise_to_signal
    )
    chosen = np.arange(0, n, 7)[:6].tolist() + np.arange(1, n, 9)[:6].tolist()
    exact = np.empty((len(chosen), 2))
    for row, k in enumerate(chosen):
        rest = np.arange(n) != k
        others = equations_of(numerator[rest], density[rest], rotations[rest], ops)
        # the same Wiener term, though the mean density is less by a slice's
        same = (
            noise_to_signal
            * (wiener_term(whole, noise_to_signal) / wiener_term(others, noise_to_signal))[:-1]
        )
        left_out = solve(others, noise_to_signal=same, start=volume, tolerance=1e-5)
        once = slice_agreement(
            others,
            left_out,
            numerator[k : k + 1],
            density[k : k + 1],
            rotations[k : k + 1],
            contained=np.zeros(1, bool),
            noise_to_signal=same,
        )
        exact[row] = once.absqual[0], once.scale[0]
    difference = found.absqual[chosen] - exact[:, 0]
    assert np.abs(difference).max() <= 0.05
    assert abs(difference.mean()) <= 0.015
    with_itself = slice_agreement(
        whole,
        volume,
        numerator,
        density,
        rotations,
        contained=np.zeros(n, bool),
        noise_to_signal=noise_to_signal,
    )
    assert (with_itself.absqual[chosen] - exact[:, 0]).mean() >= 0.1
    np.testing.assert_allclose(found.scale[chosen], exact[:, 1], atol=0.15)


def test_a_slice_twice_too_bright_is_found_out():
    """The original's own check: every 7th slice doubled, noise free; the factors are 2 apart."""
    rotations = random_rotations(120, seed=3)
    bright = np.ones(120)
    bright[::7] = 2.0
    slices = phantom_slice(0, BOX, APIX, rotations) * bright[:, None, None].astype(np.float32)
    ones = np.ones(slices.shape, np.float32)
    equations = equations_of(slices.astype(np.complex64), ones, rotations, np.eye(3)[None])
    found = slice_agreement(
        equations, solve(equations), slices.astype(np.complex64), ones, rotations
    )
    assert found.absqual.min() >= 0.93
    ratio = np.mean(found.scale[bright == 2]) / np.mean(found.scale[bright == 1])
    assert ratio == pytest.approx(2.0, rel=0.1)


def test_quality_is_relative_to_slices_of_like_weight():
    """Agreement that grows with the weight is no merit; an odd one out is."""
    weight = np.arange(1, 101)
    absqual = 0.4 + 0.5 * weight / 100
    absqual[[20, 70]] *= 0.3
    quality = relative_quality(absqual, weight)
    assert set(np.argsort(quality)[:2]) == {20, 70}
    np.testing.assert_allclose(np.delete(quality, [20, 70])[15:80], 1.0, atol=0.1)


def test_empty_slices_have_no_quality():
    quality = relative_quality(np.array([0.0, 0.5, 0.4]), np.array([0, 3, 3]))
    assert quality[0] == -1
    assert (quality[1:] > 0).all()


def test_one_slice_is_as_good_as_itself():
    np.testing.assert_allclose(relative_quality(np.array([0.4]), np.array([5])), 1.0)


@pytest.mark.parametrize(
    ("n", "keep", "expected"),
    [(10, 0.8, 8), (10, 0.81, 9), (5, 0.8, 4), (10, 1.0, 10), (3, 0.01, 1)],
)
def test_ceil_of_the_share_is_kept_the_best_first(n, keep, expected):
    quality = np.linspace(0.1, 1.0, n)
    kept = kept_slices(quality, np.ones(n), keep=keep)
    assert kept.sum() == expected
    assert kept[-expected:].all()


def test_the_share_is_of_slices_that_hold_something():
    weight = np.array([1, 0, 1, 0, 1])
    kept = kept_slices(np.array([0.5, 9, 0.6, 9, 0.7]), weight, keep=0.6)
    assert kept.tolist() == [False, False, True, False, True]
    assert not kept_slices(np.zeros(3), np.zeros(3), keep=0.5).any()


def test_deviations_from_the_mean_leave_out_the_odd_one():
    quality = np.append(np.linspace(0.9, 1.1, 20), -0.2)
    kept = kept_slices(quality, np.ones(21), keep=2.0, keep_sigma=True)
    assert kept.tolist() == [True] * 20 + [False]


def averages_with_noise(share, *, seed, n=160, particles=30, noise=15.0):
    """Halved sums of one map's classes, a share of them pure noise of the same power."""
    rng = np.random.default_rng(seed)
    rotations = random_rotations(n, seed=seed)
    planted = rng.choice(n, int(share * n), replace=False)
    clean = phantom_slice(0, BOX, APIX, rotations)
    clean[planted] = 0
    halves = [
        noisy_slices(
            rotations, noise=noise, seed=seed + k, particles=np.full(n, particles // 2), clean=clean
        )
        for k in (1, 2)
    ]
    numerator, density = (np.stack([half[k] for half in halves]) for k in (0, 1))
    averages = ClassAverages(numerator, density, np.full(n, particles))
    grid = InsertionGrid.for_box(BOX)
    return MapSlices(averages, rotations, symmetry("c1"), grid, apix=1.0), planted


def test_planted_noise_is_left_out():
    slices, planted = averages_with_noise(0.1, seed=5)
    sphere = soft_sphere(BOX, 0.4 * BOX, 0.1 * BOX)
    chosen, rejected = slices.selected(AverageSelection(0.8, False, 2), sphere)
    assert len(rejected) == 32
    assert np.isin(planted, rejected).mean() >= 0.95
    assert not chosen.averages.density[:, rejected].any()
    kept = np.setdiff1d(np.arange(160), rejected)
    np.testing.assert_array_equal(
        chosen.averages.numerator[:, kept], slices.averages.numerator[:, kept]
    )


def test_one_pass_takes_all():
    slices, _ = averages_with_noise(0.1, seed=5, n=20)
    chosen, rejected = slices.selected(
        AverageSelection(0.8, False, 1), np.ones((BOX,) * 3, np.float32)
    )
    assert len(rejected) == 0
    np.testing.assert_array_equal(chosen.averages.density, slices.averages.density)


def test_a_third_pass_brings_slices_to_one_scale():
    rotations = random_rotations(150, seed=6)
    truth = phantom_map(0, BOX, APIX)
    bright = np.ones(150)
    bright[::5] = 1.6
    clean = project_slices(truth, rotations) * bright[:, None, None].astype(np.float32)
    density = np.full((2, *clean.shape), 5.0, np.float32)
    averages = ClassAverages(density * clean, density, np.full(150, 10))
    grid = InsertionGrid.for_box(BOX)
    slices = MapSlices(averages, rotations, symmetry("c1"), grid, apix=1.0)
    sphere = soft_sphere(BOX, 0.4 * BOX, 0.1 * BOX)
    errors = []
    for passes in (2, 3):
        chosen, rejected = slices.selected(AverageSelection(1.0, False, passes), sphere)
        assert len(rejected) == 0
        even, odd = chosen.half_equations()
        volume = solve(even + odd)
        scale = np.vdot(volume, truth) / np.vdot(volume, volume)
        errors.append(np.linalg.norm(scale * volume - truth) / np.linalg.norm(truth))
    assert errors[1] <= 0.5 * errors[0]
