"""Partitions against random ones: a true one is found out, p-values of random ones are uniform."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from mapsort.stages.components.latent_mixture import fit_mixture
from mapsort.stages.components.observed import Products
from mapsort.stages.components.random_partitions import DRAWS, partition_p_value

N = 240


def drawn(seed, apart):
    """What particles of two classes say of the mean map and of one component."""
    rng = np.random.default_rng(seed)
    basis = rng.standard_normal((N, 20, 2)) * np.sqrt([3.0, 0.4])
    precision = basis.transpose(0, 2, 1) @ basis
    truth = rng.integers(0, 2, N)
    there = np.stack([np.ones(N), apart * (2.0 * truth - 1.0)], axis=1)
    noise = rng.standard_normal((N, 20, 1))
    target = np.einsum("nab,nb->na", precision, there)
    return Products(precision, target + (basis.transpose(0, 2, 1) @ noise)[..., 0]), truth, rng


def judged(seed, apart, *, true):
    products, truth, rng = drawn(seed, apart)
    spared = np.arange(N) % 6 == 0
    classes = truth if true else rng.permutation(truth)
    one = fit_mixture(products.rows(~spared), 1, rng, junk=False)
    return partition_p_value(products, spared, classes, one, rng)


def test_no_random_partition_does_as_well_as_the_true_one():
    assert judged(1, 1.0, true=True) == 1 / (DRAWS + 1)


@pytest.mark.parametrize("apart", [0.0, 1.0])
def test_chances_of_random_partitions_are_uniform(monkeypatch, apart):
    """Kolmogorov and Smirnov's test of 60 p-values; by chance one seed in a thousand fails."""
    monkeypatch.setattr("mapsort.stages.components.random_partitions.DRAWS", 19)
    found = np.array([judged(seed, apart, true=False) for seed in range(60)])
    # Of 20 equally probable values, spread out over their steps.
    spread = found - np.random.default_rng(0).random(60) / 20
    assert kstest(spread, "uniform").pvalue > 1e-3
