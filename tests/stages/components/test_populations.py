"""Populations: errors from the likelihood's curvature cover the truth, probabilities come true."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, chi2, t

from mapsort.stages.classify.assignment import effective_classes
from mapsort.stages.components import populations as places
from mapsort.stages.components.observed import Products
from mapsort.stages.components.populations import (
    Model,
    collected,
    learnt_temperature,
    reliability,
    settled,
)
from mapsort.stages.components.scale import ScaleDistribution, ScaleModel

SHARES = np.array([0.5, 0.3, 0.2])
#: All particles have the maps' scale.
SCALES = ScaleModel(ScaleDistribution(1.0, 1e-3, (1.0, 1e-3)), None, 0.0)


def drawn(rng, n=600, noise=1.0, apart=3.0, shares=SHARES):
    """What particles of known classes say of maps that differ by a few nat."""
    k = len(shares)
    basis = rng.standard_normal((n, 12, k)) * np.sqrt(apart / 12)
    precision = basis.transpose(0, 2, 1) @ basis
    truth = rng.choice(k, size=n, p=shares)
    mean = precision[np.arange(n), :, truth]
    told = noise * rng.standard_normal((n, 12, 1))
    return Products(precision, mean + (basis.transpose(0, 2, 1) @ told)[..., 0]), truth


def test_intervals_cover_the_truth(monkeypatch):
    """Of 32 sets: as many intervals as hold the truth with a chance of one in a thousand.

    An error of 12 draws is itself uncertain, so that 95 % lie within the quantile of Student's t.
    """
    monkeypatch.setattr(places, "ERROR_DRAWS", 12)
    reach, sets = float(t.ppf(0.975, 11)), 32
    shares, errors, bias = [], [], []
    for seed in range(sets):
        products, truth = drawn(np.random.default_rng(seed), apart=6.0)
        model, judged = settled(products, truth, junk=False)
        found = collected(products, judged, model, 0)
        shares.append(found.shares)
        errors.append(found.errors)
        there = np.bincount(truth, minlength=3) / len(truth)
        bias.append([found.shares - there, found.corrected - there])
    inside = np.abs(np.array(shares) - SHARES) < reach * np.array(errors)
    assert inside.sum(axis=0).min() >= binom.ppf(1e-3 / 3, sets, 0.95)
    # Errors are neither too small nor too large: the variance of the shares is what they say.
    ratio = np.var(shares, axis=0, ddof=1) / np.mean(np.square(errors), axis=0)
    low, high = (chi2.ppf(tail, sets - 1) / (sets - 1) for tail in (1e-3 / 6, 1 - 1e-3 / 6))
    assert np.all((low < ratio) & (ratio < high))
    np.testing.assert_allclose(np.mean(bias, axis=0), 0, atol=0.02)


def test_the_temperature_is_not_deceived_by_the_particles_scales():
    """Maps have most in common; each particle's scale takes out what its noise has along them."""
    rng, noise, n = np.random.default_rng(4), 1.3, 4000
    common = 3.0 * rng.standard_normal((n, 12, 1))
    basis = common + rng.standard_normal((n, 12, 2)) + common * [0.0, 0.5]
    precision = basis.transpose(0, 2, 1) @ basis
    truth, scale = (rng.random(n) < 0.1).astype(int), rng.normal(1.0, 0.15, (n, 1))
    told = basis.transpose(0, 2, 1) @ (noise * rng.standard_normal((n, 12, 1)))
    target = scale * precision[np.arange(n), :, truth] + told[..., 0]
    products = Products(precision, target)
    # The median of 4,000 squares is known to 3 %.
    assert learnt_temperature(products, truth, np.eye(2)) == pytest.approx(noise**2, rel=0.1)


def test_classes_are_found_beyond_maps_that_were_filtered():
    """The maps hold half of the difference only, as those of few particles do."""
    shares = np.array([0.9, 0.1])
    products, truth = drawn(np.random.default_rng(5), n=4000, apart=6.0, shares=shares)
    half = 0.5 * np.eye(2) + 0.25
    model, judged = settled(products.along(half), truth, junk=False)
    np.testing.assert_allclose(judged.shares, shares, atol=0.02)
    np.testing.assert_allclose(model.templates @ half.T, np.eye(2), atol=0.15)


@pytest.mark.parametrize("noise", [1.0, 1.3])
def test_the_temperature_is_the_variance_and_makes_probabilities_true(noise):
    products, truth = drawn(np.random.default_rng(2), n=6000, noise=noise, apart=10.0)
    model, found = settled(products, truth, junk=False)
    assert model.temperature == pytest.approx(noise**2, rel=0.2)
    told, right, weight = reliability(found.responsibilities, truth).T
    assert np.sum(weight * np.abs(told - right)) < 0.02


def test_equal_maps_tell_nothing_and_are_no_error():
    """Classes of one structure may have the same map, up to the rounding of single precision."""
    rng, k = np.random.default_rng(6), 4
    one = 3.0 * rng.standard_normal((800, 50, 1))
    basis = (one * (1.0 + 1e-7 * rng.standard_normal((800, 50, k)))).astype(np.float32)
    seen = basis.transpose(0, 2, 1)
    image = (one + rng.standard_normal(one.shape)).astype(np.float32)
    products = Products(np.float64(seen @ basis), np.float64(seen @ image)[..., 0])
    model, found = settled(products, rng.integers(0, k, 800), junk=False)
    assert model.temperature == 1.0
    made = collected(products, found, model, 0)
    np.testing.assert_allclose(made.shares, 1 / k, atol=0.01)
    np.testing.assert_allclose(made.reliability[0, 0], 1 / k, atol=0.01)


def test_the_confusion_is_that_of_drawn_particles():
    products, truth = drawn(np.random.default_rng(3), n=6000)
    model = Model(SCALES, np.eye(3), 1.0)
    found = model.judge(products, SHARES)
    made = collected(products, found, model, 1)
    put = found.labels
    for i in range(3):
        np.testing.assert_allclose(
            made.confusion[i],
            np.bincount(put[truth == i], minlength=3) / (truth == i).sum(),
            atol=0.04,
        )
    assert made.calibration_error < 0.02


def test_effective_classes():
    probability = np.array([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.2, 0.2]])
    np.testing.assert_allclose(effective_classes(probability), [1.0, 2.0, 3.0])
