"""Particles told from junk, where the truth is drawn from what is assumed, or is something else."""

from __future__ import annotations

import numpy as np
import pytest

from mapsort.stages.abinit.junk import LEAST_JUNK, MOST_JUNK, Prior, told_apart, without_map

RINGS = 7
#: A ring r has 2 r independent coefficients.
CIRCLE = 2 / np.pi
COUNTS = 2 * np.arange(1, RINGS + 1)
NOISE = np.array([3.0, 2.0, 1.5, 1.2, 1.0, 1.0, 1.0])


def complex_noise(rng, n, power):
    """Return rings of coefficients of a mean power (n, rings)."""
    power = np.broadcast_to(power, (n, RINGS))
    drawn = [
        rng.standard_normal((n, count)) + 1j * rng.standard_normal((n, count)) for count in COUNTS
    ]
    return [ring * np.sqrt(own / 2)[:, None] for ring, own in zip(drawn, power.T, strict=True)]


def seen(rng, junk, *, signal, other):
    """Return power and log likelihood, as particles of known slices, of images.

    Parameters
    ----------
    junk : ndarray of shape (n,)
        0 for particles, 1 for noise, 2 for other things.
    signal : ndarray of shape (rings,)
        Power of the particles' slices over that of the noise.
    other : ndarray of shape (n, rings)
        That of rings of other things.
    """
    n = len(junk)
    slices = complex_noise(rng, n, signal * NOISE)
    images = complex_noise(rng, n, np.where(junk[:, None] == 2, other, 1.0) * NOISE)
    for image, own in zip(images, slices, strict=True):
        image[junk == 0] += own[junk == 0]
    power, left = (
        np.stack([np.mean(np.abs(ring) ** 2, axis=1) for ring in rings], axis=1)
        for rings in (images, [a - b for a, b in zip(images, slices, strict=True)])
    )
    return power, without_map(left, NOISE, CIRCLE)


def test_probabilities_of_junk_are_how_often_there_is_junk():
    """With signal so weak that many images are doubtful."""
    rng = np.random.default_rng(1)
    n, share = 8000, 0.3
    junk = np.where(rng.random(n) < share, rng.integers(1, 3, n), 0)
    other = np.sqrt(2.0) ** rng.integers(0, 15, (n, RINGS))
    power, evidence = seen(rng, junk, signal=np.full(RINGS, 0.03), other=other)
    found = told_apart(evidence, power, NOISE, CIRCLE, Prior(share)).junk
    assert np.mean((found > 0.1) & (found < 0.9)) > 0.2
    for low in np.arange(0.0, 1.0, 0.1):
        own = (found >= low) & (found < low + 0.1)
        if own.sum() > 50:
            error = np.sqrt(np.sum(found[own] * (1 - found[own]))) / own.sum()
            assert np.mean(junk[own] > 0) == pytest.approx(found[own].mean(), abs=3.5 * error)


def test_lumps_and_noise_are_junk_and_particles_are_not():
    """Lumps have much power in the lowest rings, each another amount, and noise elsewhere."""
    rng = np.random.default_rng(2)
    n = 3000
    junk = np.where(rng.random(n) < 0.3, rng.integers(1, 3, n), 0)
    lump = np.exp(rng.normal(2.5, 0.7, (n, 1)))
    other = 1.0 + lump * np.exp(-0.5 * (np.arange(1, RINGS + 1) / 1.2) ** 2)
    power, evidence = seen(rng, junk, signal=np.array([1, 3, 3, 2, 1, 0.5, 0.2]), other=other)
    found = told_apart(evidence, power, NOISE, CIRCLE, Prior(0.3)).junk > 0.8
    assert found[junk > 0].mean() > 0.99
    assert found[junk == 0].mean() < 0.002


@pytest.mark.parametrize("kind", [1, 2])
def test_the_noise_of_junk_is_noise_only(kind):
    """Whatever power its rings have, drawn as is assumed."""
    rng = np.random.default_rng(3)
    junk = np.full(6000, kind)
    other = np.sqrt(2.0) ** rng.integers(0, 15, (6000, RINGS))
    power, _ = seen(rng, junk, signal=np.zeros(RINGS), other=other)
    found = told_apart(np.full(6000, -1e6), power, NOISE, CIRCLE, Prior(0.5))
    np.testing.assert_allclose(found.junk, 1.0)
    np.testing.assert_allclose(found.junk_noise.mean(axis=0), NOISE, rtol=0.05)


def test_maps_that_fit_no_particle_make_none_of_them_junk():
    """What all particles lose is the maps' error; what fits worse than most is junk."""
    rng = np.random.default_rng(4)
    junk = np.where(rng.random(1000) < 0.3, 1, 0)
    power, evidence = seen(rng, junk, signal=np.full(RINGS, 2.0), other=np.ones((1000, RINGS)))
    lost = told_apart(evidence - 500.0, power, NOISE, CIRCLE, Prior(0.3))
    assert lost.junk.min() > 0.99
    misfit = max(0.0, -float(np.median(lost.odds)))
    found = told_apart(evidence - 500.0, power, NOISE, CIRCLE, Prior(0.3, misfit)).junk
    assert np.median(found[junk == 0]) < 0.5
    assert found[junk == 1].min() > 0.99


def test_without_junk_all_are_particles():
    found = told_apart(np.zeros(3), np.ones((3, RINGS)), NOISE, CIRCLE, Prior())
    assert found.junk.tolist() == [0.0, 0.0, 0.0]
    assert not found.junk_noise.any()
    np.testing.assert_allclose(found.log_likelihood, 0.0)


def test_what_is_learnt_leaves_both_kinds_possible():
    assert Prior.learnt(0.0, 1.0) == Prior(LEAST_JUNK, 1.0)
    assert Prior.learnt(1.0, 0.0) == Prior(MOST_JUNK, 0.0)
