"""How particles fit: scales, spreads, outliers."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.stages.particle_fit import (
    LARGEST_SPREAD,
    ParticleFit,
    misfit,
    outlier_scores,
    shift_spread,
)


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
