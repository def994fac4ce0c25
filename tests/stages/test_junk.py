"""Noise told from particles by their best scores."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import gumbel_r, norm

from mapsort.physics.shells import shell_means
from mapsort.stages.classify.junk import JunkModel, fit_junk, junk_probability, noise_images


@pytest.mark.parametrize("box", [16, 17])
def test_noise_has_the_spectrum_asked_for(box):
    power = np.linspace(4.0, 0.5, box // 2 + 1) * box**2
    images = noise_images(4000, box, power, np.random.default_rng(1))
    found = shell_means(np.abs(np.fft.rfft2(images)) ** 2, box).mean(axis=0)
    # 4,000 images of at least four terms in a shell: five standard errors
    np.testing.assert_allclose(found[1:], power[1:], rtol=5 / np.sqrt(16000))
    assert found[0] == pytest.approx(power[0], rel=3 * np.sqrt(2 / 4000))
    assert abs(images.mean()) < 0.01


def scores(rng, n_noise, n_particles, mean, deviation):
    noise = gumbel_r.rvs(12.0, 1.5, n_noise, random_state=rng)
    particles = rng.normal(mean, deviation, n_particles)
    return np.concatenate([noise, particles]), np.arange(n_noise + n_particles) < n_noise


@pytest.mark.parametrize(("n_noise", "n_particles"), [(400, 1600), (40, 1960), (1500, 500)])
def test_the_mixture_is_taken_apart(n_noise, n_particles):
    rng = np.random.default_rng(2)
    values, is_noise = scores(rng, n_noise, n_particles, 40.0, 9.0)
    model = fit_junk(values, gumbel_r.rvs(12.0, 1.5, 512, random_state=rng))
    found = model.probability(values) > 0.5
    assert model.share == pytest.approx(n_noise / len(values), abs=0.02)
    assert np.mean(is_noise[found]) >= 0.9
    assert np.mean(found[is_noise]) >= 0.95


def test_without_noise_nothing_is_junk():
    rng = np.random.default_rng(3)
    values, _ = scores(rng, 0, 2000, 40.0, 9.0)
    model = fit_junk(values, gumbel_r.rvs(12.0, 1.5, 512, random_state=rng))
    assert np.mean(model.probability(values) > 0.5) <= 0.005


def test_better_scores_are_never_likelier_to_be_noise():
    rng = np.random.default_rng(4)
    values, _ = scores(rng, 300, 700, 25.0, 9.0)
    model = fit_junk(values, gumbel_r.rvs(12.0, 1.5, 512, random_state=rng))
    line = model.probability(np.linspace(-50.0, 150.0, 400))
    # the normal's lower tail is above the Gumbel's nowhere that counts
    assert line[0] > 0.5
    assert line[-1] < 0.01


def test_noise_and_particles_share_a_score_by_bayes_rule():
    model = JunkModel(noise_mode=10.0, noise_scale=2.0, mean=30.0, deviation=5.0, share=0.2)
    scores = np.array([12.0, 18.0, 25.0])
    noise = 0.2 * gumbel_r.pdf(scores, 10, 2)
    particle = 0.8 * norm.pdf(scores, 30, 5)
    np.testing.assert_allclose(model.probability(scores), noise / (noise + particle), rtol=1e-9)
    # beyond the mode and the mean nothing changes any more, however the tails run
    ends = model.probability(np.array([10.0, -90.0, 30.0, 500.0]))
    assert ends[0] == ends[1]
    assert ends[2] == ends[3]
    assert junk_probability(scores, None) is None
