"""Populations: errors from the likelihood's curvature cover the truth, probabilities come true."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.stages.classify.soft_assignment import effective_classes
from mapsort.stages.components.observed import Products
from mapsort.stages.components.populations import (
    Model,
    collected,
    learnt_temperature,
    reliability,
    share_errors,
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


def test_intervals_cover_the_truth_and_counts_do_not():
    inside, bias = [], []
    for seed in range(40):
        products, _ = drawn(np.random.default_rng(seed))
        model = Model(SCALES, 1.0, 1.0)
        found = collected(products, model.settled(products, np.full(3, 1 / 3)), model, 0)
        inside.append(np.abs(found.shares - SHARES) < 1.96 * found.errors)
        bias.append([found.counts[0] / 600 - SHARES[0], found.corrected[0] - SHARES[0]])
    assert np.mean(inside) == pytest.approx(0.95, abs=0.06)
    counted, corrected = np.mean(bias, axis=0)
    assert counted > 0.015
    assert abs(corrected) < 0.7 * counted


def test_the_error_of_two_sure_classes_is_binomial():
    truth = np.random.default_rng(0).random(1000) < 0.3
    sure = np.stack([truth, ~truth], axis=1).astype(float)
    shares = sure.mean(axis=0)
    expected = np.sqrt(shares[0] * shares[1] / 1000)
    np.testing.assert_allclose(share_errors(sure, shares), expected)


@pytest.mark.parametrize("noise", [1.0, 1.3])
def test_the_temperature_is_the_variance_and_makes_probabilities_true(noise):
    products, truth = drawn(np.random.default_rng(2), n=6000, noise=noise, apart=6.0)
    model = Model(SCALES, 1.0, 1.0)
    found = model.settled(products, SHARES)
    for _ in range(6):
        model = Model(SCALES, 1.0, learnt_temperature(products, found, model))
        found = model.settled(products, found.shares)
    assert model.temperature == pytest.approx(noise**2, rel=0.05)
    told, right, weight = reliability(found.responsibilities, truth).T
    assert np.sum(weight * np.abs(told - right)) < 0.02


def test_the_confusion_is_that_of_drawn_particles():
    products, truth = drawn(np.random.default_rng(3), n=6000)
    model = Model(SCALES, 1.0, 1.0)
    found = model.settled(products, SHARES)
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
