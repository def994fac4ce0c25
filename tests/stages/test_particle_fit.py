"""Scales, residuals and shifts of particles, from particles with known ones."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.physics.scoring import shift_log_prior
from mapsort.stages.average.particle_fit import (
    LARGEST_SPREAD,
    SMALLEST_SPREAD,
    ParticleFit,
    deviations,
    misfit,
    outlier_scores,
    shift_spread,
)

N, TERMS, PAIRS = 4000, 400, 10


def made(spread, *, signal=0.5, mean=1.0, seed=0):
    """Particles X = s P + N over independent complex terms; each counts with its Friedel mate."""
    rng = np.random.default_rng(seed)
    pairs = TERMS // 2
    scales = mean * (1 + spread * rng.standard_normal(N))
    shape = (N, pairs)
    view = np.sqrt(signal / 2) * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    noise = np.sqrt(0.5) * (rng.standard_normal(shape) + 1j * rng.standard_normal(shape))
    image = scales[:, None] * view + noise
    # Shell 0 holds nothing; the others ten pairs each.
    sums = [
        np.pad(2 * values.reshape(N, -1, PAIRS).sum(axis=2), ((0, 0), (1, 0)))
        for values in (np.abs(image) ** 2, (image.conj() * view).real, np.abs(view) ** 2)
    ]
    terms = np.append(0.0, np.full(pairs // PAIRS, 2.0 * PAIRS))
    left = misfit(*sums, np.ones_like(sums[0]), terms)
    return ParticleFit(sums[1].sum(axis=1), sums[2].sum(axis=1), left), scales


@pytest.mark.parametrize("spread", [0.1, 0.3])
@pytest.mark.parametrize("mean", [1.0, 2.5])
def test_the_spread_of_scales_is_found(spread, mean):
    fit, _ = made(spread, mean=mean)
    assert fit.mean_scale == pytest.approx(mean, rel=0.01)
    # Noise alone spreads scales by 1 / sqrt(200) = 0.07; 4000 particles give 2 %.
    assert fit.scale_spread() == pytest.approx(spread, rel=0.08)


def test_the_spread_is_bounded():
    assert made(0.0)[0].scale_spread() == SMALLEST_SPREAD
    assert made(3.0)[0].scale_spread() == LARGEST_SPREAD


def test_scales_are_drawn_towards_the_mean_and_so_come_nearer_to_the_truth():
    fit, scales = made(0.1, signal=0.1, mean=2.0)
    found = fit.scales() * 2.0
    alone = fit.cross / fit.reference
    assert np.mean((found - scales) ** 2) < 0.7 * np.mean((alone - scales) ** 2)
    assert np.corrcoef(found, scales)[0, 1] > 0.6
    assert fit.scales().mean() == pytest.approx(1.0, abs=0.02)


def test_what_is_left_is_noise_and_what_is_not_of_the_map_shows():
    fit, _ = made(0.2)
    # 20 shells: the mean of as many squares of about normal numbers, one scale fitted.
    assert fit.misfit.mean() == pytest.approx(1.0, abs=0.03)
    assert fit.misfit.std() < 0.5
    assert fit.misfit_deviations.max() < 6


@pytest.mark.parametrize("factor", [4.0, 0.2])
def test_too_much_and_too_little_in_a_shell_are_a_misfit(factor):
    terms = np.full(9, 50.0)
    image = np.tile(terms, (3, 1))
    image[1, 4] *= factor
    nothing = np.zeros_like(image)
    found = misfit(image, nothing, nothing, np.ones_like(image), terms)
    # One of eight shells is off by factor - 1; the variance there is 2 / 50.
    np.testing.assert_allclose(found, [0, (factor - 1) ** 2 * 25 / 8, 0], atol=1e-9)


def test_outliers_are_unlike_in_either_way():
    fit, _ = made(0.0)
    quality = np.random.default_rng(3).normal(20, 2, N)
    quality[5] = 2.0
    fit.misfit[7] = 40.0
    scores = outlier_scores(fit, quality)
    assert set(np.argsort(scores)[-2:]) == {5, 7}
    assert scores[5] == pytest.approx(9.0, rel=0.1)


def test_deviations_are_robust():
    values = np.random.default_rng(1).normal(5, 2, 10_001)
    values[:1000] = 1e6
    found = deviations(values)[1000:]
    # The median of the rest lies a tenth of the way up: 0.14 deviations, and their spread grows.
    assert abs(found.mean() + 0.14) < 0.05
    assert found.std() == pytest.approx(1.0, abs=0.15)
    np.testing.assert_array_equal(deviations(np.ones(5)), 0.0)


def test_the_width_of_shifts_is_found_in_spite_of_wild_ones():
    rng = np.random.default_rng(2)
    origins = rng.normal(0, 3.0, (5000, 2))
    assert shift_spread(origins) == pytest.approx(3.0, rel=0.05)
    origins[:500] = rng.uniform(-20, 20, (500, 2))
    assert shift_spread(origins) == pytest.approx(3.0, rel=0.15)
    assert shift_spread(np.zeros((10, 2))) == 1.0


def test_the_prior_is_normal_and_absent_without_a_width():
    origins = np.array([[0.0, 0.0], [3.0, 4.0]])
    np.testing.assert_allclose(shift_log_prior(origins, 5.0), [0.0, -0.5])
    np.testing.assert_array_equal(shift_log_prior(origins, np.inf), 0.0)


def fits(n=300, *, mean=2.0, seed=1):
    rng = np.random.default_rng(seed)
    reference = rng.uniform(5, 200, n)
    scale = mean * (1 + 0.3 * rng.standard_normal(n))
    cross = reference * scale + np.sqrt(reference) * rng.standard_normal(n)
    return ParticleFit(cross, reference, rng.uniform(0.8, 1.2, n))


def test_the_spread_is_the_moment_estimate_for_unequal_weights():
    """DerSimonian & Laird: (Q - (k - 1)) / (sum w - sum w^2 / sum w) beyond the noise's 1 / w."""
    fit = fits()
    fit.reference[5] = 0.0  # nothing is known of this one
    fit.misfit[7] = 1e4  # and this one is no particle
    rest = np.delete(np.arange(300), [5, 7])
    w, s = fit.reference[rest], fit.cross[rest] / fit.reference[rest]
    centre = (w * s).sum() / w.sum()
    q = (w * (s - centre) ** 2).sum()
    between = (q - (len(w) - 1)) / (w.sum() - (w**2).sum() / w.sum())
    assert fit.scale_spread() == pytest.approx(np.sqrt(between) / centre, rel=1e-9)
    assert fit.scale_spread() == pytest.approx(0.3, rel=0.2)
    few = ParticleFit(np.array([1.0, 5.0]), np.array([1.0, 0.0]), np.ones(2))
    assert few.scale_spread() == LARGEST_SPREAD


def test_scales_are_means_of_the_posterior():
    """Two normal distributions: the particle's own, 1 / reference wide, and the prior's."""
    fit = fits()
    mean = fit.cross.sum() / fit.reference.sum()
    assert fit.mean_scale == pytest.approx(mean, rel=1e-12)
    prior = 1 / (fit.scale_spread() * mean) ** 2
    expected = (fit.cross / fit.reference * fit.reference + mean * prior) / (fit.reference + prior)
    np.testing.assert_allclose(fit.scales(), expected / mean, rtol=1e-9)
    against = ParticleFit(-fit.cross, fit.reference, fit.misfit)
    np.testing.assert_array_equal(against.scales(), np.ones(300))


def test_the_misfit_shell_by_shell():
    rng = np.random.default_rng(2)
    n, terms = 5, np.array([1.0, 8.0, 12.0, 0.0, 24.0])
    image, reference, noise = rng.uniform(1, 30, (3, n, 5))
    cross = rng.uniform(-5, 20, (n, 5))
    cross[4] = -1  # a particle against its map: the scale is 0, not negative
    expected = []
    for k in range(n):
        scale = max(0.0, (cross[k] / noise[k]).sum() / (reference[k] / noise[k]).sum())
        shells = []
        for s in range(1, 5):
            left = image[k, s] - 2 * scale * cross[k, s] + scale**2 * reference[k, s]
            ratio = left / noise[k, s] / max(terms[s], 1)
            shells.append((ratio - 1) ** 2 * terms[s] / 2)
        expected.append(np.mean(shells))
    np.testing.assert_allclose(misfit(image, cross, reference, noise, terms), expected, rtol=1e-9)


def test_misfits_are_told_apart_on_a_logarithmic_scale():
    """0.5, 1, 2: each a factor of two apart, the median distance log 2."""
    fit = ParticleFit(np.ones(3), np.ones(3), np.array([0.5, 1.0, 2.0]))
    np.testing.assert_allclose(fit.misfit_deviations, np.array([-1, 0, 1]) / 1.4826, rtol=1e-9)
    quality = np.array([10.0, 30.0, 20.0])
    expected = np.maximum([-1, 0, 1], [1, -1, 0]) / 1.4826
    np.testing.assert_allclose(outlier_scores(fit, quality), expected, rtol=1e-9)


def test_the_median_of_squared_shifts():
    """3^2 2 ln 2 is that of a normal prior 3 pixels wide on each axis."""
    r = 3 * np.sqrt(2 * np.log(2))
    origins = np.array([[0, r], [r, 0], [0, -r], [0.1, 0], [50, 50]])
    assert shift_spread(origins) == pytest.approx(3.0, rel=1e-9)
    assert shift_spread(origins / 4) == 1.0  # never narrower


def test_the_fit_of_consecutive_particles_goes_to_its_place():
    whole = ParticleFit.empty(5)
    assert whole.misfit.tolist() == [1.0] * 5
    part = ParticleFit(np.array([1.0, 2]), np.array([3.0, 4]), np.array([5.0, 6]))
    whole.place(2, part)
    assert whole.cross.tolist() == [0, 0, 1, 2, 0]
    assert whole.reference.tolist() == [0, 0, 3, 4, 0]
    assert whole.misfit.tolist() == [1, 1, 5, 6, 1]
